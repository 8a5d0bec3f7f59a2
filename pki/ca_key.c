// SPDX-License-Identifier: Apache-2.0

#include "pki/ca_key.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "pki/ca_directory.h"
#include "pki/key_uri.h"
#include "pki/passphrase.h"
#include "pki/pem.h"

#define URI_MAX 4096u

DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free);

static int load_file(const char *path, const struct passphrase *passphrase, EVP_PKEY **ret,
		     struct error *error)
{
	int r = ca_directory_check_secret(path, error);

	return r < 0 ? r : pem_read_locked_key(path, passphrase, ret, error);
}

static int load_uri(const char *path, const struct passphrase *passphrase, EVP_PKEY **ret,
		    struct error *error)
{
	_cleanup_(freep) char *uri = NULL;
	size_t size;

	int r = file_read(path, URI_MAX, &uri, &size);
	if (r < 0) {
		error_set(error, -r, "the URI of the key cannot be read: %s", strerror(-r));
		return error_where(error, "%s", path);
	}
	uri[strcspn(uri, "\r\n")] = '\0';
	return key_uri_open(uri, passphrase, ret, error);
}

static bool is_uri(enum ca_file file)
{
	return file == CA_ISSUING_URI || file == CA_NEXT_ISSUING_URI;
}

// -ENOENT: nothing is there.
static int load_place(const char *directory, enum ca_file file, const struct passphrase *passphrase,
		      bool uris, EVP_PKEY **ret, struct error *error)
{
	_cleanup_(freep) char *path = ca_directory_path(directory, file);

	if (!path)
		return error_set(error, ENOMEM, "out of memory");
	if (access(path, F_OK) < 0) {
		error_set(error, ENOENT, "the private key cannot be read: %s", strerror(ENOENT));
		return error_where(error, "%s", path);
	}
	if (!is_uri(file))
		return load_file(path, passphrase, ret, error);
	if (uris)
		return load_uri(path, passphrase, ret, error);
	error_set(error, ENOKEY, "the private key is not in this directory");
	return error_where(error, "%s", path);
}

static int no_fit(const char *directory, struct error *error)
{
	error_set(error, EKEYREJECTED, "the key does not belong to issuing.crt");
	error_where(error, "%s/issuing.key", directory);
	return error_remedy(error, "restore both from the same backup");
}

static int try_place(const char *directory, enum ca_file file, const X509 *certificate,
		     const struct passphrase *passphrase, bool uris, EVP_PKEY **ret,
		     struct error *error)
{
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;

	int r = load_place(directory, file, passphrase, uris, &key, error);
	if (r < 0)
		return r;
	if (EVP_PKEY_eq(X509_get0_pubkey(certificate), key) != 1)
		return no_fit(directory, error);
	*ret = take(key);
	return 0;
}

int ca_key_load(const char *directory, const X509 *certificate, const struct passphrase *passphrase,
		bool uris, EVP_PKEY **ret, struct error *error)
{
	static const enum ca_file places[] = {CA_ISSUING_KEY, CA_ISSUING_URI, CA_NEXT_ISSUING_KEY,
					      CA_NEXT_ISSUING_URI};
	struct error here = {0};
	int result = 0;

	for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		int r = try_place(directory, places[i], certificate, passphrase, uris, ret, &here);
		if (r == 0)
			return 0;
		// What is wrong with a key that is there says more than that another is not.
		if (i > 0 && (result != -ENOENT || r == -ENOENT))
			continue;
		result = r;
		if (error)
			*error = here;
	}
	return result;
}

int ca_key_load_root(const char *directory, const struct passphrase *passphrase, EVP_PKEY **ret,
		     struct error *error)
{
	return load_place(directory, CA_ROOT_KEY, passphrase, false, ret, error);
}
