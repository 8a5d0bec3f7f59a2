// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "daemon/denial_files.h"
#include "pki/denial_store.h"
#include "pki/trust.h"
#include "unit/denial_fixture.h"

#define DOMAIN	    "corp.example"
#define DENY	    "deny identity spiffe://corp.example/a 0 keyCompromise"
#define PATIENCE_MS 20000u

static struct trust *trust_of(void *data)
{
	return data;
}

// On a full disk, for one: what was not written is written later.
static void what_could_not_be_kept_is_kept_later(void **state)
{
	static const char *const words[] = {DENY};
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_could_not_be_kept_is_kept_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
