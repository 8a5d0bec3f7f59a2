// SPDX-License-Identifier: Apache-2.0
// The two ends of one epoch, joined by hand: what one seals the other opens, or not.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <endian.h>
#include <pthread.h>
#include <cmocka.h>

#include "tun/epoch.h"

#define SIZE		100u
#define INITIATOR_INDEX 0x11223344u
#define RESPONDER_INDEX 0xaabbccddu

struct sealed {
	uint8_t bytes[PACKET_OVERHEAD + SIZE];
};

struct pair {
	struct epoch *initiator, *responder;
};

static struct pair pair_new(uint32_t number, enum cipher cipher, uint8_t secret)
{
	struct epoch_options options = {
		.number = number,
		.cipher = cipher,
		.initiator = true,
		.remote_index = RESPONDER_INDEX,
		.peer_lanes = 4,
	};
	struct pair pair;
	memset(options.secret, secret, sizeof(options.secret));
	pair.initiator = epoch_new(&options);
	options.initiator = false;
	options.remote_index = INITIATOR_INDEX;
	pair.responder = epoch_new(&options);
	assert_non_null(pair.initiator);
	assert_non_null(pair.responder);
	return pair;
}

static void pair_done(struct pair *pair)
{
	epoch_free(pair->initiator);
	epoch_free(pair->responder);
}

static uint64_t counter_of(const struct sealed *packet)
{
	struct packet_header header;
	uint64_t counter;
	memcpy(&header, packet->bytes, sizeof(header));
	memcpy(&counter, header.counter, sizeof(counter));
	return be64toh(counter);
}

static struct sealed seal_one(struct epoch *epoch, unsigned worker)
{
	struct sealed packet;
	uint8_t plain[SIZE];
	memset(plain, 0x45, sizeof(plain));
	assert_int_equal(epoch_seal(epoch, worker, 0, true, plain, SIZE, packet.bytes), DROP_NONE);
	return packet;
}

// As ingress does it.
static enum drop open_with(struct epoch *epoch, unsigned worker, const struct sealed *packet)
{
	struct packet_header header;
	uint8_t plain[SIZE];
	uint64_t counter = counter_of(packet);
	memcpy(&header, packet->bytes, sizeof(header));
	struct lane_rx *lane = epoch_rx_lane(epoch, header.lane, worker);
	if (!lane)
		return DROP_LANE;
	if (!window_check(&lane->window, counter))
		return DROP_REPLAY;
	if (!seal_open(lane->seal, &header, counter, packet->bytes + sizeof(header),
		       SIZE + PACKET_TAG, plain)) {
		atomic_fetch_add(&epoch->forged, 1);
		return DROP_TAG;
	}
	window_set(&lane->window, counter);
	atomic_store(&lane->highest, lane->window.highest);
	atomic_fetch_add(&lane->opened, 1);
	for (unsigned i = 0; i < SIZE; i++)
		assert_int_equal(plain[i], 0x45);
	return DROP_NONE;
}

static void each_end_opens_what_the_other_sealed(void **state)
{
	(void)state;
	for (unsigned cipher = 0; cipher < CIPHER_COUNT; cipher++) {
		struct pair pair = pair_new(1, (enum cipher)cipher, 7);
		for (unsigned worker = 0; worker < 4; worker++) {
			struct sealed up = seal_one(pair.initiator, worker);
			struct sealed down = seal_one(pair.responder, worker);
			assert_int_equal(open_with(pair.responder, 0, &up), DROP_NONE);
			assert_int_equal(open_with(pair.initiator, 0, &down), DROP_NONE);
			assert_int_equal(open_with(pair.responder, 0, &up), DROP_REPLAY);
		}
		pair_done(&pair);
	}
}

static void writes_the_header(void **state)
{
	static const uint8_t expected[] = {1, 0x05, 2, 0, 0xaa, 0xbb, 0xcc, 0xdd,
					   0, 0,    0, 0, 0,	0,    0,    1};
	struct pair pair = pair_new(0x105, CIPHER_AES_256_GCM, 7);
	struct sealed packet = seal_one(pair.initiator, 2);

	(void)state;
	assert_memory_equal(packet.bytes, expected, sizeof(expected));
	pair_done(&pair);
}

