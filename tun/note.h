// SPDX-License-Identifier: Apache-2.0
// What workers have to tell the control thread: flows that they refused, flows that a rule with `log` let begin, stages of traced
// packets. One bounded ring per worker, written by it alone and read by the control thread alone: no lock, and nobody waits. What
// finds no room is lost and counted.
//
// A worker limits itself, so that no peer can hide what the others did: of equal denials NOTE_SAME_PER_S a second are noted, of all
// denials (and of all begun flows) of one peer NOTE_DENIED_PER_S (NOTE_BEGUN_PER_S), and as many of what a network began to it, whatever
// other peers do. The others are counted, and the next note of their kind says how many they were, unless too many kinds came in between.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "tun/flow_key.h"

struct notes;
struct worker;

#define NOTES_MAX	  1024u // of one worker that wait; a power of two
#define NOTE_SAME_PER_S	  8u
#define NOTE_DENIED_PER_S 64u
#define NOTE_BEGUN_PER_S  512u

enum note_type { NOTE_DENIED, NOTE_BEGUN, NOTE_TRACED };

struct note {
	uint8_t type;		// enum note_type
	uint8_t drop;		// enum drop
	uint8_t stage;		// of a traced packet
	uint8_t program;	// enum filter_program
	bool outbound;		// towards a peer
	uint32_t rule;		// that decided, in that program; or FILTER_NO_RULE
	uint32_t generation;	// of the filter whose rule it is
	uint32_t session_index; // of the peer's session; 0: none
	struct flow_key key;
	uint16_t service;  // what it was judged by: port, or ICMP type << 8 | code
	uint32_t size;	   // of a traced packet,
	bool hit;	   // whether its flow was there before
	bool read;	   // and whether its headers were read: otherwise the key says nothing
	uint64_t at_ns;	   // written by note_put()
	uint64_t repeated; // likewise: denials that were not noted since the last note of the same
};

// The worker. false: not noted, but counted.
bool note_put(struct worker *worker, const struct note *note);

// A new ring. `wake`: an eventfd, borrowed, that becomes readable when a ring that was empty is so no more. NULL: out of memory, or
// the kernel has no random bytes.
struct notes *notes_new(int wake);
struct notes *notes_free(struct notes *notes); // takes NULL, returns NULL
DEFINE_CLEANUP(struct notes *, notes_free);

// The producer; note_put() with the worker's ring and its clock.
bool notes_put(struct notes *notes, const struct note *note, uint64_t now_ms);
// The consumer. The oldest one; false: none.
bool notes_take(struct notes *notes, struct note *ret);

struct notes_counters {
	uint64_t lost;	// no room in the ring
	uint64_t quiet; // over the limits
};
struct notes_counters notes_counters(const struct notes *notes); // any thread
