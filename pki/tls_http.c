// SPDX-License-Identifier: Apache-2.0

#include "pki/tls_http.h"

#include <errno.h>
#include <openssl/err.h>

#include "base/clock.h"
#include "pki/identity.h"
#include "pki/tls_settings.h"
#include "pki/verify.h"

static int judge(struct tls_http *http, X509_STORE_CTX *store, int *code)
{
	_cleanup_(verdict_putp) struct verdict *verdict = NULL;
	STACK_OF(X509) *above = verify_above(store);
	if (!above)
		return error_set(&http->error, ENOMEM, "out of memory");
	int r = verify_chain(http->trust, X509_STORE_CTX_get0_cert(store), above,
			     VERIFY_PEER_IS_SERVER, clock_wall(), &verdict, code, &http->error);
	sk_X509_free(above);

	if (r < 0 || identity_match(http->identity, verdict_identity(verdict)))
		return r;
	*code = X509_V_ERR_HOSTNAME_MISMATCH;
	return error_set(&http->error, EACCES, "the server is %.*s, where %.*s is expected",
			 IDENTITY_SHOWN_MAX, verdict_identity(verdict), IDENTITY_SHOWN_MAX,
			 http->identity);
}

static int verify_server(X509_STORE_CTX *store, void *data)
{
	struct tls_http *http = data;
	int code = X509_V_ERR_UNSPECIFIED;

	http->refused = judge(http, store, &code) < 0;
	X509_STORE_CTX_set_error(store, http->refused ? code : X509_V_OK);
	return !http->refused;
}

int tls_http_prepare(SSL_CTX *ssl, struct tls_http *http)
{
	bool good = tls_settings_protocol(ssl, http->identity ? TLS1_3_VERSION : TLS1_2_VERSION) &&
		    (!http->credential || tls_settings_credential(ssl, http->credential));

	ERR_clear_error();
	if (!good)
		return -EINVAL;
	if (http->identity) {
		SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER, NULL);
		SSL_CTX_set_cert_verify_callback(ssl, verify_server, http);
	}
	return 0;
}
