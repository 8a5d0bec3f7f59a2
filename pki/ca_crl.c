// SPDX-License-Identifier: Apache-2.0

#include "pki/ca_crl.h"

#include <errno.h>
#include <string.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sqlite3.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "pki/ca.h"
#include "pki/ca_directory.h"
#include "pki/ca_denied.h"
#include "pki/denials.h"
#include "pki/issuer.h"
#include "pki/journal.h"
#include "pki/record.h"
#include "pki/tls.h"

#define DAY_S 86400

DEFINE_CLEANUP(X509_CRL *, X509_CRL_free);
DEFINE_CLEANUP(BIO *, BIO_free_all);

struct making {
	const struct ca *ca;
	const struct denials *denials;
	X509_CRL *crl;
	time_t now;
	unsigned count;
};

DEFINE_CLEANUP(sqlite3_stmt *, sqlite3_finalize);

static int failed(struct error *error)
{
	ERR_clear_error();
	return error_set(error, EIO, "the revocation list cannot be made");
}

// Number of the next list, kept in the journal. Within a transaction.
static int next_number(struct ca *ca, time_t now, time_t next, uint64_t *ret, struct error *error)
{
	_cleanup_(sqlite3_finalizep) sqlite3_stmt *statement = NULL;
	struct sqlite3 *database = journal_database(ca_journal(ca));

	if (sqlite3_prepare_v2(database, "INSERT INTO crls (issued, next) VALUES (?, ?)", -1,
			       &statement, NULL) != SQLITE_OK ||
	    sqlite3_bind_int64(statement, 1, now) != SQLITE_OK ||
	    sqlite3_bind_int64(statement, 2, next) != SQLITE_OK ||
	    sqlite3_step(statement) != SQLITE_DONE)
		return journal_failed(ca_journal(ca), error);
	*ret = (uint64_t)sqlite3_last_insert_rowid(database);
	return 0;
}

static X509_REVOKED *make_entry(const struct denial *denial, const ASN1_INTEGER *serial)
{
	X509_REVOKED *entry = X509_REVOKED_new();
	ASN1_TIME *when = ASN1_TIME_set(NULL, denial->time);
	ASN1_ENUMERATED *reason = ASN1_ENUMERATED_new();
	bool good = entry && when && reason &&
		    X509_REVOKED_set_serialNumber(entry, (ASN1_INTEGER *)serial) == 1 &&
		    X509_REVOKED_set_revocationDate(entry, when) == 1 &&
		    ASN1_ENUMERATED_set(reason, (int)denial->reason) == 1;

	// Unspecified is said by saying nothing (RFC 5280, 5.3.1).
	if (good && denial->reason != DENIAL_UNSPECIFIED)
		good = X509_REVOKED_add1_ext_i2d(entry, NID_crl_reason, reason, 0, 0) == 1;
	ASN1_TIME_free(when);
	ASN1_ENUMERATED_free(reason);
	if (good)
		return entry;
	X509_REVOKED_free(entry);
	return NULL;
}

// A list speaks of the certificates of its own issuer alone. Where none was kept, there was no other issuer yet.
static bool is_own(const struct ca *ca, const struct record *record)
{
	X509 *certificate = record_certificate(record);
	bool own =
		!certificate || X509_verify(certificate, X509_get0_pubkey(ca_certificate(ca))) == 1;

	X509_free(certificate);
	ERR_clear_error();
	return own;
}

static int add_entry(const struct record *entry, void *data)
{
	struct making *making = data;
	const struct denial *denial = ca_denial_of(making->denials, entry);
	BIGNUM *number = NULL;

	if (!denial || !is_own(making->ca, entry))
		return 0;
	ASN1_INTEGER *serial =
		BN_hex2bn(&number, entry->serial) ? BN_to_ASN1_INTEGER(number, NULL) : NULL;
	X509_REVOKED *revoked = serial ? make_entry(denial, serial) : NULL;
	BN_free(number);
	ASN1_INTEGER_free(serial);
	if (!revoked || X509_CRL_add0_revoked(making->crl, revoked) != 1) {
		X509_REVOKED_free(revoked);
		return -ENOMEM;
	}
	making->count++;
	return 0;
}

