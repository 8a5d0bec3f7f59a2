// SPDX-License-Identifier: Apache-2.0
// Theory. A step makes its new files ready as *.next.*, certificate first and key second; then the journal gets its row, which
// is the decision; then the files move into place, the certificate of an issuer first and its key second, of a root the other
// way round. So a *.next.crt that the journal knows is decided, one that it does not know was never, and a *.next.key is never
// alone but while it follows its certificate. What is replaced stays under the number of its generation.

#include "pki/ca_settle.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "pki/bundle.h"
#include "pki/ca.h"
#include "pki/ca_directory.h"
#include "pki/certificate.h"
#include "pki/pem.h"
#include "pki/profile.h"
#include "pki/rotation.h"

// All certificates of a file; none where there is no file.
static int read_file(const char *directory, enum ca_file file, STACK_OF(X509) * *ret,
		     struct error *error)
{
	_cleanup_(freep) char *path = ca_directory_path(directory, file);

	if (!path)
		return error_set(error, ENOMEM, "out of memory");
	if (!ca_directory_has(directory, file)) {
		*ret = sk_X509_new_null();
		return *ret ? 0 : error_set(error, ENOMEM, "out of memory");
	}
	return pem_read_certificates(path, ret, error);
}

static int write_file(const char *directory, enum ca_file file, STACK_OF(X509) * stack,
		      struct error *error)
{
	_cleanup_(freep) char *path = ca_directory_path(directory, file);

	return path ? pem_write_certificates(path, stack, error)
		    : error_set(error, ENOMEM, "out of memory");
}

static bool is(STACK_OF(X509) * stack, const char *hash)
{
	char text[ROTATION_HASH_TEXT];

	return sk_X509_num(stack) > 0 &&
	       strcmp(rotation_hash(sk_X509_value(stack, 0), text), hash) == 0;
}

// --- what signs leaves

static int keep_issuer(const char *directory, X509 *certificate, struct error *error)
{
	unsigned generation = profile_generation(certificate);

	int r = ca_directory_keep(directory, CA_ISSUING_CERTIFICATE, generation, error);
	if (r == 0)
		r = ca_directory_keep(directory, CA_ISSUING_KEY, generation, error);
	return r < 0 ? r : ca_directory_keep(directory, CA_ISSUING_URI, generation, error);
}

static int drop_next_issuer(const char *directory, struct error *error)
{
	int r = ca_directory_remove(directory, CA_NEXT_ISSUING_KEY, error);

	if (r == 0)
		r = ca_directory_remove(directory, CA_NEXT_ISSUING_URI, error);
	return r < 0 ? r : ca_directory_remove(directory, CA_NEXT_ISSUING_CERTIFICATE, error);
}

static int move_issuing_key(const char *directory, struct error *error)
{
	int r = 0;

	if (ca_directory_has(directory, CA_NEXT_ISSUING_KEY)) {
		r = ca_directory_move(directory, CA_NEXT_ISSUING_KEY, CA_ISSUING_KEY, error);
		if (r == 0)
			r = ca_directory_remove(directory, CA_ISSUING_URI, error);
	} else if (ca_directory_has(directory, CA_NEXT_ISSUING_URI)) {
		r = ca_directory_move(directory, CA_NEXT_ISSUING_URI, CA_ISSUING_URI, error);
		if (r == 0)
			r = ca_directory_remove(directory, CA_ISSUING_KEY, error);
	}
	return r;
}

static int settle_issuer(const struct ca *ca, struct error *error)
{
	const char *directory = ca_directory(ca);
	_cleanup_(certificates_freep) STACK_OF(X509) *next = NULL;
	_cleanup_(certificates_freep) STACK_OF(X509) *current = NULL;
	struct rotation_issuer decided;

	int r = rotation_read_issuer(ca_journal(ca), &decided, error);
	if (r == 0)
		r = read_file(directory, CA_NEXT_ISSUING_CERTIFICATE, &next, error);
	if (r == 0)
		r = read_file(directory, CA_ISSUING_CERTIFICATE, &current, error);
	if (r < 0)
		return r;
	if (sk_X509_num(next) > 0 && !is(next, decided.new))
		return drop_next_issuer(directory, error);
	if (sk_X509_num(next) > 0) {
		r = keep_issuer(directory, sk_X509_value(current, 0), error);
		if (r == 0)
			r = ca_directory_move(directory, CA_NEXT_ISSUING_CERTIFICATE,
					      CA_ISSUING_CERTIFICATE, error);
	}
	return r < 0 ? r : move_issuing_key(directory, error);
}

// --- roots

