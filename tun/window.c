// SPDX-License-Identifier: Apache-2.0

#include "tun/window.h"

#define WORD_BITS 64u

static uint64_t *word_of(struct window *window, uint64_t counter)
{
	return &window->words[(counter / WORD_BITS) % WINDOW_WORDS];
}

bool window_check(const struct window *window, uint64_t counter)
{
	if (counter == 0)
		return false;
	if (counter > window->highest)
		return true;
	if (window->highest - counter >= WINDOW_BITS)
		return false;
	uint64_t word = window->words[(counter / WORD_BITS) % WINDOW_WORDS];
	return !(word >> (counter % WORD_BITS) & 1);
}

void window_set(struct window *window, uint64_t counter)
{
	if (counter > window->highest) {
		uint64_t from = window->highest / WORD_BITS;
		uint64_t steps = counter / WORD_BITS - from;
		if (steps > WINDOW_WORDS)
			steps = WINDOW_WORDS;
		for (uint64_t i = 1; i <= steps; i++)
			window->words[(from + i) % WINDOW_WORDS] = 0;
		window->highest = counter;
	}
	*word_of(window, counter) |= UINT64_C(1) << (counter % WORD_BITS);
}
