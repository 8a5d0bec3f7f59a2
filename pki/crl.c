// SPDX-License-Identifier: Apache-2.0

#include "pki/crl.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/hex.h"
#include "pki/certificate.h"
#include "pki/crl_outline.h"
#include "pki/crl_signer.h"
#include "pki/trust.h"

#define BESIDE_MAX 16 // certificates in the file of a list

struct crl {
	atomic_uint references;
	struct crl_table *table;
	X509 *signer;
	STACK_OF(X509) * beside; // certificates that came in the same file
	uint8_t signer_key[SPKI_HASH_SIZE];
	uint32_t issuer_name;
	uint8_t number[SERIAL_MAX];
	size_t number_size;
	struct crl_facts facts;
};

DEFINE_CLEANUP(BIO *, BIO_free);

// --- the file

// A list as it came: DER, or the one block of PEM that is a list.
struct file {
	const uint8_t *data; // of `decoded`, or of the caller
	size_t size;
	unsigned char *decoded;
	unsigned lists;
	STACK_OF(X509) * beside;
};

static void file_done(struct file *file)
{
	OPENSSL_free(file->decoded);
	sk_X509_pop_free(file->beside, X509_free);
}

static int add_beside(struct file *file, OSSL_LIB_CTX *library, const unsigned char *data,
		      long size, struct error *error)
{
	X509 *certificate = X509_new_ex(library, NULL);

	if (sk_X509_num(file->beside) >= BESIDE_MAX) {
		X509_free(certificate);
		return error_set(error, EINVAL, "more than %d certificates stand beside the list",
				 BESIDE_MAX);
	}
	if (!certificate || !d2i_X509(&certificate, &data, size) ||
	    !sk_X509_push(file->beside, certificate)) {
		X509_free(certificate);
		return error_set(error, EINVAL, "a certificate beside the list cannot be read");
	}
	return 0;
}

static int take_block(struct file *file, OSSL_LIB_CTX *library, const char *name,
		      unsigned char **data, long size, struct error *error)
{
	if (strcmp(name, PEM_STRING_X509) == 0)
		return add_beside(file, library, *data, size, error);
	if (strcmp(name, PEM_STRING_X509_CRL) != 0)
		return 0;
	if (++file->lists > 1)
		return error_set(error, EINVAL,
				 "it holds several lists: give each a file of its own");
	file->decoded = take(*data);
	file->data = file->decoded;
	file->size = (size_t)size;
	return 0;
}

static int read_pem(struct file *file, OSSL_LIB_CTX *library, const void *data, size_t size,
		    struct error *error)
{
	_cleanup_(BIO_freep) BIO *bio = BIO_new_mem_buf(data, (int)size);
	int r = bio ? 0 : error_set(error, ENOMEM, "out of memory");

	while (r == 0) {
		char *name = NULL, *header = NULL;
		unsigned char *block = NULL;
		long length;
		if (!PEM_read_bio(bio, &name, &header, &block, &length))
			break;
		r = take_block(file, library, name, &block, length, error);
		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_free(block);
	}
	bool cut = ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE;
	ERR_clear_error();
	if (r == 0 && (cut || file->lists == 0))
		return error_set(error, EINVAL,
				 cut ? "it is cut short, or damaged"
				     : "it is no revocation list, in PEM or DER");
	return r;
}

static int read_file(struct file *file, OSSL_LIB_CTX *library, const void *data, size_t size,
		     struct error *error)
{
	if (size == 0)
		return error_set(error, EINVAL, "it is empty");
	if (size > CRL_FILE_MAX)
		return error_set(error, EFBIG, "it is larger than %u MiB", CRL_FILE_MAX >> 20);
	file->beside = sk_X509_new_null();
	if (!file->beside)
		return error_set(error, ENOMEM, "out of memory");
	file->data = data;
	file->size = size;
	return *file->data == 0x30 ? 0 : read_pem(file, library, data, size, error);
}

