// SPDX-License-Identifier: Apache-2.0
// Switching from epoch to epoch, draining, and what a session says is due, over a real tunnel. Time is what the test says it
// is wherever the control thread reads it.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "unit/tunnel_fixture.h"

#define MS_NS UINT64_C(1000000)

static struct tunnel *tunnel;
static uint64_t now; // of the last set-up

static int set_up(void **state)
{
	(void)state;
	tunnel = tunnel_new(1);
	now = clock_ms();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	clock_set_wall(0);
	tunnel = tunnel_free(tunnel);
	return 0;
}

static bool receives(const struct tunnel_end *end, uint32_t epoch)
{
	const struct epoch *at = atomic_load(&end->session->epochs[epoch % SESSION_EPOCHS]);
	return at && at->options.number == epoch;
}

// As if `count` packets had left on the lane and got lost on the way.
static void lose(struct tunnel_end *end, uint64_t count)
{
	struct epoch *tx = atomic_load(&end->session->tx);
	atomic_fetch_add(&epoch_tx_lane(tx, 0)->counter, count);
}

static void nothing_is_sent_before_there_are_keys(void **state)
{
	uint8_t packet[TUNNEL_PACKET];
	uint8_t arrived[TUNNEL_MTU];

	(void)state;
	tunnel_make_packet(packet, TUNNEL_CLIENT, TUNNEL_GATEWAY, 1);
	tunnel_write(&tunnel->client, 0, packet, sizeof(packet));
	assert_int_equal(tunnel_read(&tunnel->gateway, TUNNEL_QUIET_MS, arrived), 0);
	assert_int_equal(session_newest_epoch(tunnel->client.session), 0);
	assert_int_equal(session_tick(tunnel->client.session, now), SESSION_NOTHING);
	assert_true(session_deadline(tunnel->client.session) == CLOCK_NEVER);
}

static void the_responder_switches_with_the_first_packet(void **state)
{
	(void)state;
	tunnel_dial(tunnel);
	tunnel_install(tunnel, &tunnel->gateway, 1, now);
	assert_int_equal(tunnel_epoch(&tunnel->gateway), 0);
	tunnel_install(tunnel, &tunnel->client, 1, now);
	assert_int_equal(tunnel_epoch(&tunnel->client), 1);
	tunnel_up(tunnel, 1);
	assert_int_equal(tunnel_epoch(&tunnel->gateway), 1);
	tunnel_down(tunnel, 2);

	tunnel_dial(tunnel);
	tunnel_install(tunnel, &tunnel->gateway, 2, now);
	assert_int_equal(session_newest_epoch(tunnel->gateway.session), 2);
	// The client does not have the new keys yet: both ways still run on the old ones.
	tunnel_down(tunnel, 3);
	tunnel_up(tunnel, 4);
	assert_int_equal(tunnel_epoch(&tunnel->gateway), 1);
	tunnel_install(tunnel, &tunnel->client, 2, now);
	assert_int_equal(tunnel_epoch(&tunnel->client), 2);
	assert_int_equal(tunnel_epoch(&tunnel->gateway), 1);
	tunnel_down(tunnel, 5);
	tunnel_up(tunnel, 6);
	assert_int_equal(tunnel_epoch(&tunnel->gateway), 2);
	tunnel_down(tunnel, 7);
}

static void the_responder_switches_after_a_second(void **state)
{
	(void)state;
	tunnel_renew(tunnel, 1, now);
	tunnel_dial(tunnel);
	tunnel_install(tunnel, &tunnel->gateway, 2, now);
	session_tick(tunnel->gateway.session, now + SWITCH_AFTER_MS - 1);
	assert_int_equal(tunnel_epoch(&tunnel->gateway), 1);
	session_tick(tunnel->gateway.session, now + SWITCH_AFTER_MS);
	assert_int_equal(tunnel_epoch(&tunnel->gateway), 2);
	// Not a packet of the client's own was needed.
	tunnel_install(tunnel, &tunnel->client, 2, now);
	tunnel_down(tunnel, 1);
}

