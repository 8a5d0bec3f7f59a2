// SPDX-License-Identifier: Apache-2.0
// A CA is its directory; there is no server. The files of a new CA are written with the journal last, so that one without a
// journal was never finished. A leaf is journaled before it is written: what was issued and then lost can be named.

#include "pki/ca.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <openssl/x509v3.h>

#include "base/clock.h"
#include "base/error.h"
#include "pki/ca_directory.h"
#include "pki/certificate.h"
#include "pki/identity.h"
#include "pki/journal.h"
#include "pki/pem.h"
#include "pki/profile.h"
#include "pki/tls.h"

#define DAY_S		   86400
#define ROOT_LIFETIME_S	   (3650LL * DAY_S)
#define ISSUING_LIFETIME_S (90LL * DAY_S)
#define LIFETIME_MIN_S	   60
#define LIFETIME_MAX_S	   (398LL * DAY_S)
#define BACKDATE_S	   300 // clocks of nodes may be as much behind ours

DEFINE_CLEANUP(X509 *, X509_free);
DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free);
DEFINE_CLEANUP(NAME_CONSTRAINTS *, NAME_CONSTRAINTS_free);

struct ca {
	char *directory;
	char *domain;
	X509 *certificate; // the intermediate's
	EVP_PKEY *key;
	struct journal *journal;
};

static int no_memory(struct error *error)
{
	return error_set(error, ENOMEM, "out of memory");
}

// What ca_init() makes, in memory.
struct material {
	EVP_PKEY *root_key, *issuing_key;
	X509 *root, *issuing;
};

static void material_done(struct material *material)
{
	X509_free(material->root);
	X509_free(material->issuing);
	EVP_PKEY_free(material->root_key);
	EVP_PKEY_free(material->issuing_key);
}

static int material_make(struct material *material, const char *domain, struct error *error)
{
	time_t now = clock_wall();
	struct profile_subject subject = {.domain = domain, .not_before = now - BACKDATE_S};
	int r;

	if ((r = profile_key(&material->root_key, error)) < 0 ||
	    (r = profile_key(&material->issuing_key, error)) < 0)
		return r;
	subject.key = material->root_key;
	subject.not_after = now + ROOT_LIFETIME_S;
	r = profile_sign(PROFILE_ROOT, &subject, NULL, NULL, &material->root, error);
	if (r < 0)
		return r;
	subject.key = material->issuing_key;
	subject.not_after = now + ISSUING_LIFETIME_S;
	return profile_sign(PROFILE_INTERMEDIATE, &subject, material->root, material->root_key,
			    &material->issuing, error);
}

static int material_write(const struct material *material, const char *directory,
			  struct error *error)
{
	char *paths[CA_FILES];
	int r = 0;

	for (size_t i = 0; i < CA_FILES; i++)
		r = (paths[i] = ca_directory_path(directory, (enum ca_file)i)) ? r
									       : no_memory(error);
	if (r < 0 || (r = pem_write_key(paths[CA_ROOT_KEY], material->root_key, error)) < 0 ||
	    (r = pem_write_certificate(paths[CA_ROOT_CERTIFICATE], material->root, NULL, error)) <
		    0 ||
	    (r = pem_write_key(paths[CA_ISSUING_KEY], material->issuing_key, error)) < 0 ||
	    (r = pem_write_certificate(paths[CA_ISSUING_CERTIFICATE], material->issuing, NULL,
				       error)) < 0 ||
	    (r = pem_write_certificate(paths[CA_TRUST], material->root, NULL, error)) < 0 ||
	    (r = journal_create(paths[CA_JOURNAL], error)) < 0) {
		// The directory was empty: whatever is there is ours.
		for (size_t i = 0; i < CA_FILES; i++)
			if (paths[i])
				unlink(paths[i]);
	}
	for (size_t i = 0; i < CA_FILES; i++)
		free(paths[i]);
	return r;
}

