// SPDX-License-Identifier: Apache-2.0
// Sorted by address and, where that is equal, by length, a prefix stands behind those that hold it, and two halves of one stand side by
// side: one pass over a stack joins them (RFC 4632, 5.3).

#include "server/announce.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "server/admit.h"

#define NOBODY	   UINT32_MAX // a pool, or a network behind the gateway
#define SLACK	   130u	      // more than that may be on the stack before they are joined
#define LISTED_MAX 512u

struct entry {
	struct prefix prefix;
	uint32_t peer; // position in the options
	uint32_t rank; // of the peer by number of networks, from few to many
};

struct announce {
	struct announce_options options;
	unsigned max;
	struct entry *entries; // sorted
	size_t entry_count;
	uint32_t kept; // peers of lower rank are announced
	unsigned left_out;
	struct prefix *common; // for who has no networks
	unsigned common_count;
};

// Routes as they come into being, from sorted prefixes.
struct stack {
	struct prefix *prefixes; // room for max + SLACK
	unsigned count, max;
	bool full;
};

static int compare_entries(const void *a, const void *b)
{
	return prefix_compare(&((const struct entry *)a)->prefix,
			      &((const struct entry *)b)->prefix);
}

static int compare_plain(const void *a, const void *b)
{
	return prefix_compare(a, b);
}

// Joins the two on top while they are halves of one.
static void stack_join(struct stack *stack)
{
	while (stack->count >= 2) {
		struct prefix *low = &stack->prefixes[stack->count - 2];
		struct prefix whole = *low;
		if (low->length == 0 || low->length != low[1].length)
			return;
		whole.length--;
		struct prefix masked = prefix_masked(&whole);
		if (!addr_equal(&masked.addr, &low->addr) || !prefix_covers(&whole, &low[1]) ||
		    prefix_equal(low, &low[1]))
			return;
		*low = whole;
		stack->count--;
	}
}

static void stack_push(struct stack *stack, const struct prefix *prefix)
{
	if (stack->count && prefix_covers(&stack->prefixes[stack->count - 1], prefix))
		return;
	if (stack->count == stack->max + SLACK) {
		stack->full = true;
		return;
	}
	stack->prefixes[stack->count++] = *prefix;
	stack_join(stack);
}

static bool stack_fits(const struct stack *stack)
{
	return !stack->full && stack->count <= stack->max;
}

enum overlap { OVERLAP_NONE, OVERLAP_PART, OVERLAP_WHOLE };

static enum overlap overlap_of(const struct prefix *prefix, const struct prefix *own)
{
	if (prefix_covers(own, prefix))
		return OVERLAP_WHOLE;
	return prefix_covers(prefix, own) ? OVERLAP_PART : OVERLAP_NONE;
}

// What is behind a site, which is not told to send it here.
struct behind {
	const struct admit_peer *peer;
	struct prefix *held; // its networks, sorted, of which none overlaps another
	unsigned count;
};

static void behind_done(struct behind *behind)
{
	free(behind->held);
}

static bool behind_init(struct behind *behind, const struct admit_peer *peer)
{
	struct stack stack = {
		.prefixes = calloc(peer->network_count + SLACK, sizeof(struct prefix)),
		.max = peer->network_count,
	};
	for (unsigned i = 0; stack.prefixes && i < peer->network_count; i++)
		stack_push(&stack, &peer->networks[i]);
	*behind = (struct behind){peer, stack.prefixes, stack.count};
	return stack.prefixes;
}

