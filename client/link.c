// SPDX-License-Identifier: Apache-2.0
// Two things move: the state, which people see, and the try under way, if any. With no session up the try decides the state
// (DIAL, PROVE, WAIT); with one up the try runs beside it (REAUTH), and its failures never touch the session.
//
// A round gives every endpoint one turn without waiting; only then comes a wait. Rounds, waits and the moment since which the
// link counts as down are forgotten when a session has settled, not at READY: a session that never lasts must not look like
// success, or two nodes would fight over it as fast as they can.

#include "client/link.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"

enum try {
	TRY_NONE,   // nothing under way: waiting, or nothing to do
	TRY_WANTED, // to be dialled now; the owner has not taken it up
	TRY_DIALLING,
	TRY_PROVING,
};

struct link {
	enum link_state state;
	enum try try;
	uint64_t deadline; // of the try; of the wait; in LINK_UP: when to prove again
	uint64_t again_ms; // proof asked for while one was under way; CLOCK_NEVER: none

	unsigned endpoint_count;
	unsigned endpoint; // to dial next, or under way
	unsigned home;	   // endpoint of the session
	uint64_t tried;	   // bit per endpoint: had its turn in this round
	bool moved;	   // the network changed during the try under way: its failure says nothing
	uint64_t not_before[LINK_ENDPOINTS_MAX];

	unsigned attempts;
	uint64_t wait_ms; // the last wait; 0: none yet
	uint64_t down_ms; // since when the link tries to come up
	uint64_t ready_ms;
	uint64_t last_try_ms;
	uint64_t random;
};

#define BIT(state) (1u << (state))
// Where a state may go; to itself is allowed always.
__attribute__((unused)) // without assertions
static const unsigned transitions[] = {
	[LINK_IDLE] = BIT(LINK_DIAL),
	[LINK_DIAL] = BIT(LINK_IDLE) | BIT(LINK_PROVE) | BIT(LINK_UP) | BIT(LINK_WAIT),
	[LINK_PROVE] = BIT(LINK_IDLE) | BIT(LINK_DIAL) | BIT(LINK_UP) | BIT(LINK_WAIT),
	[LINK_UP] = BIT(LINK_IDLE) | BIT(LINK_DIAL) | BIT(LINK_REAUTH) | BIT(LINK_WAIT),
	[LINK_REAUTH] =
		BIT(LINK_IDLE) | BIT(LINK_DIAL) | BIT(LINK_PROVE) | BIT(LINK_UP) | BIT(LINK_WAIT),
	[LINK_WAIT] = BIT(LINK_IDLE) | BIT(LINK_DIAL),
};
static const char *const state_names[] = {
	[LINK_IDLE] = "idle", [LINK_DIAL] = "dial",	[LINK_PROVE] = "prove",
	[LINK_UP] = "up",     [LINK_REAUTH] = "reauth", [LINK_WAIT] = "wait",
};
static_assert(sizeof(state_names) / sizeof(*state_names) == LINK_WAIT + 1, "a name per state");
static_assert(sizeof(transitions) / sizeof(*transitions) == LINK_WAIT + 1, "a row per state");

const char *link_state_name(enum link_state state)
{
	return state_names[state];
}

// The only writer of the state, and of what belongs to it.
static void link_set_state(struct link *link, enum link_state state, enum try try,
			   uint64_t deadline)
{
	assert(state == link->state || transitions[link->state] & BIT(state));
	link->state = state;
	link->try = try;
	link->deadline = deadline;
}