static void an_old_packet_does_not_switch_back(void **state)
{
	(void)state;
	tunnel_renew(tunnel, 1, now);
	tunnel_dial(tunnel);
	tunnel_install(tunnel, &tunnel->gateway, 2, now);
	session_switch(tunnel->gateway.session);
	tunnel_up(tunnel, 1); // the client still sends with the old epoch, which is received
	assert_int_equal(tunnel_epoch(&tunnel->gateway), 2);
}

static void send_with(struct tunnel_end *end, unsigned epoch)
{
	atomic_store(&end->session->tx, atomic_load(&end->session->epochs[epoch]));
}

static void drains_for(uint64_t rtt_ms, uint64_t drain_ms)
{
	uint8_t packet[TUNNEL_PACKET];
	uint8_t arrived[TUNNEL_MTU];
	struct session *session = tunnel->gateway.session;
	tunnel_renew(tunnel, 1, now);
	atomic_store(&session->rtt_ns, rtt_ms * MS_NS);
	tunnel_dial(tunnel);
	tunnel_install(tunnel, &tunnel->gateway, 2, now);
	tunnel_install(tunnel, &tunnel->client, 2, now);
	tunnel_up(tunnel, 0);	       // shows the new epoch
	send_with(&tunnel->client, 1); // what comes late
	session_tick(session, now + drain_ms - 1);
	assert_true(receives(&tunnel->gateway, 1));
	tunnel_up(tunnel, 1);
	session_tick(session, now + drain_ms);
	assert_false(receives(&tunnel->gateway, 1));
	assert_true(receives(&tunnel->gateway, 2));
	// From now on a packet of the old epoch is a stranger's.
	tunnel_make_packet(packet, TUNNEL_CLIENT, TUNNEL_GATEWAY, 2);
	tunnel_write(&tunnel->client, 0, packet, sizeof(packet));
	// The client's answer to a probe may be one of them too.
	for (int i = 0; i < TUNNEL_WAIT_MS && tunnel_drops(&tunnel->gateway, DROP_EPOCH) == 0; i++)
		usleep(1000);
	assert_int_not_equal(tunnel_drops(&tunnel->gateway, DROP_EPOCH), 0);
	assert_int_equal(tunnel_read(&tunnel->gateway, TUNNEL_QUIET_MS, arrived), 0);
}

// READY never arrived: the client goes on with the old epoch, and is heard until it comes with a newer one.
static void the_old_epoch_waits_for_the_peer_to_show_the_new_one(void **state)
{
	(void)state;
	struct session *session = tunnel->gateway.session;
	tunnel_renew(tunnel, 1, now);
	tunnel_dial(tunnel);
	tunnel_install(tunnel, &tunnel->gateway, 2, now);
	session_tick(session, now + DRAIN_MAX_MS + 1);
	assert_true(receives(&tunnel->gateway, 1));
	tunnel_up(tunnel, 1);
	session_tick(session, now + UNSEEN_MAX_MS + DRAIN_MAX_MS);
	assert_false(receives(&tunnel->gateway, 1));
}

static void drains_for_two_seconds(void **state)
{
	(void)state;
	drains_for(0, DRAIN_MIN_MS);
}

static void drains_for_three_round_trips_more(void **state)
{
	(void)state;
	drains_for(1000, DRAIN_MIN_MS + 3000);
}

static void drains_for_ten_seconds_at_most(void **state)
{
	(void)state;
	drains_for(20000, DRAIN_MAX_MS);
}