int ca_init(const char *directory, const char *domain, struct error *error)
{
	_cleanup_(material_done) struct material material = {0};
	bool made;

	if (!tls_library())
		return no_memory(error);
	int r = identity_domain_check(domain, error);
	if (r < 0)
		return r;
	// In a name constraint a leading dot means "all names below" (RFC 5280, 4.2.1.10).
	if (domain[0] == '.') {
		error_set(error, EINVAL, "\"%.80s\" begins with a dot", domain);
		return error_expected(error, "a trust domain such as corp.example");
	}
	r = material_make(&material, domain, error);
	if (r < 0)
		return r;
	r = ca_directory_make(directory, &made, error);
	if (r < 0)
		return r;
	r = material_write(&material, directory, error);
	if (r < 0 && made)
		rmdir(directory);
	return r;
}

// The trust domain that the intermediate may sign for: the one URI of its name constraints.
static int read_domain(X509 *certificate, char **ret, struct error *error)
{
	_cleanup_(NAME_CONSTRAINTS_freep) NAME_CONSTRAINTS *constraints =
		X509_get_ext_d2i(certificate, NID_name_constraints, NULL, NULL);

	if (!constraints || sk_GENERAL_SUBTREE_num(constraints->permittedSubtrees) != 1)
		return error_set(error, EINVAL,
				 "the certificate has no name constraint of one trust domain");
	const GENERAL_NAME *name =
		sk_GENERAL_SUBTREE_value(constraints->permittedSubtrees, 0)->base;
	if (name->type != GEN_URI)
		return error_set(error, EINVAL, "the name constraint is not of a trust domain");
	const ASN1_IA5STRING *uri = name->d.uniformResourceIdentifier;
	_cleanup_(freep) char *domain =
		strndup((const char *)ASN1_STRING_get0_data(uri), (size_t)ASN1_STRING_length(uri));
	if (!domain)
		return no_memory(error);
	if (strlen(domain) != (size_t)ASN1_STRING_length(uri))
		return error_set(error, EINVAL, "the name constraint holds a NUL");
	int r = identity_domain_check(domain, error);
	if (r < 0)
		return r;
	*ret = take(domain);
	return 0;
}

static int load_issuer(struct ca *ca, const char *certificate_path, const char *key_path,
		       struct error *error)
{
	int r = pem_read_certificate(certificate_path, &ca->certificate, error);
	if (r < 0)
		return r;
	r = certificate_check_ca(ca->certificate, error);
	if (r == 0)
		r = read_domain(ca->certificate, &ca->domain, error);
	if (r < 0) {
		error_where(error, "%s", certificate_path);
		return r;
	}
	r = ca_directory_check_secret(key_path, error);
	if (r == 0)
		r = pem_read_key(key_path, &ca->key, error);
	if (r < 0)
		return r;
	if (EVP_PKEY_eq(X509_get0_pubkey(ca->certificate), ca->key) == 1)
		return 0;
	error_set(error, EKEYREJECTED, "the key does not belong to issuing.crt");
	error_where(error, "%s", key_path);
	return error_remedy(error, "restore both from the same backup");
}

// Says what is missing of a CA, if anything is.
static int check_complete(const char *directory, const char *certificate, const char *journal,
			  struct error *error)
{
	if (access(certificate, F_OK) < 0 && errno == ENOENT) {
		error_set(error, ENOENT, "there is no CA here");
		error_where(error, "%s", directory);
		return error_remedy(error, "mutun ca init %.100s --domain DOMAIN makes one",
				    directory);
	}
	if (access(journal, F_OK) < 0 && errno == ENOENT) {
		error_set(error, ENOENT, "the journal is missing");
		error_where(error, "%s", journal);
		return error_remedy(error, "restore it from a backup; if \"mutun ca init\" was "
					   "interrupted, remove the directory and run it again");
	}
	return 0;
}

