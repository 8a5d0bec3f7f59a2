// SPDX-License-Identifier: Apache-2.0

#include "tun/note.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>

#include "base/clock.h"
#include "tun/subject.h"
#include "tun/worker.h"

#define PLACES	  256u // of the table of equal denials; a power of two
#define WINDOW_MS 1000u

// Of equal denials of one peer. Who has the same place as another takes it over, with its limit fresh: a table of a fixed size forgets
// rather than grows. A peer that is over its own limit takes no place from others.
struct limit {
	uint64_t mark; // of what it counts; 0: free
	uint32_t subject;
	uint32_t count;
	uint64_t begun_ms;
	uint64_t quiet; // since the last note
};

// Of one peer, and of what a network began to it. Nobody else counts here: who shared it would hide what the other one did, or take the
// limit from him.
struct share {
	uint32_t begun_ms; // of the window that all count in
	uint16_t denied[2], begun[2];
};

struct notes {
	_Alignas(64) _Atomic uint32_t taken;   // by the control thread
	_Alignas(64) _Atomic uint32_t written; // by the worker, as all that follows
	int wake;
	uint64_t secret;
	_Atomic uint64_t lost, quiet;
	struct share *shares; // by subject; of memory that nobody came to yet there is none
	struct limit same[PLACES];
	struct note ring[NOTES_MAX];
};

struct notes *notes_new(int wake)
{
	struct notes *notes = aligned_alloc(64, sizeof(*notes));
	if (!notes)
		return NULL;
	memset(notes, 0, sizeof(*notes));
	notes->wake = wake;
	notes->shares = calloc(SUBJECTS_MAX, sizeof(*notes->shares));
	bool good = notes->shares &&
		    getrandom(&notes->secret, sizeof(notes->secret), 0) == sizeof(notes->secret);
	return good ? notes : notes_free(notes);
}

struct notes *notes_free(struct notes *notes)
{
	if (!notes)
		return NULL;
	free(notes->shares);
	free(notes);
	return NULL;
}

// FNV-1a, 64 bits.
static uint64_t mix(uint64_t hash, const void *data, size_t size)
{
	const uint8_t *bytes = data;
	for (size_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
	return hash;
}

// The port that a client chose for itself makes no difference, nor does the identifier of its pings. From a secret on: nobody can aim
// at a place.
static uint64_t mark_of(const struct notes *notes, const struct note *note)
{
	const struct flow_key *key = &note->key;
	uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ notes->secret;
	hash = mix(hash, key->from.bytes, ADDR_BYTES(&key->from));
	hash = mix(hash, key->to.bytes, ADDR_BYTES(&key->to));
	hash = mix(hash, &note->service, sizeof(note->service));
	hash = mix(hash, &key->protocol, sizeof(key->protocol));
	hash = mix(hash, &key->from_subject, sizeof(key->from_subject));
	hash = mix(hash, &note->rule, sizeof(note->rule));
	return mix(hash, &note->drop, sizeof(note->drop)) | 1;
}

// The peer that began the flow, or, where a network did, the one it was meant for.
static uint32_t subject_of(const struct note *note)
{
	return note->key.from_subject ? note->key.from_subject : note->key.to_subject;
}

static bool by_network(const struct note *note)
{
	return note->key.from_subject == 0;
}

static struct share *share_of(struct notes *notes, const struct note *note, uint64_t now_ms)
{
	struct share *share = &notes->shares[subject_of(note)];
	if ((uint32_t)now_ms - share->begun_ms >= WINDOW_MS)
		*share = (struct share){.begun_ms = (uint32_t)now_ms};
	return share;
}

// NULL: another one has its place, and `take` is false.
static struct limit *find(struct notes *notes, const struct note *note, bool take)
{
	uint64_t mark = mark_of(notes, note);
	struct limit *limit = &notes->same[(mark ^ mark >> 32) >> 1 & (PLACES - 1)];
	if (limit->mark == mark && limit->subject == subject_of(note))
		return limit;
	if (!take)
		return NULL;
	*limit = (struct limit){.mark = mark, .subject = subject_of(note)};
	return limit;
}

static bool may(struct limit *limit, uint64_t now_ms)
{
	if (now_ms - limit->begun_ms >= WINDOW_MS) {
		limit->begun_ms = now_ms;
		limit->count = 0;
	}
	if (limit->count >= NOTE_SAME_PER_S)
		return false;
	limit->count++;
	return true;
}

static bool may_deny(struct notes *notes, const struct note *note, struct share *share,
		     uint64_t now_ms, uint64_t *ret)
{
	uint16_t *denied = &share->denied[by_network(note)];
	bool within = *denied < NOTE_DENIED_PER_S;
	struct limit *same = find(notes, note, within);
	if (!same)
		return false;
	if (!may(same, now_ms) || !within) {
		same->quiet++;
		return false;
	}
	++*denied;
	*ret = same->quiet;
	same->quiet = 0;
	return true;
}

// Whether the worker may say it now; `ret` gets how often it kept silent before.
static bool allowed(struct notes *notes, const struct note *note, uint64_t now_ms, uint64_t *ret)
{
	*ret = 0;
	if (note->type == NOTE_TRACED)
		return true;
	struct share *share = share_of(notes, note, now_ms);
	if (note->type == NOTE_DENIED)
		return may_deny(notes, note, share, now_ms, ret);
	uint16_t *begun = &share->begun[by_network(note)];
	if (*begun >= NOTE_BEGUN_PER_S)
		return false;
	++*begun;
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
