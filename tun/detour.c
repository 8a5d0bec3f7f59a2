// SPDX-License-Identifier: Apache-2.0

#include "tun/detour.h"

#include "base/clock.h"

void detour_take(struct detour *detour, uint64_t now_ms)
{
	bool again = detour->back_ms && now_ms < detour->back_ms + DETOUR_SETTLED_MS;
	detour->taken = true;
	detour->wait_ms = again ? detour->lasted_ms : DETOUR_ASK_MIN_MS;
	detour->ask_ms = now_ms + detour->wait_ms;
	detour->look_ms = CLOCK_NEVER;
}

static void ask(struct detour *detour, uint64_t now_ms)
{
	detour->ask_ms = now_ms + detour->wait_ms;
	detour->wait_ms *= 2;
	if (detour->wait_ms > DETOUR_ASK_MAX_MS)
		detour->wait_ms = DETOUR_ASK_MAX_MS;
	detour->look_ms = now_ms + DETOUR_LOOK_MS;
	detour->looks = 0;
}

enum detour_wish detour_tick(struct detour *detour, bool answered, uint64_t now_ms)
{
	if (!detour->taken)
		return DETOUR_NOTHING;
	if (answered) {
		detour->taken = false;
		detour->back_ms = now_ms;
		detour->lasted_ms = detour->wait_ms;
		return DETOUR_BACK;
	}
	if (now_ms >= detour->ask_ms) {
		ask(detour, now_ms);
		return DETOUR_ASK;
	}
	if (now_ms >= detour->look_ms) {
		bool more = ++detour->looks < DETOUR_LOOK_TIMES;
		detour->look_ms = more ? now_ms + DETOUR_LOOK_MS : CLOCK_NEVER;
	}
	return DETOUR_NOTHING;
}

void detour_moved(struct detour *detour, uint64_t now_ms)
{
	if (!detour->taken)
		return;
	detour->ask_ms = now_ms;
	detour->wait_ms = DETOUR_ASK_MIN_MS;
}

uint64_t detour_deadline(const struct detour *detour)
{
	if (!detour->taken)
		return CLOCK_NEVER;
	return detour->look_ms < detour->ask_ms ? detour->look_ms : detour->ask_ms;
}
