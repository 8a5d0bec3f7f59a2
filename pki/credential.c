// SPDX-License-Identifier: Apache-2.0

#include "pki/credential.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/error.h"
#include "pki/certificate.h"
#include "pki/identity.h"
#include "pki/key_uri.h"

#define CREDENTIAL_FILE_MAX (256u << 10)

struct credential {
	atomic_uint references;
	char *identity;
	X509 *leaf;
	STACK_OF(X509) * chain;
	EVP_PKEY *key;
	time_t not_before;
	time_t not_after;
	uint8_t fingerprint[SHA256_DIGEST_LENGTH];
};

static int read_file(const char *path, const char *what, char **ret, size_t *ret_size,
		     struct error *error)
{
	int r = file_read(path, CREDENTIAL_FILE_MAX, ret, ret_size);

	if (r < 0)
		error_set(error, -r, "%s cannot be read: %s", what, strerror(-r));
	return r;
}

// Splits what the file holds into leaf and intermediates. A root at the end is dropped: a peer trusts its own copy or none.
static int load_chain(struct credential *credential, OSSL_LIB_CTX *library,
		      const struct mapping *mapping, const char *path, struct error *error)
{
	_cleanup_(freep) char *text = NULL;
	size_t size;

	int r = read_file(path, "certificate", &text, &size, error);
	if (r < 0)
		return r;
	r = certificate_read_pem(library, text, size, &credential->chain, error);
	OPENSSL_cleanse(text, size);
	if (r < 0)
		return r;
	credential->leaf = sk_X509_shift(credential->chain);
	int count = sk_X509_num(credential->chain);
	if (count > 0 && X509_self_signed(sk_X509_value(credential->chain, count - 1), 0) == 1)
		X509_free(sk_X509_pop(credential->chain));
	if (sk_X509_num(credential->chain) >= CHAIN_LENGTH_MAX)
		return error_set(error, EINVAL, "%d certificates, and peers accept at most %d",
				 count + 1, CHAIN_LENGTH_MAX);
	r = certificate_check_leaf(credential->leaf, mapping, &credential->identity, error);
	if (r < 0)
		error_remedy(error, "the file must begin with this node's own certificate; the "
				    "intermediates follow it");
	return r;
}

static int no_passphrase(char *buffer, int size, int writing, void *data)
{
	(void)buffer;
	(void)size;
	(void)writing;
	*(bool *)data = true;
	return -1;
}

static int load_key(struct credential *credential, OSSL_LIB_CTX *library, const char *path,
		    struct error *error)
{
	char *text = NULL;
	size_t size;
	bool encrypted = false;

	if (key_uri_is(path))
		return key_uri_open(path, NULL, &credential->key, error);
	int r = read_file(path, "private key", &text, &size, error);
	if (r < 0)
		return r;
	BIO *bio = BIO_new_mem_buf(text, (int)size);
	if (bio)
		credential->key = PEM_read_bio_PrivateKey_ex(bio, NULL, no_passphrase, &encrypted,
							     library, NULL);
	BIO_free(bio);
	OPENSSL_cleanse(text, size);
	free(text);
	ERR_clear_error();
	if (credential->key)
		return 0;
	if (encrypted) {
		error_set(error, EINVAL, "private key is encrypted");
		error_remedy(error, "store it without a passphrase, in a file that only mutun "
				    "may read");
		return -EINVAL;
	}
	error_set(error, EINVAL, "no private key that can be read");
	return error_expected(error, "-----BEGIN PRIVATE KEY-----");
}

static int check_key(const struct credential *credential, struct error *error)
{
	bool fits = X509_check_private_key(credential->leaf, credential->key) == 1;

	ERR_clear_error();
	if (fits)
		return 0;
	error_set(error, EKEYREJECTED, "private key does not belong to the certificate of %.*s",
		  IDENTITY_SHOWN_MAX, credential->identity);
	error_remedy(error, "certificate and key must come from the same request");
	return -EKEYREJECTED;
}

static int check_order(const struct credential *credential, struct error *error)
{
	X509 *below = credential->leaf;

	for (int i = 0; i < sk_X509_num(credential->chain); i++) {
		X509 *above = sk_X509_value(credential->chain, i);
		bool issued = X509_check_issued(above, below) == X509_V_OK &&
			      X509_verify(below, X509_get0_pubkey(above)) == 1;
		ERR_clear_error();
		if (!issued) {
			error_set(error, EINVAL, "certificate %d does not sign certificate %d",
				  i + 2, i + 1);
			return error_expected(error, "the leaf first, then each one's issuer");
		}
		int r = certificate_check_intermediate(above, error);
		if (r < 0)
			return r;
		below = above;
	}
	return 0;
}