static void counts_what_a_renewal_lost(void **state)
{
	uint64_t sent[PACKET_LANES_MAX];
	struct session_status status;
	struct session *gateway = tunnel->gateway.session;

	(void)state;
	tunnel_renew(tunnel, 1, now);
	lose(&tunnel->client, 7); // long before: not the renewal's fault
	tunnel_up(tunnel, 1);
	tunnel_dial(tunnel);
	tunnel_install(tunnel, &tunnel->gateway, 2, now);
	lose(&tunnel->client, 2);
	tunnel_up(tunnel, 2);
	lose(&tunnel->client, 4); // the tail: only what the peer says shows it
	tunnel_install(tunnel, &tunnel->client, 2, now);
	tunnel_up(tunnel, 3);
	lose(&tunnel->client, 1);
	tunnel_up(tunnel, 4);
	unsigned count = session_sent(tunnel->client.session, sent);
	assert_int_equal(count, 1);
	assert_int_equal(sent[0], 1 + 7 + 1 + 2 + 1 + 4);
	session_peer_sent(gateway, sent, count);

	session_status(gateway, &status);
	assert_int_equal(status.renewals, 1);
	assert_false(status.renewal.complete);
	assert_true(status.renewal.at_ms == now);
	assert_string_equal(status.renewal.reason, "a test");
	session_tick(gateway, now + DRAIN_MIN_MS);
	session_status(gateway, &status);
	assert_true(status.renewal.complete);
	assert_int_equal(status.renewal.lost, 2 + 4 + 1);
	assert_int_equal(status.renewals_lost, 2 + 4 + 1);
}

static void a_clean_renewal_lost_nothing(void **state)
{
	uint64_t sent[PACKET_LANES_MAX];
	struct session_status status;

	(void)state;
	for (uint32_t epoch = 1; epoch <= 3; epoch++) {
		tunnel_renew(tunnel, epoch, now);
		unsigned count = session_sent(tunnel->client.session, sent);
		session_peer_sent(tunnel->gateway.session, sent, count);
		count = session_sent(tunnel->gateway.session, sent);
		session_peer_sent(tunnel->client.session, sent, count);
	}
	session_tick(tunnel->gateway.session, now + DRAIN_MIN_MS);
	session_tick(tunnel->client.session, now + DRAIN_MIN_MS);
	session_status(tunnel->gateway.session, &status);
	assert_int_equal(status.renewals, 2);
	assert_true(status.renewal.complete);
	assert_int_equal(status.renewals_lost, 0);
	session_status(tunnel->client.session, &status);
	assert_int_equal(status.renewals, 2);
	assert_true(status.renewal.complete);
	assert_int_equal(status.renewals_lost, 0);
}

static void counts_outlive_epochs(void **state)
{
	struct session_status status;

	(void)state;
	for (uint32_t epoch = 1; epoch <= 3 * SESSION_EPOCHS; epoch++)
		tunnel_renew(tunnel, epoch, now); // without a tick: slots are used again
	session_tick(tunnel->gateway.session, now + DRAIN_MIN_MS);
	session_status(tunnel->gateway.session, &status);
	assert_int_equal(status.totals.rx_packets, 3 * SESSION_EPOCHS);
	assert_int_equal(status.totals.tx_packets, 3 * SESSION_EPOCHS);
	assert_int_equal(status.totals.rx_bytes, 3 * SESSION_EPOCHS * TUNNEL_PACKET);
	assert_int_equal(status.renewals, 3 * SESSION_EPOCHS - 1);
	for (uint32_t i = 0; i < SESSION_EPOCHS; i++)
		assert_int_equal(receives(&tunnel->gateway, 2 * SESSION_EPOCHS + i + 1),
				 i == SESSION_EPOCHS - 1);
}

static void an_epoch_must_be_newer(void **state)
{
	struct session_keys keys = {
		.cipher = CIPHER_AES_256_GCM, .peer_lanes = 1, .mtu = TUNNEL_MTU, .reason = ""};

	(void)state;
	tunnel_renew(tunnel, 5, now);
	for (keys.epoch = 1; keys.epoch <= 5; keys.epoch++)
		assert_int_equal(session_install(tunnel->gateway.session, tunnel->gateway_channel,
						 &keys, now),
				 -EINVAL);
	tunnel_up(tunnel, 1);
	tunnel_down(tunnel, 2);
	tunnel_renew(tunnel, 9, now); // numbers may be skipped
}