// --- what it says of itself

static int check_time(const ASN1_TIME *time, time_t *ret)
{
	struct tm tm;

	if (!time || !ASN1_TIME_to_tm(time, &tm))
		return -EINVAL;
	*ret = timegm(&tm);
	return 0;
}

static int read_times(const X509_CRL *rest, time_t now, struct crl_facts *facts,
		      struct error *error)
{
	char words[32];

	if (check_time(X509_CRL_get0_lastUpdate(rest), &facts->this_update) < 0)
		return error_set(error, EINVAL, "its time cannot be read");
	if (!X509_CRL_get0_nextUpdate(rest))
		return error_set(error, EINVAL, "it names no time of its next update");
	if (check_time(X509_CRL_get0_nextUpdate(rest), &facts->next_update) < 0 ||
	    facts->next_update <= facts->this_update)
		return error_set(error, EINVAL, "the time of its next update cannot be");
	if (facts->this_update <= now + CRL_AHEAD_S)
		return 0;
	error_set(error, EAGAIN, "it is not valid yet: this clock is %s behind, or the CA's ahead",
		  clock_words(facts->this_update - now, words, sizeof(words)));
	return error_remedy(error, "set this machine's clock");
}

static int read_number(const X509_CRL *rest, struct crl *crl, struct error *error)
{
	int critical;
	ASN1_INTEGER *number = X509_CRL_get_ext_d2i(rest, NID_crl_number, &critical, NULL);
	bool good = !number && critical == -1;

	if (number && ASN1_STRING_type(number) == V_ASN1_INTEGER &&
	    ASN1_STRING_length(number) <= SERIAL_MAX) {
		good = true;
		crl->number_size = (size_t)ASN1_STRING_length(number);
		memcpy(crl->number, ASN1_STRING_get0_data(number), crl->number_size);
		hex_text(crl->number, crl->number_size, crl->facts.number);
	}
	ASN1_INTEGER_free(number);
	return good ? 0 : error_set(error, EINVAL, "its number cannot be read");
}

static int check_scope(const X509_CRL *rest, struct error *error)
{
	int critical;
	ISSUING_DIST_POINT *point =
		X509_CRL_get_ext_d2i(rest, NID_issuing_distribution_point, &critical, NULL);
	int r = 0;

	if (!point)
		return critical == -1
			       ? 0
			       : error_set(error, EINVAL,
					   "what it is for (issuingDistributionPoint) cannot "
					   "be read");
	if (point->indirectCRL > 0)
		r = error_set(error, EINVAL, "it is for other issuers too (indirect CRL)");
	else if (point->onlyuser > 0 || point->onlyCA > 0 || point->onlyattr > 0)
		r = error_set(error, EINVAL, "it is for one kind of certificates only");
	else if (point->onlysomereasons)
		r = error_set(error, EINVAL, "it is for some reasons only");
	ISSUING_DIST_POINT_free(point);
	return r;
}

static int check_extensions(const X509_CRL *rest, struct error *error)
{
	int count = X509_CRL_get_ext_count(rest);
	char name[80];

	if (count > 0 && X509_CRL_get_version(rest) != X509_CRL_VERSION_2)
		return error_set(error, EINVAL, "it has extensions, and not version 2");
	if (X509_CRL_get_version(rest) > X509_CRL_VERSION_2)
		return error_set(error, EINVAL, "it has the version %ld",
				 X509_CRL_get_version(rest) + 1);
	for (int i = 0; i < count; i++) {
		X509_EXTENSION *extension = X509_CRL_get_ext(rest, i);
		const ASN1_OBJECT *object = X509_EXTENSION_get_object(extension);
		int nid = OBJ_obj2nid(object);
		if (nid == NID_delta_crl)
			return error_set(error, EINVAL, "it is no whole list (delta CRL)");
		if (!X509_EXTENSION_get_critical(extension) ||
		    nid == NID_issuing_distribution_point)
			continue;
		OBJ_obj2txt(name, sizeof(name), object, 0);
		return error_set(error, EINVAL, "it has the critical extension %s, unknown here",
				 name);
	}
	return check_scope(rest, error);
}

