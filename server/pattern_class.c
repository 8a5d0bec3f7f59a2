// SPDX-License-Identifier: Apache-2.0
// Theory of operation: an automaton whose state says how far each pattern has come, and which is only built where an identity leads. Of
// characters, it tries those that some pattern waits for and one that stands for all others.

#include "server/pattern_class.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/table.h"
#include "pki/identity.h"

#define STATES_MAX 200000u
#define ITEMS_MAX  20000000u // of all states together
#define RESTED	   0xffffu   // "**" has matched something
#define CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

// Of the segment that is being read: what "." and ".." alone would be is no segment.
enum segment { SEGMENT_EMPTY, SEGMENT_DOT, SEGMENT_DOTS, SEGMENT_GOOD };

// Where one pattern waits: pattern << 16 | position in its path.
typedef uint64_t item;

struct state {
	struct state *parent;
	char by; // that led here
	uint32_t count;
	struct key {
		uint64_t segment;
		item items[];
	} key;
};

struct classes {
	struct arena *arena;
	const char *const *patterns;
	const char **paths; // of the patterns
	struct table *states, *found;
	struct state **queue;
	size_t queued, room, items_total;
	struct pattern_class *classes;
	size_t count, class_room;
	item *scratch;
	size_t scratch_count, scratch_room;
	bool cut, no_memory;
};

static void classes_done(struct classes *classes)
{
	table_free(classes->states);
	table_free(classes->found);
	free(classes->paths);
	free(classes->queue);
	free(classes->classes);
	free(classes->scratch);
}

static bool push_item(struct classes *classes, item next)
{
	if (classes->scratch_count == classes->scratch_room) {
		size_t room = classes->scratch_room ? classes->scratch_room * 2 : 256;
		item *grown = reallocarray(classes->scratch, room, sizeof(item));
		if (!grown)
			return !(classes->no_memory = true);
		classes->scratch = grown;
		classes->scratch_room = room;
	}
	classes->scratch[classes->scratch_count++] = next;
	return true;
}

static bool is_rest(const char *path, size_t at)
{
	return path[at] == '*' && path[at + 1] == '*' && at > 0 && path[at - 1] == '/' &&
	       path[at + 2] == '\0';
}

// The position and those that a "*" which matches nothing leads to.
static bool push(struct classes *classes, unsigned pattern, size_t at)
{
	const char *path = classes->paths[pattern];
	bool good = push_item(classes, (item)pattern << 16 | at);
	while (good && at != RESTED && path[at] == '*' && !is_rest(path, at)) {
		at++;
		good = push_item(classes, (item)pattern << 16 | at);
	}
	return good;
}

static int compare_items(const void *left, const void *right)
{
	const item *a = left, *b = right;
	return *a < *b ? -1 : *a > *b;
}

// What is on the scratch pad as a state, unless it is known or there is nothing left. False: out of memory.
static bool enter(struct classes *classes, struct state *parent, char by, enum segment segment)
{
	size_t kept = 0;
	if (classes->scratch_count)
		qsort(classes->scratch, classes->scratch_count, sizeof(item), compare_items);
	for (size_t i = 0; i < classes->scratch_count; i++)
		if (kept == 0 || classes->scratch[kept - 1] != classes->scratch[i])
			classes->scratch[kept++] = classes->scratch[i];
	if (kept == 0)
		return true;
	size_t size = sizeof(struct key) + kept * sizeof(item);
	struct state *state = arena_alloc(classes->arena, 1, sizeof(*state) + kept * sizeof(item));
	if (!state)
		return !(classes->no_memory = true);
	*state = (struct state){.parent = parent, .by = by, .count = (uint32_t)kept};
	state->key.segment = segment;
	memcpy(state->key.items, classes->scratch, kept * sizeof(item));
	int r = table_add(classes->states, &state->key, size, state);
	if (r == -EEXIST)
		return true;
	if (classes->queued == classes->room) {
		size_t room = classes->room ? classes->room * 2 : 256;
		struct state **grown = reallocarray(classes->queue, room, sizeof(struct state *));
		if (!grown)
			return !(classes->no_memory = true);
		classes->queue = grown;
		classes->room = room;
	}
	classes->items_total += kept;
	classes->queue[classes->queued++] = state;
	classes->no_memory |= r < 0;
	return r == 0;
}

static bool step(struct classes *classes, struct state *state, char c, enum segment segment)
{
	classes->scratch_count = 0;
	for (uint32_t i = 0; i < state->count; i++) {
		unsigned pattern = (unsigned)(state->key.items[i] >> 16);
		size_t at = state->key.items[i] & 0xffff;
		const char *path = classes->paths[pattern];
		bool good = true;
		if (at == RESTED || is_rest(path, at))
			good = push(classes, pattern, RESTED);
		else if (path[at] == '*' && c != '/')
			good = push(classes, pattern, at);
		else if (path[at] == c && c != '*')
			good = push(classes, pattern, at + 1);
		if (!good)
			return false;
	}
	return enter(classes, state, c, segment);
}

