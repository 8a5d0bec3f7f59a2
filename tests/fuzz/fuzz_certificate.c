// SPDX-License-Identifier: Apache-2.0
// A peer's certificate, as it comes out of the handshake: DER to leaf rules and identity.

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/err.h>
#include <openssl/x509.h>

#include "base/error.h"
#include "pki/certificate.h"
#include "pki/identity.h"
#include "pki/tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge(const X509 *certificate)
{
	struct error error = {0};
	char *identity = NULL, *again = NULL;
	char serial[SERIAL_TEXT_MAX], name[64];
	uint8_t hash[SPKI_HASH_SIZE];
	time_t not_before, not_after;

	certificate_serial(certificate, serial);
	certificate_name(X509_get_issuer_name(certificate), name, sizeof(name));
	certificate_spki_hash(certificate, hash);
	certificate_lifetime(certificate, &not_before, &not_after);
	certificate_check_intermediate(certificate, &error);
	if (certificate_check_leaf(certificate, NULL, &identity, &error) < 0) {
		if (error.what[0] == '\0')
			abort(); // refused without a reason
		return;
	}
	// What was accepted is canonical: it parses to itself.
	if (identity_parse(identity, strlen(identity), &again, NULL) < 0 ||
	    strcmp(identity, again) != 0)
		abort();
	free(again);
	free(identity);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const unsigned char *at = data;
	X509 *certificate = X509_new_ex(tls_library(), NULL);

	if (size <= CERTIFICATE_MAX && d2i_X509(&certificate, &at, (long)size))
		judge(certificate);
	X509_free(certificate);
	ERR_clear_error();
	return 0;
}
