// SPDX-License-Identifier: Apache-2.0

#include "tun/epoch.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <openssl/crypto.h>

#include "tun/channel.h"

#define EXPORTER_LABEL "EXPORTER-mutun-data-1"

#define READ(field)		 atomic_load_explicit(&(field), memory_order_relaxed)
#define WRITE(field, v)		 atomic_store_explicit(&(field), (v), memory_order_relaxed)
#define ADD_ONE_WRITER(field, v) WRITE(field, READ(field) + (v))

struct epoch *epoch_new(const struct epoch_options *options)
{
	struct epoch *epoch = calloc(1, sizeof(*epoch));
	if (epoch)
		epoch->options = *options;
	return epoch;
}

int epoch_derive(const struct epoch_options *options, struct channel *channel,
		 const uint8_t session[SESSION_ID_SIZE], struct epoch **ret)
{
	uint8_t context[SESSION_ID_SIZE + 4];
	uint32_t number = htobe32(options->number);
	struct epoch_options derived = *options;
	memcpy(context, session, SESSION_ID_SIZE);
	memcpy(context + SESSION_ID_SIZE, &number, sizeof(number));
	int r = channel_export(channel, EXPORTER_LABEL, context, sizeof(context), derived.secret,
			       sizeof(derived.secret));
	struct epoch *epoch = r < 0 ? NULL : epoch_new(&derived);
	OPENSSL_cleanse(&derived, sizeof(derived));
	if (r < 0)
		return r;
	if (!epoch)
		return -ENOMEM;
	*ret = epoch;
	return 0;
}

static struct lane_rx *lane_rx_free(struct lane_rx *lane)
{
	if (lane)
		seal_free(lane->seal);
	free(lane);
	return NULL;
}

static struct lane_tx *lane_tx_free(struct lane_tx *lane)
{
	if (lane)
		seal_free(lane->seal);
	free(lane);
	return NULL;
}

struct epoch *epoch_free(struct epoch *epoch)
{
	if (!epoch)
		return NULL;
	for (unsigned i = 0; i < PACKET_LANES_MAX; i++) {
		lane_tx_free(atomic_load(&epoch->tx[i]));
		lane_rx_free(atomic_load(&epoch->rx[i]));
	}
	OPENSSL_cleanse(&epoch->options, sizeof(epoch->options));
	free(epoch);
	return NULL;
}

static struct seal *make_seal(const struct epoch *epoch, bool sending, unsigned lane)
{
	uint8_t key[SEAL_KEY_SIZE];
	uint8_t iv[SEAL_IV_SIZE];
	struct seal *seal = NULL;
	bool client_to_server = epoch->options.initiator == sending;
	if (seal_derive(epoch->options.secret, client_to_server, (uint8_t)lane, key, iv) == 0)
		seal = seal_new(epoch->options.cipher, key, iv, sending);
	OPENSSL_cleanse(key, sizeof(key));
	OPENSSL_cleanse(iv, sizeof(iv));
	return seal;
}

struct lane_tx *epoch_tx_lane(struct epoch *epoch, unsigned worker)
{
	struct lane_tx *lane = atomic_load_explicit(&epoch->tx[worker], memory_order_relaxed);
	if (lane)
		return lane;
	lane = calloc(1, sizeof(*lane));
	if (!lane)
		return NULL;
	lane->seal = make_seal(epoch, true, worker);
	if (!lane->seal)
		return lane_tx_free(lane);
	atomic_store_explicit(&epoch->tx[worker], lane, memory_order_release);
	return lane;
}

enum drop epoch_seal(struct epoch *epoch, unsigned worker, uint8_t flags, bool inner,
		     const uint8_t *plain, size_t size, uint8_t *out)
{
	struct lane_tx *lane = epoch_tx_lane(epoch, worker);
	if (!lane)
		return DROP_KEYS;
	uint64_t blocks = READ(lane->blocks) + size / 16 + 2;
	if (blocks > STOP_BLOCKS)
		return DROP_LIMIT;

	uint64_t counter = READ(lane->counter) + 1;
	struct packet_header header = {
		.type = PACKET_DATA,
		.epoch = (uint8_t)epoch->options.number,
		.lane = (uint8_t)worker,
		.flags = flags,
	};
	uint32_t index = htobe32(epoch->options.remote_index);
	uint64_t number = htobe64(counter);
	memcpy(header.index, &index, sizeof(index));
	memcpy(header.counter, &number, sizeof(number));
	memcpy(out, &header, sizeof(header));
	// The number is spent even when OpenSSL fails: a nonce is never used twice.
	WRITE(lane->counter, counter);
	WRITE(lane->blocks, blocks);
	if (!seal_packet(lane->seal, &header, counter, plain, size, out + sizeof(header)))
		return DROP_KEYS;
	if (inner) {
		ADD_ONE_WRITER(lane->packets, 1);
		ADD_ONE_WRITER(lane->bytes, size);
	}
	return DROP_NONE;
}

