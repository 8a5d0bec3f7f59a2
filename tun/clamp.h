// SPDX-License-Identifier: Apache-2.0
// The MSS option of TCP handshakes, lowered so that segments fit the tunnel (RFC 9293, 3.7.1; RFC 6691).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A SYN is not longer, unless it brings data, and then it need not be clamped: its MSS was agreed on before (RFC 7413, 4.1.3).
#define CLAMP_SIZE_MAX 200u

// Lowers every MSS option of a SYN that promises segments too large for IP packets of `mtu` bytes. Never raises, adds none;
// leaves alone whatever is not plainly TCP in one piece. The packet has been judged by inner_parse(). `partial`: the transport
// checksum covers the pseudo-header only and stays as it is, else it is corrected (RFC 1624). true: something was lowered.
bool clamp_mss(uint8_t *packet, size_t size, unsigned mtu, bool partial);
