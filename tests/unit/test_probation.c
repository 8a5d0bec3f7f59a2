// SPDX-License-Identifier: Apache-2.0

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "pki/credential.h"
#include "pki/obtain.h"
#include "pki/probation.h"
#include "pki/tls.h"
#include "unit/pki_fixture.h"

#define ALICE "spiffe://corp.example/laptop/alice"
#define HOUR  INT64_C(3600)

// A CA, and the files of one node in both layouts.
struct place {
	struct fixture *root, *issuing;
	char *directory, *certificate, *key, *previous;
	struct probation files;
};

static int place_make(void **state, bool one_file)
{
	struct place *place = calloc(1, sizeof(*place));

	place->root = fixture_root("root");
	place->issuing = fixture_intermediate(place->root, "issuing", "corp.example", 0);
	place->directory = fixture_directory();
	place->certificate = fixture_path(place->directory, "node.pem");
	place->key = fixture_path(place->directory, one_file ? "node.pem" : "node.key");
	place->previous = fixture_path(place->directory, "node.pem.previous");
	place->files = (struct probation){place->certificate, place->key};
	*state = place;
	return 0;
}

static int one_file(void **state)
{
	return place_make(state, true);
}

static int two_files(void **state)
{
	return place_make(state, false);
}

static int place_remove(void **state)
{
	struct place *place = *state;

	clock_set_wall(0);
	free(place->certificate);
	free(place->key);
	free(place->previous);
	fixture_directory_free(place->directory);
	fixture_free(place->issuing);
	fixture_free(place->root);
	free(place);
	return 0;
}

static struct fixture *leaf(const struct place *place, int64_t not_after_s)
{
	struct fixture_options options = {
		.uris = {ALICE}, .not_before_s = -300, .not_after_s = not_after_s};

	return fixture_issue(place->issuing, &options);
}

// Puts it into the files as the agent does; `current` may be NULL.
static int put(const struct place *place, const struct fixture *from, struct credential *current)
{
	struct error error = {0};
	STACK_OF(X509) *above = fixture_chain(from);
	struct obtained obtained = {.key = from->key, .leaf = from->certificate, .above = above};
	int r = probation_begin(&place->files, current, &obtained, clock_wall(), &error);

	sk_X509_free(above);
	return r;
}

static struct credential *in_files(const struct place *place)
{
	struct credential *credential = NULL;

	credential_load(tls_library(), place->certificate, place->key, clock_wall(), &credential,
			NULL);
	return credential;
}

static bool shows(const struct place *place, const struct fixture *expected)
{
	_cleanup_(credential_putp) struct credential *found = in_files(place);

	return found && X509_cmp(credential_leaf(found), expected->certificate) == 0;
}

static bool keeps(const struct place *place, const struct fixture *expected)
{
	_cleanup_(credential_putp) struct credential *kept = NULL;
	int r = probation_previous(&place->files, clock_wall(), &kept, NULL);

	if (!expected)
		return r == -ENOENT;
	return r == 0 && X509_cmp(credential_leaf(kept), expected->certificate) == 0;
}

static unsigned mode_of(const char *path)
{
	struct stat status;

	assert_int_equal(stat(path, &status), 0);
	return status.st_mode & 07777;
}

static void keeps_the_old_until_it_ends(void **state)
{
	struct place *place = *state;
	_cleanup_(fixture_freep) struct fixture *old = leaf(place, HOUR);
	_cleanup_(fixture_freep) struct fixture *new = leaf(place, 2 * HOUR);
	_cleanup_(credential_putp) struct credential *current = NULL;

	assert_int_equal(put(place, old, NULL), 0);
	assert_true(shows(place, old) && keeps(place, NULL)); // there was none before
	current = in_files(place);
	assert_int_equal(put(place, new, current), 0);
	assert_true(shows(place, new) && keeps(place, old));
	assert_int_equal(mode_of(place->previous), 0600);
	assert_int_equal(mode_of(place->key), 0600);
	assert_int_equal(probation_end(&place->files, NULL), 0);
	assert_true(shows(place, new) && keeps(place, NULL));
	assert_int_equal(probation_end(&place->files, NULL), 0); // nothing is left to forget
}

