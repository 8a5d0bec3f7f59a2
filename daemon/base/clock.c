// SPDX-License-Identifier: Apache-2.0

#include "base/clock.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

static _Atomic int64_t fixed_wall;

uint64_t clock_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t clock_ms(void)
{
	return clock_ns() / 1000000;
}

time_t clock_wall(void)
{
	time_t fixed = (time_t)atomic_load(&fixed_wall);
	return fixed ? fixed : time(NULL);
}

int64_t clock_wall_ms(void)
{
	time_t fixed = (time_t)atomic_load(&fixed_wall);
	struct timespec now = {.tv_sec = fixed};

	if (!fixed)
		clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

time_t clock_built(void)
{
	return (time_t)CLOCK_BUILT_DAY * 86400;
}

const char *clock_words(int64_t seconds, char *text, size_t size)
{
	static const struct {
		int64_t seconds;
		const char *one, *many;
	} units[] = {{86400, "day", "days"}, {3600, "h", "h"}, {60, "min", "min"}, {1, "s", "s"}};
	int64_t left = seconds < 0 ? -seconds : seconds;
	unsigned i = 0;
	while (i < 3 && left < units[i].seconds)
		i++;
	int64_t count = left / units[i].seconds;
	snprintf(text, size, "%" PRId64 " %s", count, count == 1 ? units[i].one : units[i].many);
	return text;
}

void clock_set_wall(time_t wall)
{
	atomic_store(&fixed_wall, wall);
}
