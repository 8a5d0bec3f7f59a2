// SPDX-License-Identifier: Apache-2.0
// Packets that do not fit: MSS of handshakes, and what the sender is told. The input is the MTU (16 bits, big-endian), whether
// the checksum is partial (bit 0), and the packet.

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "tun/clamp.h"
#include "tun/inner.h"
#include "tun/toobig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
	if (!condition)
		abort();
}

// A copy of the exact size lets AddressSanitizer see a step past the end.
static void try_clamp(const uint8_t *packet, size_t size, unsigned mtu, bool partial)
{
	_cleanup_(freep) uint8_t *copy = malloc(size);
	check(copy);
	memcpy(copy, packet, size);
	bool lowered = clamp_mss(copy, size, mtu, partial);
	check(lowered == (memcmp(copy, packet, size) != 0));
	memcpy(copy, packet, size);
	if (lowered)
		check(clamp_mss(copy, size, mtu, partial) && !clamp_mss(copy, size, mtu, partial));
}

static void try_toobig(const uint8_t *packet, size_t size, unsigned mtu)
{
	const struct addr ipv4 = {.family = AF_INET, .bytes = {10, 0, 0, 1}};
	const struct addr ipv6 = {.family = AF_INET6, .bytes = {0xfd, [15] = 1}};
	uint8_t answer[TOOBIG_MAX], again[TOOBIG_MAX];
	bool is_ipv4 = packet[0] >> 4 == 4;
	size_t built = toobig_build(packet, size, mtu, is_ipv4 ? &ipv4 : &ipv6, answer);
	check(toobig_build(packet, size, mtu, is_ipv4 ? &ipv6 : &ipv4, again) == 0);
	if (!built)
		return;
	struct inner to, from;
	size_t headers = is_ipv4 ? 28 : 48;
	check(built <= (is_ipv4 ? 576 : TOOBIG_MAX) && built > headers);
	check(inner_parse(answer, built, &to) == DROP_NONE);
	check(inner_parse(packet, size, &from) == DROP_NONE);
	check(memcmp(&to.destination, &from.source, sizeof(to.destination)) == 0);
	check(memcmp(answer + headers, packet, built - headers) == 0);
	// Errors about errors would never end.
	check(toobig_build(answer, built, mtu, is_ipv4 ? &ipv4 : &ipv6, again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reader reader = reader_over(data, size);
	struct inner inner;
	unsigned mtu = reader_u16(&reader);
	bool partial = reader_u8(&reader) & 1;
	if (reader.failed || inner_parse(reader.data, reader.left, &inner) != DROP_NONE)
		return 0;
	try_clamp(reader.data, reader.left, mtu, partial);
	try_toobig(reader.data, reader.left, mtu);
	return 0;
}