static void keeps_the_one_that_was_accepted(void **state)
{
	struct place *place = *state;
	_cleanup_(fixture_freep) struct fixture *good = leaf(place, HOUR);
	_cleanup_(fixture_freep) struct fixture *doubtful = leaf(place, 2 * HOUR);
	_cleanup_(fixture_freep) struct fixture *newest = leaf(place, 4 * HOUR);
	_cleanup_(credential_putp) struct credential *first = NULL;
	_cleanup_(credential_putp) struct credential *second = NULL;

	put(place, good, NULL);
	first = in_files(place);
	put(place, doubtful, first);
	second = in_files(place);
	put(place, newest, second);
	assert_true(shows(place, newest) && keeps(place, good));
	// Where that one has expired, the other is better than none.
	clock_set_wall(time(NULL) + HOUR + 60);
	put(place, newest, second);
	assert_true(keeps(place, doubtful));
}

static void goes_back(void **state)
{
	struct place *place = *state;
	_cleanup_(fixture_freep) struct fixture *old = leaf(place, HOUR);
	_cleanup_(fixture_freep) struct fixture *new = leaf(place, 2 * HOUR);
	_cleanup_(credential_putp) struct credential *current = NULL;
	struct error error;

	assert_int_equal(probation_undo(&place->files, clock_wall(), &error), -ENOENT);
	put(place, old, NULL);
	current = in_files(place);
	put(place, new, current);
	assert_int_equal(probation_undo(&place->files, clock_wall(), &error), 0);
	assert_true(shows(place, old) && keeps(place, NULL));
	put(place, new, current);
	clock_set_wall(time(NULL) + HOUR + 60);
	assert_int_equal(probation_undo(&place->files, clock_wall(), &error), -EKEYEXPIRED);
	assert_true(shows(place, new));
}

static void recovers_from_torn_files(void **state)
{
	struct place *place = *state;
	_cleanup_(fixture_freep) struct fixture *old = leaf(place, HOUR);
	_cleanup_(fixture_freep) struct fixture *new = leaf(place, 2 * HOUR);
	_cleanup_(credential_putp) struct credential *current = NULL;
	_cleanup_(freep) char *torn = fixture_path(place->directory, "node.pem.aB3xY9.new");
	_cleanup_(freep) char *others = fixture_path(place->directory, "node.pem.backup");
	struct error error = {0};

	put(place, old, NULL);
	current = in_files(place);
	put(place, new, current);
	assert_int_equal(probation_recover(&place->files, clock_wall(), &error), 0); // all is well
	assert_true(shows(place, new) && keeps(place, old));
	fixture_write_text(torn, "-----BEGIN CERT");
	fixture_write_text(others, "not ours");
	if (place->key != place->certificate && strcmp(place->key, place->certificate) != 0)
		fixture_write_key(old, place->key); // killed between the two
	else
		fixture_write_text(place->certificate, "-----BEGIN CERT");
	assert_int_equal(probation_recover(&place->files, clock_wall(), &error), 1);
	assert_true(error.code != 0);
	assert_true(shows(place, old) && keeps(place, NULL));
	assert_int_equal(access(torn, F_OK), -1);
	assert_int_equal(access(others, F_OK), 0);
	fixture_write_text(place->certificate, "");
	assert_int_equal(probation_recover(&place->files, clock_wall(), &error),
			 0); // nothing helps
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(keeps_the_old_until_it_ends, one_file,
						place_remove),
		cmocka_unit_test_setup_teardown(keeps_the_old_until_it_ends, two_files,
						place_remove),
		cmocka_unit_test_setup_teardown(keeps_the_one_that_was_accepted, one_file,
						place_remove),
		cmocka_unit_test_setup_teardown(goes_back, one_file, place_remove),
		cmocka_unit_test_setup_teardown(goes_back, two_files, place_remove),
		cmocka_unit_test_setup_teardown(recovers_from_torn_files, one_file, place_remove),
		cmocka_unit_test_setup_teardown(recovers_from_torn_files, two_files, place_remove),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