static void opens_nothing_that_was_not_meant_for_it(void **state)
{
	struct pair pair = pair_new(1, CIPHER_AES_256_GCM, 7);
	struct pair other = pair_new(1, CIPHER_AES_256_GCM, 8);
	struct sealed up = seal_one(pair.initiator, 0);

	(void)state;
	// Wrong direction: an end does not open its own packets, which somebody could send back.
	assert_int_equal(open_with(pair.initiator, 0, &up), DROP_TAG);
	assert_int_equal(open_with(other.responder, 0, &up), DROP_TAG);
	assert_int_equal(atomic_load(&pair.initiator->forged), 1);
	// Another lane has other keys.
	up.bytes[2] = 1;
	assert_int_equal(open_with(pair.responder, 0, &up), DROP_TAG);
	up.bytes[2] = 4;
	assert_int_equal(open_with(pair.responder, 0, &up), DROP_LANE);
	up.bytes[2] = 255;
	assert_int_equal(open_with(pair.responder, 0, &up), DROP_LANE);
	up.bytes[2] = 0;
	// Another counter, epoch or index in the header.
	up.bytes[1] ^= 1;
	assert_int_equal(open_with(pair.responder, 0, &up), DROP_TAG);
	up.bytes[1] ^= 1;
	up.bytes[15] ^= 2;
	assert_int_equal(open_with(pair.responder, 0, &up), DROP_TAG);
	up.bytes[15] ^= 2;
	// None of these refusals moved the window.
	assert_int_equal(open_with(pair.responder, 0, &up), DROP_NONE);
	pair_done(&pair);
	pair_done(&other);
}

static void counters_go_up_by_one_in_each_lane(void **state)
{
	struct pair pair = pair_new(1, CIPHER_CHACHA20_POLY1305, 7);
	uint64_t sent[PACKET_LANES_MAX];

	(void)state;
	for (uint64_t i = 1; i <= 1000; i++) {
		struct sealed a = seal_one(pair.initiator, 0);
		struct sealed b = seal_one(pair.initiator, 3);
		assert_int_equal(counter_of(&a), i);
		assert_int_equal(counter_of(&b), i);
		// The same counter in two lanes is two nonces or two keys: never the same bytes.
		assert_memory_not_equal(a.bytes + sizeof(struct packet_header),
					b.bytes + sizeof(struct packet_header), SIZE);
	}
	assert_int_equal(epoch_sent(pair.initiator, sent), 4);
	assert_int_equal(sent[0], 1000);
	assert_int_equal(sent[1], 0);
	assert_int_equal(sent[3], 1000);
	assert_int_equal(epoch_sent(pair.responder, sent), 0);
	pair_done(&pair);
}

static void counts_inner_packets_apart(void **state)
{
	struct pair pair = pair_new(1, CIPHER_AES_256_GCM, 7);
	struct epoch_totals totals = {0};
	uint64_t sent[PACKET_LANES_MAX];
	uint8_t plain[16] = {1}, out[16 + PACKET_OVERHEAD];

	(void)state;
	seal_one(pair.initiator, 0);
	seal_one(pair.initiator, 1);
	assert_int_equal(epoch_seal(pair.initiator, 0, 0, false, plain, 16, out), DROP_NONE);
	epoch_add_totals(pair.initiator, &totals);
	assert_int_equal(totals.tx_packets, 2);
	assert_int_equal(totals.tx_bytes, 2 * SIZE);
	assert_int_equal(totals.rx_packets, 0);
	epoch_sent(pair.initiator, sent);
	assert_int_equal(sent[0], 2);
	pair_done(&pair);
}

static void asks_for_new_keys_in_time(void **state)
{
	struct pair pair = pair_new(1, CIPHER_AES_256_GCM, 7);
	struct lane_tx *lane = epoch_tx_lane(pair.initiator, 2);

	(void)state;
	assert_non_null(lane);
	assert_false(epoch_wants_rekey(pair.initiator));
	atomic_store(&lane->counter, REKEY_PACKETS - 2);
	seal_one(pair.initiator, 2);
	assert_false(epoch_wants_rekey(pair.initiator));
	seal_one(pair.initiator, 2);
	assert_true(epoch_wants_rekey(pair.initiator));
	atomic_store(&lane->counter, 5);
	atomic_store(&lane->blocks, REKEY_BLOCKS - 1);
	assert_false(epoch_wants_rekey(pair.initiator));
	seal_one(pair.initiator, 2);
	assert_true(epoch_wants_rekey(pair.initiator));
	// Nearly worn keys still work until the stop.
	struct sealed packet = seal_one(pair.initiator, 2);
	assert_int_equal(open_with(pair.responder, 0, &packet), DROP_NONE);
	pair_done(&pair);
}