// splitmix64: seeded per link, so that many links spread and a test can repeat a run.
static uint64_t random_next(struct link *link)
{
	uint64_t z = link->random += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

// Uniform in [low, high].
static uint64_t random_between(struct link *link, uint64_t low, uint64_t high)
{
	return low + random_next(link) % (high - low + 1);
}

static uint64_t min_ms(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max_ms(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static bool session_up(const struct link *link)
{
	return link->state == LINK_UP || link->state == LINK_REAUTH;
}

static bool try_under_way(const struct link *link)
{
	return link->try == TRY_DIALLING || link->try == TRY_PROVING;
}

// Everything was well before `now`: the next trouble starts with a clean sheet.
static void trouble_forget(struct link *link, uint64_t now)
{
	link->tried = 0;
	link->wait_ms = 0;
	link->down_ms = now;
}

static bool session_settled(const struct link *link, uint64_t now)
{
	return now >= link->ready_ms + LINK_SETTLED_MS;
}

// Decorrelated jitter: each wait is drawn anew from a range that the wait before widens, so that peers which failed
// together do not come back together.
static uint64_t wait_next(struct link *link, bool up, uint64_t now)
{
	uint64_t low = up ? LINK_REAUTH_MIN_MS : LINK_WAIT_MIN_MS;
	uint64_t cap = LINK_REAUTH_MAX_MS;

	if (!up)
		cap = min_ms(max_ms((now - link->down_ms) / 4, LINK_CAP_MIN_MS), LINK_CAP_MAX_MS);
	uint64_t high = min_ms(cap, max_ms(3 * link->wait_ms, 3 * low));
	link->wait_ms = random_between(link, low, high);
	return link->wait_ms;
}

// A gateway that asks for an hour asks everybody at once: they spread over a quarter of it.
static void endpoint_hold(struct link *link, unsigned endpoint, uint64_t retry_after_ms,
			  uint64_t now)
{
	if (!retry_after_ms)
		return;
	retry_after_ms = min_ms(retry_after_ms, LINK_RETRY_AFTER_MAX_MS);
	uint64_t spread = min_ms(max_ms(retry_after_ms / 4, LINK_WAIT_MIN_MS), LINK_CAP_MAX_MS);
	link->not_before[endpoint] = now + retry_after_ms + random_between(link, 0, spread);
}

// The first endpoint from the current one on that may be dialled now and had no turn in this round.
static bool endpoint_pick(struct link *link, uint64_t now)
{
	for (unsigned i = 0; i < link->endpoint_count; i++) {
		unsigned candidate = (link->endpoint + i) % link->endpoint_count;
		if (link->tried & (UINT64_C(1) << candidate) || link->not_before[candidate] > now)
			continue;
		link->endpoint = candidate;
		return true;
	}
	return false;
}

// When the first endpoint may be dialled, as far as the gateways said.
static uint64_t endpoints_free_ms(const struct link *link)
{
	uint64_t first = CLOCK_NEVER;

	for (unsigned i = 0; i < link->endpoint_count; i++)
		first = min_ms(first, link->not_before[i]);
	return first;
}

static void try_want(struct link *link, uint64_t now)
{
	link_set_state(link, session_up(link) ? LINK_REAUTH : LINK_DIAL, TRY_WANTED, now);
}

// Another endpoint at once, or a wait when each had its turn. `up`: whether the session goes on.
static void try_next(struct link *link, bool up, uint64_t now)
{
	if (endpoint_pick(link, now)) {
		link_set_state(link, up ? LINK_REAUTH : LINK_DIAL, TRY_WANTED, now);
		return;
	}
	uint64_t until = now + wait_next(link, up, now);
	link_set_state(link, up ? LINK_REAUTH : LINK_WAIT, TRY_NONE,
		       max_ms(until, endpoints_free_ms(link)));
	link->tried = 0;
}

static void endpoint_had_turn(struct link *link, unsigned endpoint)
{
	link->tried |= UINT64_C(1) << endpoint;
	link->endpoint = (endpoint + 1) % link->endpoint_count;
}

struct link *link_new(unsigned endpoint_count, uint64_t seed)
{
	struct link *link = calloc(1, sizeof(*link));

	if (!link)
		return NULL;
	link->random = seed;
	link->again_ms = CLOCK_NEVER;
	link_set_state(link, LINK_IDLE, TRY_NONE, CLOCK_NEVER);
	link_set_endpoint_count(link, endpoint_count);
	return link;
}

struct link *link_free(struct link *link)
{
	free(link);
	return NULL;
}

void link_start(struct link *link, uint64_t now)
{
	if (link->state != LINK_IDLE)
		return;
	trouble_forget(link, now);
	link->again_ms = CLOCK_NEVER;
	link->attempts = 0;
	for (unsigned i = 0; i < LINK_ENDPOINTS_MAX; i++)
		link->not_before[i] = 0;
	try_want(link, now);
}

void link_stop(struct link *link)
{
	link_set_state(link, LINK_IDLE, TRY_NONE, CLOCK_NEVER);
}

void link_set_endpoint_count(struct link *link, unsigned count)
{
	if (count < 1)
		count = 1;
	if (count > LINK_ENDPOINTS_MAX)
		count = LINK_ENDPOINTS_MAX;
	if (count == link->endpoint_count)
		return;
	// The numbers mean other endpoints now, as far as is known here.
	link->endpoint_count = count;
	link->endpoint %= count;
	link->home %= count;
	link->tried = 0;
	for (unsigned i = 0; i < LINK_ENDPOINTS_MAX; i++)
		link->not_before[i] = 0;
}

void link_dialling(struct link *link, uint64_t now)
{
	if (link->try != TRY_WANTED)
		return;
	link->last_try_ms = now;
	link->moved = false;
	link_set_state(link, link->state, TRY_DIALLING, now + LINK_DIAL_MS);
}

void link_hello_sent(struct link *link, uint64_t now)
{
	if (link->try != TRY_DIALLING)
		return;
	link_set_state(link, session_up(link) ? LINK_REAUTH : LINK_PROVE, TRY_PROVING,
		       now + LINK_PROVE_MS);
}

void link_ready(struct link *link, uint64_t now)
{
	if (!try_under_way(link))
		return;
	uint64_t rekey = now + LINK_REKEY_MS - random_between(link, 0, LINK_REKEY_MS / 10);
	uint64_t again = link->again_ms;

	if (again != CLOCK_NEVER)
		again = max_ms(again, now + LINK_SPACING_MS);
	link->again_ms = CLOCK_NEVER;
	link->attempts = 0;
	link->home = link->endpoint;
	link->ready_ms = now;
	link_set_state(link, LINK_UP, TRY_NONE, min_ms(rekey, again));
}

void link_failed(struct link *link, uint64_t retry_after_ms, uint64_t now)
{
	if (link->try == TRY_NONE)
		return;
	link->attempts++;
	// What comes next uses whatever was new when another proof was asked for.
	link->again_ms = CLOCK_NEVER;
	endpoint_hold(link, link->endpoint, retry_after_ms, now);
	endpoint_had_turn(link, link->endpoint);
	if (link->moved)
		link->tried = 0;
	try_next(link, session_up(link), now);
}

void link_down(struct link *link, uint64_t retry_after_ms, uint64_t now)
{
	if (!session_up(link))
		return;
	endpoint_hold(link, link->home, retry_after_ms, now);
	if (try_under_way(link)) {
		link->down_ms = now;
		link_set_state(link, link->try == TRY_PROVING ? LINK_PROVE : LINK_DIAL, link->try,
			       link->deadline);
		return;
	}
	if (session_settled(link, now)) {
		trouble_forget(link, now);
	} else {
		link->attempts++;
		endpoint_had_turn(link, link->home);
	}
	try_next(link, false, now);
}

void link_dead(struct link *link, uint64_t now)
{
	if (!session_up(link))
		return;
	if (try_under_way(link)) {
		link_down(link, 0, now);
		return;
	}
	if (session_settled(link, now))
		trouble_forget(link, now);
	link->attempts++;
	endpoint_had_turn(link, link->home);
	try_next(link, false, now);
}

void link_reauth(struct link *link, uint64_t within_ms, uint64_t now)
{
	uint64_t at = now + random_between(link, 0, min_ms(within_ms, LINK_REKEY_MS));

	if (try_under_way(link)) {
		link->again_ms = min_ms(link->again_ms, at);
		return;
	}
	if (link->state == LINK_UP)
		at = max_ms(at, link->ready_ms + LINK_SPACING_MS);
	else
		at = max_ms(at,
			    max_ms(link->last_try_ms + LINK_WAIT_MIN_MS, endpoints_free_ms(link)));
	if (link->state != LINK_IDLE && link->try == TRY_NONE)
		link_set_state(link, link->state, TRY_NONE, min_ms(link->deadline, at));
}

void link_network_changed(struct link *link, uint64_t now)
{
	if (link->state == LINK_IDLE || link->state == LINK_UP)
		return;
	// What failed so far failed on another network.
	trouble_forget(link, now);
	link->moved = try_under_way(link);
	if (link->try != TRY_NONE)
		return;
	uint64_t at = max_ms(now, link->last_try_ms + LINK_WAIT_MIN_MS);
	at = max_ms(at, endpoints_free_ms(link));
	link_set_state(link, link->state, TRY_NONE, min_ms(link->deadline, at));
}

enum link_wish link_wish(struct link *link, uint64_t now)
{
	if (now >= link->deadline && link->try == TRY_NONE) {
		if (link->state == LINK_UP) {
			if (session_settled(link, now))
				trouble_forget(link, now);
			link->endpoint = link->home;
		}
		try_next(link, session_up(link), now);
	}
	switch (link->try) {
	case TRY_NONE:
		return LINK_WISH_NOTHING;
	case TRY_WANTED:
		return LINK_WISH_DIAL;
	case TRY_DIALLING:
	case TRY_PROVING:
		return now >= link->deadline ? LINK_WISH_ABORT : LINK_WISH_NOTHING;
	}
	return LINK_WISH_NOTHING;
}

uint64_t link_deadline(const struct link *link)
{
	return link->deadline;
}

enum link_state link_state(const struct link *link)
{
	return link->state;
}

unsigned link_endpoint(const struct link *link)
{
	return link->endpoint;
}

unsigned link_attempts(const struct link *link)
{
	return link->attempts;
}
