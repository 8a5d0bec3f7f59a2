// SPDX-License-Identifier: Apache-2.0

#include "pki/ca.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <openssl/x509v3.h>

#include "base/buffer.h"
#include "base/error.h"
#include "pki/ca_directory.h"
#include "pki/ca_key.h"
#include "pki/certificate.h"
#include "pki/identity.h"
#include "pki/journal.h"
#include "pki/passphrase.h"
#include "pki/pem.h"
#include "pki/tls.h"
#include "pki/trust.h"

#define LOOKS  3
#define STAMPS 4

DEFINE_CLEANUP(NAME_CONSTRAINTS *, NAME_CONSTRAINTS_free);

struct ca {
	char *directory;
	char *domain;
	STACK_OF(X509) * chain; // the intermediate, and what is sent above it
	EVP_PKEY *key;		// NULL: locked
	struct journal *journal;
	struct stat seen[STAMPS]; // what it was opened from
};

static const enum ca_file stamped[STAMPS] = {CA_ISSUING_CERTIFICATE, CA_ISSUING_KEY, CA_ISSUING_URI,
					     CA_JOURNAL};

static int no_memory(struct error *error)
{
	return error_set(error, ENOMEM, "out of memory");
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

static int load_chain(struct ca *ca, const char *certificate_path, struct error *error)
{
	int r = pem_read_certificates(certificate_path, &ca->chain, error);
	if (r < 0)
		return r;
	r = certificate_check_ca(ca_certificate(ca), error);
	if (r == 0)
		r = read_domain(ca_certificate(ca), &ca->domain, error);
	return r < 0 ? error_where(error, "%s", certificate_path) : 0;
}

static int load_key(struct ca *ca, const char *passphrase_path, bool uris, struct error *error)
{
	struct passphrase passphrase;
	EVP_PKEY *key;

	int r = passphrase_read(passphrase_path, &passphrase, error);
	if (r < 0 && r != -ENOKEY)
		return r;
	r = ca_key_load(ca->directory, ca_certificate(ca), r == 0 ? &passphrase : NULL, uris, &key,
			error);
	passphrase_done(&passphrase);
	if (r < 0)
		return r;
	EVP_PKEY_free(ca->key);
	ca->key = key;
	return 0;
}

int ca_unlock(struct ca *ca, const char *passphrase_path, struct error *error)
{
	if (ca->key)
		return 0;
	int r = load_key(ca, passphrase_path, true, error);
	if (r == -ENOKEY)
		error_remedy(error,
			     "name the file that holds the passphrase: --passphrase-file, or "
			     "the setting gateway.ca_passphrase");
	return r;
}

// Chain and key that belong together. Another process may put a new issuer into its place between the two looks.
static int load_issuer(struct ca *ca, const char *certificate_path, struct error *error)
{
	int r = -EKEYREJECTED;

	for (unsigned i = 0; i < LOOKS && (r == -EKEYREJECTED || r == -ENOENT); i++) {
		sk_X509_pop_free(take(ca->chain), X509_free);
		free(take(ca->domain));
		r = load_chain(ca, certificate_path, error);
		if (r < 0)
			return r;
		r = load_key(ca, NULL, false, error);
	}
	return r == -ENOKEY ? 0 : r;
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

// What is not there leaves nothing but zeros.
static int stamp(const struct ca *ca, struct stat ret[STAMPS])
{
	for (unsigned i = 0; i < STAMPS; i++) {
		_cleanup_(freep) char *path = ca_directory_path(ca->directory, stamped[i]);
		if (!path)
			return -ENOMEM;
		ret[i] = (struct stat){0};
		stat(path, &ret[i]);
	}
	return 0;
}

bool ca_is_current(const struct ca *ca)
{
	struct stat now[STAMPS];
	bool same = stamp(ca, now) == 0;

	for (unsigned i = 0; same && i < STAMPS; i++) {
		const struct stat *a = &now[i], *b = &ca->seen[i];
		// The journal changes all the time, and stays the same file.
		same = a->st_ino == b->st_ino && a->st_dev == b->st_dev &&
		       (stamped[i] == CA_JOURNAL || (a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
						     a->st_mtim.tv_nsec == b->st_mtim.tv_nsec));
	}
	return same;
}

int ca_open(const char *directory, struct ca **ret, struct error *error)
{
	_cleanup_(ca_closep) struct ca *ca = calloc(1, sizeof(*ca));
	_cleanup_(freep) char *certificate = ca_directory_path(directory, CA_ISSUING_CERTIFICATE);
	_cleanup_(freep) char *journal = ca_directory_path(directory, CA_JOURNAL);

	if (!ca || !certificate || !journal || !(ca->directory = strdup(directory)) ||
	    !tls_library())
		return no_memory(error);
	int r = check_complete(directory, certificate, journal, error);
	if (r == 0 && stamp(ca, ca->seen) < 0)
		r = no_memory(error);
	if (r == 0)
		r = load_issuer(ca, certificate, error);
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

int ca_push_chain(const struct ca *ca, STACK_OF(X509) * stack)
{
	return certificates_push(stack, ca->chain);
}

EVP_PKEY *ca_key(const struct ca *ca)
{
	return ca->key;
}

struct journal *ca_journal(const struct ca *ca)
{
	return ca->journal;
}

// The certificates of a file of the CA: a new stack. -ENOENT and other errors of reading.
static int read_file(const struct ca *ca, enum ca_file file, STACK_OF(X509) * *ret,
		     struct error *error)
{
	_cleanup_(freep) char *path = ca_directory_path(ca->directory, file);
	_cleanup_(freep) char *text = NULL;
	size_t size;

	if (!path)
		return no_memory(error);
	int r = file_read(path, TRUST_FILE_MAX, &text, &size);
	if (r < 0)
		error_set(error, -r, "the certificates cannot be read: %s", strerror(-r));
	else
		r = certificate_read_pem(tls_library(), text, size, ret, error);
	if (r < 0)
		error_where(error, "%s", path);
	return r;
}

int ca_trust(const struct ca *ca, STACK_OF(X509) * *ret, struct error *error)
{
	return read_file(ca, CA_TRUST, ret, error);
}

int ca_announce(const struct ca *ca, STACK_OF(X509) * *ret, struct error *error)
{
	_cleanup_(certificates_freep) STACK_OF(X509) *stack = sk_X509_new_null();
	_cleanup_(certificates_freep) STACK_OF(X509) *next = NULL;
	_cleanup_(certificates_freep) STACK_OF(X509) *trusted = NULL;
	int r = read_file(ca, CA_NEXT_ROOT_CERTIFICATE, &next, NULL);

	if (r < 0 && r != -ENOENT) // there is one between prepare and activate
		return read_file(ca, CA_NEXT_ROOT_CERTIFICATE, &next, error);
	r = ca_trust(ca, &trusted, error);
	if (r < 0)
		return r;
	X509_free(next ? sk_X509_shift(next) : NULL); // the new root is among the trusted
	if (!stack || ca_push_chain(ca, stack) < 0 || certificates_push(stack, next) < 0 ||
	    certificates_push(stack, trusted) < 0)
		return no_memory(error);
	*ret = take(stack);
	return 0;
}