static void stops_at_the_limit_of_a_key(void **state)
{
	struct pair pair = pair_new(1, CIPHER_AES_256_GCM, 7);
	struct lane_tx *lane = epoch_tx_lane(pair.initiator, 0);
	uint8_t plain[SIZE] = {0x45}, out[SIZE + PACKET_OVERHEAD];
	uint64_t blocks;

	(void)state;
	assert_non_null(lane);
	seal_one(pair.initiator, 0);
	blocks = atomic_load(&lane->blocks);
	assert_true(blocks >= (SIZE + 15) / 16 + 1);
	atomic_store(&lane->blocks, STOP_BLOCKS - blocks);
	seal_one(pair.initiator, 0);
	assert_true(atomic_load(&lane->blocks) == STOP_BLOCKS);
	memset(out, 0xee, sizeof(out));
	assert_int_equal(epoch_seal(pair.initiator, 0, 0, true, plain, SIZE, out), DROP_LIMIT);
	assert_int_equal(epoch_seal(pair.initiator, 0, 0, false, plain, 1, out), DROP_LIMIT);
	for (size_t i = 0; i < sizeof(out); i++)
		assert_int_equal(out[i], 0xee);
	assert_true(atomic_load(&lane->blocks) == STOP_BLOCKS);
	assert_int_equal(atomic_load(&lane->counter), 2);
	// Another lane has another key.
	seal_one(pair.initiator, 1);
	pair_done(&pair);
}

static void closes_when_too_much_was_forged(void **state)
{
	struct pair pair = pair_new(1, CIPHER_AES_256_GCM, 7);

	(void)state;
	atomic_store(&pair.responder->forged, REKEY_FORGED - 1);
	assert_false(epoch_wants_rekey(pair.responder));
	struct sealed packet = seal_one(pair.initiator, 0);
	packet.bytes[20] ^= 1;
	assert_int_equal(open_with(pair.responder, 0, &packet), DROP_TAG);
	assert_true(epoch_wants_rekey(pair.responder));
	assert_false(epoch_must_close(pair.responder));
	atomic_store(&pair.responder->forged, STOP_FORGED - 1);
	assert_false(epoch_must_close(pair.responder));
	assert_int_equal(open_with(pair.responder, 0, &packet), DROP_TAG);
	assert_true(epoch_must_close(pair.responder));
	pair_done(&pair);
}

// On their way still.
struct pending {
	struct sealed packets[16];
	unsigned count;
};

static void deliver_pending(struct pair *pair, struct pending *pending)
{
	for (unsigned i = 0; i < pending->count; i++)
		assert_int_equal(open_with(pair->responder, 0, &pending->packets[i]), DROP_NONE);
	pending->count = 0;
}

// Seals a packet per letter on a lane; delivers those with 'x', after them those with 'l' (late), and not yet those with 'p'.
static void exchange(struct pair *pair, unsigned lane, const char *what, struct pending *pending)
{
	struct pending late = {.count = 0};
	for (; *what; what++) {
		struct sealed packet = seal_one(pair->initiator, lane);
		if (*what == 'l')
			late.packets[late.count++] = packet;
		if (*what == 'p')
			pending->packets[pending->count++] = packet;
		if (*what == 'x')
			assert_int_equal(open_with(pair->responder, lane, &packet), DROP_NONE);
	}
	deliver_pending(pair, &late);
}

static uint64_t lost_by_count(struct pair *pair, const struct epoch_mark *mark)
{
	uint64_t sent[PACKET_LANES_MAX];
	unsigned count = epoch_sent(pair->initiator, sent);
	return epoch_lost(pair->responder, mark, sent, count);
}

