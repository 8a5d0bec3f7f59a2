// SPDX-License-Identifier: Apache-2.0

#include "tun/join.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/virtio_net.h>
#include <netinet/in.h>

#include "base/log.h"

#define TCP_FLAGS 13u
#define TCP_PSH	  0x08u
#define TCP_ACK	  0x10u

// A packet may be opened right behind a full super-packet.
#define GROUP_ROOM  (VNET_HEADER + VNET_SUPER_MAX + PACKET_INNER_MAX + PACKET_TAG)
#define BUFFER_SIZE (2 * GROUP_ROOM)

int join_init(struct join *join, int fd)
{
	*join = (struct join){.fd = fd, .tcp = true, .udp = true};
	join->buffer = malloc((size_t)BUFFER_SIZE);
	return join->buffer ? 0 : -ENOMEM;
}

void join_done(struct join *join)
{
	free(join->buffer);
	join->buffer = NULL;
}

// --- writing

static int put(struct join *join, const uint8_t *frame, size_t size, unsigned packets)
{
	ssize_t n = write(join->fd, frame, VNET_HEADER + size);
	if (n == (ssize_t)(VNET_HEADER + size))
		return 0;
	int code = n < 0 ? errno : EMSGSIZE;
	if (code != EINVAL || packets == 1)
		join->failed += packets;
	return -code;
}

// Kernel 6.6.44 and its kin, and some of appliances, refuse super-packets: they get what was in them, now and ever after.
static void put_pieces(struct join *join)
{
	struct cut cut;
	size_t size;
	log_warning("the kernel refuses joined packets on the TUN interface: each is written by "
		    "itself from now on, which is slower");
	join->tcp = join->udp = false;
	join->refused = true;
	if (cut_begin(&cut, join->frame, join->size, VNET_SUPER_MAX) != DROP_NONE)
		return;
	for (unsigned i = 0; i < cut.count; i++) {
		uint8_t *piece = cut_piece(&cut, i, &size);
		vnet_put(piece - VNET_HEADER, &cut.transport);
		put(join, piece - VNET_HEADER, size, 1);
	}
}

static unsigned gso_type(const struct transport *transport)
{
	if (transport->protocol == IPPROTO_UDP)
		return VNET_GSO_UDP;
	return transport->ipv4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
}

static void complete_group(const struct join *join)
{
	const struct transport *transport = &join->transport;
	uint8_t *packet = join->frame + VNET_HEADER;
	struct virtio_net_hdr_v1 vnet = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = (uint8_t)gso_type(transport),
		.hdr_len = (uint16_t)transport->headers,
		.gso_size = (uint16_t)join->segment,
		.csum_start = (uint16_t)transport->network,
		.csum_offset = (uint16_t)(transport->check - transport->network),
	};
	memcpy(join->frame, &vnet, sizeof(vnet));
	transport_put_size(packet, transport->network, join->size);
	if (transport->protocol == IPPROTO_UDP)
		put16(packet + transport->network + 4, join->size - transport->network);
	transport_put_partial(packet, transport, join->size - transport->network);
}

// A group that stayed single goes as it came.
void join_flush(struct join *join)
{
	if (join->size == 0)
		return;
	if (join->count == 1)
		vnet_put(join->frame, &join->transport);
	else
		complete_group(join);
	if (put(join, join->frame, join->size, join->count) == -EINVAL && join->count > 1)
		put_pieces(join);
	join->size = 0;
}

// --- places

static size_t saved_size(const struct join *join)
{
	return VNET_HEADER + join->transport.headers;
}

uint8_t *join_place(struct join *join)
{
	if (join->size == 0) {
		join->place = join->buffer + VNET_HEADER;
		return join->place;
	}
	join->place = join->frame + VNET_HEADER + join->size - join->transport.headers;
	memcpy(join->saved, join->place - VNET_HEADER, saved_size(join));
	return join->place;
}

void join_undo(struct join *join)
{
	if (join->size)
		memcpy(join->place - VNET_HEADER, join->saved, saved_size(join));
}

// Writes the group while the packet that was opened behind it stays where it is.
static void flush_before(struct join *join)
{
	uint8_t aside[sizeof(join->saved)];
	size_t size = saved_size(join);
	memcpy(aside, join->place - VNET_HEADER, size);
	join_undo(join);
	join_flush(join);
	memcpy(join->place - VNET_HEADER, aside, size);
}

// --- judging

// Whether it may be the first of a group: payload, and nothing to say that others may not say too.
static bool may_begin(const struct join *join, const uint8_t *packet, size_t size,
		      const struct transport *transport)
{
	if (transport->ipv4 && packet[0] != 0x45)
		return false;
	if (size <= transport->headers)
		return false;
	if (transport->protocol == IPPROTO_UDP)
		return join->udp;
	return join->tcp && packet[transport->network + TCP_FLAGS] == TCP_ACK;
}

