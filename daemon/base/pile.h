// SPDX-License-Identifier: Apache-2.0
// A list that many threads put on and one takes off, without locks (Treiber's stack, emptied as a whole).
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

// First member of what lies on a pile.
struct pile_item {
	struct pile_item *next;
};

// Zeroes: empty.
struct pile {
	_Atomic(struct pile_item *) newest;
};

// Any thread. Gives the item away. Whether the pile was empty: who finds others there knows that the taker was woken and has not come
// yet.
static inline bool pile_put(struct pile *pile, struct pile_item *item)
{
	struct pile_item *newest = atomic_load_explicit(&pile->newest, memory_order_relaxed);
	do
		item->next = newest;
	while (!atomic_compare_exchange_weak_explicit(&pile->newest, &newest, item,
						      memory_order_release, memory_order_relaxed));
	return !newest;
}

static inline bool pile_is_empty(const struct pile *pile)
{
	return !atomic_load_explicit(&pile->newest, memory_order_relaxed);
}

// The taker: all of them, the oldest first. NULL: none.
static inline struct pile_item *pile_take(struct pile *pile)
{
	struct pile_item *newest =
		atomic_exchange_explicit(&pile->newest, NULL, memory_order_acquire);
	struct pile_item *oldest = NULL;
	while (newest) {
		struct pile_item *next = newest->next;
		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	return oldest;
}
