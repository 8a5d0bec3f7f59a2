// SPDX-License-Identifier: Apache-2.0

#include "tun/cut.h"

#include <string.h>
#include <linux/virtio_net.h>
#include <netinet/in.h>

#define IPV4_HEADER	20u
#define IPV6_HEADER	40u
#define IPV4_DONT	0x4000u
#define IPV4_MORE	0x2000u
#define IPV4_OFFSET	0x1fffu
#define TCP_SEQUENCE	4u // offsets in the transport header
#define TCP_FLAGS	13u
#define UDP_LENGTH	4u
#define TCP_FIN_AND_PSH 0x09u
#define TCP_CWR		0x80u

static_assert(sizeof(struct virtio_net_hdr_v1) == VNET_HEADER, "linux/virtio_net.h");

void vnet_put(uint8_t *frame, const struct transport *partial)
{
	struct virtio_net_hdr_v1 vnet = {0};
	if (partial) {
		vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		vnet.csum_start = (uint16_t)partial->network;
		vnet.csum_offset = (uint16_t)(partial->check - partial->network);
	}
	memcpy(frame, &vnet, sizeof(vnet));
}

unsigned vnet_packets(const uint8_t *frame, size_t payload)
{
	struct virtio_net_hdr_v1 vnet;
	memcpy(&vnet, frame, sizeof(vnet));
	return vnet.gso_size ? (unsigned)((payload + vnet.gso_size - 1) / vnet.gso_size) : 1;
}

// Where the far end would not look for a partial checksum, it is completed here.
static bool complete_checksum(struct cut *cut, const struct virtio_net_hdr_v1 *vnet)
{
	size_t start = vnet->csum_start;
	size_t check = start + vnet->csum_offset;
	size_t network =
		cut->packet[0] >> 4 == 4 ? (size_t)(cut->packet[0] & 0x0f) * 4 : IPV6_HEADER;
	if (start < network || start > cut->size || check + 2 > cut->size)
		return false;
	uint16_t sum = (uint16_t)~checksum_add(0, cut->packet + start, cut->size - start);
	// RFC 768: zero would mean that there is none.
	put16(cut->packet + check, sum ? sum : 0xffff);
	cut->partial = false;
	return true;
}

static void lay_out(struct cut *cut, enum cut_kind kind, size_t headers, size_t segment)
{
	cut->kind = kind;
	cut->headers = headers;
	cut->segment = segment;
	cut->count = (unsigned)((cut->size - headers + segment - 1) / segment);
	memcpy(cut->template, cut->packet, headers);
}

static enum drop begin_super(struct cut *cut, const struct virtio_net_hdr_v1 *vnet, size_t mtu)
{
	const struct transport *transport = &cut->transport;
	bool tcp = transport->protocol == IPPROTO_TCP;
	unsigned type = vnet->gso_type;
	unsigned expected = VNET_GSO_UDP;
	if (tcp) {
		type &= ~(unsigned)VIRTIO_NET_HDR_GSO_ECN;
		expected = transport->ipv4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
	}
	size_t segment = vnet->gso_size;
	if (type != expected || segment == 0 || cut->size <= transport->headers)
		return DROP_MALFORMED;
	if (transport->headers + segment > mtu) {
		if (!tcp || transport->headers >= mtu)
			return DROP_SIZE;
		segment = mtu - transport->headers;
	}
	lay_out(cut, tcp ? CUT_TCP : CUT_UDP, transport->headers, segment);
	return DROP_NONE;
}

static enum drop begin_fragments(struct cut *cut, const struct virtio_net_hdr_v1 *vnet, size_t mtu)
{
	const uint8_t *packet = cut->packet;
	if (packet[0] != 0x45 || get16(packet + 6) & IPV4_DONT || mtu < IPV4_HEADER + 8)
		return DROP_SIZE;
	if (cut->partial && !complete_checksum(cut, vnet))
		return DROP_MALFORMED;
	lay_out(cut, CUT_FRAGMENTS, IPV4_HEADER, (mtu - IPV4_HEADER) & ~(size_t)7);
	return DROP_NONE;
}

