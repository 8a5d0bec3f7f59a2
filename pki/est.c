// SPDX-License-Identifier: Apache-2.0

#include "pki/est.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <openssl/err.h>
#include <openssl/pkcs7.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "pki/certificate.h"
#include "pki/tls.h"

#define LINE 48u // bytes that make 64 characters

DEFINE_CLEANUP(PKCS7 *, PKCS7_free);

char *est_encode(const uint8_t *data, size_t size, bool lines)
{
	size_t count = (size + LINE - 1) / LINE;
	char *text = malloc(count * (LINE / 3 * 4 + 1) + 1);
	char *at = text;

	if (!text)
		return NULL;
	for (size_t done = 0; done < size; done += LINE) {
		size_t part = size - done < LINE ? size - done : LINE;
		at += EVP_EncodeBlock((unsigned char *)at, data + done, (int)part);
		if (lines)
			*at++ = '\n';
	}
	*at = '\0';
	return text;
}

int est_decode(const char *text, size_t size, uint8_t **ret, size_t *ret_size)
{
	if (size > EST_BODY_MAX)
		return -EFBIG;
	_cleanup_(freep) char *plain = malloc(size + 1);
	_cleanup_(freep) uint8_t *bytes = malloc(size + 3);
	size_t count = 0, padding = 0;

	if (!plain || !bytes)
		return -ENOMEM;
	for (size_t i = 0; i < size; i++) {
		if (isspace((unsigned char)text[i]))
			continue;
		padding += text[i] == '=';
		// EVP_DecodeBlock() takes "=" and other things where they have no business.
		if (padding && text[i] != '=')
			return -EINVAL;
		if (!isalnum((unsigned char)text[i]) && text[i] != '+' && text[i] != '/' &&
		    text[i] != '=')
			return -EINVAL;
		plain[count++] = text[i];
	}
	if (count == 0 || count % 4 || padding > 2)
		return -EINVAL;
	int n = EVP_DecodeBlock(bytes, (const unsigned char *)plain, (int)count);
	if (n < 0 || (size_t)n < padding)
		return -EINVAL;
	*ret_size = (size_t)n - padding;
	*ret = take(bytes);
	return 0;
}

int est_write_certs(STACK_OF(X509) * certificates, char **ret)
{
	_cleanup_(PKCS7_freep) PKCS7 *envelope = PKCS7_new_ex(tls_library(), NULL);
	unsigned char *der = NULL;
	bool good = envelope && PKCS7_set_type(envelope, NID_pkcs7_signed) == 1 &&
		    PKCS7_content_new(envelope, NID_pkcs7_data) == 1;

	for (int i = 0; good && i < sk_X509_num(certificates); i++)
		good = PKCS7_add_certificate(envelope, sk_X509_value(certificates, i)) == 1;
	// No content: a signature over nothing needs none (RFC 5272, 4.1).
	if (good)
		good = PKCS7_set_detached(envelope, 1) == 1;
	int size = good ? i2d_PKCS7(envelope, &der) : -1;
	ERR_clear_error();
	if (size < 0)
		return -ENOMEM;
	*ret = est_encode(der, (size_t)size, false);
	OPENSSL_free(der);
	return *ret ? 0 : -ENOMEM;
}

int est_read_certs(const char *text, size_t size, STACK_OF(X509) * *ret, struct error *error)
{
	_cleanup_(freep) uint8_t *der = NULL;
	size_t der_size;

	int r = est_decode(text, size, &der, &der_size);
	if (r < 0)
		return error_set(error, -r,
				 r == -EINVAL  ? "the answer is not base64"
				 : r == -EFBIG ? "the answer is too large"
					       : "out of memory");
	const unsigned char *at = der;
	PKCS7 *empty = PKCS7_new_ex(tls_library(), NULL);
	_cleanup_(PKCS7_freep) PKCS7 *envelope =
		empty ? d2i_PKCS7(&empty, &at, (long)der_size) : NULL;
	if (!envelope)
		PKCS7_free(empty);
	ERR_clear_error();
	if (!envelope || at != der + der_size || !PKCS7_type_is_signed(envelope) ||
	    !envelope->d.sign)
		return error_set(error, EINVAL, "the answer holds no certificates (PKCS#7)");
	STACK_OF(X509) *held = envelope->d.sign->cert;
	int count = held ? sk_X509_num(held) : 0;
	if (count < 1 || count > EST_CERTS_MAX)
		return error_set(error, EINVAL, "the answer holds %d certificates", count);
	for (int i = 0; i < count; i++)
		if (i2d_X509(sk_X509_value(held, i), NULL) > CERTIFICATE_MAX)
			return error_set(error, EINVAL, "a certificate of more than %d bytes",
					 CERTIFICATE_MAX);
	_cleanup_(certificates_freep) STACK_OF(X509) *stack = X509_chain_up_ref(held);
	if (!stack)
		return error_set(error, ENOMEM, "out of memory");
	*ret = take(stack);
	return 0;
}