int ca_open(const char *directory, struct ca **ret, struct error *error)
{
	_cleanup_(ca_closep) struct ca *ca = calloc(1, sizeof(*ca));
	_cleanup_(freep) char *certificate = ca_directory_path(directory, CA_ISSUING_CERTIFICATE);
	_cleanup_(freep) char *key = ca_directory_path(directory, CA_ISSUING_KEY);
	_cleanup_(freep) char *journal = ca_directory_path(directory, CA_JOURNAL);

	if (!ca || !certificate || !key || !journal || !(ca->directory = strdup(directory)) ||
	    !tls_library())
		return no_memory(error);
	int r = check_complete(directory, certificate, journal, error);
	if (r == 0)
		r = load_issuer(ca, certificate, key, error);
	if (r == 0)
		r = journal_open(journal, &ca->journal, error);
	if (r < 0)
		return r;
	*ret = take(ca);
	return 0;
}

struct ca *ca_close(struct ca *ca)
{
	if (!ca)
		return NULL;
	journal_close(ca->journal);
	X509_free(ca->certificate);
	EVP_PKEY_free(ca->key);
	free(ca->domain);
	free(ca->directory);
	free(ca);
	return NULL;
}

const char *ca_domain(const struct ca *ca)
{
	return ca->domain;
}

static int check_identity(const struct ca *ca, const char *text, char **ret, struct error *error)
{
	_cleanup_(freep) char *identity = NULL;
	const char *domain;

	int r = identity_parse(text, strlen(text), &identity, error);
	if (r < 0)
		return r;
	size_t size = identity_domain(identity, &domain);
	if (size != strlen(ca->domain) || memcmp(domain, ca->domain, size) != 0) {
		error_set(error, EINVAL, "%.*s is not in the trust domain of this CA",
			  IDENTITY_SHOWN_MAX, identity);
		return error_expected(error, "spiffe://%.150s/...", ca->domain);
	}
	*ret = take(identity);
	return 0;
}

static int check_request(const struct ca *ca, const struct ca_request *request, char **ret,
			 struct error *error)
{
	_cleanup_(freep) char *identity = NULL;

	int r = check_identity(ca, request->identity, &identity, error);
	if (r == 0 && request->dns)
		r = profile_dns_check(request->dns, error);
	if (r < 0)
		return r;
	if (request->lifetime_s < LIFETIME_MIN_S || request->lifetime_s > LIFETIME_MAX_S) {
		error_set(error, EINVAL, "a lifetime of %lld s", (long long)request->lifetime_s);
		return error_expected(error, "%d s to %lld days", LIFETIME_MIN_S,
				      LIFETIME_MAX_S / DAY_S);
	}
	if (request->not_before_s < -LIFETIME_MAX_S || request->not_before_s > LIFETIME_MAX_S) {
		error_set(error, EINVAL, "a start %lld s from now",
			  (long long)request->not_before_s);
		return error_expected(error, "at most %lld days from now", LIFETIME_MAX_S / DAY_S);
	}
	if (strcmp(request->certificate_path, request->key_path) == 0)
		return error_set(error, EINVAL, "certificate and key need a file each");
	if ((r = ca_directory_check_output(ca->directory, request->certificate_path, error)) < 0 ||
	    (r = ca_directory_check_output(ca->directory, request->key_path, error)) < 0)
		return r;
	*ret = take(identity);
	return 0;
}

// The lifetime counts from now, or from the start when that is to come; it ends with the issuer's at the latest.
static int set_times(const struct ca *ca, const struct ca_request *request, time_t now,
		     struct profile_subject *subject, struct error *error)
{
	time_t issuer_from, issuer_to;
	char words[32];

