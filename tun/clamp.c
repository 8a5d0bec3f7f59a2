// SPDX-License-Identifier: Apache-2.0

#include "tun/clamp.h"

#include <byteswap.h>
#include <netinet/in.h>

#include "tun/transport.h"

#define TCP_HEADER     20u
#define IP_TCP_MIN     40u // of IPv4 and TCP
#define FLAGS	       13u // offset in the TCP header
#define FLAG_SYN       0x02u
#define OPTION_END     0u // RFC 9293, 3.2
#define OPTION_NOTHING 1u
#define OPTION_MSS     2u
#define MSS_LENGTH     4u

// A value at an odd offset lies across two words: its bytes have swapped places in the sum.
static void correct(uint8_t *check, uint16_t was, uint16_t is, bool odd)
{
	checksum_correct(check, odd ? bswap_16(was) : was, odd ? bswap_16(is) : is);
}

bool clamp_mss(uint8_t *packet, size_t size, unsigned mtu, bool partial)
{
	struct transport found;
	if (size < IP_TCP_MIN || !transport_find(packet, size, &found) ||
	    found.protocol != IPPROTO_TCP || !(packet[found.network + FLAGS] & FLAG_SYN))
		return false;
	size_t fixed = found.network + TCP_HEADER;
	if (mtu <= fixed)
		return false;
	size_t most = mtu - fixed;
	bool lowered = false;
	for (size_t at = fixed; at < found.headers && packet[at] != OPTION_END;) {
		if (packet[at] == OPTION_NOTHING) {
			at++;
			continue;
		}
		size_t length = at + 1 < found.headers ? packet[at + 1] : 0;
		if (length < 2 || length > found.headers - at)
			break;
		if (packet[at] == OPTION_MSS && length == MSS_LENGTH &&
		    get16(packet + at + 2) > most) {
			uint16_t was = get16(packet + at + 2);
			put16(packet + at + 2, most);
			if (!partial)
				correct(packet + found.check, was, (uint16_t)most,
					(at - found.network) % 2);
			lowered = true;
		}
		at += length;
	}
	return lowered;
}