static int read_rest(const X509_CRL *rest, time_t now, struct crl *crl, struct error *error)
{
	certificate_name(X509_CRL_get_issuer(rest), crl->facts.issuer, sizeof(crl->facts.issuer));
	crl->issuer_name = (uint32_t)X509_NAME_hash_ex(X509_CRL_get_issuer(rest), NULL, NULL, NULL);
	int r = check_extensions(rest, error);
	if (r == 0)
		r = read_number(rest, crl, error);
	if (r == 0)
		r = read_times(rest, now, &crl->facts, error);
	return r;
}

// --- life

static STACK_OF(X509) * join(STACK_OF(X509) * a, STACK_OF(X509) * b)
{
	STACK_OF(X509) *all = sk_X509_new_null();

	for (int i = 0; all && i < sk_X509_num(a) + (b ? sk_X509_num(b) : 0); i++) {
		int n = i - sk_X509_num(a);
		X509 *certificate = n < 0 ? sk_X509_value(a, i) : sk_X509_value(b, n);
		X509_up_ref(certificate);
		if (!sk_X509_push(all, certificate))
			X509_free(certificate);
	}
	return all;
}

static int find_signer(struct crl *crl, const struct crl_outline *outline,
		       const struct crl_scope *scope, time_t now, struct error *error)
{
	_cleanup_(certificates_freep) STACK_OF(X509) *others = join(crl->beside, scope->issuers);
	struct crl_signature signature = {
		.issuer = X509_CRL_get_issuer(outline->rest),
		.data = outline->data,
		.size = outline->size,
	};

	if (!others)
		return error_set(error, ENOMEM, "out of memory");
	X509_CRL_get0_signature(outline->rest, &signature.value, &signature.algorithm);
	int r = crl_signer_find(&signature, scope->trust, scope->domain, others, now, &crl->signer,
				error);
	if (r == 0 && certificate_spki_hash(crl->signer, crl->signer_key) < 0)
		r = error_set(error, EKEYREJECTED, "the key of its signer cannot be read");
	return r;
}

static int read_list(struct crl *crl, const struct file *file, const struct crl_scope *scope,
		     time_t now, struct error *error)
{
	_cleanup_(crl_outline_done) struct crl_outline outline = {0};
	int r = crl_outline_read(trust_library(scope->trust), file->data, file->size, &outline,
				 error);

	if (r == 0)
		r = read_rest(outline.rest, now, crl, error);
	if (r == 0)
		r = find_signer(crl, &outline, scope, now, error);
	if (r == 0)
		r = crl_table_read(outline.entries, outline.entries_size, &crl->table, error);
	ERR_clear_error();
	if (r < 0)
		return r;
	crl->facts.counts = *crl_table_counts(crl->table);
	crl->facts.memory = sizeof(*crl) + crl_table_memory(crl->table);
	return 0;
}

int crl_read(const void *data, size_t size, const struct crl_scope *scope, time_t now,
	     struct crl **ret, struct error *error)
{
	_cleanup_(file_done) struct file file = {0};
	_cleanup_(crl_putp) struct crl *crl = calloc(1, sizeof(*crl));

	if (!crl)
		return error_set(error, ENOMEM, "out of memory");
	atomic_init(&crl->references, 1);
	int r = read_file(&file, trust_library(scope->trust), data, size, error);
	if (r < 0)
		return r;
	crl->beside = take(file.beside);
	r = read_list(crl, &file, scope, now, error);
	if (r < 0)
		return r;
	*ret = take(crl);
	return 0;
}

