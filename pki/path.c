// SPDX-License-Identifier: Apache-2.0

#include "pki/path.h"

#include <errno.h>
#include <stdbool.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/error.h"
#include "pki/algorithm.h"
#include "pki/certificate.h"
#include "pki/reason.h"

static int check_intermediates(STACK_OF(X509) * chain, int *code, struct error *error)
{
	// The last one is the anchor, which was checked when it was loaded.
	for (int i = 1; i < sk_X509_num(chain) - 1; i++) {
		if (certificate_check_intermediate(sk_X509_value(chain, i), error) == 0)
			continue;
		*code = X509_V_ERR_CERT_REJECTED;
		if (error)
			error->code = EACCES;
		return -EACCES;
	}
	return 0;
}

int path_check(X509_STORE_CTX *store, const struct reason_context *context, int purpose, int *code,
	       struct error *error)
{
	X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(store);

	// Any CA in the bundle may be the anchor, also an intermediate. Of certificate policies any will do, but what CAs demand of
	// them is looked at: without that flag OpenSSL takes policyConstraints, although critical, for handled.
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST |
						   X509_V_FLAG_POLICY_CHECK);
	X509_VERIFY_PARAM_add0_policy(param, OBJ_nid2obj(NID_any_policy));
	X509_VERIFY_PARAM_set_depth(param, PATH_INTERMEDIATES_MAX);
	X509_VERIFY_PARAM_set_auth_level(param, ALGORITHM_AUTH_LEVEL);
	X509_VERIFY_PARAM_set_time(param, context->now);
	X509_STORE_CTX_set_purpose(store, purpose);
	bool good = X509_verify_cert(store) == 1;
	ERR_clear_error();
	if (good)
		return check_intermediates(X509_STORE_CTX_get0_chain(store), code, error);
	*code = X509_STORE_CTX_get_error(store);
	if (*code == X509_V_OK)
		*code = X509_V_ERR_UNSPECIFIED;
	return reason_path(store, context, error);
}
