// SPDX-License-Identifier: Apache-2.0
// What the tests of links share. After cmocka.h.
#pragma once

#include <stdint.h>

#include "base/clock.h"
#include "client/link.h"

#define START 1000000u // a moment

static inline uint64_t draw(uint64_t *state, uint64_t below)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (*state >> 33) % below;
}

// Waits for the link to want a dial, and takes it up. Returns the moment.
static inline uint64_t dial_next(struct link *link, uint64_t now)
{
	enum link_wish wish = link_wish(link, now);

	while (wish == LINK_WISH_NOTHING) {
		assert_true(link_deadline(link) != CLOCK_NEVER);
		now = link_deadline(link);
		wish = link_wish(link, now);
	}
	assert_int_equal(wish, LINK_WISH_DIAL);
	link_dialling(link, now);
	return now;
}

// A link whose session is up since `now`.
static inline struct link *link_up(unsigned endpoints, uint64_t seed, uint64_t now)
{
	struct link *link = link_new(endpoints, seed);

	assert_non_null(link);
	link_start(link, now);
	dial_next(link, now);
	link_hello_sent(link, now);
	link_ready(link, now);
	assert_int_equal(link_state(link), LINK_UP);
	return link;
}
