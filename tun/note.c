// SPDX-License-Identifier: Apache-2.0

#include "tun/note.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "tun/worker.h"

#define PLACES	  256u // of the tables of limits; a power of two
#define WINDOW_MS 1000u

// Of equal denials, or of all notes of a type about one peer. Who has the same place as another takes it over, with its limit fresh:
// a table of a fixed size forgets rather than grows.
struct limit {
	uint64_t mark; // of what it counts; 0: free
	uint64_t begun_ms;
	uint32_t count;
	uint64_t quiet; // since the last note
};

struct notes {
	_Alignas(64) _Atomic uint32_t taken;   // by the control thread
	_Alignas(64) _Atomic uint32_t written; // by the worker, as all that follows
	int wake;
	_Atomic uint64_t lost, quiet;
	struct limit same[PLACES], peers[PLACES];
	struct note ring[NOTES_MAX];
};

struct notes *notes_new(int wake)
{
	struct notes *notes = aligned_alloc(64, sizeof(*notes));
	if (!notes)
		return NULL;
	memset(notes, 0, sizeof(*notes));
	notes->wake = wake;
	return notes;
}

struct notes *notes_free(struct notes *notes)
{
	free(notes);
	return NULL;
}

// FNV-1a, 64 bits. Nobody gains by a collision: it only moves a limit.
static uint64_t mix(uint64_t hash, const void *data, size_t size)
{
	const uint8_t *bytes = data;
	for (size_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
	return hash;
}

// The port that a client chose for itself makes no difference, nor does the identifier of its pings.
static uint64_t mark_of(const struct note *note)
{
	const struct flow_key *key = &note->key;
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	hash = mix(hash, key->from.bytes, ADDR_BYTES(&key->from));
	hash = mix(hash, key->to.bytes, ADDR_BYTES(&key->to));
	hash = mix(hash, &note->service, sizeof(note->service));
	hash = mix(hash, &key->protocol, sizeof(key->protocol));
	hash = mix(hash, &key->from_subject, sizeof(key->from_subject));
	hash = mix(hash, &note->rule, sizeof(note->rule));
	return mix(hash, &note->drop, sizeof(note->drop)) | 1;
}

static struct limit *find(struct limit *table, uint64_t mark)
{
	struct limit *limit = &table[(mark ^ mark >> 32) >> 1 & (PLACES - 1)];
	if (limit->mark != mark)
		*limit = (struct limit){.mark = mark};
	return limit;
}

static bool may(struct limit *limit, uint32_t most, uint64_t now_ms)
{
	if (now_ms - limit->begun_ms >= WINDOW_MS) {
		limit->begun_ms = now_ms;
		limit->count = 0;
	}
	if (limit->count >= most)
		return false;
	limit->count++;
	return true;
}

// The peer that began the flow; what a network began counts for the one it was meant for.
static bool peer_may(struct notes *notes, const struct note *note, uint64_t now_ms)
{
	unsigned subject = note->key.from_subject ? note->key.from_subject : note->key.to_subject;
	// Next to each other are peers whose numbers are, and apart the two types of each.
	uint64_t mark = ((uint64_t)subject << 1 | (note->type == NOTE_DENIED)) << 1 | 1;
	return may(find(notes->peers, mark),
		   note->type == NOTE_DENIED ? NOTE_DENIED_PER_S : NOTE_BEGUN_PER_S, now_ms);
}

// Whether the worker may say it now; `ret` gets how often it kept silent before.
static bool allowed(struct notes *notes, const struct note *note, uint64_t now_ms, uint64_t *ret)
{
	*ret = 0;
	if (note->type == NOTE_TRACED)
		return true;
	if (note->type == NOTE_BEGUN)
		return peer_may(notes, note, now_ms);
	struct limit *same = find(notes->same, mark_of(note));
	if (!may(same, NOTE_SAME_PER_S, now_ms) || !peer_may(notes, note, now_ms)) {
		same->quiet++;
		return false;
	}
	*ret = same->quiet;
	same->quiet = 0;
	return true;
}

static bool count(_Atomic uint64_t *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
	return false;
}

bool notes_put(struct notes *notes, const struct note *note, uint64_t now_ms)
{
	uint64_t repeated;
	if (!allowed(notes, note, now_ms, &repeated))
		return count(&notes->quiet);
	uint32_t at = atomic_load_explicit(&notes->written, memory_order_relaxed);
	if (at - atomic_load_explicit(&notes->taken, memory_order_acquire) >= NOTES_MAX)
		return count(&notes->lost);
	struct note *place = &notes->ring[at % NOTES_MAX];
	*place = *note;
	place->at_ns = clock_ns();
	place->repeated = repeated;
	// Either the consumer sees this note when it looks once more, or we see that it has taken all others: both in one order.
	atomic_store(&notes->written, at + 1);
	if (atomic_load(&notes->taken) == at)
		(void)!eventfd_write(notes->wake, 1); // where it is full, it is readable
	return true;
}

bool notes_take(struct notes *notes, struct note *ret)
{
	uint32_t at = atomic_load_explicit(&notes->taken, memory_order_relaxed);
	if (atomic_load(&notes->written) == at)
		return false;
	*ret = notes->ring[at % NOTES_MAX];
	atomic_store(&notes->taken, at + 1);
	return true;
}

struct notes_counters notes_counters(const struct notes *notes)
{
	return (struct notes_counters){
		.lost = atomic_load_explicit(&notes->lost, memory_order_relaxed),
		.quiet = atomic_load_explicit(&notes->quiet, memory_order_relaxed),
	};
}

bool note_put(struct worker *worker, const struct note *note)
{
	return notes_put(worker->notes, note, worker->now_ms);
}