int crl_judge_again(const struct crl *crl, const struct crl_scope *scope, time_t now,
		    struct error *error)
{
	_cleanup_(certificates_freep) STACK_OF(X509) *others = join(crl->beside, scope->issuers);

	if (!others)
		return error_set(error, ENOMEM, "out of memory");
	return crl_signer_judge(crl->signer, scope->trust, scope->domain, others, now, error);
}

struct crl *crl_get(struct crl *crl)
{
	atomic_fetch_add_explicit(&crl->references, 1, memory_order_relaxed);
	return crl;
}

struct crl *crl_put(struct crl *crl)
{
	if (!crl || atomic_fetch_sub_explicit(&crl->references, 1, memory_order_acq_rel) != 1)
		return NULL;
	crl_table_free(crl->table);
	X509_free(crl->signer);
	sk_X509_pop_free(crl->beside, X509_free);
	free(crl);
	return NULL;
}

const struct crl_facts *crl_facts(const struct crl *crl)
{
	return &crl->facts;
}

static int compare_numbers(const struct crl *a, const struct crl *b)
{
	if (a->number_size != b->number_size)
		return a->number_size < b->number_size ? -1 : 1;
	return memcmp(a->number, b->number, a->number_size);
}

int crl_check_issuer(const struct crl *crl, const X509 *issuer, struct error *error)
{
	const X509_NAME *name = X509_get_subject_name(issuer);
	char text[128];

	if ((uint32_t)X509_NAME_hash_ex(name, NULL, NULL, NULL) == crl->issuer_name)
		return 0;
	return error_set(error, EKEYREJECTED, "it is a list of %.120s, not of %s",
			 crl->facts.issuer, certificate_name(name, text, sizeof(text)));
}

int crl_check_newer(const struct crl *crl, const struct crl *old, struct error *error)
{
	char words[32];

	if (!old)
		return 0;
	if (crl->issuer_name != old->issuer_name)
		return error_set(error, ESTALE, "it is a list of %.120s, after one of %.120s",
				 crl->facts.issuer, old->facts.issuer);
	if (old->number_size > 0 && compare_numbers(crl, old) < 0)
		return error_set(error, ESTALE, "it has the number 0x%s, after 0x%s",
				 crl->number_size ? crl->facts.number : "0", old->facts.number);
	if (crl->facts.this_update < old->facts.this_update)
		return error_set(error, ESTALE, "it is %s older than the one in use",
				 clock_words(old->facts.this_update - crl->facts.this_update, words,
					     sizeof(words)));
	return 0;
}

bool crl_same(const struct crl *a, const struct crl *b)
{
	return a->issuer_name == b->issuer_name && compare_numbers(a, b) == 0 &&
	       a->facts.this_update == b->facts.this_update &&
	       a->facts.next_update == b->facts.next_update &&
	       memcmp(a->signer_key, b->signer_key, sizeof(a->signer_key)) == 0 &&
	       a->facts.counts.entries == b->facts.counts.entries;
}

bool crl_covers(const struct crl *crl, const uint8_t issuer_key[SPKI_HASH_SIZE],
		uint32_t issuer_name)
{
	return crl->issuer_name == issuer_name ||
	       memcmp(crl->signer_key, issuer_key, SPKI_HASH_SIZE) == 0;
}

bool crl_find(const struct crl *crl, const uint8_t *serial, size_t size, bool negative,
	      struct crl_entry *ret)
{
	return crl_table_find(crl->table, serial, size, negative, ret);
}

const char *crl_reason_name(uint8_t reason)
{
	static const char *const names[] = {
		[1] = "key compromise",		[2] = "CA compromise",
		[3] = "affiliation changed",	[4] = "superseded",
		[5] = "cessation of operation", [6] = "on hold",
		[9] = "privilege withdrawn",	[10] = "attribute authority compromise",
	};

	return reason < sizeof(names) / sizeof(names[0]) ? names[reason] : NULL;
}
