// SPDX-License-Identifier: Apache-2.0

#include "bench/load_path.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tun/channel.h"
#include "tun/datagram.h"
#include "tun/epoch.h"
#include "tun/probe.h"

#define LANE 0u // that all of them send on
// Neighbours have different ones: the gateway cannot send to two of them in one piece, as it could not if they were far apart.
#define SOCKETS 2u

struct peer {
	struct epoch *epoch;  // NULL: not open
	uint64_t probed_ns;   // the token of the newest probe
	uint64_t answered_ns; // ... that has its answer
	uint64_t heard_ms;
};

struct load_path {
	int fds[SOCKETS];
	struct datagram_peer gateway;
	struct datagram_in in;
	struct datagram_out out;
	unsigned count;
	struct peer *peers;
};

static void flush(struct load_path *paths)
{
	struct datagram_out *out = &paths->out;
	// What the kernel refuses is lost, as on any path.
	for (unsigned i = 0; i < out->count; i++)
		datagram_send(paths->fds[out->runs[i].peer.slot], out, i, i + 1);
	out->count = 0;
	out->used = 0;
}

static void send_message(struct load_path *paths, struct peer *peer,
			 const struct link_message *message)
{
	size_t size = sizeof(*message) + PACKET_OVERHEAD;
	struct datagram_peer gateway = paths->gateway;
	gateway.slot = (uint8_t)((size_t)(peer - paths->peers) % SOCKETS);
	uint8_t *room = datagram_room(&paths->out, size);
	if (!room) {
		flush(paths);
		room = datagram_room(&paths->out, size);
	}
	if (epoch_seal(peer->epoch, LANE, 0, false, (const uint8_t *)message, sizeof(*message),
		       room) == DROP_NONE)
		datagram_add(&paths->out, &gateway, NULL, 0, size);
}

static void take_answer(struct peer *peer, const struct link_message *message)
{
	memcpy(&peer->answered_ns, message->token, sizeof(peer->answered_ns));
	peer->heard_ms = clock_ms();
}

// What was opened: the first nibble of a link message is 0.
static void take_plain(struct load_path *paths, struct peer *peer, const uint8_t *plain,
		       size_t size)
{
	struct link_message message, reply;
	if (size < sizeof(message) || plain[0] >> 4 != 0)
		return;
	memcpy(&message, plain, sizeof(message));
	if (probe_reply(&message, size, &reply))
		send_message(paths, peer, &reply);
	else if (message.type == LINK_ANSWER)
		take_answer(peer, &message);
}

static struct peer *find_peer(struct load_path *paths, const struct packet_header *header)
{
	uint32_t index;
	memcpy(&index, header->index, sizeof(index));
	unsigned number = be32toh(index) - load_path_index(0);
	struct peer *peer = number < paths->count ? &paths->peers[number] : NULL;
	if (!peer || !peer->epoch || (uint8_t)peer->epoch->options.number != header->epoch)
		return NULL;
	return peer;
}

// Opens it where it lies.
static void take_datagram(struct load_path *paths, uint8_t *data, size_t size)
{
	struct packet_header header;
	uint64_t counter;
	if (size < PACKET_OVERHEAD)
		return;
	memcpy(&header, data, sizeof(header));
	memcpy(&counter, header.counter, sizeof(counter));
	counter = be64toh(counter);
	struct peer *peer = header.type == PACKET_DATA ? find_peer(paths, &header) : NULL;
	struct lane_rx *lane = peer ? epoch_rx_lane(peer->epoch, header.lane, 0) : NULL;
	uint8_t *sealed = data + sizeof(header);
	if (!lane || !window_check(&lane->window, counter) ||
	    !seal_open(lane->seal, &header, counter, sealed, size - sizeof(header), sealed))
		return;
	window_set(&lane->window, counter);
	take_plain(paths, peer, sealed, size - PACKET_OVERHEAD);
}

static void take_datagrams(struct load_path *paths)
{
	for (unsigned i = 0; i < paths->in.count; i++)
		take_datagram(paths, paths->in.data + (size_t)i * DATAGRAM_STRIDE,
			      paths->in.sizes[i]);
}

void load_path_run(struct load_path *paths)
{
	for (uint8_t slot = 0; slot < SOCKETS; slot++) {
		int n = DATAGRAM_BATCH;
		while (n == DATAGRAM_BATCH) {
			// Below 0: an ICMP error about what was sent.
			n = datagram_receive(paths->fds[slot], slot, &paths->in);
			take_datagrams(paths);
		}
	}
	flush(paths);
}

int load_path_new(const struct endpoint *gateway, unsigned count, struct load_path **ret)
{
	struct endpoint any = {.addr.family = gateway->addr.family};
	struct load_path *paths = calloc(1, sizeof(*paths));
	struct peer *peers = calloc(count, sizeof(*peers));
	if (!paths || !peers || datagram_in_init(&paths->in) < 0 ||
	    datagram_out_init(&paths->out) < 0)
		return -ENOMEM;
	paths->count = count;
	paths->peers = peers;
	paths->gateway.remote = *gateway;
	for (unsigned i = 0; i < SOCKETS; i++) {
		paths->fds[i] = datagram_open(&any, false, 0);
		if (paths->fds[i] < 0)
			return paths->fds[i];
	}
	*ret = paths;
	return 0;
}

uint32_t load_path_index(unsigned number)
{
	return number + 1;
}

int load_path_open(struct load_path *paths, unsigned number, struct channel *channel,
		   const struct message_ready *ready)
{
	struct peer *peer = &paths->peers[number];
	struct epoch_options options = {
		.number = ready->epoch,
		.cipher = ready->cipher,
		.initiator = true,
		.remote_index = ready->index,
		.peer_lanes = ready->lanes,
	};
	int r = epoch_derive(&options, channel, ready->session, &peer->epoch);
	if (r < 0)
		return r;
	paths->gateway.remote.port = ready->udp_port;
	peer->heard_ms = clock_ms();
	load_path_probe(paths, number);
	return 0;
}

void load_path_close(struct load_path *paths, unsigned number)
{
	paths->peers[number].epoch = epoch_free(paths->peers[number].epoch);
}

void load_path_probe(struct load_path *paths, unsigned number)
{
	struct peer *peer = &paths->peers[number];
	struct link_message message = {.type = LINK_PROBE};
	peer->probed_ns = clock_ns();
	memcpy(message.token, &peer->probed_ns, sizeof(message.token));
	send_message(paths, peer, &message);
}

bool load_path_answered(const struct load_path *paths, unsigned number)
{
	return paths->peers[number].answered_ns == paths->peers[number].probed_ns;
}

uint64_t load_path_heard_ms(const struct load_path *paths, unsigned number)
{
	return paths->peers[number].heard_ms;
}
