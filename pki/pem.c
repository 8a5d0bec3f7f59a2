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
