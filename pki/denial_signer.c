// SPDX-License-Identifier: Apache-2.0

#include "pki/denial_signer.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/buffer.h"
#include "base/error.h"
#include "pki/algorithm.h"
#include "pki/certificate.h"
#include "pki/denial.h"
#include "pki/est.h"
#include "pki/tls.h"
#include "pki/trust.h"

#define CONTEXT	   "mutun denial" // with its NUL, before what is signed
#define SIGNED_MAX (sizeof(CONTEXT) + IDENTITY_DOMAIN_MAX + 1 + 8 + DENIAL_HASH_SIZE)

struct denial_signer {
	atomic_uint references;
	char text[];
};

DEFINE_CLEANUP(X509_STORE_CTX *, X509_STORE_CTX_free);
DEFINE_CLEANUP(EVP_MD_CTX *, EVP_MD_CTX_free);
DEFINE_CLEANUP(NAME_CONSTRAINTS *, NAME_CONSTRAINTS_free);

struct denial_signer *denial_signer_new(const char *text, size_t size)
{
	struct denial_signer *signer = malloc(sizeof(*signer) + size + 1);

	if (!signer)
		return NULL;
	atomic_init(&signer->references, 1);
	memcpy(signer->text, text, size);
	signer->text[size] = '\0';
	return signer;
}

static int put_certificate(struct buffer *buffer, X509 *certificate)
{
	unsigned char *der = NULL;
	int size = i2d_X509(certificate, &der);
	_cleanup_(freep) char *text = size > 0 ? est_encode(der, (size_t)size, false) : NULL;

	OPENSSL_free(der);
	if (!text || (buffer->size && buffer_put(buffer, " ", 1) < 0))
		return -ENOMEM;
	return buffer_put(buffer, text, strlen(text));
}

struct denial_signer *denial_signer_of(STACK_OF(X509) * certificates)
{
	struct denial_signer *signer = NULL;
	struct buffer buffer;
	int r = 0;

	buffer_init(&buffer, DENIAL_SIGNER_TEXT_MAX, false);
	for (int i = 0; r == 0 && i < sk_X509_num(certificates) && i < DENIAL_SIGNER_CHAIN_MAX; i++)
		r = put_certificate(&buffer, sk_X509_value(certificates, i));
	if (r == 0 && buffer.size)
		signer = denial_signer_new((const char *)buffer_head(&buffer), buffer.size);
	buffer_done(&buffer);
	return signer;
}

struct denial_signer *denial_signer_get(struct denial_signer *signer)
{
	atomic_fetch_add_explicit(&signer->references, 1, memory_order_relaxed);
	return signer;
}

struct denial_signer *denial_signer_put(struct denial_signer *signer)
{
	if (signer && atomic_fetch_sub_explicit(&signer->references, 1, memory_order_acq_rel) == 1)
		free(signer);
	return NULL;
}

const char *denial_signer_text(const struct denial_signer *signer)
{
	return signer->text;
}

static X509 *read_certificate(const char *text, size_t size)
{
	_cleanup_(freep) uint8_t *der = NULL;
	size_t der_size;

	if (est_decode(text, size, &der, &der_size) < 0 || der_size == 0 ||
	    der_size > CERTIFICATE_MAX)
		return NULL;
	const unsigned char *at = der;
	X509 *certificate = X509_new_ex(tls_library(), NULL);
	if (certificate && (!d2i_X509(&certificate, &at, (long)der_size) || at != der + der_size)) {
		X509_free(certificate);
		certificate = NULL;
	}
	ERR_clear_error();
	return certificate;
}

// One of the certificates, at the end of the stack.
static int push_certificate(STACK_OF(X509) * stack, const char *text, size_t size)
{
	X509 *certificate = read_certificate(text, size);

	if (certificate && sk_X509_push(stack, certificate))
		return 0;
	X509_free(certificate);
	return -EINVAL;
}

static int read_stack(const struct denial_signer *signer, STACK_OF(X509) * *ret)
{
	_cleanup_(certificates_freep) STACK_OF(X509) *stack = sk_X509_new_null();
	const char *at = signer->text;
	int r = stack ? 0 : -ENOMEM;

	for (unsigned i = 0; r == 0 && at; i++) {
		size_t size = strcspn(at, " ");
		r = i < DENIAL_SIGNER_CHAIN_MAX ? push_certificate(stack, at, size) : -EINVAL;
		at = at[size] ? at + size + 1 : NULL;
	}
	if (r == 0)
		*ret = take(stack);
	return r;
}