// Adds a certificate to what nodes trust, or takes the one with this hash out.
static int change_trust(const char *directory, X509 *add, const char *remove, struct error *error)
{
	_cleanup_(certificates_freep) STACK_OF(X509) *trusted = NULL;
	char text[ROTATION_HASH_TEXT];
	bool changed = false;

	int r = read_file(directory, CA_TRUST, &trusted, error);
	if (r < 0)
		return r;
	for (int i = sk_X509_num(trusted) - 1; i >= 0; i--) {
		rotation_hash(sk_X509_value(trusted, i), text);
		if (add && X509_cmp(add, sk_X509_value(trusted, i)) == 0)
			return 0;
		if (remove && strcmp(text, remove) == 0) {
			X509_free(sk_X509_delete(trusted, i));
			changed = true;
		}
	}
	if (add) {
		X509_up_ref(add);
		if (!sk_X509_push(trusted, add)) {
			X509_free(add);
			return error_set(error, ENOMEM, "out of memory");
		}
	}
	_cleanup_(freep) char *path = ca_directory_path(directory, CA_TRUST);
	if (!path)
		return error_set(error, ENOMEM, "out of memory");
	return add || changed ? bundle_write(path, trusted, error) : 0;
}

static int drop_next_root(const char *directory, struct error *error)
{
	int r = ca_directory_remove(directory, CA_NEXT_ROOT_KEY, error);

	return r < 0 ? r : ca_directory_remove(directory, CA_NEXT_ROOT_CERTIFICATE, error);
}

// The key before its certificate: as long as that is not in its place, a key beside it is the next one's.
static int move_root(const char *directory, struct error *error)
{
	_cleanup_(certificates_freep) STACK_OF(X509) *old = NULL;

	int r = read_file(directory, CA_ROOT_CERTIFICATE, &old, error);
	if (r < 0)
		return r;
	unsigned generation = sk_X509_num(old) > 0 ? profile_generation(sk_X509_value(old, 0)) : 1;
	if (ca_directory_has(directory, CA_NEXT_ROOT_KEY)) {
		r = ca_directory_keep(directory, CA_ROOT_KEY, generation, error);
		if (r == 0)
			r = ca_directory_move(directory, CA_NEXT_ROOT_KEY, CA_ROOT_KEY, error);
	}
	if (r == 0)
		r = ca_directory_keep(directory, CA_ROOT_CERTIFICATE, generation, error);
	return r < 0 ? r
		     : ca_directory_move(directory, CA_NEXT_ROOT_CERTIFICATE, CA_ROOT_CERTIFICATE,
					 error);
}

// What is sent above the first certificate of a file is no longer.
static int keep_first(const char *directory, enum ca_file file, struct error *error)
{
	_cleanup_(certificates_freep) STACK_OF(X509) *stack = NULL;

	int r = read_file(directory, file, &stack, error);
	if (r < 0 || sk_X509_num(stack) <= 1)
		return r;
	while (sk_X509_num(stack) > 1)
		X509_free(sk_X509_pop(stack));
	return write_file(directory, file, stack, error);
}

static int finish(const char *directory, const struct rotation *decided, struct error *error)
{
	int r = change_trust(directory, NULL, decided->old, error);

	if (r == 0)
		r = keep_first(directory, CA_ISSUING_CERTIFICATE, error);
	return r < 0 ? r : keep_first(directory, CA_ROOT_CERTIFICATE, error);
}

static int settle_root(const struct ca *ca, struct error *error)
{
	const char *directory = ca_directory(ca);
	_cleanup_(certificates_freep) STACK_OF(X509) *next = NULL;
	struct rotation decided;

	int r = rotation_read(ca_journal(ca), &decided, error);
	if (r == 0)
		r = read_file(directory, CA_NEXT_ROOT_CERTIFICATE, &next, error);
	if (r < 0)
		return r;
	bool ready = is(next, decided.new);
	switch (decided.step) {
	case ROTATION_NONE:
		return drop_next_root(directory, error);
	case ROTATION_PREPARED:
		if (ready)
			return change_trust(directory, sk_X509_value(next, 0), NULL, error);
		error_set(error, ENOENT, "the root that is prepared is missing");
		error_where(error, "%s/root.next.crt", directory);
		return error_remedy(error, "restore it from a backup, or: rotate abort");
	case ROTATION_ACTIVATED:
		return ready ? move_root(directory, error) : 0;
	case ROTATION_FINISHED:
		r = finish(directory, &decided, error);
		return r < 0 ? r : drop_next_root(directory, error);
	case ROTATION_ABORTED:
		r = change_trust(directory, NULL, decided.new, error);
		return r < 0 ? r : drop_next_root(directory, error);
	}
	return 0;
}

int ca_settle(const struct ca *ca, struct error *error)
{
	int r = settle_root(ca, error);

	return r < 0 ? r : settle_issuer(ca, error);
}
