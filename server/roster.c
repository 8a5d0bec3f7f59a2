// SPDX-License-Identifier: Apache-2.0
// Theory of operation: each member gets a number, and they stand in an array in the order of these. One that goes leaves a gap there, so
// that a cursor, which is a number, is never wrong. When gaps are more than half, they are taken out.

#include "server/roster.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"
#include "server/member.h"

#define CAPACITY_MIN 64u

struct place {
	uint64_t number;
	struct member *member; // NULL: it has gone
};

struct roster {
	struct table *by_identity; // keys are the members'
	struct place *places;
	size_t count, capacity; // with the gaps
	uint64_t last;		// number
};

struct roster *roster_new(void)
{
	_cleanup_(roster_freep) struct roster *roster = calloc(1, sizeof(*roster));
	if (!roster)
		return NULL;
	roster->by_identity = table_new();
	return roster->by_identity ? take(roster) : NULL;
}

struct roster *roster_free(struct roster *roster)
{
	if (!roster)
		return NULL;
	table_free(roster->by_identity);
	free(roster->places);
	free(roster);
	return NULL;
}

static int make_room(struct roster *roster)
{
	if (roster->count < roster->capacity)
		return 0;
	size_t capacity = roster->capacity ? roster->capacity * 2 : CAPACITY_MIN;
	struct place *places = reallocarray(roster->places, capacity, sizeof(struct place));
	if (!places)
		return -ENOMEM;
	roster->places = places;
	roster->capacity = capacity;
	return 0;
}

int roster_add(struct roster *roster, struct member *member)
{
	const char *identity = member_identity(member);
	int r = make_room(roster);
	if (r == 0)
		r = table_add(roster->by_identity, identity, strlen(identity), member);
	if (r < 0)
		return r;
	*member_number(member) = ++roster->last;
	roster->places[roster->count++] = (struct place){roster->last, member};
	return 0;
}

// How many stand before this number.
static size_t count_before(const struct roster *roster, uint64_t number)
{
	size_t low = 0, high = roster->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (roster->places[middle].number < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void close_gaps(struct roster *roster)
{
	size_t kept = 0;
	for (size_t i = 0; i < roster->count; i++)
		if (roster->places[i].member)
			roster->places[kept++] = roster->places[i];
	roster->count = kept;
}

void roster_remove(struct roster *roster, struct member *member)
{
	const char *identity = member_identity(member);
	table_remove(roster->by_identity, identity, strlen(identity));
	roster->places[count_before(roster, *member_number(member))].member = NULL;
	if (roster_count(roster) < roster->count / 2)
		close_gaps(roster);
}

struct member *roster_find(const struct roster *roster, const char *identity)
{
	return table_find(roster->by_identity, identity, strlen(identity));
}

size_t roster_count(const struct roster *roster)
{
	return table_count(roster->by_identity);
}

struct member *roster_before(const struct roster *roster, uint64_t *cursor)
{
	for (size_t i = count_before(roster, *cursor); i > 0; i--) {
		const struct place *place = &roster->places[i - 1];
		*cursor = place->number;
		if (place->member)
			return place->member;
	}
	return NULL;
}
