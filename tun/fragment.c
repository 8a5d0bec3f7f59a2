// SPDX-License-Identifier: Apache-2.0

#include "tun/fragment.h"

#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>

// In units of 8 bytes; the last may end within one.
struct range {
	uint16_t begin, end;
};

// A packet of which fragments pass. IPv6 knows it without the protocol (RFC 8200, 4.5).
struct whole {
	unsigned peer;
	uint32_t id;
	struct addr source, destination;
	uint8_t protocol;
	uint8_t verdict; // enum drop
	bool used;
	uint8_t range_count;
	uint16_t end; // where the last fragment ends, as in a range; 0: not known
	uint64_t began_ms;
	struct flow_key flow;
	struct range ranges[FRAGMENT_RANGES];
};

struct place {
	atomic_flag busy;
	struct whole wholes[FRAGMENT_WHOLES];
};

struct fragments {
	uint32_t secret;
	struct place places[FRAGMENT_PLACES];
};

struct fragments *fragments_new(void)
{
	struct fragments *fragments = calloc(1, sizeof(*fragments));
	uint32_t secret;
	if (!fragments || getrandom(&secret, sizeof(secret), 0) != sizeof(secret))
		return fragments_free(fragments);
	fragments->secret = secret | 1;
	for (unsigned i = 0; i < FRAGMENT_PLACES; i++)
		atomic_flag_clear(&fragments->places[i].busy);
	return fragments;
}

struct fragments *fragments_free(struct fragments *fragments)
{
	free(fragments);
	return NULL;
}

static struct place *enter(struct fragments *fragments, unsigned peer)
{
	struct place *place =
		&fragments->places[(peer * fragments->secret >> 16) % FRAGMENT_PLACES];
	while (atomic_flag_test_and_set_explicit(&place->busy, memory_order_acquire))
		sched_yield();
	return place;
}

static void leave(struct place *place)
{
	atomic_flag_clear_explicit(&place->busy, memory_order_release);
}

static uint8_t key_protocol(const struct inner *inner)
{
	return inner->source.family == AF_INET ? inner->protocol : 0;
}

// Another worker's clock may be some milliseconds ahead of this one's.
static bool is_live(const struct whole *whole, uint64_t now_ms)
{
	return whole->used && now_ms <= whole->began_ms + FRAGMENT_MS;
}

static struct whole *find(struct place *place, unsigned peer, const struct inner *inner,
			  uint64_t now_ms)
{
	for (unsigned i = 0; i < FRAGMENT_WHOLES; i++) {
		struct whole *whole = &place->wholes[i];
		if (whole->id == inner->id && whole->peer == peer && is_live(whole, now_ms) &&
		    whole->protocol == key_protocol(inner) &&
		    addr_equal(&whole->source, &inner->source) &&
		    addr_equal(&whole->destination, &inner->destination))
			return whole;
	}
	return NULL;
}

// A free one; else the oldest of the peer if it has its share, else the oldest.
static struct whole *make_room(struct place *place, unsigned peer, uint64_t now_ms)
{
	struct whole *oldest = NULL, *own = NULL, *room = NULL;
	unsigned count = 0;
	for (unsigned i = 0; i < FRAGMENT_WHOLES; i++) {
		struct whole *whole = &place->wholes[i];
		if (!is_live(whole, now_ms)) {
			room = whole;
			continue;
		}
		if (!oldest || whole->began_ms < oldest->began_ms)
			oldest = whole;
		if (whole->peer != peer)
			continue;
		count++;
		if (!own || whole->began_ms < own->began_ms)
			own = whole;
	}
	if (count >= FRAGMENT_SHARE)
		return own;
	return room ? room : oldest;
}

// Whether the range can belong to the same packet as all that came before.
static bool is_new(const struct whole *whole, const struct range *range, bool last)
{
	if (whole->end && (last || range->end > whole->end))
		return false;
	for (unsigned i = 0; i < whole->range_count; i++) {
		const struct range *other = &whole->ranges[i];
		if (range->begin < other->end && other->begin < range->end)
			return false;
		if (last && other->end > range->end)
			return false;
	}
	return true;
}

// false: too many holes.
static bool add(struct whole *whole, struct range range)
{
	for (unsigned i = 0; i < whole->range_count;) {
		struct range *other = &whole->ranges[i];
		if (other->end != range.begin && other->begin != range.end) {
			i++;
			continue;
		}
		range.begin = other->begin < range.begin ? other->begin : range.begin;
		range.end = other->end > range.end ? other->end : range.end;
		*other = whole->ranges[--whole->range_count];
	}
	if (whole->range_count == FRAGMENT_RANGES)
		return false;
	whole->ranges[whole->range_count++] = range;
	return true;
}

static enum drop take_range(struct whole *whole, const struct inner *inner)
{
	struct range range = {
		.begin = inner->offset / 8,
		.end = (uint16_t)((inner->offset + inner->length + 7u) / 8),
	};
	if (whole->verdict != DROP_NONE)
		return whole->verdict;
	if (!is_new(whole, &range, inner->last)) {
		whole->verdict = DROP_OVERLAP;
		return DROP_OVERLAP;
	}
	if (!add(whole, range))
		return DROP_FRAGMENT;
	if (inner->last)
		whole->end = range.end;
	if (whole->range_count == 1 && whole->ranges[0].begin == 0 &&
	    whole->ranges[0].end == whole->end)
		whole->used = false; // all are there: its identification may come again
	return DROP_NONE;
}

enum drop fragment_first(struct fragments *fragments, unsigned peer, const struct inner *inner,
			 const struct flow_key *key, enum drop verdict, uint64_t now_ms)
{
	struct place *place = enter(fragments, peer);
	struct whole *whole = find(place, peer, inner, now_ms);
	enum drop drop = DROP_OVERLAP;
	if (whole) {
		whole->verdict = DROP_OVERLAP;
	} else {
		whole = make_room(place, peer, now_ms);
		*whole = (struct whole){
			.peer = peer,
			.id = inner->id,
			.source = inner->source,
			.destination = inner->destination,
			.protocol = key_protocol(inner),
			.verdict = (uint8_t)verdict,
			.used = true,
			.began_ms = now_ms,
			.flow = *key,
		};
		drop = take_range(whole, inner);
	}
	leave(place);
	return drop;
}

enum drop fragment_later(struct fragments *fragments, unsigned peer, const struct inner *inner,
			 uint64_t now_ms, struct flow_key *ret_key)
{
	struct place *place = enter(fragments, peer);
	struct whole *whole = find(place, peer, inner, now_ms);
	enum drop drop = whole ? take_range(whole, inner) : DROP_FRAGMENT;
	if (drop == DROP_NONE)
		*ret_key = whole->flow;
	leave(place);
	return drop;
}