static void a_restart_begins_anew(void **state)
{
	uint8_t id[SESSION_ID_SIZE];

	(void)state;
	memset(id, 0xab, sizeof(id));
	tunnel_renew(tunnel, 7, now);
	uint32_t index = tunnel->client.session->index;
	session_restart(tunnel->client.session, id, 25);
	session_restart(tunnel->gateway.session, id, 25);
	assert_int_equal(tunnel->client.session->index, index);
	assert_int_equal(session_newest_epoch(tunnel->client.session), 0);
	assert_int_equal(tunnel_epoch(&tunnel->gateway), 0);
	assert_false(receives(&tunnel->gateway, 7));
	assert_string_equal(session_name(tunnel->client.session),
			    "spiffe://corp.example/gateway/one (abababab)");
	tunnel_renew(tunnel, 1, now);
}

// The first packet of an epoch makes the responder's worker switch to it; that must not happen behind the back of the control
// thread, which takes the epoch away at the same moment.
static void a_retired_epoch_is_not_sent_with(void **state)
{
	struct session *session = tunnel->gateway.session;
	uint8_t packet[TUNNEL_PACKET];
	uint8_t arrived[TUNNEL_MTU];

	(void)state;
	tunnel_make_packet(packet, TUNNEL_CLIENT, TUNNEL_GATEWAY, 1);
	tunnel_renew(tunnel, 1, now);
	session_restart(session, tunnel->client.session->id, 25);
	for (uint64_t i = 0; i < 3000; i++) {
		tunnel_install(tunnel, &tunnel->gateway, 1, now);
		tunnel_write(&tunnel->client, 0, packet, sizeof(packet));
		uint64_t until = clock_ns() + i % 300 * 500;
		while (clock_ns() < until)
			;
		session_restart(session, tunnel->client.session->id, 25);
		assert_null(atomic_load(&session->tx));
		while (tunnel_read(&tunnel->gateway, 0, arrived))
			;
	}
}

static void says_what_is_due(void **state)
{
	struct session *session = tunnel->gateway.session;
	struct session_status status;

	(void)state;
	tunnel_renew(tunnel, 1, now);
	struct epoch *epoch = atomic_load(&session->epochs[1]);
	session_status(session, &status);
	assert_true(status.expires > clock_wall());
	assert_int_equal(session_tick(session, now), SESSION_NOTHING);
	atomic_store(&epoch->forged, REKEY_FORGED);
	assert_int_equal(session_tick(session, now), SESSION_REKEY);
	assert_int_equal(session_tick(session, now), SESSION_NOTHING); // once per epoch
	atomic_store(&epoch->forged, STOP_FORGED);
	assert_int_equal(session_tick(session, now), SESSION_KEYS);
	clock_set_wall(status.expires - 1);
	assert_int_equal(session_tick(session, now), SESSION_KEYS);
	clock_set_wall(status.expires);
	assert_int_equal(session_tick(session, now), SESSION_EXPIRED);
}

static void a_silent_gateway_is_dead(uint64_t rtt_ms, uint64_t after_ms)
{
	struct session *session = tunnel->client.session;
	tunnel_renew(tunnel, 1, now);
	session_free(take(tunnel->gateway.session));
	atomic_store(&session->rtt_ns, rtt_ms * MS_NS);
	uint64_t start = now + 60000; // past the keepalive period: a probe leaves
	assert_int_equal(session_tick(session, start), SESSION_NOTHING);
	// Does the channel say anything?
	assert_int_equal(session_tick(session, start + after_ms - 1), SESSION_DOUBT);
	assert_int_equal(session_tick(session, start + after_ms), SESSION_DEAD);
}

