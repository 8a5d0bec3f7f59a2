// SPDX-License-Identifier: Apache-2.0

#include "pki/ca_rotate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "pki/ca.h"
#include "pki/ca_directory.h"
#include "pki/ca_revoke.h"
#include "pki/ca_settle.h"
#include "pki/ca_strand.h"
#include "pki/certificate.h"
#include "pki/issuer.h"
#include "pki/journal.h"
#include "pki/key_uri.h"
#include "pki/passphrase.h"
#include "pki/pem.h"

DEFINE_CLEANUP(X509 *, X509_free);
DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free);

// One command, alone on its CA.
struct rotate {
	const struct ca_rotate_options *options;
	struct ca *ca;
	int lock;
	struct passphrase passphrase;
	bool has_passphrase;
	struct rotation rotation; // where the root is
	STACK_OF(X509) * root;	  // root.crt
};

static void rotate_done(struct rotate *rotate)
{
	sk_X509_pop_free(rotate->root, X509_free);
	passphrase_done(&rotate->passphrase);
	ca_close(rotate->ca);
	closep(&rotate->lock);
}

static int take_lock(struct rotate *rotate, const char *directory, struct error *error)
{
	rotate->lock = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (rotate->lock >= 0 && flock(rotate->lock, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (rotate->lock >= 0 && errno == EWOULDBLOCK)
		error_set(error, EBUSY, "somebody else changes the issuers of this CA");
	else
		error_set(error, errno, "the directory cannot be opened: %m");
	return error_where(error, "%s", directory);
}

// With the CA's keys encrypted, new ones are, too.
static int get_passphrase(struct rotate *rotate, struct error *error)
{
	bool locked =
		!ca_key(rotate->ca) && ca_directory_has(ca_directory(rotate->ca), CA_ISSUING_KEY);

	int r = passphrase_read(rotate->options->passphrase_path, &rotate->passphrase, error);
	rotate->has_passphrase = r == 0;
	if (r != -ENOKEY || !locked)
		return r == -ENOKEY ? 0 : r;
	error_set(error, ENOKEY, "the keys of this CA are encrypted");
	return error_remedy(error, "name the file that holds the passphrase: --passphrase-file");
}

static int read_certificates(const struct rotate *rotate, enum ca_file file, STACK_OF(X509) * *ret,
			     struct error *error)
{
	_cleanup_(freep) char *path = ca_directory_path(ca_directory(rotate->ca), file);

	return path ? pem_read_certificates(path, ret, error)
		    : error_set(error, ENOMEM, "out of memory");
}

// `settle`: what was decided before comes first.
static int rotate_begin(struct rotate *rotate, const char *directory, bool settle,
			struct error *error)
{
	int r = take_lock(rotate, directory, error);
	if (r == 0)
		r = ca_open(directory, &rotate->ca, error);
	if (r == 0 && settle) {
		r = ca_settle(rotate->ca, error);
		rotate->ca = ca_close(rotate->ca);
		if (r == 0)
			r = ca_open(directory, &rotate->ca, error);
	}
	if (r == 0)
		r = get_passphrase(rotate, error);
	if (r == 0)
		r = rotation_read(ca_journal(rotate->ca), &rotate->rotation, error);
	return r < 0 ? r : read_certificates(rotate, CA_ROOT_CERTIFICATE, &rotate->root, error);
}

// The list of what is revoked is signed anew by whoever may sign now.
static int rotate_end(struct rotate *rotate, const char *directory, struct error *error)
{
	int r = ca_settle(rotate->ca, error);

	rotate->ca = ca_close(rotate->ca);
	if (r == 0)
		r = ca_open(directory, &rotate->ca, error);
	return r < 0 ? r : ca_publish(rotate->ca, rotate->options->passphrase_path, error);
}

static const struct passphrase *passphrase_of(const struct rotate *rotate)
{
	return rotate->has_passphrase ? &rotate->passphrase : NULL;
}

// The key of the root `certificate`, which is in `file` unless the operator says where.
static int load_root_key(const struct rotate *rotate, enum ca_file file, const X509 *certificate,
			 EVP_PKEY **ret, struct error *error)
{
	_cleanup_(freep) char *own = ca_directory_path(ca_directory(rotate->ca), file);
	const char *path = rotate->options->root_key_path ? rotate->options->root_key_path : own;
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;

	if (!path)
		return error_set(error, ENOMEM, "out of memory");
	int r = key_uri_is(path) ? key_uri_open(path, passphrase_of(rotate), &key, error)
				 : ca_directory_check_secret(path, error);
	if (r == 0 && !key)
		r = pem_read_locked_key(path, passphrase_of(rotate), &key, error);
	if (r == -ENOENT && path == own)
		error_remedy(error, "name the root's key where it is kept: --root-key FILE");
	if (r == -ENOKEY)
		error_remedy(error, "name the file that holds the passphrase: --passphrase-file");
	if (r < 0)
		return r;
	if (EVP_PKEY_eq(X509_get0_pubkey(certificate), key) == 1) {
		*ret = take(key);
		return 0;
	}
	error_set(error, EKEYREJECTED, "this is not the key of the root \"%s %u\"", "root CA",
		  profile_generation(certificate));
	return error_where(error, "%s", path);
}

// Of the kind that the operator wants, or as the one before.
static int make_key(const struct rotate *rotate, const X509 *before, EVP_PKEY **ret,
		    struct error *error)
{
	const struct ca_rotate_options *options = rotate->options;

	return profile_key_of(options->has_key ? options->key
					       : profile_key_like(X509_get0_pubkey(before)),
			      ret, error);
}

static int write_secret(const struct rotate *rotate, enum ca_file file, EVP_PKEY *key,
			struct error *error)
{
	_cleanup_(freep) char *path = ca_directory_path(ca_directory(rotate->ca), file);

	return path ? pem_write_locked_key(path, key, passphrase_of(rotate), error)
		    : error_set(error, ENOMEM, "out of memory");
}

static int write_uri(const struct rotate *rotate, struct error *error)
{
	_cleanup_(freep) char *path =
		ca_directory_path(ca_directory(rotate->ca), CA_NEXT_ISSUING_URI);
	const char *uri = rotate->options->issuing_uri;

	int r = path ? file_write(path, uri, strlen(uri), 0600) : -ENOMEM;
	if (r == 0)
		return 0;
	error_set(error, -r, "the file cannot be written: %s", strerror(-r));
	return error_where(error, "%s", path);
}

static int write_certificates(const struct rotate *rotate, enum ca_file file, X509 *first,
			      STACK_OF(X509) * above, struct error *error)
{
	_cleanup_(freep) char *path = ca_directory_path(ca_directory(rotate->ca), file);

	return path ? pem_write_certificate(path, first, above, error)
		    : error_set(error, ENOMEM, "out of memory");
}

static void set_who(const struct rotate *rotate, char who[ROTATION_WHO_MAX])
{
	snprintf(who, ROTATION_WHO_MAX, "%s", rotate->options->who ? rotate->options->who : "");
}

// --- what signs leaves

static int get_issuing_key(const struct rotate *rotate, EVP_PKEY **ret, struct error *error)
{
	const char *uri = rotate->options->issuing_uri;
	X509 *before = ca_certificate(rotate->ca);

	if (!uri && !rotate->options->has_key &&
	    ca_directory_has(ca_directory(rotate->ca), CA_ISSUING_URI)) {
		error_set(error, EINVAL, "the issuing key is not in the directory");
		return error_remedy(error,
				    "make a new one where it is, and name it: --issuing-key-uri "
				    "URI; or --key KIND makes one here");
	}
	int r = uri ? key_uri_open(uri, passphrase_of(rotate), ret, error)
		    : make_key(rotate, before, ret, error);
	if (r < 0 || EVP_PKEY_eq(X509_get0_pubkey(before), *ret) != 1)
		return r;
	EVP_PKEY_free(*ret);
	*ret = NULL;
	error_set(error, EINVAL, "this is the issuing key that is in use");
	return error_where(error, "%s", uri);
}

// Makes an issuer below the first of `roots` ready, to be sent with the rest of them. The certificate goes first (ca_settle.c).
static int make_issuer(const struct rotate *rotate, STACK_OF(X509) * roots, EVP_PKEY *root_key,
		       X509 **ret, struct error *error)
{
	X509 *before = ca_certificate(rotate->ca);
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	_cleanup_(X509_freep) X509 *issuer = NULL;
	STACK_OF(X509) *above = sk_X509_dup(roots);

	int r = get_issuing_key(rotate, &key, error);
	if (r == 0)
		r = issuer_intermediate(ca_domain(rotate->ca), profile_generation(before) + 1, key,
					sk_X509_value(roots, 0), root_key, clock_wall(), &issuer,
					error);
	sk_X509_shift(above);
	if (r == 0)
		r = write_certificates(rotate, CA_NEXT_ISSUING_CERTIFICATE, issuer, above, error);
	sk_X509_free(above);
	if (r == 0)
		r = rotate->options->issuing_uri
			    ? write_uri(rotate, error)
			    : write_secret(rotate, CA_NEXT_ISSUING_KEY, key, error);
	if (r == 0)
		*ret = take(issuer);
	return r;
}

static int journal_issuer(const struct rotate *rotate, X509 *issuer, struct error *error)
{
	struct rotation_issuer change = {.at = clock_wall()};

	set_who(rotate, change.who);
	rotation_hash(ca_certificate(rotate->ca), change.old);
	rotation_hash(issuer, change.new);
	return rotation_add_issuer(ca_journal(rotate->ca), &change, issuer, error);
}

int ca_rotate_issuing(const char *directory, const struct ca_rotate_options *options,
		      struct error *error)
{
	_cleanup_(rotate_done) struct rotate rotate = {.options = options, .lock = -1};
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *root_key = NULL;
	_cleanup_(X509_freep) X509 *issuer = NULL;

	int r = rotate_begin(&rotate, directory, true, error);
	if (r == 0)
		r = load_root_key(&rotate, CA_ROOT_KEY, sk_X509_value(rotate.root, 0), &root_key,
				  error);
	if (r == 0)
		r = make_issuer(&rotate, rotate.root, root_key, &issuer, error);
	if (r == 0)
		r = journal_issuer(&rotate, issuer, error);
	return r < 0 ? r : rotate_end(&rotate, directory, error);
}

// --- the root

static int journal_root(const struct rotate *rotate, enum rotation_step step, const char *stranded,
			struct error *error)
{
	struct rotation next = rotate->rotation;

	next.step = step;
	next.at = clock_wall();
	set_who(rotate, next.who);
	return rotation_add(ca_journal(rotate->ca), &next, stranded, error);
}

static int not_now(const struct rotate *rotate, const char *wanted, const char *remedy,
		   struct error *error)
{
	enum rotation_step step = rotate->rotation.step;

	error_set(error, EPERM, "%s: the root's roll-over is %s", wanted,
		  step == ROTATION_NONE ? "not begun" : rotation_step_name(step));
	return error_remedy(error, "%s", remedy);
}

static int make_root(struct rotate *rotate, EVP_PKEY *old_key, struct error *error)
{
	X509 *old = sk_X509_value(rotate->root, 0);
	time_t now = clock_wall();
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	_cleanup_(X509_freep) X509 *root = NULL;
	_cleanup_(certificates_freep) STACK_OF(X509) *above = sk_X509_new_null();
	X509 *cross = NULL;

	int r = make_key(rotate, old, &key, error);
	if (r == 0)
		r = issuer_root(ca_domain(rotate->ca), profile_generation(old) + 1, key, now, &root,
				error);
	if (r == 0)
		r = issuer_cross(ca_domain(rotate->ca), root, old, old_key, now, &cross, error);
	if (r == 0 && (!above || !sk_X509_push(above, cross))) {
		X509_free(cross);
		r = error_set(error, ENOMEM, "out of memory");
	}
	if (r == 0)
		r = write_certificates(rotate, CA_NEXT_ROOT_CERTIFICATE, root, above, error);
	if (r == 0)
		r = write_secret(rotate, CA_NEXT_ROOT_KEY, key, error);
	rotation_hash(old, rotate->rotation.old);
	if (r == 0)
		rotation_hash(root, rotate->rotation.new);
	return r;
}

int ca_rotate_prepare(const char *directory, const struct ca_rotate_options *options,
		      struct error *error)
{
	_cleanup_(rotate_done) struct rotate rotate = {.options = options, .lock = -1};
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *old_key = NULL;

	int r = rotate_begin(&rotate, directory, true, error);
	if (r < 0 || rotate.rotation.step == ROTATION_PREPARED)
		return r < 0 ? r : rotate_end(&rotate, directory, error);
	if (rotate.rotation.step == ROTATION_ACTIVATED)
		return not_now(&rotate, "no other root can be prepared",
			       "rotate finish comes first", error);
	r = load_root_key(&rotate, CA_ROOT_KEY, sk_X509_value(rotate.root, 0), &old_key, error);
	if (r == 0)
		r = make_root(&rotate, old_key, error);
	if (r == 0)
		r = journal_root(&rotate, ROTATION_PREPARED, NULL, error);
	return r < 0 ? r : rotate_end(&rotate, directory, error);
}

static int check_strands(const struct rotate *rotate, bool leaves, char **ret, struct error *error)
{
	const struct ca_rotate_options *options = rotate->options;
	struct ca_strand strand = {
		.readiness = options->readiness, .tell = options->stranded, .data = options->data};

	int r = ca_strand(rotate->ca, &rotate->rotation, leaves, &strand, error);
	if (r < 0)
		return r;
	*ret = strand.names;
	if (strand.count == 0 || options->force)
		return 0;
	error_set(error, ENOTEMPTY, "%zu node%s would be stranded", strand.count,
		  strand.count == 1 ? "" : "s");
	return error_remedy(error, leaves ? "wait until they have renewed and were heard "
					    "again, or their old certificates have expired, or "
					    "say --force"
					  : "wait until they have the new trust.crt and were heard "
					    "again, or say --force");
}

int ca_rotate_activate(const char *directory, const struct ca_rotate_options *options,
		       struct error *error)
{
	_cleanup_(rotate_done) struct rotate rotate = {.options = options, .lock = -1};
	_cleanup_(certificates_freep) STACK_OF(X509) *roots = NULL;
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *root_key = NULL;
	_cleanup_(X509_freep) X509 *issuer = NULL;
	_cleanup_(freep) char *stranded = NULL;

	int r = rotate_begin(&rotate, directory, true, error);
	if (r < 0 || rotate.rotation.step == ROTATION_ACTIVATED)
		return r < 0 ? r : rotate_end(&rotate, directory, error);
	if (rotate.rotation.step != ROTATION_PREPARED)
		return not_now(&rotate, "there is nothing to activate",
			       "rotate prepare comes first", error);
	r = check_strands(&rotate, false, &stranded, error);
	if (r == 0)
		r = read_certificates(&rotate, CA_NEXT_ROOT_CERTIFICATE, &roots, error);
	if (r == 0)
		r = load_root_key(&rotate, CA_NEXT_ROOT_KEY, sk_X509_value(roots, 0), &root_key,
				  error);
	if (r == 0)
		r = make_issuer(&rotate, roots, root_key, &issuer, error);
	if (r == 0)
		r = journal_begin(ca_journal(rotate.ca), error);
	if (r < 0)
		return r;
	// The row of the issuer comes after the root's: it is what rotation_signed_since() counts from.
	r = journal_root(&rotate, ROTATION_ACTIVATED, stranded, error);
	if (r == 0)
		r = journal_issuer(&rotate, issuer, error);
	int ended = journal_end(ca_journal(rotate.ca), r == 0, r == 0 ? error : NULL);
	if (r < 0 || ended < 0)
		return r < 0 ? r : ended;
	return rotate_end(&rotate, directory, error);
}

int ca_rotate_finish(const char *directory, const struct ca_rotate_options *options,
		     struct error *error)
{
	_cleanup_(rotate_done) struct rotate rotate = {.options = options, .lock = -1};
	_cleanup_(freep) char *stranded = NULL;

	int r = rotate_begin(&rotate, directory, true, error);
	if (r < 0 || rotate.rotation.step == ROTATION_FINISHED)
		return r < 0 ? r : rotate_end(&rotate, directory, error);
	if (rotate.rotation.step != ROTATION_ACTIVATED)
		return not_now(&rotate, "there is nothing to finish", "rotate activate comes first",
			       error);
	r = check_strands(&rotate, true, &stranded, error);
	if (r == 0)
		r = journal_root(&rotate, ROTATION_FINISHED, stranded, error);
	return r < 0 ? r : rotate_end(&rotate, directory, error);
}

int ca_rotate_abort(const char *directory, const struct ca_rotate_options *options,
		    struct error *error)
{
	_cleanup_(rotate_done) struct rotate rotate = {.options = options, .lock = -1};

	// Not settled before: what is prepared may be damaged.
	int r = rotate_begin(&rotate, directory, false, error);
	if (r < 0)
		return r;
	if (rotate.rotation.step == ROTATION_ABORTED)
		return rotate_end(&rotate, directory, error);
	if (rotate.rotation.step != ROTATION_PREPARED)
		return not_now(&rotate, "there is nothing to abort",
			       rotate.rotation.step == ROTATION_ACTIVATED
				       ? "nodes have certificates below the new root by now; "
					 "another roll-over leads back"
				       : "rotate prepare begins one",
			       error);
	r = journal_root(&rotate, ROTATION_ABORTED, NULL, error);
	return r < 0 ? r : rotate_end(&rotate, directory, error);
}