// One packet, larger than the path carries.
static enum drop begin_large(struct cut *cut, const struct virtio_net_hdr_v1 *vnet, bool found,
			     size_t mtu)
{
	const struct transport *transport = &cut->transport;
	// TCP is a row of bytes: smaller segments say the same.
	if (found && cut->partial && transport->protocol == IPPROTO_TCP &&
	    transport->headers < mtu && cut->size > transport->headers) {
		lay_out(cut, CUT_TCP, transport->headers, mtu - transport->headers);
		return DROP_NONE;
	}
	return begin_fragments(cut, vnet, mtu);
}

enum drop cut_begin(struct cut *cut, uint8_t *frame, size_t size, size_t mtu)
{
	struct virtio_net_hdr_v1 vnet;
	memcpy(&vnet, frame, sizeof(vnet));
	cut->kind = CUT_WHOLE;
	cut->packet = frame + VNET_HEADER;
	cut->size = size;
	cut->count = 1;
	cut->partial = vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
	bool found = transport_find(cut->packet, size, &cut->transport);
	bool usual = found && vnet.csum_start == cut->transport.network &&
		     (size_t)vnet.csum_start + vnet.csum_offset == cut->transport.check;
	if (vnet.gso_type != VIRTIO_NET_HDR_GSO_NONE)
		return usual && cut->partial ? begin_super(cut, &vnet, mtu) : DROP_MALFORMED;
	if (cut->partial && !usual && !complete_checksum(cut, &vnet))
		return DROP_MALFORMED;
	return size <= mtu ? DROP_NONE : begin_large(cut, &vnet, found, mtu);
}

void cut_refresh(struct cut *cut)
{
	if (cut->kind != CUT_WHOLE)
		memcpy(cut->template, cut->packet, cut->headers);
}

static void write_transport(struct cut *cut, uint8_t *piece, unsigned position, size_t payload)
{
	const struct transport *transport = &cut->transport;
	uint8_t *header = piece + transport->network;
	size_t offset = position * cut->segment;
	if (transport->ipv4)
		put16(piece + 4, get16(piece + 4) + position);
	if (cut->kind == CUT_TCP) {
		put32(header + TCP_SEQUENCE, get32(header + TCP_SEQUENCE) + (uint32_t)offset);
		if (position + 1 != cut->count)
			header[TCP_FLAGS] &= (uint8_t)~TCP_FIN_AND_PSH;
		if (position > 0)
			header[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
	} else {
		put16(header + UDP_LENGTH, cut->headers - transport->network + payload);
	}
	transport_put_partial(piece, transport, cut->headers - transport->network + payload);
}

// The packet may be a fragment itself: then its offset is added, and "more" stays on the last.
static void write_fragment(const struct cut *cut, uint8_t *piece, unsigned position)
{
	unsigned word = get16(piece + 6);
	unsigned offset = (word & IPV4_OFFSET) + (unsigned)(position * cut->segment / 8);
	unsigned more = position + 1 == cut->count ? word & IPV4_MORE : IPV4_MORE;
	put16(piece + 6, offset | more);
}

uint8_t *cut_piece(struct cut *cut, unsigned position, size_t *ret_size)
{
	if (cut->kind == CUT_WHOLE) {
		*ret_size = cut->size;
		return cut->packet;
	}
	size_t offset = position * cut->segment;
	size_t left = cut->size - cut->headers - offset;
	size_t payload = left < cut->segment ? left : cut->segment;
	uint8_t *piece = cut->packet + offset;
	memcpy(piece, cut->template, cut->headers);
	if (cut->kind == CUT_FRAGMENTS)
		write_fragment(cut, piece, position);
	else
		write_transport(cut, piece, position, payload);
	transport_put_size(piece, cut->kind == CUT_FRAGMENTS ? IPV4_HEADER : cut->transport.network,
			   cut->headers + payload);
	*ret_size = cut->headers + payload;
	return piece;
}
