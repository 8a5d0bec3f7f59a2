// SPDX-License-Identifier: Apache-2.0
// A leaf is journaled before it is written or given to anybody: what was issued and then lost can be named.

#include "pki/ca.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "pki/ca_directory.h"
#include "pki/ca_denied.h"
#include "pki/certificate.h"
#include "pki/identity.h"
#include "pki/journal.h"
#include "pki/pem.h"
#include "pki/profile.h"
#include "pki/request.h"

#define DAY_S	       86400
#define LIFETIME_MIN_S 60
#define LIFETIME_MAX_S (398LL * DAY_S)

DEFINE_CLEANUP(X509 *, X509_free);
DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free);

static int check_identity(const struct ca *ca, const char *text, char **ret, struct error *error)
{
	_cleanup_(freep) char *identity = NULL;
	const char *domain;

	int r = identity_parse(text, strlen(text), &identity, error);
	if (r < 0)
		return r;
	size_t size = identity_domain(identity, &domain);
	if (size != strlen(ca_domain(ca)) || memcmp(domain, ca_domain(ca), size) != 0) {
		error_set(error, EINVAL, "%.*s is not in the trust domain of this CA",
			  IDENTITY_SHOWN_MAX, identity);
		return error_expected(error, "spiffe://%.150s/...", ca_domain(ca));
	}
	*ret = take(identity);
	return 0;
}

static int check_leaf(const struct ca *ca, const struct ca_leaf *leaf, char **ret,
		      struct error *error)
{
	_cleanup_(freep) char *identity = NULL;

	int r = check_identity(ca, leaf->identity, &identity, error);
	if (r == 0 && leaf->dns)
		r = profile_dns_check(leaf->dns, error);
	if (r < 0)
		return r;
	r = ca_lifetime_check(leaf->lifetime_s, error);
	if (r < 0)
		return r;
	if (leaf->not_before_s < -LIFETIME_MAX_S || leaf->not_before_s > LIFETIME_MAX_S) {
		error_set(error, EINVAL, "a start %lld s from now", (long long)leaf->not_before_s);
		return error_expected(error, "at most %lld days from now", LIFETIME_MAX_S / DAY_S);
	}
	*ret = take(identity);
	return 0;
}

int ca_lifetime_check(int64_t lifetime_s, struct error *error)
{
	if (lifetime_s >= LIFETIME_MIN_S && lifetime_s <= LIFETIME_MAX_S)
		return 0;
	error_set(error, EINVAL, "a lifetime of %lld s", (long long)lifetime_s);
	return error_expected(error, "%d s to %lld days", LIFETIME_MIN_S, LIFETIME_MAX_S / DAY_S);
}

// The lifetime counts from now, or from the start when that is to come; it ends with the issuer's at the latest.
static int set_times(const struct ca *ca, const struct ca_leaf *leaf, time_t now,
		     struct profile_subject *subject, struct error *error)
{
	time_t issuer_from, issuer_to;
	char words[32];

	int r = certificate_lifetime(ca_certificate(ca), &issuer_from, &issuer_to);
	if (r < 0)
		return error_set(error, -r, "the times of issuing.crt cannot be read");
	subject->not_before = now + leaf->not_before_s;
	time_t start = subject->not_before > now ? subject->not_before : now;
	subject->not_after = start + leaf->lifetime_s;
	if (subject->not_after > issuer_to)
		subject->not_after = issuer_to;
	if (subject->not_after - start >= LIFETIME_MIN_S)
		return 0;
	clock_words(issuer_to - now, words, sizeof(words));
	error_set(error, EKEYEXPIRED,
		  issuer_to > now ? "the issuing certificate expires in %s, too soon for this one"
				  : "the issuing certificate expired %s ago",
		  words);
	error_where(error, "%s/issuing.crt", ca_directory(ca));
	return error_remedy(error, "make a new CA with \"mutun ca init\", add its trust.crt to the "
				   "trust file of every node, then issue from it");
}

static int add_to_journal(const struct ca *ca, const struct ca_leaf *leaf, const char *identity,
			  X509 *certificate, time_t now, struct error *error)
{
	char serial[SERIAL_TEXT_MAX];
	unsigned char *der = NULL;
	struct journal_record record = {
		.serial = certificate_serial(certificate, serial),
		.identity = identity,
		.dns = leaf->dns,
		.issued = now,
		.issued_by = leaf->issued_by,
	};

	int r = certificate_lifetime(certificate, &record.not_before, &record.not_after);
	if (r == 0)
		r = certificate_spki_hash(certificate, record.spki_hash);
	int size = i2d_X509(certificate, &der);
	if (r < 0 || size < 0)
		return error_set(error, EIO, "the new certificate cannot be read");
	record.der = der;
	record.der_size = (size_t)size;
	r = journal_add(ca_journal(ca), &record, error);
	OPENSSL_free(der);
	return r;
}