time_t denial_signer_end(const struct denial_signer *signer)
{
	_cleanup_(certificates_freep) STACK_OF(X509) *stack = NULL;
	time_t from, to;

	if (read_stack(signer, &stack) < 0 ||
	    certificate_lifetime(sk_X509_value(stack, 0), &from, &to) < 0)
		return 0;
	return to;
}

// Exactly the domain; names below it where the constraint begins with a dot (RFC 5280, 4.2.1.10).
static bool is_of(const GENERAL_NAME *base, const char *domain)
{
	const ASN1_IA5STRING *uri = base->d.uniformResourceIdentifier;
	const char *text = (const char *)ASN1_STRING_get0_data(uri);
	size_t size = (size_t)ASN1_STRING_length(uri), length = strlen(domain);

	if (size > 0 && text[0] == '.')
		return length > size && memcmp(domain + length - size, text, size) == 0;
	return length == size && memcmp(domain, text, size) == 0;
}

static bool permits(X509 *certificate, const char *domain)
{
	int critical;
	_cleanup_(NAME_CONSTRAINTS_freep) NAME_CONSTRAINTS *constraints =
		X509_get_ext_d2i(certificate, NID_name_constraints, &critical, NULL);
	bool any = false, found = false;

	if (!constraints)
		return critical == -1; // there are none; else they cannot be read
	for (int i = 0; i < sk_GENERAL_SUBTREE_num(constraints->permittedSubtrees); i++) {
		const GENERAL_NAME *base =
			sk_GENERAL_SUBTREE_value(constraints->permittedSubtrees, i)->base;
		if (base->type != GEN_URI)
			continue;
		any = true;
		found = found || is_of(base, domain);
	}
	for (int i = 0; i < sk_GENERAL_SUBTREE_num(constraints->excludedSubtrees); i++) {
		const GENERAL_NAME *base =
			sk_GENERAL_SUBTREE_value(constraints->excludedSubtrees, i)->base;
		if (base->type == GEN_URI && is_of(base, domain))
			return false;
	}
	return found || !any;
}

// `time`, or when the last of them became valid.
static time_t not_before_all(STACK_OF(X509) * stack, time_t time)
{
	for (int i = 0; i < sk_X509_num(stack); i++) {
		time_t from, to;
		if (certificate_lifetime(sk_X509_value(stack, i), &from, &to) == 0 && from > time)
			time = from;
	}
	return time;
}

static int check_path(X509_STORE_CTX *context, time_t time, struct error *error)
{
	X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(context);

	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST);
	X509_VERIFY_PARAM_set_depth(param, DENIAL_SIGNER_CHAIN_MAX);
	X509_VERIFY_PARAM_set_auth_level(param, ALGORITHM_AUTH_LEVEL);
	X509_VERIFY_PARAM_set_time(param, time);
	bool good = X509_verify_cert(context) == 1;
	ERR_clear_error();
	if (good)
		return 0;
	return error_set(error, EACCES, "the signer of the denials is not trusted: %s",
			 X509_verify_cert_error_string(X509_STORE_CTX_get_error(context)));
}

static int check_rights(STACK_OF(X509) * chain, const char *domain, struct error *error)
{
	X509 *own = sk_X509_value(chain, 0);

	if (certificate_check_ca(own, NULL) < 0 || !(X509_get_key_usage(own) & KU_CRL_SIGN))
		return error_set(error, EACCES,
				 "the signer of the denials may not sign revocation lists");
	for (int i = 0; i < sk_X509_num(chain); i++)
		if (!permits(sk_X509_value(chain, i), domain))
			return error_set(error, EACCES,
					 "the signer of the denials may not sign for %s", domain);
	return 0;
}