static bool same_flow(const struct join *join, const uint8_t *packet,
		      const struct transport *transport)
{
	const uint8_t *head = join->head;
	size_t at = join->transport.network;
	if (transport->protocol != join->transport.protocol ||
	    transport->ipv4 != join->transport.ipv4 || transport->network != at)
		return false;
	return memcmp(head + at, packet + at, 4) == 0 &&
	       (transport->ipv4 ? memcmp(head + 12, packet + 12, 8) == 0
				: memcmp(head + 8, packet + 8, 32) == 0);
}

// Everything of the IP header but length, id and checksum, which of the same flow also addresses and protocol are.
static bool same_network(const uint8_t *head, const uint8_t *packet, bool ipv4)
{
	if (ipv4)
		return memcmp(head, packet, 2) == 0 && memcmp(head + 6, packet + 6, 3) == 0;
	return memcmp(head, packet, 4) == 0 && head[7] == packet[7];
}

// Everything of the TCP header but sequence number, checksum and PSH.
static bool same_tcp(const uint8_t *head, const uint8_t *tcp, size_t size)
{
	return memcmp(head + 8, tcp + 8, 5) == 0 && (tcp[TCP_FLAGS] & ~TCP_PSH) == TCP_ACK &&
	       memcmp(head + 14, tcp + 14, 2) == 0 && memcmp(head + 18, tcp + 18, size - 18) == 0;
}

static bool fits(const struct join *join, const uint8_t *packet, size_t size,
		 const struct transport *transport)
{
	const uint8_t *head = join->head;
	size_t at = transport->network;
	if (transport->headers != join->transport.headers || size <= transport->headers)
		return false;
	size_t payload = size - transport->headers;
	if (payload > join->segment || join->size + payload > VNET_SUPER_MAX ||
	    !same_network(head, packet, transport->ipv4))
		return false;
	if (transport->protocol == IPPROTO_UDP)
		return join->count < JOIN_SEGMENTS_MAX;
	return get32(packet + at + 4) == join->next &&
	       same_tcp(head + at, packet + at, transport->headers - at);
}

// An acknowledgement and nothing else.
static bool is_bare(const uint8_t *packet, size_t size, const struct transport *transport)
{
	return transport->protocol == IPPROTO_TCP && size == transport->headers &&
	       packet[transport->network + TCP_FLAGS] == TCP_ACK;
}

// Whether the packet may be written before the group that it does not fit to: other flows, and bare acknowledgements, so that both
// ways of a connection grow. Unless it could begin a group itself: then it is its turn.
static bool may_overtake(const struct join *join, const uint8_t *packet, size_t size, bool partial,
			 const struct transport *transport)
{
	if (partial && may_begin(join, packet, size, transport))
		return false;
	return !same_flow(join, packet, transport) || is_bare(packet, size, transport);
}

// --- taking

static void begin(struct join *join, size_t size, const struct transport *transport)
{
	uint8_t *start = join->place - VNET_HEADER;
	if ((size_t)(start - join->buffer) > BUFFER_SIZE - GROUP_ROOM) {
		memmove(join->buffer + VNET_HEADER, join->place, size);
		start = join->buffer;
	}
	join->frame = start;
	join->size = size;
	join->count = 1;
	join->transport = *transport;
	memcpy(join->head, start + VNET_HEADER, transport->headers);
	join->segment = size - transport->headers;
	join->next = get32(start + VNET_HEADER + transport->network + 4) + (uint32_t)join->segment;
}

static void append(struct join *join, size_t size)
{
	size_t flags = join->transport.network + TCP_FLAGS;
	size_t payload = size - join->transport.headers;
	bool push = join->transport.protocol == IPPROTO_TCP && join->place[flags] & TCP_PSH;
	join_undo(join);
	join->size += payload;
	join->next += (uint32_t)payload;
	join->count++;
	if (push)
		join->frame[VNET_HEADER + flags] |= TCP_PSH;
	if (push || payload < join->segment)
		join_flush(join);
}

static void write_alone(struct join *join, size_t size, const struct transport *partial)
{
	vnet_put(join->place - VNET_HEADER, partial);
	put(join, join->place - VNET_HEADER, size, 1);
	join_undo(join);
}

bool join_take(struct join *join, size_t size, bool partial)
{
	struct transport transport;
	const uint8_t *packet = join->place;
	bool found = transport_find(packet, size, &transport);
	if (partial && !found) {
		join_undo(join);
		return false;
	}
	if (join->size && found && partial && same_flow(join, packet, &transport) &&
	    fits(join, packet, size, &transport)) {
		append(join, size);
		return true;
	}
	if (join->size && !(found && may_overtake(join, packet, size, partial, &transport)))
		flush_before(join);
	if (partial && may_begin(join, packet, size, &transport))
		begin(join, size, &transport);
	else
		write_alone(join, size, partial ? &transport : NULL);
	return true;
}