// How much of the prefix is behind the site: of those that do not stand before it the first may lie in it, and what holds it would be
// the last before.
static enum overlap overlap_with(const struct prefix *prefix, const struct behind *behind)
{
	enum overlap most = OVERLAP_NONE;
	unsigned low = 0, high = behind->count;
	while (low < high) {
		unsigned middle = low + (high - low) / 2;
		if (prefix_compare(&behind->held[middle], prefix) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < behind->count)
		most = overlap_of(prefix, &behind->held[low]);
	if (low > 0 && prefix_covers(&behind->held[low - 1], prefix))
		most = OVERLAP_WHOLE;
	for (unsigned i = 0; i < behind->peer->translation_count; i++) {
		enum overlap found = overlap_of(prefix, &behind->peer->translations[i].from);
		most = found > most ? found : most;
	}
	return most;
}

static struct prefix half(const struct prefix *prefix, bool upper)
{
	struct prefix one = *prefix;
	if (upper)
		one.addr.bytes[one.length / 8] |= (uint8_t)(0x80u >> one.length % 8);
	one.length++;
	return one;
}

// The halves of the prefix that hold nothing of what is behind the site. What is left to do lies on a stack of its own: as deep as
// an address is long.
static void push_pieces(struct stack *stack, const struct prefix *prefix,
			const struct behind *behind)
{
	struct prefix todo[SLACK];
	unsigned count = 0;
	todo[count++] = *prefix;
	while (count && !stack->full) {
		struct prefix next = todo[--count];
		enum overlap overlap = overlap_with(&next, behind);
		if (overlap == OVERLAP_NONE)
			stack_push(stack, &next);
		if (overlap == OVERLAP_PART) {
			todo[count++] = half(&next, true);
			todo[count++] = half(&next, false);
		}
	}
}

// The prefix without what is behind the site; nothing of it where that makes too many.
static void push_around(struct stack *stack, const struct prefix *prefix,
			const struct behind *behind)
{
	enum overlap overlap = overlap_with(prefix, behind);
	if (overlap == OVERLAP_NONE)
		stack_push(stack, prefix);
	if (overlap != OVERLAP_PART ||
	    (stack->count && prefix_covers(&stack->prefixes[stack->count - 1], prefix)))
		return;
	size_t size = stack->count * sizeof(*prefix);
	_cleanup_(freep) struct prefix *before = malloc(size + 1);
	unsigned count = stack->count;
	if (!before)
		return;
	memcpy(before, stack->prefixes, size);
	push_pieces(stack, prefix, behind);
	if (stack_fits(stack))
		return;
	memcpy(stack->prefixes, before, size);
	stack->count = count;
	stack->full = false;
}

static bool is_site(const struct admit_peer *peer)
{
	return peer && peer->network_count > 0;
}

// All entries of peers below the rank.
static void gather(const struct announce *announce, const struct behind *behind, uint32_t kept,
		   struct stack *stack)
{
	uint32_t own = behind ? (uint32_t)(behind->peer - announce->options.peers) : NOBODY;
	for (size_t i = 0; i < announce->entry_count && !stack->full; i++) {
		const struct entry *entry = &announce->entries[i];
		if (entry->peer != NOBODY && (entry->rank >= kept || entry->peer == own))
			continue;
		if (behind)
			push_around(stack, &entry->prefix, behind);
		else
			stack_push(stack, &entry->prefix);
	}
}

// --- making

static int compare_ranks(const void *a, const void *b, void *peers)
{
	const struct admit_peer *ranked = peers;
	unsigned left = ranked[*(const uint32_t *)a].network_count;
	unsigned right = ranked[*(const uint32_t *)b].network_count;
	return (left > right) - (left < right);
}

// The rank of each peer, in a new block.
static uint32_t *rank_peers(const struct announce_options *options)
{
	_cleanup_(freep) uint32_t *order = calloc(options->peer_count + 1, sizeof(*order));
	uint32_t *ranks = calloc(options->peer_count + 1, sizeof(*ranks));
	if (!order || !ranks) {
		free(ranks);
		return NULL;
	}
	for (uint32_t i = 0; i < options->peer_count; i++)
		order[i] = i;
	qsort_r(order, options->peer_count, sizeof(*order), compare_ranks, (void *)options->peers);
	for (uint32_t i = 0; i < options->peer_count; i++)
		ranks[order[i]] = i;
	return ranks;
}

static void add_entries(struct announce *announce, const struct prefix *prefixes, unsigned count,
			uint32_t peer, uint32_t rank)
{
	for (unsigned i = 0; i < count; i++)
		announce->entries[announce->entry_count++] = (struct entry){
			.prefix = prefix_masked(&prefixes[i]),
			.peer = peer,
			.rank = rank,
		};
}

static bool list_entries(struct announce *announce)
{
	const struct announce_options *options = &announce->options;
	size_t room = (size_t)options->pool_count + options->route_count + 1;
	_cleanup_(freep) uint32_t *ranks = rank_peers(options);
	for (unsigned i = 0; i < options->peer_count; i++)
		room += options->peers[i].network_count;
	announce->entries = calloc(room, sizeof(*announce->entries));
	if (!announce->entries || !ranks)
		return false;
	add_entries(announce, options->pools, options->pool_count, NOBODY, 0);
	add_entries(announce, options->routes, options->route_count, NOBODY, 0);
	for (uint32_t i = 0; i < options->peer_count; i++)
		add_entries(announce, options->peers[i].networks, options->peers[i].network_count,
			    i, ranks[i]);
	qsort(announce->entries, announce->entry_count, sizeof(struct entry), compare_entries);
	return true;
}

static bool fits(struct announce *announce, uint32_t kept)
{
	struct stack stack = {.prefixes = announce->common, .max = announce->max};
	gather(announce, NULL, kept, &stack);
	announce->common_count = stack.count;
	return stack_fits(&stack);
}

// As many as can be, from those with the fewest networks on.
static void choose_kept(struct announce *announce)
{
	uint32_t low = 0, high = announce->options.peer_count;
	if (!fits(announce, high)) {
		while (high - low > 1) {
			uint32_t middle = low + (high - low) / 2;
			if (fits(announce, middle))
				low = middle;
			else
				high = middle;
		}
		fits(announce, low);
		high = low;
	}
	announce->kept = high;
	announce->left_out = announce->options.peer_count - high;
}

struct announce *announce_new(const struct announce_options *options, unsigned max)
{
	_cleanup_(announce_freep) struct announce *announce = calloc(1, sizeof(*announce));
	if (!announce)
		return NULL;
	announce->options = *options;
	announce->max = max;
	announce->common = calloc(max + SLACK, sizeof(*announce->common));
	if (!announce->common || !list_entries(announce))
		return NULL;
	choose_kept(announce);
	return take(announce);
}

struct announce *announce_free(struct announce *announce)
{
	if (!announce)
		return NULL;
	free(announce->entries);
	free(announce->common);
	free(announce);
	return NULL;
}

unsigned announce_left_out(const struct announce *announce)
{
	return announce->left_out;
}

// --- asking

static unsigned finish(const struct stack *stack, struct prefix *ret)
{
	unsigned count = stack->count < stack->max ? stack->count : stack->max;
	if (count)
		memcpy(ret, stack->prefixes, count * sizeof(*ret));
	return count;
}

unsigned announce_to(const struct announce *announce, const struct admit_peer *peer,
		     struct prefix *ret)
{
	struct stack stack = {.prefixes = announce->common,
			      .count = announce->common_count,
			      .max = announce->max};
	if (!is_site(peer))
		return finish(&stack, ret);
	_cleanup_(freep) struct prefix *own = calloc(announce->max + SLACK, sizeof(*own));
	_cleanup_(behind_done) struct behind behind = {0};
	stack.prefixes = own;
	stack.count = 0;
	if (own && behind_init(&behind, peer))
		gather(announce, &behind, announce->kept, &stack);
	return finish(&stack, ret);
}

unsigned announce_list(const struct prefix *prefixes, unsigned count, const struct admit_peer *peer,
		       struct prefix *ret, unsigned max)
{
	struct prefix sorted[LISTED_MAX];
	_cleanup_(freep) struct prefix *own = calloc(max + SLACK, sizeof(*own));
	_cleanup_(behind_done) struct behind behind = {0};
	struct stack stack = {.prefixes = own, .max = max};
	if (!own || (is_site(peer) && !behind_init(&behind, peer)))
		return 0;
	if (count > LISTED_MAX)
		count = LISTED_MAX;
	for (unsigned i = 0; i < count; i++)
		sorted[i] = prefix_masked(&prefixes[i]);
	qsort(sorted, count, sizeof(*sorted), compare_plain);
	for (unsigned i = 0; i < count; i++) {
		if (is_site(peer))
			push_around(&stack, &sorted[i], &behind);
		else
			stack_push(&stack, &sorted[i]);
	}
	return finish(&stack, ret);
}
