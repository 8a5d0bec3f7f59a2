// SPDX-License-Identifier: Apache-2.0
// The files of a new CA are written with the journal last, so that one without a journal was never finished.

#include "pki/ca.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/error.h"
#include "pki/ca_directory.h"
#include "pki/identity.h"
#include "pki/issuer.h"
#include "pki/journal.h"
#include "pki/key_uri.h"
#include "pki/passphrase.h"
#include "pki/pem.h"
#include "pki/tls.h"

// In memory.
struct material {
	EVP_PKEY *root_key, *issuing_key;
	X509 *root, *issuing;
	const struct passphrase *passphrase; // NULL: none
	const char *issuing_uri;	     // NULL: issuing_key is ours to write
};

static void material_done(struct material *material)
{
	X509_free(material->root);
	X509_free(material->issuing);
	EVP_PKEY_free(material->root_key);
	EVP_PKEY_free(material->issuing_key);
}

static int material_make(struct material *material, const struct ca_options *options,
			 struct error *error)
{
	time_t now = clock_wall();

	int r = profile_key_of(options->key, &material->root_key, error);
	if (r == 0)
		r = options->issuing_uri
			    ? key_uri_open(options->issuing_uri, material->passphrase,
					   &material->issuing_key, error)
			    : profile_key_of(options->key, &material->issuing_key, error);
	if (r == 0)
		r = issuer_root(options->domain, 1, material->root_key, now, &material->root,
				error);
	return r < 0 ? r
		     : issuer_intermediate(options->domain, 1, material->issuing_key,
					   material->root, material->root_key, now,
					   &material->issuing, error);
}

static int write_uri(const char *path, const char *uri, struct error *error)
{
	int r = file_write(path, uri, strlen(uri), 0600);

	if (r == 0)
		return 0;
	error_set(error, -r, "the file cannot be written: %s", strerror(-r));
	return error_where(error, "%s", path);
}

static int write_files(const struct material *material, char *const paths[CA_FILES],
		       struct error *error)
{
	int r = pem_write_locked_key(paths[CA_ROOT_KEY], material->root_key, material->passphrase,
				     error);
	if (r == 0)
		r = pem_write_certificate(paths[CA_ROOT_CERTIFICATE], material->root, NULL, error);
	if (r == 0)
		r = material->issuing_uri
			    ? write_uri(paths[CA_ISSUING_URI], material->issuing_uri, error)
			    : pem_write_locked_key(paths[CA_ISSUING_KEY], material->issuing_key,
						   material->passphrase, error);
	if (r == 0)
		r = pem_write_certificate(paths[CA_ISSUING_CERTIFICATE], material->issuing, NULL,
					  error);
	if (r == 0)
		r = pem_write_certificate(paths[CA_TRUST], material->root, NULL, error);
	return r < 0 ? r : journal_create(paths[CA_JOURNAL], error);
}

static int material_write(const struct material *material, const char *directory,
			  struct error *error)
{
	char *paths[CA_FILES];
	int r = 0;

	for (size_t i = 0; i < CA_FILES; i++)
		if (!(paths[i] = ca_directory_path(directory, (enum ca_file)i)))
			r = error_set(error, ENOMEM, "out of memory");
	if (r == 0)
		r = write_files(material, paths, error);
	// The directory was empty: whatever is there is ours.
	for (size_t i = 0; i < CA_FILES; i++) {
		if (r < 0 && paths[i])
			unlink(paths[i]);
		free(paths[i]);
	}
	return r;
}

static int check_domain(const char *domain, struct error *error)
{
	int r = identity_domain_check(domain, error);

	if (r < 0 || domain[0] != '.')
		return r;
	// In a name constraint a leading dot means "all names below" (RFC 5280, 4.2.1.10).
	error_set(error, EINVAL, "\"%.80s\" begins with a dot", domain);
	return error_expected(error, "a trust domain such as corp.example");
}

int ca_make(const char *directory, const struct ca_options *options, struct error *error)
{
	_cleanup_(material_done) struct material material = {.issuing_uri = options->issuing_uri};
	_cleanup_(passphrase_done) struct passphrase passphrase = {0};
	bool made = false;

	if (!tls_library())
		return error_set(error, ENOMEM, "out of memory");
	int r = check_domain(options->domain, error);
	if (r == 0 && options->passphrase_path) {
		r = passphrase_read(options->passphrase_path, &passphrase, error);
		material.passphrase = &passphrase;
	}
	if (r == 0)
		r = material_make(&material, options, error);
	if (r == 0)
		r = ca_directory_make(directory, &made, error);
	if (r < 0)
		return r;
	r = material_write(&material, directory, error);
	if (r < 0 && made)
		rmdir(directory);
	return r;
}

int ca_init(const char *directory, const char *domain, struct error *error)
{
	return ca_make(directory, &(struct ca_options){.domain = domain}, error);
}