	int r = certificate_lifetime(ca->certificate, &issuer_from, &issuer_to);
	if (r < 0)
		return error_set(error, -r, "the times of issuing.crt cannot be read");
	subject->not_before = now + request->not_before_s;
	time_t start = subject->not_before > now ? subject->not_before : now;
	subject->not_after = start + request->lifetime_s;
	if (subject->not_after > issuer_to)
		subject->not_after = issuer_to;
	if (subject->not_after - start >= LIFETIME_MIN_S)
		return 0;
	clock_words(issuer_to - now, words, sizeof(words));
	error_set(error, EKEYEXPIRED,
		  issuer_to > now ? "the issuing certificate expires in %s, too soon for this one"
				  : "the issuing certificate expired %s ago",
		  words);
	error_where(error, "%s/issuing.crt", ca->directory);
	return error_remedy(error, "make a new CA with \"mutun ca init\", add its trust.crt to the "
				   "trust file of every node, then issue from it");
}

static int get_key(const struct ca_request *request, EVP_PKEY **ret, struct error *error)
{
	if (!request->reuse_key)
		return profile_key(ret, error);
	int r = pem_read_key(request->key_path, ret, error);
	if (r == -ENOENT)
		error_remedy(error, "without --reuse-key a new key is made");
	return r;
}

// The key first: a node that looks in between finds a key that does not fit, and keeps what it has; never a certificate
// whose key is lost. When the certificate cannot be written, the key that was there comes back.
static int write_pair(const struct ca *ca, const struct ca_request *request, EVP_PKEY *key,
		      X509 *leaf, struct error *error)
{
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *old = NULL;
	bool existed = access(request->key_path, F_OK) == 0;

	if (request->reuse_key)
		return pem_write_certificate(request->certificate_path, leaf, ca->certificate,
					     error);
	if (existed)
		pem_read_key(request->key_path, &old, NULL);
	int r = pem_write_key(request->key_path, key, error);
	if (r < 0)
		return r;
	r = pem_write_certificate(request->certificate_path, leaf, ca->certificate, error);
	if (r < 0 && old)
		pem_write_key(request->key_path, old, NULL);
	else if (r < 0 && !existed)
		unlink(request->key_path);
	return r;
}

static int add_to_journal(const struct ca *ca, const struct ca_request *request, const X509 *leaf,
			  const char *identity, time_t now, struct error *error)
{
	char serial[SERIAL_TEXT_MAX];
	struct journal_record record = {
		.serial = certificate_serial(leaf, serial),
		.identity = identity,
		.dns = request->dns,
		.issued = now,
	};

	int r = certificate_lifetime(leaf, &record.not_before, &record.not_after);
	if (r == 0)
		r = certificate_spki_hash(leaf, record.spki_hash);
	if (r < 0)
		return error_set(error, -r, "the new certificate cannot be read");
	return journal_add(ca->journal, &record, error);
}

int ca_issue(struct ca *ca, const struct ca_request *request, struct error *error)
{
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	_cleanup_(X509_freep) X509 *leaf = NULL;
	_cleanup_(freep) char *identity = NULL;
	_cleanup_(freep) char *found = NULL;
	time_t now = clock_wall();
	struct profile_subject subject = {.domain = ca->domain, .dns = request->dns};
	sigset_t all, before;
	int r;

	if ((r = check_request(ca, request, &identity, error)) < 0 ||
	    (r = set_times(ca, request, now, &subject, error)) < 0 ||
	    (r = get_key(request, &key, error)) < 0)
		return r;
	subject.identity = identity;
	subject.key = key;
	r = profile_sign(PROFILE_LEAF, &subject, ca->certificate, ca->key, &leaf, error);
	if (r < 0)
		return r;
	// What no node would accept does not leave the house: a reused key may be of any kind.
	r = certificate_check_leaf(leaf, &found, error);
	if (r < 0)
		return r;
	r = add_to_journal(ca, request, leaf, identity, now, error);
	if (r < 0)
		return r;
	// From here to the end in one go: an interrupt must not leave a new key beside an old certificate.
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	r = write_pair(ca, request, key, leaf, error);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

int ca_list(struct ca *ca, int (*each)(const struct ca_entry *entry, void *data), void *data,
	    struct error *error)
{
	return journal_walk(ca->journal, each, data, error);
}
