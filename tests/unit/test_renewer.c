// SPDX-License-Identifier: Apache-2.0
// The agent on a real loop, with a CA in a directory beside it and a wall clock that the test sets.

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "daemon/config.h"
#include "daemon/credentials.h"
#include "daemon/renewer.h"
#include "daemon/rescue.h"
#include "pki/ca.h"
#include "pki/credential.h"
#include "pki/obtain.h"
#include "pki/probation.h"
#include "pki/tls.h"
#include "unit/pki_fixture.h"

#define DOMAIN	"corp.example"
#define GATEWAY "spiffe://corp.example/gateway/one"
#define HOUR	INT64_C(3600)
#define DAY	INT64_C(86400)
#define WAIT_MS 60000u

struct place {
	char *directory, *ca, *issuing_key, *hidden_key, *previous;
	struct config config;
	sd_event *event;
	struct credentials *credentials;
	struct renewer *renewer;
	struct renewer_evidence evidence;
	uint8_t first[32]; // fingerprint of the credential at start
};

static bool slow;

static void dawdle(void)
{
	if (slow)
		usleep(800000);
}

int __real_probation_begin(const struct probation *files, const struct credential *credential,
			   const struct obtained *obtained, time_t now, struct error *error);
int __wrap_probation_begin(const struct probation *files, const struct credential *credential,
			   const struct obtained *obtained, time_t now, struct error *error);
int __wrap_probation_begin(const struct probation *files, const struct credential *credential,
			   const struct obtained *obtained, time_t now, struct error *error)
{
	int r = __real_probation_begin(files, credential, obtained, now, error);

	dawdle();
	return r;
}

int __real_probation_undo(const struct probation *files, time_t now, struct error *error);
int __wrap_probation_undo(const struct probation *files, time_t now, struct error *error);
int __wrap_probation_undo(const struct probation *files, time_t now, struct error *error)
{
	int r = __real_probation_undo(files, now, error);

	dawdle();
	return r;
}

static void on_changed(const char *reason, void *data)
{
	(void)reason;
	(void)data;
}

static struct renewer_evidence on_question(const struct credential *credential, void *data)
{
	(void)credential;
	return ((struct place *)data)->evidence;
}

static void issue(struct place *place)
{
	struct ca_request request = {.identity = GATEWAY,
				     .lifetime_s = DAY,
				     .not_before_s = -300,
				     .certificate_path = place->config.node.certificate,
				     .key_path = place->config.node.key};
	struct error error = {0};
	struct ca *ca;

	assert_int_equal(ca_open(place->ca, &ca, &error), 0);
	assert_int_equal(ca_issue(ca, &request, &error), 0);
	ca_close(ca);
}

static int set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));
	struct error error = {0};

	clock_set_wall(time(NULL));
	place->directory = fixture_directory();
	place->ca = fixture_path(place->directory, "ca");
	place->issuing_key = fixture_path(place->directory, "ca/issuing.key");
	place->hidden_key = fixture_path(place->directory, "ca/hidden.key");
	place->config.node.certificate = fixture_path(place->directory, "node.crt");
	place->config.node.key = fixture_path(place->directory, "node.key");
	place->config.node.trust = fixture_path(place->directory, "ca/trust.crt");
	place->previous = fixture_path(place->directory, "node.crt.previous");
	place->config.gateway.ca = place->ca;
	assert_int_equal(ca_init(place->ca, DOMAIN, &error), 0);
	issue(place);
	*state = place;
	return 0;
}

static int tear_down(void **state)
{
	static const char *const files[] = {"root.key",	      "root.crt",      "issuing.key",
					    "issuing.crt",    "journal.db",    "trust.crt",
					    "journal.db-wal", "journal.db-shm"};
	struct place *place = *state;

	slow = false;
	clock_set_wall(0);
	renewer_free(place->renewer);
	credentials_free(place->credentials);
	sd_event_unref(place->event);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		_cleanup_(freep) char *path = fixture_path(place->ca, files[i]);
		unlink(path);
	}
	rmdir(place->ca);
	fixture_directory_free(place->directory);
	free(place->ca);
	free(place->issuing_key);
	free(place->hidden_key);
	free(place->previous);
	free(place->config.node.certificate);
	free(place->config.node.key);
	free(place->config.node.trust);
	free(place);
	return 0;
}

static void start(struct place *place)
{
	struct renewer_tools tools = {.evidence = on_question, .data = place};
	struct error error = {0};

	assert_true(sd_event_new(&place->event) >= 0);
	assert_int_equal(credentials_new(place->event, &place->config.node, on_changed, NULL,
					 &place->credentials, &error),
			 0);
	memcpy(place->first, credential_fingerprint(credentials_credential(place->credentials)),
	       sizeof(place->first));
	tools.event = place->event;
	tools.credentials = place->credentials;
	assert_int_equal(renewer_new(&tools, &place->config, &place->renewer), 0);
}

static struct renewer_status look(const struct place *place)
{
	struct renewer_status status;

