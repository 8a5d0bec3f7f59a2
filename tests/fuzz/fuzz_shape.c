// SPDX-License-Identifier: Apache-2.0
// Packets that do not fit: MSS of handshakes, what the sender is told of any that goes no further, and hops. The input is the MTU (16 bits, big-endian), whether
// the checksum is partial (bit 0), and the packet.

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "tun/answer.h"
#include "tun/clamp.h"
#include "tun/inner.h"

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

static void check_error(const uint8_t *told, size_t built, const uint8_t *packet,
			const struct inner *inner)
{
	bool is_ipv4 = packet[0] >> 4 == 4;
	size_t headers = is_ipv4 ? 28 : 48;
	struct inner error, quote;
	check(built <= (is_ipv4 ? 576 : ANSWER_MAX) && built > headers);
	check(memcmp(told + headers, packet, built - headers) == 0);
	check(inner_parse(told, built, &error) == DROP_NONE && error.error);
	check(inner_quote(told, built, &error, &quote) == DROP_NONE);
	check(addr_equal(&quote.destination, &inner->destination));
	check(quote.protocol == inner->protocol && inner_service(&quote) == inner_service(inner));
}

static void check_reset(const uint8_t *told, size_t built, const struct inner *inner)
{
	struct inner reset;
	check(built == (inner->source.family == AF_INET ? 40 : 60));
	check(inner_parse(told, built, &reset) == DROP_NONE && reset.tcp_flags & TCP_RST);
	check(addr_equal(&reset.source, &inner->destination));
	check(reset.destination_port == inner->source_port);
}

// Whatever is told must be taken for what it is, by us, too.
static void try_answer(struct answer answer, const uint8_t *packet, size_t size,
		       const struct inner *inner)
{
	const struct addr ipv4 = {.family = AF_INET, .bytes = {192, 0, 2, 77}};
	const struct addr ipv6 = {.family = AF_INET6, .bytes = {0xfd, [15] = 1}};
	uint8_t told[ANSWER_MAX], again[ANSWER_MAX];
	struct inner from;
	answer.from = packet[0] >> 4 == 4 ? ipv4 : ipv6;
	if (addr_equal(&answer.from, &inner->source))
		return;
	size_t built = answer_build(&answer, packet, size, inner, told);
	if (!built)
		return;
	if (answer.type == ANSWER_REFUSED && inner->protocol == IPPROTO_TCP &&
	    inner->part == INNER_WHOLE)
		check_reset(told, built, inner);
	else
		check_error(told, built, packet, inner);
	check(inner_parse(told, built, &from) == DROP_NONE);
	check(addr_equal(&from.destination, &inner->source));
	// Errors about errors would never end, nor would resets of resets.
	for (answer.type = ANSWER_TOO_BIG; answer.type <= ANSWER_EXPIRED; answer.type++)
		if (!(from.tcp_flags & TCP_RST) || answer.type == ANSWER_REFUSED)
			check(answer_build(&answer, told, built, &from, again) == 0);
}

static void try_hop(const uint8_t *packet, size_t size)
{
	_cleanup_(freep) uint8_t *copy = malloc(size);
	struct inner inner;
	check(copy);
	memcpy(copy, packet, size);
	check(inner_lower_ttl(copy) == (memcmp(copy, packet, size) != 0));
	check(inner_parse(copy, size, &inner) == DROP_NONE);
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
	try_hop(reader.data, reader.left);
	for (enum answer_type type = ANSWER_TOO_BIG; type <= ANSWER_EXPIRED; type++)
		try_answer((struct answer){.type = type, .mtu = mtu}, reader.data, reader.left,
			   &inner);
	return 0;
}
