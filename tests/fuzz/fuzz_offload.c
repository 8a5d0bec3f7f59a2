// SPDX-License-Identifier: Apache-2.0
// A frame of a TUN queue is cut, and the pieces are joined again. The input is an MTU (16 bits), a vnet header and a packet. Every
// piece must lie in the frame and fit the MTU; a packet that was whole must stay as it was.

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "tun/answer.h"
#include "tun/clamp.h"
#include "tun/inner.h"
#include "tun/join.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define GUARD	       64u
#define MTU_OF_HEADERS 100u // of IPv4 and TCP with options, to 8 bytes

static void check(bool condition)
{
	if (!condition)
		abort();
}

// Fragments and segments are packets of their own, unless a checksum was completed where no kernel has one, or the first fragment has
// no room for all headers.
static void join_piece(struct join *join, const uint8_t *piece, size_t size, bool partial,
		       bool spoiled)
{
	struct inner inner;
	check(spoiled || inner_parse(piece, size, &inner) == DROP_NONE);
	memcpy(join_place(join), piece, size);
	join_take(join, size, partial);
}

// What a packet may become or cause on its way.
static void shape(uint8_t *packet, size_t size, unsigned mtu, const struct inner *inner)
{
	uint8_t told[ANSWER_MAX];
	struct answer answer = {.type = ANSWER_TOO_BIG, .from = inner->destination, .mtu = mtu};
	struct inner parsed;
	clamp_mss(packet, size, mtu, mtu & 1);
	check(inner_parse(packet, size, &parsed) == DROP_NONE);
	size_t built = answer_build(&answer, packet, size, inner, told);
	check(built <= ANSWER_MAX);
	check(built == 0 || inner_parse(told, built, &parsed) == DROP_NONE);
}

static void cut_and_join(struct join *join, uint8_t *frame, size_t size, size_t mtu)
{
	struct cut cut;
	struct inner inner;
	bool asked = frame[0] & 1; // for its checksum (VIRTIO_NET_HDR_F_NEEDS_CSUM)
	if (inner_parse(frame + VNET_HEADER, size, &inner) != DROP_NONE)
		return;
	shape(frame + VNET_HEADER, size, (unsigned)mtu, &inner);
	if (cut_begin(&cut, frame, size, mtu) != DROP_NONE)
		return;
	check(cut.count > 0);
	bool spoiled = (asked && !cut.partial) || mtu < MTU_OF_HEADERS;
	for (unsigned i = 0; i < cut.count; i++) {
		size_t piece_size;
		const uint8_t *piece = cut_piece(&cut, i, &piece_size);
		check(piece >= frame + VNET_HEADER);
		check(piece + piece_size <= frame + VNET_HEADER + size);
		check(cut.kind == CUT_WHOLE ? piece_size == size : piece_size <= mtu);
		if (piece_size <= PACKET_INNER_MAX)
			join_piece(join, piece, piece_size, cut.partial, spoiled);
	}
	join_flush(join);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct join join;
	static uint8_t *frame;
	if (!frame) {
		int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
		frame = malloc(VNET_HEADER + VNET_SUPER_MAX + GUARD);
		check(fd >= 0 && frame && join_init(&join, fd) == 0);
	}
	if (size < 2 + VNET_HEADER || size - 2 > VNET_HEADER + VNET_SUPER_MAX)
		return 0;
	size_t mtu = (size_t)(data[0] << 8 | data[1]);
	size_t packet = size - 2 - VNET_HEADER;
	memcpy(frame, data + 2, size - 2);
	memset(frame + VNET_HEADER + packet, 0xa5, GUARD);
	join.tcp = join.udp = true;
	cut_and_join(&join, frame, packet, mtu);
	for (unsigned i = 0; i < GUARD; i++)
		check(frame[VNET_HEADER + packet + i] == 0xa5);
	return 0;
}
