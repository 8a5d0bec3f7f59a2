// SPDX-License-Identifier: Apache-2.0
// Packets between two data planes, and what is noted of them at the gateway.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <poll.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "tun/note.h"
#include "tun/trace.h"
#include "unit/context_fixture.h"
#include "unit/tunnel_fixture.h"

#define ELSEWHERE "10.90.0.77"

static struct tunnel *tunnel;
static struct note notes[64];
static unsigned count;

static int set_up(void **state)
{
	(void)state;
	tunnel = tunnel_new(1);
	tunnel_renew(tunnel, 1, clock_ms());
	count = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tunnel = tunnel_free(tunnel);
	return 0;
}

static void trace(const char *member, const char *value, unsigned most)
{
	json_t *request = member ? json_pack("{s:s}", member, value) : json_object();
	struct selection selection;
	struct error error;
	assert_int_equal(selection_parse(request, &selection, &error), 0);
	json_decref(request);
	struct trace *wanted = trace_new(&selection, most);
	assert_non_null(wanted);
	dataplane_set_trace(tunnel->gateway.dataplane, wanted);
}

static void on_note(const struct note *note, void *data)
{
	(void)data;
	assert_true(count < 64);
	if (note->type == NOTE_TRACED)
		notes[count++] = *note;
}

static void wait_notes(unsigned wanted)
{
	struct pollfd fd = {.fd = dataplane_noted(tunnel->gateway.dataplane), .events = POLLIN};
	while (count < wanted && poll(&fd, 1, TUNNEL_WAIT_MS) == 1)
		dataplane_take_notes(tunnel->gateway.dataplane, 64, on_note, NULL);
	assert_int_equal(count, wanted);
}

static void write_to(struct tunnel_end *from, const char *source, const char *destination)
{
	uint8_t packet[TUNNEL_PACKET];
	tunnel_make_packet(packet, source, destination, 1);
	tunnel_write(from, 0, packet, sizeof(packet));
}

static void both_ways_are_noted_and_how_far_they_came(void **state)
{
	struct addr client;
	(void)state;
	assert_int_equal(addr_parse(TUNNEL_CLIENT, &client), 0);
	trace(NULL, NULL, 10);
	tunnel_up(tunnel, 1);
	wait_notes(1);
	assert_false(notes[0].outbound);
	assert_true(notes[0].read);
	assert_int_equal(notes[0].drop, DROP_NONE);
	assert_int_equal(notes[0].stage, TRACE_SENT);
	assert_int_equal(notes[0].size, TUNNEL_PACKET);
	assert_int_equal(notes[0].session_index, tunnel->gateway.session->index);
	assert_true(addr_equal(&notes[0].key.from, &client));

	tunnel_down(tunnel, 2);
	wait_notes(2);
	assert_true(notes[1].outbound);
	assert_int_equal(notes[1].stage, TRACE_SENT);

	write_to(&tunnel->client, ELSEWHERE, TUNNEL_GATEWAY);
	wait_notes(3);
	assert_int_equal(notes[2].drop, DROP_SOURCE);
	assert_int_equal(notes[2].stage, TRACE_SOURCE);
	assert_int_equal(trace_stage_of(DROP_TAG), TRACE_OPENED);
}

static void only_what_is_asked_for_and_not_more_of_it(void **state)
{
	(void)state;
	trace("to", TUNNEL_GATEWAY, 2);
	tunnel_down(tunnel, 1); // over IPv6
	for (uint32_t i = 0; i < 5; i++)
		tunnel_up(tunnel, i);
	wait_notes(2);
	trace("from", "spiffe://corp.example/nobody/*", 10);
	tunnel_up(tunnel, 9);
	trace("from", FIXTURE_ALICE, 10);
	tunnel_up(tunnel, 10);
	// What comes back to it counts, too.
	tunnel_down(tunnel, 11);
	wait_notes(4);
	assert_true(notes[3].outbound);
	dataplane_set_trace(tunnel->gateway.dataplane, NULL);
	assert_null(dataplane_trace(tunnel->gateway.dataplane));
	tunnel_up(tunnel, 12);
	dataplane_take_notes(tunnel->gateway.dataplane, 64, on_note, NULL);
	assert_int_equal(count, 4);
}

static void refuse(const char *member, const char *value)
{
	json_t *request = json_pack("{s:s}", member, value);
	struct selection selection;
	struct error error = {0};
	assert_true(selection_parse(request, &selection, &error) < 0);
	assert_non_null(strstr(error.what, value));
	selection_done(&selection);
	json_decref(request);
}

static void a_wish_that_makes_no_sense_is_refused(void **state)
{
	(void)state;
	refuse("from", "alice's laptop");
	refuse("to", "10.0.0.1/8");
	refuse("protocol", "tpc");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(both_ways_are_noted_and_how_far_they_came, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(only_what_is_asked_for_and_not_more_of_it, set_up,
						tear_down),
		cmocka_unit_test(a_wish_that_makes_no_sense_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