static int check_lifetime(struct credential *credential, time_t now, struct error *error)
{
	time_t not_before, not_after;
	char words[32];

	if (certificate_lifetime(credential->leaf, &credential->not_before,
				 &credential->not_after) < 0)
		return error_set(error, EINVAL, "certificate has unreadable times");
	for (int i = 0; i < sk_X509_num(credential->chain); i++) {
		if (certificate_lifetime(sk_X509_value(credential->chain, i), &not_before,
					 &not_after) < 0)
			return error_set(error, EINVAL, "certificate %d has unreadable times",
					 i + 2);
		if (not_after < credential->not_after)
			credential->not_after = not_after;
	}
	if (credential->not_after <= now) {
		error_set(error, EKEYEXPIRED,
			  "certificate of %.*s, or an intermediate above it, "
			  "expired %s ago",
			  IDENTITY_SHOWN_MAX, credential->identity,
			  clock_words(now - credential->not_after, words, sizeof(words)));
		error_remedy(error, "get a new certificate from the CA");
		return -EKEYEXPIRED;
	}
	if (credential->not_before > now) {
		error_set(error, EAGAIN, "certificate of %.*s is not valid for another %s",
			  IDENTITY_SHOWN_MAX, credential->identity,
			  clock_words(credential->not_before - now, words, sizeof(words)));
		error_remedy(error, "check the clock of this machine");
		return -EAGAIN;
	}
	return 0;
}

static bool hash_der(EVP_MD_CTX *hash, unsigned char *der, int size)
{
	bool good = hash && size > 0 && EVP_DigestUpdate(hash, der, (size_t)size);

	OPENSSL_free(der);
	return good;
}

// DER says where it ends, so that the pieces need no lengths between them.
static int fingerprint(struct credential *credential, OSSL_LIB_CTX *library)
{
	EVP_MD_CTX *hash = EVP_MD_CTX_new();
	EVP_MD *sha256 = EVP_MD_fetch(library, "SHA256", NULL);
	unsigned char *der = NULL;
	bool good = hash && sha256 && EVP_DigestInit_ex(hash, sha256, NULL);
	int size = i2d_X509(credential->leaf, &der);

	good = hash_der(hash, der, size) && good;
	for (int i = 0; good && i < sk_X509_num(credential->chain); i++) {
		der = NULL;
		size = i2d_X509(sk_X509_value(credential->chain, i), &der);
		good = hash_der(hash, der, size);
	}
	der = NULL;
	size = i2d_PUBKEY(credential->key, &der);
	good = hash_der(hash, der, size) && good;
	good = good && EVP_DigestFinal_ex(hash, credential->fingerprint, NULL);
	EVP_MD_free(sha256);
	EVP_MD_CTX_free(hash);
	return good ? 0 : -ENOMEM;
}

int credential_load(OSSL_LIB_CTX *library, const char *certificate_path, const char *key_path,
		    time_t now, struct credential **ret, struct error *error)
{
	return credential_load_mapped(library, NULL, certificate_path, key_path, now, ret, error);
}

int credential_load_mapped(OSSL_LIB_CTX *library, const struct mapping *mapping,
			   const char *certificate_path, const char *key_path, time_t now,
			   struct credential **ret, struct error *error)
{
	_cleanup_(credential_putp) struct credential *credential = calloc(1, sizeof(*credential));

	if (!credential)
		return error_set(error, ENOMEM, "out of memory");
	atomic_init(&credential->references, 1);

	int r = load_chain(credential, library, mapping, certificate_path, error);
	if (r < 0) {
		error_where(error, "%s", certificate_path);
		return r;
	}
	r = load_key(credential, library, key_path, error);
	// A key that does not fit comes before the order and the times: a writer may be half way through a new set.
	if (r == 0)
		r = check_key(credential, error);
	if (r < 0) {
		key_uri_where(key_path, error);
		return r;
	}
	r = check_order(credential, error);
	if (r == 0)
		r = check_lifetime(credential, now, error);
	if (r < 0) {
		error_where(error, "%s", certificate_path);
		return r;
	}
	if (fingerprint(credential, library) < 0)
		return error_set(error, ENOMEM, "out of memory");
	*ret = take(credential);
	return 0;
}

struct credential *credential_get(struct credential *credential)
{
	atomic_fetch_add_explicit(&credential->references, 1, memory_order_relaxed);
	return credential;
}

struct credential *credential_put(struct credential *credential)
{
	if (!credential ||
	    atomic_fetch_sub_explicit(&credential->references, 1, memory_order_acq_rel) != 1)
		return NULL;
	free(credential->identity);
	X509_free(credential->leaf);
	sk_X509_pop_free(credential->chain, X509_free);
	EVP_PKEY_free(credential->key);
	free(credential);
	return NULL;
}

const char *credential_identity(const struct credential *credential)
{
	return credential->identity;
}

X509 *credential_leaf(const struct credential *credential)
{
	return credential->leaf;
}

STACK_OF(X509) * credential_chain(const struct credential *credential)
{
	return credential->chain;
}

EVP_PKEY *credential_key(const struct credential *credential)
{
	return credential->key;
}

time_t credential_not_before(const struct credential *credential)
{
	return credential->not_before;
}

time_t credential_not_after(const struct credential *credential)
{
	return credential->not_after;
}

const uint8_t *credential_fingerprint(const struct credential *credential)
{
	return credential->fingerprint;
}
