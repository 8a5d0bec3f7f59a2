// SPDX-License-Identifier: Apache-2.0

#include "pki/crl_outline.h"

#include <errno.h>
#include <string.h>
#include <openssl/err.h>

#include "base/buffer.h"
#include "base/error.h"
#include "pki/der.h"

#define REST_MAX   65536u // bytes of all but the entries
#define PARTS_MAX  6
#define HEADER_MAX 4u // bytes of tag and length

struct parts {
	struct der whole[PARTS_MAX];
	size_t count;
};

static bool keep(struct parts *parts, const struct der *der)
{
	parts->whole[parts->count++] = *der;
	return true;
}

static bool is_time(const struct reader *in)
{
	return der_peek(in, DER_UTC_TIME) || der_peek(in, DER_GENERALIZED_TIME);
}

// tbsCertList: version, signature, issuer, thisUpdate, nextUpdate, revokedCertificates, crlExtensions
static bool read_parts(const struct der *tbs, const struct der *algorithm, struct parts *parts,
		       struct crl_outline *outline)
{
	struct reader in = reader_over(tbs->content, tbs->size);
	struct der der;

	if (der_peek(&in, DER_INTEGER) && !(der_next(&in, &der) && keep(parts, &der)))
		return false;
	// The algorithm stands inside and outside, the same (RFC 5280, 5.1.1.2).
	if (!der_expect(&in, DER_SEQUENCE, &der) || der.whole_size != algorithm->whole_size ||
	    memcmp(der.whole, algorithm->whole, der.whole_size) != 0)
		return false;
	keep(parts, &der);
	if (!der_expect(&in, DER_SEQUENCE, &der) || !keep(parts, &der))
		return false;
	if (!is_time(&in) || !der_next(&in, &der) || !keep(parts, &der))
		return false;
	if (is_time(&in) && !(der_next(&in, &der) && keep(parts, &der)))
		return false;
	if (der_peek(&in, DER_SEQUENCE)) {
		if (!der_next(&in, &der))
			return false;
		outline->entries = der.content;
		outline->entries_size = der.size;
	}
	if (der_peek(&in, DER_EXPLICIT_0) && !(der_next(&in, &der) && keep(parts, &der)))
		return false;
	return !in.failed && in.left == 0;
}

static int put_header(struct buffer *buffer, size_t size)
{
	buffer_put_u8(buffer, DER_SEQUENCE);
	if (size < 0x80)
		return buffer_put_u8(buffer, (uint8_t)size);
	buffer_put_u8(buffer, size < 0x100 ? 0x81 : 0x82);
	return size < 0x100 ? buffer_put_u8(buffer, (uint8_t)size)
			    : buffer_put_u16(buffer, (uint16_t)size);
}

static size_t header_size(size_t size)
{
	if (size < 0x80)
		return 2;
	return size < 0x100 ? 3 : HEADER_MAX;
}

static int make_rest(OSSL_LIB_CTX *library, const struct parts *parts, const struct der *algorithm,
		     const struct der *signature, X509_CRL **ret, struct error *error)
{
	struct buffer buffer;
	size_t inner = 0;

	for (size_t i = 0; i < parts->count; i++)
		inner += parts->whole[i].whole_size;
	if (inner > REST_MAX / 2 || algorithm->whole_size + signature->whole_size > REST_MAX / 4)
		return error_set(error, EINVAL, "its issuer or extensions are larger than any");
	buffer_init(&buffer, REST_MAX, false);
	int r = put_header(&buffer, header_size(inner) + inner + algorithm->whole_size +
					    signature->whole_size);
	if (r == 0)
		r = put_header(&buffer, inner);
	for (size_t i = 0; r == 0 && i < parts->count; i++)
		r = buffer_put(&buffer, parts->whole[i].whole, parts->whole[i].whole_size);
	if (r == 0)
		r = buffer_put(&buffer, algorithm->whole, algorithm->whole_size);
	if (r == 0)
		r = buffer_put(&buffer, signature->whole, signature->whole_size);
	const unsigned char *at = buffer_head(&buffer);
	X509_CRL *rest = X509_CRL_new_ex(library, NULL);
	if (r < 0 || !rest)
		r = error_set(error, ENOMEM, "out of memory");
	else if (!d2i_X509_CRL(&rest, &at, (long)buffer.size)) // leaves NULL
		r = error_set(error, EINVAL, "it is no certificate revocation list");
	ERR_clear_error();
	buffer_done(&buffer);
	if (r == 0)
		*ret = rest;
	else
		X509_CRL_free(rest);
	return r;
}

int crl_outline_read(OSSL_LIB_CTX *library, const uint8_t *data, size_t size,
		     struct crl_outline *ret, struct error *error)
{
	struct reader file = reader_over(data, size);
	struct crl_outline outline = {0};
	struct der list, tbs, algorithm, signature;
	struct parts parts = {0};

	if (!der_expect(&file, DER_SEQUENCE, &list))
		return error_set(error, EINVAL, "it is cut short, or no revocation list at all");
	if (file.left > 0)
		return error_set(error, EINVAL, "%zu bytes follow after the list", file.left);
	struct reader in = reader_over(list.content, list.size);
	if (!der_expect(&in, DER_SEQUENCE, &tbs) || !der_expect(&in, DER_SEQUENCE, &algorithm) ||
	    !der_expect(&in, DER_BIT_STRING, &signature) || in.left > 0 ||
	    !read_parts(&tbs, &algorithm, &parts, &outline))
		return error_set(error, EINVAL, "it is no certificate revocation list");
	int r = make_rest(library, &parts, &algorithm, &signature, &outline.rest, error);
	if (r < 0)
		return r;
	outline.data = tbs.whole;
	outline.size = tbs.whole_size;
	*ret = outline;
	return 0;
}

void crl_outline_done(struct crl_outline *outline)
{
	X509_CRL_free(outline->rest);
	*outline = (struct crl_outline){0};
}
