// SPDX-License-Identifier: Apache-2.0
// Who may begin a handshake: bounds on what strangers hold half open, in all and per source, and on how often a source starts.
// A source is an IPv4 address or an IPv6 /64. Memory is fixed, whatever comes. Any thread may call; it holds a lock for well
// under a microsecond.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/cleanup.h"

struct gate;

#define GATE_ENTRIES 65536u
// So long a source is known after one of its handshakes proved a certificate: who stays proves it again within an hour.
#define GATE_PROVEN_MS 7200000u

struct gate_limits {
	unsigned half_open; // in all
	unsigned half_open_source;
	unsigned starts_per_second; // per source, and per identity ...
	unsigned starts_burst;	    // ... after a burst of so many
};

enum gate_verdict {
	GATE_PASS,
	GATE_FULL, // too many half open in all. From half the limit on by chance, so that nobody can time it
	GATE_SOURCE, // too many half open from this source
	GATE_RATE,   // this source starts too often
};

// Given at entry, to be given back.
struct gate_ticket {
	int32_t entry;
};

// NULL: out of memory, or no random bytes.
struct gate *gate_new(const struct gate_limits *limits);
struct gate *gate_free(struct gate *gate); // takes NULL, returns NULL
DEFINE_CLEANUP(struct gate *, gate_free);

// Writes the ticket on GATE_PASS only. Sources that have proven a certificate lately are not refused by chance.
enum gate_verdict gate_enter(struct gate *gate, const struct addr *addr, uint64_t now_ms,
			     struct gate_ticket *ret);
// The handshake is over. `proven`: with a good certificate that gate_excuses(); then it does not count as a start, so that many
// peers behind one address do not wait for each other.
void gate_leave(struct gate *gate, struct gate_ticket ticket, bool proven, uint64_t now_ms);

// Whether a start of an identity that proved itself may be free to its source. One certificate alone is not free to begin more often
// than a source may; each call counts as a start of it.
bool gate_excuses(struct gate *gate, const char *identity, uint64_t now_ms);

// Whether a handshake of the source that holds the ticket proved a certificate lately.
bool gate_knows(struct gate *gate, struct gate_ticket ticket, uint64_t now_ms);

unsigned gate_half_open(struct gate *gate);
