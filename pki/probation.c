// SPDX-License-Identifier: Apache-2.0

#include "pki/probation.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/error.h"
#include "pki/credential.h"
#include "pki/obtain.h"
#include "pki/pem.h"
#include "pki/tls.h"

DEFINE_CLEANUP(STACK_OF(X509) *, sk_X509_free);

// New; NULL: out of memory.
static char *previous_path(const struct probation *probation)
{
	char *path;

	return asprintf(&path, "%s.previous", probation->certificate) < 0 ? NULL : path;
}

static int load(const struct probation *probation, time_t now, struct credential **ret,
		struct error *error)
{
	return credential_load(tls_library(), probation->certificate, probation->key, now, ret,
			       error);
}

// The leaf, and what is above it.
static STACK_OF(X509) * whole_chain(X509 *leaf, STACK_OF(X509) * above)
{
	STACK_OF(X509) *chain = sk_X509_new_null();
	bool good = chain && sk_X509_push(chain, leaf);

	for (int i = 0; good && i < sk_X509_num(above); i++)
		good = sk_X509_push(chain, sk_X509_value(above, i));
	if (good)
		return chain;
	sk_X509_free(chain);
	return NULL;
}

// Two files cannot change at once: in between they are no pair, which probation_recover() knows.
static int write_pair(const struct probation *probation, X509 *leaf, STACK_OF(X509) * above,
		      EVP_PKEY *key, struct error *error)
{
	if (strcmp(probation->certificate, probation->key) == 0)
		return pem_write_pair(probation->certificate, leaf, above, key, error);
	_cleanup_(sk_X509_freep) STACK_OF(X509) *chain = whole_chain(leaf, above);
	if (!chain)
		return error_set(error, ENOMEM, "out of memory");
	int r = pem_write_key(probation->key, key, error);
	return r < 0 ? r : pem_write_certificates(probation->certificate, chain, error);
}

int probation_previous(const struct probation *probation, time_t now, struct credential **ret,
		       struct error *error)
{
	_cleanup_(freep) char *path = previous_path(probation);

	return path ? load(&(struct probation){path, path}, now, ret, error)
		    : error_set(error, ENOMEM, "out of memory");
}

// What is not valid now is not kept: it would be no use.
static int keep(const struct probation *probation, const struct credential *current, time_t now,
		struct error *error)
{
	_cleanup_(credential_putp) struct credential *kept = NULL;
	_cleanup_(freep) char *path = previous_path(probation);

	if (!path)
		return error_set(error, ENOMEM, "out of memory");
	if (!current || credential_not_after(current) <= now ||
	    credential_not_before(current) > now ||
	    probation_previous(probation, now, &kept, NULL) == 0)
		return 0;
	return pem_write_pair(path, credential_leaf(current), credential_chain(current),
			      credential_key(current), error);
}

int probation_begin(const struct probation *probation, const struct credential *current,
		    const struct obtained *obtained, time_t now, struct error *error)
{
	int r = keep(probation, current, now, error);

	return r < 0 ? r
		     : write_pair(probation, obtained->leaf, obtained->above, obtained->key, error);
}

int probation_end(const struct probation *probation, struct error *error)
{
	_cleanup_(freep) char *path = previous_path(probation);

	if (!path)
		return error_set(error, ENOMEM, "out of memory");
	if (unlink(path) == 0 || errno == ENOENT)
		return 0;
	error_set(error, errno, "the previous pair cannot be removed: %m");
	return error_where(error, "%s", path);
}

int probation_undo(const struct probation *probation, time_t now, struct error *error)
{
	_cleanup_(credential_putp) struct credential *kept = NULL;

	int r = probation_previous(probation, now, &kept, error);
	if (r == 0)
		r = write_pair(probation, credential_leaf(kept), credential_chain(kept),
			       credential_key(kept), error);
	return r < 0 ? r : probation_end(probation, error);
}

static void remove_leftovers(const char *path)
{
	_cleanup_(freep) char *pattern = NULL;
	glob_t found = {0};

	if (asprintf(&pattern, "%s" FILE_WRITE_GLOB, path) < 0) {
		pattern = NULL;
		return;
	}
	if (glob(pattern, GLOB_NOSORT, NULL, &found) == 0)
		for (size_t i = 0; i < found.gl_pathc; i++)
			unlink(found.gl_pathv[i]);
	globfree(&found);
}

int probation_recover(const struct probation *probation, time_t now, struct error *error)
{
	_cleanup_(credential_putp) struct credential *current = NULL;
	_cleanup_(freep) char *path = previous_path(probation);

	if (!path || !tls_library())
		return 0;
	remove_leftovers(probation->certificate);
	remove_leftovers(probation->key);
	remove_leftovers(path);
	if (load(probation, now, &current, error) == 0)
		return 0;
	return probation_undo(probation, now, NULL) == 0;
}
