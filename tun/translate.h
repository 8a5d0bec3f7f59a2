// SPDX-License-Identifier: Apache-2.0
// 1:1 translation of prefixes, for a site whose own addresses are in use elsewhere: what it calls `from`, everybody else calls `to`.
// Only the prefix changes, and with it every checksum that covers it, by what has changed (RFC 1624; no address is chosen for its
// sum as in RFC 6296, because TCP, UDP, ICMPv6, UDP-Lite and DCCP are known here and others do not look at addresses). ICMP errors are
// followed into the packet that they quote.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

struct inner;

struct translation {
	struct prefix from, to; // of one family and length
};

// Immutable; for workers.
struct translations {
	unsigned count;
	struct translation list[];
};

// Copies. Returns a new object; NULL: out of memory, or there are none.
struct translations *translations_new(const struct translation *list, unsigned count);

// A packet that inner_parse() made `inner` of, on its way from the site, and to it; `inner` follows. `partial`: its transport checksum
// is (tun/cut.h).
void translate_from_site(const struct translations *translations, uint8_t *packet, size_t size,
			 struct inner *inner, bool partial);
void translate_to_site(const struct translations *translations, uint8_t *packet, size_t size,
		       struct inner *inner, bool partial);
