// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <openssl/ocsp.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/error.h"
#include "daemon/config.h"
#include "daemon/stapler.h"
#include "pki/tls.h"
#include "pki/trust.h"
#include "pki/verify.h"
#include "unit/ocsp_fixture.h"

#define PATIENCE_MS 20000u

struct place {
	struct fixture *root, *leaf, *next;
	struct trust *trust;
	struct verdict *own, *own_next;
	char *directory, *path;
	sd_event *event;
	struct stapler *stapler;
	unsigned changes;
};

static void on_changed(void *data)
{
	((struct place *)data)->changes++;
}

static struct verdict *judge(const struct trust *trust, const struct fixture *leaf)
{
	struct verdict *verdict = NULL;

	assert_int_equal(verify_chain(trust, leaf->certificate, NULL, VERIFY_PEER_IS_CLIENT,
				      clock_wall(), &verdict, NULL, NULL),
			 0);
	return verdict;
}

static int set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));
	struct stapler_tools tools = {.changed = on_changed, .data = place};

	place->root = fixture_root("root");
	place->leaf = fixture_leaf(place->root, "spiffe://corp.example/a");
	place->next = fixture_leaf(place->root, "spiffe://corp.example/a");
	place->trust = fixture_trust("corp.example", place->root);
	place->own = judge(place->trust, place->leaf);
	place->own_next = judge(place->trust, place->next);
	place->directory = fixture_directory();
	place->path = fixture_path(place->directory, "staple.der");
	assert_true(sd_event_new(&place->event) >= 0);
	tools.event = place->event;
	assert_int_equal(stapler_new(&tools, &place->stapler), 0);
	*state = place;
	return 0;
}

static int tear_down(void **state)
{
	struct place *place = *state;

	assert_null(stapler_free(place->stapler));
	sd_event_unref(place->event);
	verdict_put(place->own);
	verdict_put(place->own_next);
	trust_put(place->trust);
	free(place->path);
	fixture_directory_free(place->directory);
	fixture_free(place->leaf);
	fixture_free(place->next);
	fixture_free(place->root);
	free(place);
	return 0;
}

static void put(const struct place *place, const struct fixture *leaf,
		const struct ocsp_options *options)
{
	size_t size;
	_cleanup_(freep) uint8_t *der = ocsp_answer(leaf, options, &size);

	assert_int_equal(file_write(place->path, der, size, 0600), 0);
}

static void run_until(struct place *place, unsigned changes)
{
	uint64_t end = clock_ms() + PATIENCE_MS;

	while (place->changes < changes && clock_ms() < end)
		sd_event_run(place->event, 100000);
	assert_int_equal(place->changes, changes);
}

static void run_until_problem(struct place *place, const char *what)
{
	uint64_t end = clock_ms() + PATIENCE_MS;

	while (!strstr(stapler_problem(place->stapler)->what, what) && clock_ms() < end)
		sd_event_run(place->event, 100000);
	assert_non_null(strstr(stapler_problem(place->stapler)->what, what));
}

static struct config_node node_of(struct place *place)
{
	return (struct config_node){.staple = place->path};
}

static void follows_the_file(void **state)
{
	struct place *place = *state;
	struct config_node node = node_of(place), other = {0};
	struct ocsp_options good = {0}, longer = {.this_s = -60, .next_s = 7200};
	struct ocsp_options revoked = {.status = V_OCSP_CERTSTATUS_REVOKED, .revoked_s = -60};
	size_t size;

	assert_int_equal(stapler_set(place->stapler, &node, place->own, NULL), 0);
	assert_null(stapler_answer(place->stapler, &size));
	assert_string_equal(stapler_problem(place->stapler)->what,
			    "the OCSP answer cannot be read: No such file or directory");
	put(place, place->leaf, &good);
	run_until(place, 1);
	assert_non_null(stapler_answer(place->stapler, &size));
	assert_true(size > 0);
	assert_int_equal(stapler_staple(place->stapler)->state, STAPLE_GOOD);
	assert_int_equal(stapler_problem(place->stapler)->code, 0);
	// What cannot be believed takes nothing away.
	put(place, place->next, &good);
	run_until_problem(place, "is not about this certificate");
	fixture_write_text(place->path, "nonsense");
	run_until_problem(place, "cannot be read");
	assert_non_null(stapler_answer(place->stapler, &size));
	put(place, place->leaf, &longer);
	run_until(place, 2);
	put(place, place->leaf, &revoked);
	run_until(place, 3);
	assert_int_equal(stapler_staple(place->stapler)->state, STAPLE_REVOKED);
	// No source, no answer.
	assert_int_equal(stapler_set(place->stapler, &other, place->own, NULL), 0);
	assert_null(stapler_answer(place->stapler, &size));
	assert_int_equal(place->changes, 3);
}

static void belongs_to_one_certificate(void **state)
{
	struct place *place = *state;
	struct config_node node = node_of(place);
	struct ocsp_options good = {0};
	size_t size;

	put(place, place->leaf, &good);
	assert_int_equal(stapler_set(place->stapler, &node, place->own, NULL), 0);
	const uint8_t *before = stapler_answer(place->stapler, &size);
	assert_non_null(before);
	assert_int_equal(stapler_set(place->stapler, &node, place->own, NULL), 0);
	assert_ptr_equal(stapler_answer(place->stapler, &size), before);
	// Renewed: the old answer is about another certificate.
	assert_int_equal(stapler_set(place->stapler, &node, place->own_next, NULL), 0);
	assert_null(stapler_answer(place->stapler, &size));
	put(place, place->next, &good);
	run_until(place, 1);
	assert_non_null(stapler_answer(place->stapler, &size));
}

static void shows_none_past_its_time(void **state)
{
	struct place *place = *state;
	struct config_node node = node_of(place);
	struct ocsp_options brief = {.this_s = -60, .next_s = 2},
			    old = {.this_s = -60, .next_s = -30};
	size_t size;

	put(place, place->leaf, &old);
	assert_int_equal(stapler_set(place->stapler, &node, place->own, NULL), 0);
	assert_null(stapler_answer(place->stapler, &size));
	assert_string_equal(stapler_problem(place->stapler)->what, "the OCSP answer has expired");
	put(place, place->leaf, &brief);
	run_until(place, 1);
	assert_non_null(stapler_answer(place->stapler, &size));
	run_until(place, 2);
	assert_null(stapler_answer(place->stapler, &size));
}

// Nobody listens there: it is said, and tried again later.
static void says_when_nobody_answers(void **state)
{
	struct place *place = *state;
	struct config_node node = {.responder = (char *)"http://127.0.0.1:1/"};
	size_t size;

	assert_int_equal(stapler_set(place->stapler, &node, place->own, NULL), 0);
	run_until_problem(place, "no answer");
	assert_string_equal(stapler_problem(place->stapler)->where, "http://127.0.0.1:1/");
	assert_null(stapler_answer(place->stapler, &size));
	assert_int_equal(place->changes, 0);
	// Another certificate while a question is under way: nobody waits for that one's end.
	assert_int_equal(stapler_set(place->stapler, &node, place->own_next, NULL), 0);
	assert_int_equal(stapler_set(place->stapler, &node, place->own, NULL), 0);
	assert_int_equal(stapler_problem(place->stapler)->code, 0);
	run_until_problem(place, "no answer");
}

#define test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(follows_the_file),
		test(belongs_to_one_certificate),
		test(shows_none_past_its_time),
		test(says_when_nobody_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