	renewer_status(place->renewer, &status);
	return status;
}

static bool has_first(const struct place *place)
{
	return memcmp(place->first,
		      credential_fingerprint(credentials_credential(place->credentials)),
		      sizeof(place->first)) == 0;
}

// What an engine does every second, until the agent is idle.
static void settle(struct place *place)
{
	uint64_t end = clock_ms() + WAIT_MS;

	renewer_tick(place->renewer);
	while (look(place).busy && clock_ms() < end) {
		assert_true(sd_event_run(place->event, 10000) >= 0);
		renewer_tick(place->renewer);
	}
	assert_false(look(place).busy);
}

static void renew(struct place *place)
{
	unsigned attempt;
	struct error error = {0};

	assert_int_equal(renewer_now(place->renewer, &attempt, &error), 0);
	settle(place);
	assert_int_equal(look(place).attempts, attempt);
}

static void renews_when_it_is_due(void **state)
{
	struct place *place = *state;
	char words[RENEWER_WORDS_MAX];

	start(place);
	struct renewer_status status = look(place);
	time_t now = clock_wall();
	assert_int_equal(status.source, RENEWER_CA);
	assert_in_range(status.at, now + 14 * HOUR, now + 18 * HOUR);
	assert_true(strncmp(renewer_words(place->renewer, words), "renews in 1", 11) == 0);
	clock_set_wall(status.at - 1);
	settle(place);
	assert_true(has_first(place));
	clock_set_wall(status.at);
	settle(place);
	assert_false(has_first(place));
	struct renewer_status next = look(place);
	assert_int_equal(next.attempts, 1);
	assert_true(next.not_after > status.not_after && next.at > status.at);
	assert_int_equal(next.failures, 0);
	// The old pair is kept until somebody has accepted the new one.
	assert_true(next.previous && access(place->previous, F_OK) == 0);
	settle(place);
	assert_true(look(place).previous);
	place->evidence.proved = true;
	settle(place);
	assert_false(look(place).previous);
	assert_int_equal(access(place->previous, F_OK), -1);
}

static void tries_again_when_it_failed(void **state)
{
	struct place *place = *state;
	char words[RENEWER_WORDS_MAX];

	start(place);
	assert_int_equal(rename(place->issuing_key, place->hidden_key), 0);
	clock_set_wall(look(place).at);
	for (unsigned i = 1; i <= 3; i++) {
		settle(place);
		struct renewer_status status = look(place);
		assert_int_equal(status.failures, i);
		assert_true(status.at > clock_wall() && status.at <= clock_wall() + HOUR);
		assert_true(status.why->code != 0);
		settle(place);
		assert_int_equal(look(place).failures, i); // not before its time
		clock_set_wall(status.at);
	}
	assert_non_null(strstr(renewer_words(place->renewer, words), "failed 3 times: "));
	assert_int_equal(rename(place->hidden_key, place->issuing_key), 0);
	settle(place);
	assert_false(has_first(place));
	assert_int_equal(look(place).failures, 0);
	assert_int_equal(look(place).why->code, 0);
}

static void never_gives_up(void **state)
{
	struct place *place = *state;

	start(place);
	assert_int_equal(rename(place->issuing_key, place->hidden_key), 0);
	clock_set_wall(look(place).not_after + DAY);
	settle(place);
	assert_int_equal(look(place).alarm, RENEWAL_EXPIRED);
	assert_int_equal(look(place).failures, 1);
	assert_true(look(place).at <= clock_wall() + HOUR);
	assert_int_equal(rename(place->hidden_key, place->issuing_key), 0);
	renew(place);
	assert_false(has_first(place));
	assert_false(look(place).previous); // an expired one is not worth keeping
	assert_int_equal(look(place).alarm, RENEWAL_FINE);
}

static void goes_back_when_gateways_refuse(void **state)
{
	struct place *place = *state;

	start(place);
	place->evidence.refused_by_gateways = 7; // from before
	renew(place);
	assert_false(has_first(place));
	place->evidence.refused_by_gateways = 8;
	settle(place);
	assert_false(has_first(place)); // once is not enough
	place->evidence.refused_by_gateways = 9;
	settle(place);
	assert_true(has_first(place));
	struct renewer_status status = look(place);
	assert_false(status.previous);
	assert_int_equal(status.failures, 1);
	assert_in_range(status.at, clock_wall() + 60, clock_wall() + 180);
	// And tries again.
	clock_set_wall(status.at);
	settle(place);
	assert_false(has_first(place));
	place->evidence.proved = true;
	settle(place);
	assert_false(look(place).previous);
}

static void strangers_cannot_send_it_back(void **state)
{
	struct place *place = *state;

	start(place);
	renew(place);
	place->evidence.refused_by_clients = 1000;
	settle(place);
	assert_false(has_first(place));
	place->evidence.clients = true; // whose time is not up yet
	place->evidence.clients_within_s = 60;
	settle(place);
	assert_false(has_first(place));
}