int denial_signer_check(const struct denial_signer *signer, const char *domain,
			const struct trust *trust, time_t time, struct revocation_chain *ret,
			struct error *error)
{
	_cleanup_(certificates_freep) STACK_OF(X509) *stack = NULL;
	_cleanup_(X509_STORE_CTX_freep) X509_STORE_CTX *context = NULL;
	X509_STORE *anchors = trust_store(trust, domain, strlen(domain));

	if (!anchors)
		return error_set(error, EACCES, "trust domain %s is not trusted here", domain);
	if (read_stack(signer, &stack) < 0)
		return error_set(error, EACCES, "the signer of the denials cannot be read");
	context = X509_STORE_CTX_new_ex(trust_library(trust), NULL);
	if (!context || !X509_STORE_CTX_init(context, anchors, sk_X509_value(stack, 0), stack))
		return error_set(error, EACCES, "out of memory");
	int r = check_path(context, not_before_all(stack, time), error);
	if (r == 0)
		r = check_rights(X509_STORE_CTX_get0_chain(context), domain, error);
	if (r == 0 && revocation_chain(X509_STORE_CTX_get0_chain(context), ret) < 0)
		r = error_set(error, EACCES, "the signer of the denials cannot be read");
	return r;
}

static size_t put_signed(const char *domain, uint64_t number, const uint8_t *hash,
			 uint8_t ret[SIGNED_MAX])
{
	size_t length = strlen(domain), at = sizeof(CONTEXT);

	memcpy(ret, CONTEXT, sizeof(CONTEXT));
	memcpy(ret + at, domain, length + 1);
	at += length + 1;
	for (unsigned i = 0; i < 8; i++)
		ret[at++] = (uint8_t)(number >> (56 - 8 * i));
	memcpy(ret + at, hash, DENIAL_HASH_SIZE);
	return at + DENIAL_HASH_SIZE;
}

// Ed25519 brings its own.
static const char *digest_for(EVP_PKEY *key)
{
	return EVP_PKEY_get_id(key) == EVP_PKEY_ED25519 ? NULL : "SHA256";
}

int denial_signer_verify(const struct denial_signer *signer, const char *domain, uint64_t number,
			 const uint8_t *hash, const char *signature, struct error *error)
{
	_cleanup_(certificates_freep) STACK_OF(X509) *stack = NULL;
	_cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *context = EVP_MD_CTX_new();
	_cleanup_(freep) uint8_t *bytes = NULL;
	uint8_t text[SIGNED_MAX];
	size_t size;

	if (strlen(domain) > IDENTITY_DOMAIN_MAX || read_stack(signer, &stack) < 0 ||
	    est_decode(signature, strlen(signature), &bytes, &size) < 0)
		return error_set(error, EKEYREJECTED,
				 "the signature of the denials cannot be read");
	EVP_PKEY *key = X509_get0_pubkey(sk_X509_value(stack, 0));
	size_t text_size = put_signed(domain, number, hash, text);
	bool good = context && key &&
		    EVP_DigestVerifyInit_ex(context, NULL, digest_for(key), tls_library(), NULL,
					    key, NULL) == 1 &&
		    EVP_DigestVerify(context, bytes, size, text, text_size) == 1;
	ERR_clear_error();
	return good ? 0
		    : error_set(error, EKEYREJECTED,
				"the signature over denial %llu of %s is wrong",
				(unsigned long long)number, domain);
}

int denial_sign(EVP_PKEY *key, const char *domain, uint64_t number, const uint8_t *hash, char **ret,
		struct error *error)
{
	_cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *context = EVP_MD_CTX_new();
	_cleanup_(freep) uint8_t *bytes = NULL;
	uint8_t text[SIGNED_MAX];
	size_t text_size = put_signed(domain, number, hash, text), size = 0;
	bool good = context &&
		    EVP_DigestSignInit_ex(context, NULL, digest_for(key), tls_library(), NULL, key,
					  NULL) == 1 &&
		    EVP_DigestSign(context, NULL, &size, text, text_size) == 1 &&
		    (bytes = malloc(size)) != NULL &&
		    EVP_DigestSign(context, bytes, &size, text, text_size) == 1;

	ERR_clear_error();
	if (!good)
		return error_set(error, EIO, "the key of the CA does not sign");
	*ret = est_encode(bytes, size, false);
	return *ret ? 0 : error_set(error, ENOMEM, "out of memory");
}
