// SPDX-License-Identifier: Apache-2.0

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/buffer.h"
#include "base/error.h"
#include "pki/pending.h"
#include "pki/request.h"
#include "unit/pki_fixture.h"

#define ALICE "spiffe://corp.example/laptop/alice"
#define BOB   "spiffe://corp.example/laptop/bob"

struct place {
	char *directory, *path;
	struct pending first;
};

static int set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	place->directory = fixture_directory();
	place->path = fixture_path(place->directory, ".join.pem");
	assert_int_equal(pending_begin(place->path, "joining 1", ALICE, &place->first, NULL), 0);
	*state = place;
	return 0;
}

static int tear_down(void **state)
{
	struct place *place = *state;

	pending_done(&place->first);
	fixture_directory_free(place->directory);
	free(place->path);
	free(place);
	return 0;
}

static void expect(const struct place *place, const char *purpose, const char *identity, bool same)
{
	struct pending again = {0};

	assert_int_equal(pending_begin(place->path, purpose, identity, &again, NULL), 0);
	assert_int_equal(EVP_PKEY_eq(again.key, place->first.key) == 1, same);
	assert_int_equal(again.size == place->first.size &&
				 memcmp(again.request, place->first.request, again.size) == 0,
			 same);
	pending_done(&again);
}

static void makes_a_request_of_its_key(void **state)
{
	struct place *place = *state;
	struct request request;
	struct stat info;

	assert_int_equal(request_read(place->first.request, place->first.size, &request, NULL), 0);
	assert_int_equal(EVP_PKEY_eq(request.key, place->first.key), 1);
	assert_string_equal(request.identity, ALICE);
	request_done(&request);
	assert_int_equal(stat(place->path, &info), 0);
	assert_int_equal(info.st_mode & 07777, 0600);
}

static void takes_up_what_was_begun(void **state)
{
	struct place *place = *state;

	expect(place, "joining 1", ALICE, true);
	expect(place, "joining 1", ALICE, true);
	expect(place, "joining 1", BOB, false);
	expect(place, "joining 1", ALICE, false); // BOB's is there now
}

static void begins_anew_for_another_purpose(void **state)
{
	expect(*state, "joining 2", ALICE, false);
}

static void begins_anew_without_a_name(void **state)
{
	expect(*state, "joining 1", NULL, false);
}

static void begins_anew_where_the_file_is_not_whole(void **state)
{
	struct place *place = *state;
	char *text;
	size_t size;

	assert_int_equal(file_read(place->path, 65536, &text, &size), 0);
	for (size_t cut = 0; cut < size - 1; cut += 29) {
		assert_int_equal(file_write(place->path, text, cut, 0600), 0);
		expect(place, "joining 1", ALICE, false);
	}
	// The request of another key.
	struct pending other = {0};
	_cleanup_(freep) char *path = fixture_path(place->directory, "other.pem");
	char *more;
	size_t more_size;
	assert_int_equal(pending_begin(path, "joining 1", ALICE, &other, NULL), 0);
	assert_int_equal(file_read(path, 65536, &more, &more_size), 0);
	char *mine = strstr(text, "-----BEGIN CERTIFICATE REQUEST"),
	     *theirs = strstr(more, "-----BEGIN CERTIFICATE REQUEST");
	assert_true(mine && theirs);
	char *mixed;
	assert_true(asprintf(&mixed, "%.*s%s", (int)(mine - text), text, theirs) > 0);
	assert_int_equal(file_write(place->path, mixed, strlen(mixed), 0600), 0);
	expect(place, "joining 1", ALICE, false);
	pending_done(&other);
	free(mixed);
	free(text);
	free(more);
}

static void needs_a_place(void **state)
{
	struct pending pending;
	struct error error = {0};

	(void)state;
	assert_int_equal(pending_begin("/nonexistent/x", "joining 1", NULL, &pending, &error),
			 -ENOENT);
	assert_string_equal(error.where, "/nonexistent/x");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(makes_a_request_of_its_key),
		TEST(takes_up_what_was_begun),
		TEST(begins_anew_for_another_purpose),
		TEST(begins_anew_without_a_name),
		TEST(begins_anew_where_the_file_is_not_whole),
		TEST(needs_a_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