static enum segment segment_after(enum segment segment, char c)
{
	if (c == '/')
		return SEGMENT_EMPTY;
	if (c == '.' && segment == SEGMENT_EMPTY)
		return SEGMENT_DOT;
	if (c == '.' && segment == SEGMENT_DOT)
		return SEGMENT_DOTS;
	return SEGMENT_GOOD;
}

static bool expand(struct classes *classes, struct state *state)
{
	enum segment segment = (enum segment)state->key.segment;
	bool wanted[256] = {false}, other = false, good = true;
	for (uint32_t i = 0; i < state->count; i++) {
		size_t at = state->key.items[i] & 0xffff;
		if (at != RESTED)
			wanted[(uint8_t)classes->paths[state->key.items[i] >> 16][at]] = true;
	}
	for (const char *c = CHARACTERS; good && *c; c++) {
		if (!wanted[(uint8_t)*c] && (other || *c == '.'))
			continue;
		other |= !wanted[(uint8_t)*c];
		good = step(classes, state, *c, segment_after(segment, *c));
	}
	return good && (segment != SEGMENT_GOOD || step(classes, state, '/', SEGMENT_EMPTY));
}

// The identity that leads here, in the domain of a pattern.
static char *example_of(struct classes *classes, const struct state *state, const char *pattern)
{
	const char *domain;
	size_t head = (size_t)(identity_domain(pattern, &domain) + (size_t)(domain - pattern));
	size_t length = 0;
	for (const struct state *at = state; at; at = at->parent)
		length++;
	char *text = arena_alloc(classes->arena, head + length + 1, 1);
	if (!text)
		return NULL;
	memcpy(text, pattern, head);
	for (const struct state *at = state; at; at = at->parent)
		text[head + --length] = at->by;
	return text;
}

// Notes the class of the identity that ends here.
static bool note(struct classes *classes, const struct state *state)
{
	unsigned *matched = arena_alloc(classes->arena, state->count, sizeof(*matched));
	unsigned count = 0;
	if (!matched)
		return !(classes->no_memory = true);
	for (uint32_t i = 0; i < state->count; i++) {
		unsigned pattern = (unsigned)(state->key.items[i] >> 16);
		size_t at = state->key.items[i] & 0xffff;
		bool ends = at == RESTED || classes->paths[pattern][at] == '\0';
		if (ends && (count == 0 || matched[count - 1] != pattern))
			matched[count++] = pattern;
	}
	size_t size = count * sizeof(*matched);
	if (count == 0 || table_find(classes->found, matched, size))
		return true;
	if (classes->count == classes->class_room) {
		size_t room = classes->class_room ? classes->class_room * 2 : 64;
		struct pattern_class *grown = reallocarray(classes->classes, room, sizeof(*grown));
		if (!grown)
			return !(classes->no_memory = true);
		classes->classes = grown;
		classes->class_room = room;
	}
	struct pattern_class class = {
		.example = example_of(classes, state, classes->patterns[matched[0]]),
		.patterns = matched,
		.count = count,
	};
	if (!class.example || table_add(classes->found, matched, size, matched) < 0)
		return !(classes->no_memory = true);
	classes->classes[classes->count++] = class;
	return true;
}

// All patterns of the domain of the first one that is not done.
static bool run_domain(struct classes *classes, unsigned count, bool *done)
{
	unsigned first = 0;
	while (first < count && done[first])
		first++;
	classes->scratch_count = 0;
	size_t from = classes->queued;
	for (unsigned i = first; i < count; i++) {
		if (done[i] ||
		    !identity_same_domain(classes->patterns[first], classes->patterns[i]))
			continue;
		done[i] = true;
		if (!push(classes, i, 1))
			return false;
	}
	if (!enter(classes, NULL, '/', SEGMENT_EMPTY))
		return false;
	for (size_t at = from; at < classes->queued; at++) {
		struct state *state = classes->queue[at];
		if (state->key.segment == SEGMENT_GOOD && !note(classes, state))
			return false;
		if (classes->queued > STATES_MAX || classes->items_total > ITEMS_MAX)
			classes->cut = true;
		else if (!expand(classes, state))
			return false;
	}
	return true;
}

int pattern_classes(const char *const *patterns, unsigned count, struct arena *arena,
		    struct pattern_class **ret, size_t *ret_count, bool *ret_cut)
{
	_cleanup_(classes_done) struct classes classes = {.arena = arena, .patterns = patterns};
	_cleanup_(freep) bool *done = calloc(count + 1, sizeof(bool));
	classes.states = table_new();
	classes.found = table_new();
	classes.paths = calloc(count + 1, sizeof(char *));
	if (!done || !classes.states || !classes.found || !classes.paths)
		return -ENOMEM;
	for (unsigned i = 0; i < count; i++) {
		const char *domain;
		size_t size = identity_domain(patterns[i], &domain);
		classes.paths[i] = domain + size;
	}
	for (unsigned i = 0; i < count; i++)
		if (!done[i] && !run_domain(&classes, count, done))
			return -ENOMEM;
	*ret = arena_copy(arena, classes.classes, classes.count, sizeof(**ret));
	*ret_count = classes.count;
	*ret_cut = classes.cut;
	return *ret ? 0 : -ENOMEM;
}
