// SPDX-License-Identifier: Apache-2.0

#include "pki/pem.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "pki/certificate.h"
#include "pki/passphrase.h"
#include "pki/tls.h"

#define FILE_MAX    (256u << 10)
#define MODE_SECRET 0600
#define MODE_PUBLIC 0644
// As "openssl pkcs8 -scrypt": 16 MiB and some 50 ms.
#define SCRYPT_N 16384
#define SCRYPT_R 8
#define SCRYPT_P 1

DEFINE_CLEANUP(BIO *, BIO_free);

static int write_file(const char *path, BIO *bio, unsigned mode, struct error *error)
{
	char *data;
	long size = BIO_get_mem_data(bio, &data);

	int r = file_write(path, data, (size_t)size, mode);
	if (r == 0)
		return 0;
	error_set(error, -r, "the file cannot be written: %s", strerror(-r));
	return error_where(error, "%s", path);
}

int pem_write_key(const char *path, EVP_PKEY *key, struct error *error)
{
	_cleanup_(BIO_freep) BIO *bio = BIO_new(BIO_s_secmem()); // wiped when it is freed

	if (!bio || PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1)
		return error_set(error, ENOMEM, "out of memory");
	return write_file(path, bio, MODE_SECRET, error);
}

static bool put_certificates(BIO *bio, STACK_OF(X509) * certificates)
{
	bool good = true;

	for (int i = 0; good && certificates && i < sk_X509_num(certificates); i++)
		good = PEM_write_bio_X509(bio, sk_X509_value(certificates, i)) == 1;
	return good;
}

int pem_write_certificate(const char *path, X509 *certificate, STACK_OF(X509) * above,
			  struct error *error)
{
	_cleanup_(BIO_freep) BIO *bio = BIO_new(BIO_s_mem());

	if (!bio || PEM_write_bio_X509(bio, certificate) != 1 || !put_certificates(bio, above))
		return error_set(error, ENOMEM, "out of memory");
	return write_file(path, bio, MODE_PUBLIC, error);
}

int pem_write_certificates(const char *path, STACK_OF(X509) * certificates, struct error *error)
{
	_cleanup_(BIO_freep) BIO *bio = BIO_new(BIO_s_mem());

	if (!bio || !put_certificates(bio, certificates))
		return error_set(error, ENOMEM, "out of memory");
	return write_file(path, bio, MODE_PUBLIC, error);
}

int pem_write_pair(const char *path, X509 *leaf, STACK_OF(X509) * above, EVP_PKEY *key,
		   struct error *error)
{
	_cleanup_(BIO_freep) BIO *bio = BIO_new(BIO_s_secmem());

	if (!bio || PEM_write_bio_X509(bio, leaf) != 1 || !put_certificates(bio, above) ||
	    PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1)
		return error_set(error, ENOMEM, "out of memory");
	return write_file(path, bio, MODE_SECRET, error);
}

static X509_SIG *lock(EVP_PKEY *key, const struct passphrase *passphrase)
{
	PKCS8_PRIV_KEY_INFO *plain = EVP_PKEY2PKCS8(key);
	X509_ALGOR *algorithm = PKCS5_pbe2_set_scrypt(EVP_aes_256_cbc(), NULL, 0, NULL, SCRYPT_N,
						      SCRYPT_R, SCRYPT_P);
	X509_SIG *locked = plain && algorithm
				   ? PKCS8_set0_pbe(passphrase->text, (int)strlen(passphrase->text),
						    plain, algorithm)
				   : NULL;

	if (!locked)
		X509_ALGOR_free(algorithm);
	PKCS8_PRIV_KEY_INFO_free(plain); // wipes it
	return locked;
}

int pem_write_locked_key(const char *path, EVP_PKEY *key, const struct passphrase *passphrase,
			 struct error *error)
{
	_cleanup_(BIO_freep) BIO *bio = BIO_new(BIO_s_mem());

	if (!passphrase)
		return pem_write_key(path, key, error);
	X509_SIG *locked = lock(key, passphrase);
	bool good = locked && bio && PEM_write_bio_PKCS8(bio, locked) == 1;
	X509_SIG_free(locked);
	ERR_clear_error();
	if (good)
		return write_file(path, bio, MODE_SECRET, error);
	error_set(error, EIO, "the key cannot be encrypted");
	return error_where(error, "%s", path);
}

