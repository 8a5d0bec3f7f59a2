// SPDX-License-Identifier: Apache-2.0
// A CA is its directory. The files of a new CA are written with the journal last, so that one without a journal was never
// finished.

#include "pki/ca.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <openssl/x509v3.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/error.h"
#include "pki/ca_directory.h"
#include "pki/certificate.h"
#include "pki/identity.h"
#include "pki/journal.h"
#include "pki/pem.h"
#include "pki/profile.h"
#include "pki/tls.h"
#include "pki/trust.h"

#define DAY_S		   86400
#define ROOT_LIFETIME_S	   (3650LL * DAY_S)
#define ISSUING_LIFETIME_S (90LL * DAY_S)
#define BACKDATE_S	   300 // clocks of nodes may be as much behind ours

DEFINE_CLEANUP(X509 *, X509_free);
DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free);
DEFINE_CLEANUP(NAME_CONSTRAINTS *, NAME_CONSTRAINTS_free);

struct ca {
	char *directory;
	char *domain;
	STACK_OF(X509) * chain; // the intermediate, and what is sent above it
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
	int r = pem_read_certificates(certificate_path, &ca->chain, error);
	if (r < 0)
		return r;
	r = certificate_check_ca(ca_certificate(ca), error);
	if (r == 0)
		r = read_domain(ca_certificate(ca), &ca->domain, error);
	if (r < 0) {
		error_where(error, "%s", certificate_path);
		return r;
	}
	r = ca_directory_check_secret(key_path, error);
	if (r == 0)
		r = pem_read_key(key_path, &ca->key, error);
	if (r < 0)
		return r;
	if (EVP_PKEY_eq(X509_get0_pubkey(ca_certificate(ca)), ca->key) == 1)
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
	sk_X509_pop_free(ca->chain, X509_free);
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

const char *ca_directory(const struct ca *ca)
{
	return ca->directory;
}

X509 *ca_certificate(const struct ca *ca)
{
	return sk_X509_value(ca->chain, 0);
}

STACK_OF(X509) * ca_chain(const struct ca *ca)
{
	return ca->chain;
}

EVP_PKEY *ca_key(const struct ca *ca)
{
	return ca->key;
}

struct journal *ca_journal(const struct ca *ca)
{
	return ca->journal;
}

int ca_trust(const struct ca *ca, STACK_OF(X509) * *ret, struct error *error)
{
	_cleanup_(freep) char *path = ca_directory_path(ca->directory, CA_TRUST);
	_cleanup_(freep) char *text = NULL;
	size_t size;

	if (!path)
		return no_memory(error);
	int r = file_read(path, TRUST_FILE_MAX, &text, &size);
	if (r < 0)
		error_set(error, -r, "the trust file cannot be read: %s", strerror(-r));
	else
		r = certificate_read_pem(tls_library(), text, size, ret, error);
	if (r < 0)
		error_where(error, "%s", path);
	return r;
}
