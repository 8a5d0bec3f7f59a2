// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "daemon/denial_files.h"
#include "pki/denial_store.h"
#include "pki/denials_file.h"
#include "pki/trust.h"
#include "unit/denial_fixture.h"

#define DOMAIN	    "corp.example"
#define DENY	    "deny identity spiffe://corp.example/a%u 0 keyCompromise"
#define PATIENCE_MS 20000u

static struct trust *trust_of(void *data)
{
	return data;
}

// On a full disk, for one: what was not written is written later.
static void what_could_not_be_kept_is_kept_later(void **state)
{
	static const char *const words[] = {
		"deny identity spiffe://corp.example/a 0 keyCompromise"};
	char *directory = fixture_directory();
	char *kept = fixture_path(directory, "state");
	_cleanup_(freep) char *copy = fixture_path(directory, "state/denials-" DOMAIN);
	_cleanup_(fixture_freep) struct fixture *root = fixture_root("root");
	_cleanup_(trust_putp) struct trust *trust = fixture_trust(DOMAIN, root);
	_cleanup_(denials_putp) struct denials *denials =
		fixture_denials(NULL, DOMAIN, words, 1, root);
	_cleanup_(denial_store_freep) struct denial_store *store = denial_store_new(NULL, NULL);
	uint64_t until = clock_ms() + PATIENCE_MS;
	struct denial_files *files;
	sd_event *event;

	(void)state;
	assert_true(sd_event_new(&event) >= 0);
	struct denial_files_tools tools = {
		.event = event, .store = store, .state = kept, .trust = trust_of, .data = trust};
	assert_int_equal(denial_files_new(&tools, &files), 0);
	assert_int_equal(denial_store_put(store, denials, "CA"), 0);
	denial_files_keep(files);
	assert_true(sd_event_run(event, (uint64_t)PATIENCE_MS * 1000) > 0);
	assert_int_equal(mkdir(kept, 0700), 0);
	while (access(copy, F_OK) < 0 && clock_ms() < until) {
		denial_files_keep(files);
		sd_event_run(event, 10000);
	}
	assert_int_equal(access(copy, F_OK), 0);
	denial_files_free(files);
	sd_event_unref(event);
	fixture_directory_free(kept);
	fixture_directory_free(directory);
}

#define STEP UINT64_C(16)
#define MANY (200 * STEP)

struct place {
	char *directory, *kept, *list;
	struct fixture *root;
	struct trust *trust;
	struct denials *few, *many; // the beginning of the many
	struct denial_store *store;
	struct denial_files *files;
	sd_event *event;
};

static int set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));
	char *words[STEP];
	const char *const *all = (const char *const *)words;

	place->directory = fixture_directory();
	place->kept = fixture_path(place->directory, "state");
	place->list = fixture_path(place->directory, "list");
	place->root = fixture_root("root");
	place->trust = fixture_trust(DOMAIN, place->root);
	for (unsigned i = 0; i < MANY; i++) {
		assert_true(asprintf(&words[i % STEP], DENY, i) > 0);
		if ((i + 1) % STEP)
			continue;
		struct denials *before = place->many;
		place->many = fixture_denials(before, DOMAIN, all, STEP, place->root);
		if (!before)
			place->few = denials_get(place->many);
		denials_put(before);
		for (unsigned j = 0; j < STEP; j++)
			free(words[j]);
	}
	place->store = denial_store_new(NULL, NULL);
	assert_true(sd_event_new(&place->event) >= 0);
	struct denial_files_tools tools = {.event = place->event,
					   .store = place->store,
					   .state = place->kept,
					   .trust = trust_of,
					   .data = place->trust};
	assert_int_equal(denial_files_new(&tools, &place->files), 0);
	*state = place;
	return 0;
}

static int tear_down(void **state)
{
	struct place *place = *state;

	denial_files_free(place->files);
	denial_store_free(place->store);
	denials_put(place->few);
	denials_put(place->many);
	trust_put(place->trust);
	fixture_free(place->root);
	sd_event_unref(place->event);
	free(place->list);
	fixture_directory_free(place->kept);
	fixture_directory_free(place->directory);
	free(place);
	return 0;
}

static uint64_t known(const struct place *place)
{
	return denials_number(denial_store_find(place->store, DOMAIN));
}

static void watch_list(struct place *place, const struct denials *list, bool wait)
{
	const char *const paths[] = {place->list};

	assert_int_equal(denials_file_write(list, place->list), 0);
	assert_int_equal(denial_files_watch(place->files, paths, 1, wait, NULL), 0);
}

static void run_until(struct place *place, uint64_t number)
{
	uint64_t until = clock_ms() + PATIENCE_MS;

	while (known(place) != number && clock_ms() < until)
		assert_true(sd_event_run(place->event, 100000) >= 0);
	assert_int_equal(known(place), number);
}

// The loop goes on while a large file is read; whoever wants to serve nobody before that waits.
static void large_files_do_not_stop_the_loop(void **state)
{
	struct place *place = *state;

	watch_list(place, place->many, false);
	assert_int_equal(known(place), 0);
	run_until(place, MANY);
	assert_int_equal(denial_files_problem(place->files)->code, 0);
}

static void files_are_waited_for(void **state)
{
	struct place *place = *state;

	watch_list(place, place->many, true);
	assert_int_equal(known(place), MANY);
}

static void small_files_are_read_at_once(void **state)
{
	struct place *place = *state;

	watch_list(place, place->few, false);
	assert_int_equal(known(place), STEP);
}

// A peer tells of some while the file is read, and then of more than are in it.
static void what_peers_tell_meanwhile_stays(void **state)
{
	static const char *const one[] = {"deny identity spiffe://corp.example/z 0 keyCompromise"};
	struct place *place = *state;
	_cleanup_(denials_putp) struct denials *more =
		fixture_denials(place->many, DOMAIN, one, 1, place->root);

	watch_list(place, place->many, false);
	assert_int_equal(denial_store_put(place->store, place->few, "peer"), 0);
	run_until(place, MANY);
	assert_int_equal(unlink(place->list), 0);
	watch_list(place, place->many, false);
	assert_int_equal(denial_store_put(place->store, more, "peer"), 0);
	for (unsigned i = 0; i < 10; i++)
		sd_event_run(place->event, 50000);
	assert_int_equal(known(place), MANY + 1);
	assert_int_equal(denial_files_problem(place->files)->code, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_could_not_be_kept_is_kept_later),
		TEST(large_files_do_not_stop_the_loop),
		TEST(files_are_waited_for),
		TEST(small_files_are_read_at_once),
		TEST(what_peers_tell_meanwhile_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