static bool set_times(X509_CRL *crl, time_t from, time_t to)
{
	ASN1_TIME *last = ASN1_TIME_set(NULL, from), *next = ASN1_TIME_set(NULL, to);
	bool good = last && next && X509_CRL_set1_lastUpdate(crl, last) == 1 &&
		    X509_CRL_set1_nextUpdate(crl, next) == 1;

	ASN1_TIME_free(last);
	ASN1_TIME_free(next);
	return good;
}

static bool add_extensions(X509_CRL *crl, X509 *issuer, uint64_t number)
{
	X509V3_CTX context;
	ASN1_INTEGER *value = ASN1_INTEGER_new();
	bool good = value && ASN1_INTEGER_set_uint64(value, number) == 1 &&
		    X509_CRL_add1_ext_i2d(crl, NID_crl_number, value, 0, 0) == 1;

	ASN1_INTEGER_free(value);
	X509V3_set_ctx(&context, issuer, NULL, NULL, crl, 0);
	X509_EXTENSION *key =
		good ? X509V3_EXT_conf_nid(NULL, &context, NID_authority_key_identifier,
					   "keyid:always")
		     : NULL;
	good = key && X509_CRL_add_ext(crl, key, -1) == 1;
	X509_EXTENSION_free(key);
	return good;
}

static int make(struct making *making, struct ca *ca, time_t next, uint64_t number,
		struct error *error)
{
	X509 *issuer = ca_certificate(ca);
	EVP_PKEY *key = ca_key(ca);
	const EVP_MD *digest = EVP_PKEY_get_id(key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256();

	if (!making->crl || X509_CRL_set_version(making->crl, X509_CRL_VERSION_2) != 1 ||
	    X509_CRL_set_issuer_name(making->crl, X509_get_subject_name(issuer)) != 1 ||
	    !set_times(making->crl, making->now - ISSUER_BACKDATE_S, next) ||
	    !add_extensions(making->crl, issuer, number))
		return failed(error);
	struct record_filter filter = {.ends_after = making->now};
	int r = record_walk(ca_journal(ca), &filter, add_entry, making, error);
	if (r < 0)
		return r == -ENOMEM ? failed(error) : r;
	if (X509_CRL_sort(making->crl) != 1 || X509_CRL_sign(making->crl, key, digest) == 0)
		return failed(error);
	return 0;
}

static int write_list(X509_CRL *crl, X509 *issuer, const char *path, struct error *error)
{
	_cleanup_(BIO_free_allp) BIO *bio = BIO_new(BIO_s_mem());
	char *text;

	if (!bio || PEM_write_bio_X509_CRL(bio, crl) != 1 || PEM_write_bio_X509(bio, issuer) != 1)
		return failed(error);
	long size = BIO_get_mem_data(bio, &text);
	int r = file_write(path, text, (size_t)size, 0644);
	if (r < 0) {
		error_set(error, -r, "the revocation list cannot be written: %s", strerror(-r));
		error_where(error, "%s", path);
	}
	return r;
}

int ca_crl(struct ca *ca, const char *path, int64_t days, uint64_t *ret_number, unsigned *ret_count,
	   struct error *error)
{
	_cleanup_(denials_putp) struct denials *denials = NULL;
	_cleanup_(X509_CRL_freep) X509_CRL *crl = X509_CRL_new_ex(tls_library(), NULL);
	struct making making = {.ca = ca, .crl = crl, .now = clock_wall()};
	uint64_t number = 0;

	if (days < 1 || days > CA_CRL_DAYS_MAX) {
		error_set(error, EINVAL, "a revocation list for %lld days", (long long)days);
		return error_expected(error, "1 to %d", CA_CRL_DAYS_MAX);
	}
	int r = ca_directory_check_output(ca_directory(ca), path, error);
	if (r == 0)
		r = ca_denials(ca, &denials, error);
	if (r == 0)
		r = journal_begin(ca_journal(ca), error);
	if (r < 0)
		return r;
	making.denials = denials;
	r = next_number(ca, making.now, making.now + days * DAY_S, &number, error);
	if (r == 0)
		r = make(&making, ca, making.now + days * DAY_S, number, error);
	if (r == 0)
		r = write_list(crl, ca_certificate(ca), path, error);
	int ended = journal_end(ca_journal(ca), r == 0, r == 0 ? error : NULL);
	if (r < 0 || ended < 0)
		return r < 0 ? r : ended;
	*ret_number = number;
	*ret_count = making.count;
	return 0;
}