struct lane_rx *epoch_rx_lane(struct epoch *epoch, unsigned lane_number, unsigned worker)
{
	if (lane_number >= epoch->options.peer_lanes)
		return NULL;
	struct lane_rx *lane = atomic_load_explicit(&epoch->rx[lane_number], memory_order_acquire);
	if (lane)
		return lane;
	lane = calloc(1, sizeof(*lane));
	if (!lane)
		return NULL;
	lane->owner = epoch->options.workers ? lane_number % epoch->options.workers : worker;
	lane->seal = make_seal(epoch, false, lane_number);
	if (!lane->seal)
		return lane_rx_free(lane);
	struct lane_rx *winner = NULL;
	if (atomic_compare_exchange_strong_explicit(&epoch->rx[lane_number], &winner, lane,
						    memory_order_acq_rel, memory_order_acquire))
		return lane;
	lane_rx_free(lane);
	return winner;
}

bool epoch_seen(const struct epoch *epoch)
{
	for (unsigned i = 0; i < PACKET_LANES_MAX; i++) {
		const struct lane_rx *lane =
			atomic_load_explicit(&epoch->rx[i], memory_order_acquire);
		if (lane && READ(lane->opened) > 0)
			return true;
	}
	return false;
}

static bool tx_over_limit(const struct lane_tx *lane)
{
	return READ(lane->counter) >= REKEY_PACKETS || READ(lane->blocks) >= REKEY_BLOCKS;
}

bool epoch_wants_rekey(const struct epoch *epoch)
{
	for (unsigned i = 0; i < PACKET_LANES_MAX; i++) {
		const struct lane_tx *lane =
			atomic_load_explicit(&epoch->tx[i], memory_order_acquire);
		if (lane && tx_over_limit(lane))
			return true;
	}
	return READ(epoch->forged) >= REKEY_FORGED;
}

bool epoch_must_close(const struct epoch *epoch)
{
	return READ(epoch->forged) >= STOP_FORGED;
}

void epoch_add_totals(const struct epoch *epoch, struct epoch_totals *totals)
{
	for (unsigned i = 0; i < PACKET_LANES_MAX; i++) {
		const struct lane_tx *tx =
			atomic_load_explicit(&epoch->tx[i], memory_order_acquire);
		const struct lane_rx *rx =
			atomic_load_explicit(&epoch->rx[i], memory_order_acquire);
		if (tx) {
			totals->tx_packets += READ(tx->packets);
			totals->tx_bytes += READ(tx->bytes);
		}
		if (rx) {
			totals->rx_packets += READ(rx->packets);
			totals->rx_bytes += READ(rx->bytes);
		}
	}
}

unsigned epoch_sent(const struct epoch *epoch, uint64_t sent[PACKET_LANES_MAX])
{
	unsigned count = 0;
	for (unsigned i = 0; i < PACKET_LANES_MAX; i++) {
		const struct lane_tx *lane =
			atomic_load_explicit(&epoch->tx[i], memory_order_acquire);
		sent[i] = lane ? READ(lane->counter) : 0;
		if (lane)
			count = i + 1;
	}
	return count;
}

void epoch_mark(const struct epoch *epoch, struct epoch_mark *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (unsigned i = 0; i < PACKET_LANES_MAX; i++) {
		const struct lane_rx *lane =
			atomic_load_explicit(&epoch->rx[i], memory_order_acquire);
		if (lane) {
			ret->highest[i] = READ(lane->highest);
			ret->opened[i] = READ(lane->opened);
		}
	}
}

uint64_t epoch_lost(const struct epoch *epoch, const struct epoch_mark *mark, const uint64_t *sent,
		    unsigned count)
{
	struct epoch_mark now;
	uint64_t lost = 0;
	epoch_mark(epoch, &now);
	for (unsigned i = 0; i < PACKET_LANES_MAX; i++) {
		uint64_t end = i < count ? sent[i] : now.highest[i];
		uint64_t missing = end > now.opened[i] ? end - now.opened[i] : 0;
		uint64_t before = mark ? mark->highest[i] - mark->opened[i] : 0;
		if (missing > before)
			lost += missing - before;
	}
	return lost;
}