static int check_issuer(struct ca *ca, struct error *error)
{
	uint8_t hash[SPKI_HASH_SIZE];

	if (ca_issuer_key(ca, hash) < 0)
		return error_set(error, ENOMEM, "out of memory");
	int r = ca_denied_hash(ca, hash, error);
	return r == -EPERM
		       ? error_set(
				 error, EKEYREVOKED,
				 "the issuing key of this CA is revoked: it signs nothing any more")
		       : r;
}

int ca_sign(struct ca *ca, const struct ca_leaf *leaf, X509 **ret, struct error *error)
{
	_cleanup_(X509_freep) X509 *certificate = NULL;
	_cleanup_(freep) char *identity = NULL;
	_cleanup_(freep) char *found = NULL;
	time_t now = clock_wall();
	struct profile_subject subject = {
		.domain = ca_domain(ca), .dns = leaf->dns, .key = leaf->key};
	int r;

	if ((r = check_leaf(ca, leaf, &identity, error)) < 0 ||
	    (r = ca_denied_identity(ca, identity, error)) < 0 ||
	    (r = ca_denied_key(ca, leaf->key, error)) < 0 || (r = check_issuer(ca, error)) < 0 ||
	    (r = set_times(ca, leaf, now, &subject, error)) < 0)
		return r;
	subject.identity = identity;
	if ((r = ca_unlock(ca, NULL, error)) < 0)
		return r;
	r = profile_sign(PROFILE_LEAF, &subject, ca_certificate(ca), ca_key(ca), &certificate,
			 error);
	// What no node would accept does not leave the house: the key may be of any kind.
	if (r == 0)
		r = certificate_check_leaf(certificate, NULL, &found, error);
	if (r == 0)
		r = add_to_journal(ca, leaf, identity, certificate, now, error);
	if (r == 0)
		*ret = take(certificate);
	return r;
}

static int get_requested_key(const char *path, EVP_PKEY **ret, struct error *error)
{
	_cleanup_(freep) uint8_t *der = NULL;
	struct request request;
	size_t size;

	int r = pem_read_request(path, &der, &size, error);
	if (r < 0)
		return r;
	r = request_read(der, size, &request, error);
	if (r < 0) {
		error_where(error, "%s", path);
		return r;
	}
	*ret = take(request.key);
	request_done(&request);
	return 0;
}

static int get_key(const struct ca_request *request, EVP_PKEY **ret, struct error *error)
{
	if (request->csr_path)
		return get_requested_key(request->csr_path, ret, error);
	if (!request->reuse_key)
		return profile_key(ret, error);
	int r = pem_read_key(request->key_path, ret, error);
	if (r == -ENOENT)
		error_remedy(error, "without --reuse-key a new key is made");
	return r;
}

static int check_outputs(const struct ca *ca, const struct ca_request *request, struct error *error)
{
	if (!request->csr_path && strcmp(request->certificate_path, request->key_path) == 0)
		return error_set(error, EINVAL, "certificate and key need a file each");
	int r = ca_directory_check_output(ca_directory(ca), request->certificate_path, error);
	return r < 0 || request->csr_path
		       ? r
		       : ca_directory_check_output(ca_directory(ca), request->key_path, error);
}

// The key first: a node that looks in between finds a key that does not fit, and keeps what it has; never a certificate
// whose key is lost. When the certificate cannot be written, the key that was there comes back.
static int write_pair(const struct ca *ca, const struct ca_request *request, EVP_PKEY *key,
		      X509 *leaf, struct error *error)
{
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *old = NULL;
	bool existed = access(request->key_path, F_OK) == 0;

	if (request->reuse_key || request->csr_path)
		return pem_write_certificate(request->certificate_path, leaf, ca_chain(ca), error);
	if (existed)
		pem_read_key(request->key_path, &old, NULL);
	int r = pem_write_key(request->key_path, key, error);
	if (r < 0)
		return r;
	r = pem_write_certificate(request->certificate_path, leaf, ca_chain(ca), error);
	if (r < 0 && old)
		pem_write_key(request->key_path, old, NULL);
	else if (r < 0 && !existed)
		unlink(request->key_path);
	return r;
}

int ca_issue(struct ca *ca, const struct ca_request *request, struct error *error)
{
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	_cleanup_(X509_freep) X509 *certificate = NULL;
	struct ca_leaf leaf = {.identity = request->identity,
			       .dns = request->dns,
			       .lifetime_s = request->lifetime_s,
			       .not_before_s = request->not_before_s,
			       .issued_by = "operator"};
	sigset_t all, before;

	int r = check_outputs(ca, request, error);
	if (r == 0)
		r = get_key(request, &key, error);
	leaf.key = key;
	if (r == 0)
		r = ca_sign(ca, &leaf, &certificate, error);
	if (r < 0)
		return r;
	// From here to the end in one go: an interrupt must not leave a new key beside an old certificate.
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	r = write_pair(ca, request, key, certificate, error);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}