static int refuse_key(const char *path, const struct passphrase_asked *asked, struct error *error)
{
	if (!asked->asked) {
		error_set(error, EINVAL, "no private key that can be read");
		error_where(error, "%s", path);
		return error_expected(error, "-----BEGIN PRIVATE KEY-----");
	}
	if (asked->passphrase)
		error_set(error, EKEYREJECTED, "the passphrase does not open the private key");
	else
		error_set(error, ENOKEY, "the private key is encrypted");
	return error_where(error, "%s", path);
}

int pem_read_key(const char *path, EVP_PKEY **ret, struct error *error)
{
	return pem_read_locked_key(path, NULL, ret, error);
}

int pem_read_locked_key(const char *path, const struct passphrase *passphrase, EVP_PKEY **ret,
			struct error *error)
{
	struct passphrase_asked asked = {.passphrase = passphrase};
	char *text = NULL;
	size_t size;

	int r = file_read(path, FILE_MAX, &text, &size);
	if (r < 0) {
		error_set(error, -r, "the private key cannot be read: %s", strerror(-r));
		return error_where(error, "%s", path);
	}
	BIO *bio = BIO_new_mem_buf(text, (int)size);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey_ex(bio, NULL, passphrase_give, &asked,
							 tls_library(), NULL)
			    : NULL;
	BIO_free(bio);
	OPENSSL_cleanse(text, size);
	free(text);
	ERR_clear_error();
	if (!key)
		return refuse_key(path, &asked, error);
	*ret = key;
	return 0;
}

static bool is_request(const char *name)
{
	return strcmp(name, PEM_STRING_X509_REQ) == 0 || strcmp(name, PEM_STRING_X509_REQ_OLD) == 0;
}

// The first block of the text that is a request, new; NULL: none. What is no PEM at all is taken for DER.
static uint8_t *find_request(const char *text, size_t size, size_t *ret_size)
{
	_cleanup_(BIO_freep) BIO *bio = BIO_new_mem_buf(text, (int)size);
	char *name, *header;
	unsigned char *data;
	uint8_t *found = NULL;
	long length = 0;

	if (!memmem(text, size, "-----BEGIN ", 11)) {
		found = malloc(size + 1);
		*ret_size = size;
		return found ? memcpy(found, text, size) : NULL;
	}
	while (!found && bio && PEM_read_bio(bio, &name, &header, &data, &length) == 1) {
		if (is_request(name) && (found = malloc((size_t)length)))
			memcpy(found, data, (size_t)length);
		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_free(data);
	}
	ERR_clear_error();
	*ret_size = (size_t)length;
	return found;
}

int pem_read_request(const char *path, uint8_t **ret, size_t *ret_size, struct error *error)
{
	_cleanup_(freep) char *text = NULL;
	size_t size;

	int r = file_read(path, FILE_MAX, &text, &size);
	if (r < 0) {
		error_set(error, -r, "the request cannot be read: %s", strerror(-r));
		return error_where(error, "%s", path);
	}
	*ret = find_request(text, size, ret_size);
	if (*ret)
		return 0;
	error_set(error, EINVAL, "there is no certificate request in it");
	error_where(error, "%s", path);
	return error_expected(error, "-----BEGIN CERTIFICATE REQUEST-----");
}

int pem_read_certificates(const char *path, STACK_OF(X509) * *ret, struct error *error)
{
	_cleanup_(freep) char *text = NULL;
	size_t size;

	int r = file_read(path, FILE_MAX, &text, &size);
	if (r < 0)
		error_set(error, -r, "the certificate cannot be read: %s", strerror(-r));
	else
		r = certificate_read_pem(tls_library(), text, size, ret, error);
	if (r < 0)
		error_where(error, "%s", path);
	return r;
}

int pem_read_certificate(const char *path, X509 **ret, struct error *error)
{
	STACK_OF(X509) *all = NULL;

	int r = pem_read_certificates(path, &all, error);
	if (r < 0)
		return r;
	*ret = sk_X509_shift(all);
	sk_X509_pop_free(all, X509_free);
	return 0;
}