static void goes_back_when_no_client_accepts(void **state)
{
	struct place *place = *state;
	uint64_t end;

	start(place);
	renew(place);
	place->evidence.clients = true;
	place->evidence.clients_within_s = 0;
	place->evidence.refused_by_clients = 2;
	for (end = clock_ms() + WAIT_MS; !has_first(place) && clock_ms() < end;) {
		sd_event_run(place->event, 50000);
		settle(place);
	}
	assert_true(has_first(place));
	assert_int_equal(look(place).failures, 1);
}

// The thread that writes the files comes to say so only when they are in use.
static void is_not_confused_by_slow_threads(void **state)
{
	struct place *place = *state;
	uint64_t begin = clock_ms();

	start(place);
	slow = true;
	renew(place);
	assert_false(has_first(place));
	place->evidence.refused_by_gateways = 2;
	settle(place);
	assert_true(has_first(place));
	assert_int_equal(look(place).failures, 1);
	assert_non_null(strstr(look(place).why->what, "peers refuse the new certificate"));
	assert_true(clock_ms() < begin + WAIT_MS);
}

static void files_are_somebody_elses(void **state)
{
	struct place *place = *state;
	char words[RENEWER_WORDS_MAX];
	struct error error;
	unsigned attempt;

	place->config.gateway.ca = NULL;
	start(place);
	clock_set_wall(look(place).not_after - HOUR);
	settle(place);
	assert_int_equal(look(place).source, RENEWER_FILES);
	assert_int_equal(look(place).alarm, RENEWAL_TENTH);
	assert_int_equal(look(place).attempts, 0);
	assert_int_equal(renewer_now(place->renewer, &attempt, &error), -EINVAL);
	assert_non_null(strstr(renewer_words(place->renewer, words), "expires in 1 h"));
}

static void links_are_somebody_elses(void **state)
{
	struct place *place = *state;
	_cleanup_(freep) char *target = fixture_path(place->directory, "real.crt");

	assert_int_equal(renewer_source(&place->config), RENEWER_CA);
	assert_int_equal(rename(place->config.node.certificate, target), 0);
	assert_int_equal(symlink("real.crt", place->config.node.certificate), 0);
	assert_int_equal(renewer_source(&place->config), RENEWER_FILES);
	place->config.renewal.url = "https://est.corp.example";
	assert_int_equal(renewer_source(&place->config), RENEWER_EST);
}

static void does_nothing_with_a_clock_of_the_past(void **state)
{
	struct place *place = *state;
	struct error error;
	unsigned attempt;

	start(place);
	clock_set_wall(clock_built() - 1);
	settle(place);
	assert_true(look(place).clock_wrong);
	assert_int_equal(renewer_now(place->renewer, &attempt, &error), -EAGAIN);
	clock_set_wall(time(NULL));
	settle(place);
	assert_false(look(place).clock_wrong);
	renew(place);
	assert_false(has_first(place));
}

// What was signed by a clock that was ahead is no use once it is right.
static void a_clock_that_was_ahead_is_got_over(void **state)
{
	struct place *place = *state;

	start(place);
	time_t right = clock_wall();
	clock_set_wall(right + 5 * DAY);
	settle(place);
	assert_false(has_first(place));
	place->evidence.proved = true;
	settle(place);
	clock_set_wall(right);
	renewer_clock_stepped(place->renewer);
	settle(place);
	assert_int_equal(look(place).attempts, 2);
	assert_true(credential_not_before(credentials_credential(place->credentials)) <= right);
	assert_true(look(place).not_after > right && look(place).not_after <= right + DAY);
	assert_int_equal(access(place->previous, F_OK), -1);
}

static void is_rescued_at_start(void **state)
{
	struct place *place = *state;
	struct error error = {0};
	struct credential *credential;

	clock_set_wall(time(NULL) + 3 * DAY); // the machine was off
	assert_int_equal(credential_load(tls_library(), place->config.node.certificate,
					 place->config.node.key, clock_wall(), &credential, &error),
			 -EKEYEXPIRED);
	rescue(&place->config);
	start(place);
	assert_true(look(place).not_after > clock_wall());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(renews_when_it_is_due, set_up, tear_down),
		cmocka_unit_test_setup_teardown(tries_again_when_it_failed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(never_gives_up, set_up, tear_down),
		cmocka_unit_test_setup_teardown(goes_back_when_gateways_refuse, set_up, tear_down),
		cmocka_unit_test_setup_teardown(strangers_cannot_send_it_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(goes_back_when_no_client_accepts, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(is_not_confused_by_slow_threads, set_up, tear_down),
		cmocka_unit_test_setup_teardown(files_are_somebody_elses, set_up, tear_down),
		cmocka_unit_test_setup_teardown(links_are_somebody_elses, set_up, tear_down),
		cmocka_unit_test_setup_teardown(does_nothing_with_a_clock_of_the_past, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_clock_that_was_ahead_is_got_over, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(is_rescued_at_start, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