static void counts_what_was_lost(void **state)
{
	static const struct {
		const char *before, *after; // the mark
		unsigned seen, told;	    // lost since; by what was seen, by what the peer says
	} cases[] = {
		{"xxxxxxxxxx", "xxxxx", 0, 0},
		{"xx-xx-xxxx", "xxxxx", 0, 0}, // lost before the mark
		{"xxxxxxxxxx", "xx-xx", 1, 1},
		{"xx-xx-xxxx", "xx-xx", 1, 1},
		{"xxxxxxxxxx", "xxx--", 0, 2}, // the tail
		{"xxxxxxxxxx", "x-x--", 1, 3},
		{"xxxxxxxxxx", "-----", 0, 5},
		{"xxxxxxxxxx", "xlllx", 0, 0}, // reordered
		{"xxxxxxxxxx", "lx-lx", 1, 1},
		{"lllllxxxxx", "xxxxx", 0, 0},
		{"xxxxppxxxx", "xxxxx", 0, 0}, // late ones that arrive after the mark
		{"xxxxxpppp", "xxx--", 0, 2},
		// What was late at the mark counts as lost before it: arriving, it hides a later loss.
		{"xxppxxppxx", "xx-xx", 0, 0},
		{"", "xx-xx-", 1, 2},
		{"", "---", 0, 3},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pair pair = pair_new(1, CIPHER_AES_256_GCM, 7);
		struct pending pending = {.count = 0};
		struct epoch_mark mark;
		exchange(&pair, 1, cases[i].before, &pending);
		epoch_mark(pair.responder, &mark);
		exchange(&pair, 1, cases[i].after, &pending);
		deliver_pending(&pair, &pending);
		uint64_t seen = epoch_lost(pair.responder, &mark, NULL, 0);
		uint64_t told = lost_by_count(&pair, &mark);
		if (seen != cases[i].seen || told != cases[i].told)
			fail_msg("line %zu: %u, %u", i + 1, (unsigned)seen, (unsigned)told);
		pair_done(&pair);
	}
}

static void counts_over_all_lanes(void **state)
{
	struct pair pair = pair_new(1, CIPHER_AES_256_GCM, 7);
	struct epoch_mark mark;

	(void)state;
	exchange(&pair, 0, "xx-x", NULL);
	exchange(&pair, 2, "xxx-", NULL);
	exchange(&pair, 3, "---", NULL);
	assert_int_equal(epoch_lost(pair.responder, NULL, NULL, 0), 1);
	assert_int_equal(lost_by_count(&pair, NULL), 5);
	epoch_mark(pair.responder, &mark);
	assert_int_equal(epoch_lost(pair.responder, &mark, NULL, 0), 0);
	exchange(&pair, 0, "x-x", NULL);
	exchange(&pair, 1, "-x", NULL);
	assert_int_equal(epoch_lost(pair.responder, &mark, NULL, 0), 2);
	// A peer that says less than what arrived is not believed.
	uint64_t sent[PACKET_LANES_MAX] = {1, 1, 1, 0};
	assert_int_equal(epoch_lost(pair.responder, NULL, sent, 4), 0);
	pair_done(&pair);
}

struct claim {
	struct epoch *epoch;
	unsigned worker;
	pthread_barrier_t *start;
	struct lane_rx *lanes[PACKET_LANES_MAX];
};

static void *claim_lanes(void *data)
{
	struct claim *claim = data;
	pthread_barrier_wait(claim->start);
	for (unsigned i = 0; i < PACKET_LANES_MAX; i++)
		claim->lanes[i] = epoch_rx_lane(claim->epoch, i, claim->worker);
	return NULL;
}

static void a_lane_has_one_owner(void **state)
{
	struct epoch_options options = {.number = 1, .peer_lanes = PACKET_LANES_MAX};
	struct epoch *epoch = epoch_new(&options);
	pthread_barrier_t start;
	struct claim claims[2] = {{epoch, 0, &start, {0}}, {epoch, 1, &start, {0}}};
	pthread_t threads[2];

	(void)state;
	assert_non_null(epoch);
	pthread_barrier_init(&start, NULL, 2);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, claim_lanes, &claims[i]), 0);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < PACKET_LANES_MAX; i++) {
		assert_non_null(claims[0].lanes[i]);
		assert_ptr_equal(claims[0].lanes[i], claims[1].lanes[i]);
		assert_ptr_equal(epoch_rx_lane(epoch, i, 5), claims[0].lanes[i]);
		assert_true(claims[0].lanes[i]->owner < 2);
	}
	assert_null(epoch_rx_lane(epoch, PACKET_LANES_MAX, 0));
	pthread_barrier_destroy(&start);
	epoch_free(epoch);
	assert_null(epoch_free(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_end_opens_what_the_other_sealed),
		cmocka_unit_test(writes_the_header),
		cmocka_unit_test(opens_nothing_that_was_not_meant_for_it),
		cmocka_unit_test(counters_go_up_by_one_in_each_lane),
		cmocka_unit_test(counts_inner_packets_apart),
		cmocka_unit_test(asks_for_new_keys_in_time),
		cmocka_unit_test(stops_at_the_limit_of_a_key),
		cmocka_unit_test(closes_when_too_much_was_forged),
		cmocka_unit_test(counts_what_was_lost),
		cmocka_unit_test(counts_over_all_lanes),
		cmocka_unit_test(a_lane_has_one_owner),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
