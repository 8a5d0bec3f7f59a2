// SPDX-License-Identifier: Apache-2.0

#include "pki/pem.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "pki/certificate.h"
#include "pki/tls.h"

#define FILE_MAX    (256u << 10)
#define MODE_SECRET 0600
#define MODE_PUBLIC 0644

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

// `issuer` (may be NULL) follows the certificate.
int pem_write_certificate(const char *path, X509 *certificate, X509 *issuer, struct error *error)
{
	_cleanup_(BIO_freep) BIO *bio = BIO_new(BIO_s_mem());

	if (!bio || PEM_write_bio_X509(bio, certificate) != 1 ||
	    (issuer && PEM_write_bio_X509(bio, issuer) != 1))
		return error_set(error, ENOMEM, "out of memory");
	return write_file(path, bio, MODE_PUBLIC, error);
}

int pem_write_certificates(const char *path, STACK_OF(X509) * certificates, struct error *error)
{
	_cleanup_(BIO_freep) BIO *bio = BIO_new(BIO_s_mem());
	bool good = bio;

	for (int i = 0; good && i < sk_X509_num(certificates); i++)
		good = PEM_write_bio_X509(bio, sk_X509_value(certificates, i)) == 1;
	return good ? write_file(path, bio, MODE_PUBLIC, error)
		    : error_set(error, ENOMEM, "out of memory");
}

int pem_write_pair(const char *path, X509 *leaf, STACK_OF(X509) * above, EVP_PKEY *key,
		   struct error *error)
{
	_cleanup_(BIO_freep) BIO *bio = BIO_new(BIO_s_secmem());
	bool good = bio && PEM_write_bio_X509(bio, leaf) == 1;

	for (int i = 0; good && above && i < sk_X509_num(above); i++)
		good = PEM_write_bio_X509(bio, sk_X509_value(above, i)) == 1;
	if (!good || PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1)
		return error_set(error, ENOMEM, "out of memory");
	return write_file(path, bio, MODE_SECRET, error);
}

// A passphrase is not asked for: the terminal is not ours to read.
static int no_passphrase(char *buffer, int size, int writing, void *data)
{
	(void)buffer;
	(void)size;
	(void)writing;
	(void)data;
	return -1;
}

int pem_read_key(const char *path, EVP_PKEY **ret, struct error *error)
{
	char *text = NULL;
	size_t size;

	int r = file_read(path, FILE_MAX, &text, &size);
	if (r < 0) {
		error_set(error, -r, "the private key cannot be read: %s", strerror(-r));
		return error_where(error, "%s", path);
	}
	BIO *bio = BIO_new_mem_buf(text, (int)size);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey_ex(bio, NULL, no_passphrase, NULL,
							 tls_library(), NULL)
			    : NULL;
	BIO_free(bio);
	OPENSSL_cleanse(text, size);
	free(text);
	ERR_clear_error();
	if (key) {
		*ret = key;
		return 0;
	}
	error_set(error, EINVAL, "no private key that can be read");
	error_where(error, "%s", path);
	return error_expected(error, "-----BEGIN PRIVATE KEY-----, without a passphrase");
}

int pem_read_certificate(const char *path, X509 **ret, struct error *error)
{
	_cleanup_(freep) char *text = NULL;
	STACK_OF(X509) *all = NULL;
	size_t size;

	int r = file_read(path, FILE_MAX, &text, &size);
	if (r < 0)
		error_set(error, -r, "the certificate cannot be read: %s", strerror(-r));
	else
		r = certificate_read_pem(tls_library(), text, size, &all, error);
	if (r < 0) {
		error_where(error, "%s", path);
		return r;
	}
	*ret = sk_X509_shift(all);
	sk_X509_pop_free(all, X509_free);
	return 0;
}
