// SPDX-License-Identifier: Apache-2.0

#include "pki/crl_signer.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "pki/algorithm.h"
#include "pki/certificate.h"
#include "pki/path.h"
#include "pki/reason.h"
#include "pki/trust.h"

DEFINE_CLEANUP(X509_STORE_CTX *, X509_STORE_CTX_free);
DEFINE_CLEANUP(EVP_MD_CTX *, EVP_MD_CTX_free);
DEFINE_CLEANUP(EVP_PKEY_CTX *, EVP_PKEY_CTX_free);

static const char *name_text(const X509_NAME *name, char text[160])
{
	return certificate_name(name, text, 160);
}

// Signatures are verified with the digests that certificates may have.
static bool digest_allowed(const EVP_MD_CTX *context)
{
	const EVP_MD *digest = EVP_MD_CTX_get0_md(context);

	return !digest || EVP_MD_is_a(digest, "SHA2-256") || EVP_MD_is_a(digest, "SHA2-384") ||
	       EVP_MD_is_a(digest, "SHA2-512");
}

// Over the bytes as they came: a list is not encoded again.
static bool verifies(const struct crl_signature *signature, X509 *signer, OSSL_LIB_CTX *library)
{
	_cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *context = EVP_MD_CTX_new();
	_cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *key_context = NULL;
	EVP_PKEY *key = X509_get0_pubkey(signer);
	ASN1_STRING string = {.type = V_ASN1_SEQUENCE,
			      .data = (unsigned char *)signature->data,
			      .length = (int)signature->size};
	ASN1_TYPE any = {.type = V_ASN1_SEQUENCE, .value.sequence = &string};
	bool good = false;

	if (key)
		key_context = EVP_PKEY_CTX_new_from_pkey(library, key, NULL);
	if (context && key_context) {
		EVP_MD_CTX_set_pkey_ctx(context, key_context);
		good = ASN1_item_verify_ctx(ASN1_ITEM_rptr(ASN1_ANY), signature->algorithm,
					    signature->value, &any, context) == 1 &&
		       digest_allowed(context);
	}
	ERR_clear_error();
	return good;
}

int crl_signer_judge(X509 *signer, const struct trust *trust, const char *domain,
		     STACK_OF(X509) * others, time_t now, struct error *error)
{
	_cleanup_(X509_STORE_CTX_freep) X509_STORE_CTX *store =
		X509_STORE_CTX_new_ex(trust_library(trust), NULL);
	X509_STORE *anchors = trust_store(trust, domain, strlen(domain));
	struct error reason = {0};
	char name[160];
	int code;

	if (!anchors)
		return error_set(error, EKEYREJECTED, "trust domain %s is not trusted here",
				 domain);
	if (!store || !X509_STORE_CTX_init(store, anchors, signer, others))
		return error_set(error, ENOMEM, "out of memory");
	struct reason_context context = {
		.identity = name_text(X509_get_subject_name(signer), name),
		.domain = domain,
		.domain_length = strlen(domain),
		.ca_count = trust_domain_count(trust, domain, strlen(domain)),
		.now = now,
	};
	if (algorithm_check_key(signer, &reason) == 0 &&
	    path_check(store, &context, X509_PURPOSE_CRL_SIGN, &code, &reason) == 0)
		return 0;
	return error_set(error, EKEYREJECTED, "%s may not sign lists for %s: %s", name, domain,
			 reason.what);
}

// One of several of the same name, such as those of a CA that has a new key.
static int try_signer(const struct crl_signature *signature, const struct trust *trust,
		      const char *domain, STACK_OF(X509) * others, X509 *candidate, time_t now,
		      struct error *error)
{
	char name[160];

	if (!verifies(signature, candidate, trust_library(trust))) {
		error_set(error, EKEYREJECTED,
			  "the signature is not one by %s that this node knows",
			  name_text(signature->issuer, name));
		return -EKEYREJECTED;
	}
	return crl_signer_judge(candidate, trust, domain, others, now, error);
}

static int find_among(const struct crl_signature *signature, const struct trust *trust,
		      const char *domain, STACK_OF(X509) * others, STACK_OF(X509) * candidates,
		      time_t now, X509 **ret, struct error *error)
{
	int r = -EKEYREJECTED;

	for (int i = 0; r < 0 && i < sk_X509_num(candidates); i++) {
		X509 *candidate = sk_X509_value(candidates, i);
		if (X509_NAME_cmp(X509_get_subject_name(candidate), signature->issuer) != 0)
			continue;
		r = try_signer(signature, trust, domain, others, candidate, now, error);
		if (r == 0) {
			X509_up_ref(candidate);
			*ret = candidate;
		}
	}
	return r;
}

int crl_signer_find(const struct crl_signature *signature, const struct trust *trust,
		    const char *domain, STACK_OF(X509) * others, time_t now, X509 **ret,
		    struct error *error)
{
	_cleanup_(certificates_freep) STACK_OF(X509) *anchors = NULL;
	X509_STORE *store = trust_store(trust, domain, strlen(domain));
	char name[160];

	if (!store)
		return error_set(error, EKEYREJECTED, "trust domain %s is not trusted here",
				 domain);
	anchors = X509_STORE_get1_all_certs(store);
	if (!anchors)
		return error_set(error, ENOMEM, "out of memory");
	error_set(error, EKEYREJECTED,
		  "it says to be signed by %s, whose certificate this node lacks",
		  name_text(signature->issuer, name));
	error_remedy(error, "set \"issuer\" to the CA certificate that signs the list");
	int r = find_among(signature, trust, domain, others, anchors, now, ret, error);
	return r == 0 ? 0 : find_among(signature, trust, domain, others, others, now, ret, error);
}