static void a_dead_peer_is_noticed(void **state)
{
	(void)state;
	a_silent_gateway_is_dead(0, DEAD_UNMEASURED_MS);
}

static void a_dead_peer_is_noticed_sooner_when_the_rtt_is_known(void **state)
{
	(void)state;
	a_silent_gateway_is_dead(10, DEAD_AFTER_MS);
}

static void a_dead_peer_far_away_has_more_time(void **state)
{
	(void)state;
	a_silent_gateway_is_dead(800, 3200);
}

// A network that lets nothing of ours through: what the peer asks meanwhile says nothing of that.
static void a_peer_that_does_not_hear_us_is_dead(void **state)
{
	(void)state;
	struct session *session = tunnel->client.session;
	tunnel_renew(tunnel, 1, now);
	session_free(take(tunnel->gateway.session));
	atomic_store(&session->rtt_ns, MS_NS);
	uint64_t start = now + 60000;
	assert_int_equal(session_tick(session, start), SESSION_NOTHING);
	atomic_store(&session->heard_ms, start + DEAD_AFTER_MS - 1);
	assert_int_equal(session_tick(session, start + DEAD_AFTER_MS), SESSION_DEAD);
	// Its answers do, and packets, which are answers mostly.
	start += 60000;
	assert_int_equal(session_tick(session, start), SESSION_NOTHING);
	atomic_store(&session->answered_ms, start + 1);
	assert_int_equal(session_tick(session, start + DEAD_AFTER_MS), SESSION_NOTHING);
	start += 60000;
	assert_int_equal(session_tick(session, start), SESSION_NOTHING);
	atomic_store(&session->received_ms, start + 1);
	assert_int_equal(session_tick(session, start + DEAD_AFTER_MS), SESSION_NOTHING);
}

static void a_living_peer_answers(void **state)
{
	struct session *session = tunnel->client.session;
	struct session_status status;

	(void)state;
	tunnel_renew(tunnel, 1, now);
	uint64_t heard = atomic_load(&session->heard_ms);
	usleep(3000);
	session_probe(session, clock_ms());
	for (int i = 0; i < TUNNEL_WAIT_MS && atomic_load(&session->rtt_ns) == 0; i++)
		usleep(1000);
	assert_true(atomic_load(&session->rtt_ns) > 0);
	assert_true(atomic_load(&session->heard_ms) > heard);
	session_status(session, &status);
	assert_true(status.rtt_ns < TUNNEL_WAIT_MS * MS_NS);
	assert_true(status.has_path);
	assert_int_equal(status.endpoint.port, tunnel->listening.port);
	assert_int_equal(session_tick(session, clock_ms()), SESSION_NOTHING);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(nothing_is_sent_before_there_are_keys),
		CASE(the_responder_switches_with_the_first_packet),
		CASE(the_responder_switches_after_a_second),
		CASE(an_old_packet_does_not_switch_back),
		CASE(the_old_epoch_waits_for_the_peer_to_show_the_new_one),
		CASE(drains_for_two_seconds),
		CASE(drains_for_three_round_trips_more),
		CASE(drains_for_ten_seconds_at_most),
		CASE(counts_what_a_renewal_lost),
		CASE(a_clean_renewal_lost_nothing),
		CASE(counts_outlive_epochs),
		CASE(an_epoch_must_be_newer),
		CASE(a_restart_begins_anew),
		CASE(a_retired_epoch_is_not_sent_with),
		CASE(says_what_is_due),
		CASE(a_dead_peer_is_noticed),
		CASE(a_dead_peer_is_noticed_sooner_when_the_rtt_is_known),
		CASE(a_dead_peer_far_away_has_more_time),
		CASE(a_peer_that_does_not_hear_us_is_dead),
		CASE(a_living_peer_answers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
