// SPDX-License-Identifier: Apache-2.0
// Critical policyConstraints count as handled although nobody looks at them, until X509_V_FLAG_POLICY_CHECK is set; and then a
// verifier that names no policy wants none, not any (pki/path.c).

#include "platform/platform.h"

static struct identity root, issuing;

static int judge(const char *policies, unsigned long flags, int any)
{
	struct extensions extensions = {.policies = policies};
	X509 *leaf = platform_issue(&issuing, "leaf", &extensions, 3600).certificate;
	STACK_OF(X509) *sent = sk_X509_new_null();
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *context = X509_STORE_CTX_new();

	sk_X509_push(sent, issuing.certificate);
	X509_STORE_add_cert(store, root.certificate);
	X509_STORE_set_flags(store, flags);
	expect(X509_STORE_CTX_init(context, store, leaf, sent));
	if (any)
		X509_VERIFY_PARAM_add0_policy(X509_STORE_CTX_get0_param(context),
					      OBJ_nid2obj(NID_any_policy));
	X509_verify_cert(context);
	return X509_STORE_CTX_get_error(context);
}

int main(void)
{
	struct extensions demanding = {.basic_constraints = "critical,CA:TRUE",
				       .key_usage = "critical,keyCertSign",
				       .policies = "2.5.29.32.0",
				       .policy_constraints = "critical,requireExplicitPolicy:0"};
	unsigned long check = X509_V_FLAG_POLICY_CHECK;

	root = platform_ca("root", NULL);
	issuing = platform_issue(&root, "issuing", &demanding, 3600);
	expect(judge(NULL, 0, 1) == X509_V_OK);
	expect(judge(NULL, check, 1) == X509_V_ERR_NO_EXPLICIT_POLICY);
	expect(judge("1.2.3.4", check, 0) == X509_V_ERR_NO_EXPLICIT_POLICY);
	expect(judge("1.2.3.4", check, 1) == X509_V_OK);
	return 0;
}
