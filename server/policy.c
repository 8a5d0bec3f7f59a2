// SPDX-License-Identifier: Apache-2.0

#include "server/policy.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/zone.h"

#define MINUTE 60
#define DAY    86400
#define WEEK   (7 * DAY)

// Seconds from the begin of the week (Monday 00:00) in the rule's zone.
static int week_second(const struct tm *tm)
{
	return (tm->tm_wday + 6) % 7 * DAY + tm->tm_hour * 3600 + tm->tm_min * MINUTE + tm->tm_sec;
}

// What follows `from` on the circle of a week, 0..WEEK-1.
static int week_distance(int from, int to)
{
	return ((to - from) % WEEK + WEEK) % WEEK;
}

static int hours_length(const struct rule_hours *hours)
{
	int length = (hours->to_min - hours->from_min) * MINUTE;
	return length > 0 ? length : length + DAY;
}

static bool hours_hold(const struct rule_hours *hours, int second)
{
	for (int day = 0; day < 7; day++)
		if ((hours->days >> day & 1) && week_distance(day * DAY + hours->from_min * MINUTE,
							      second) < hours_length(hours))
			return true;
	return false;
}

bool policy_active(const struct rule *rule, time_t now)
{
	if (rule->expires != 0 && now >= rule->expires)
		return false;
	if (rule->hour_count == 0)
		return true;
	struct tm tm;
	zone_time(rule->zone, now, &tm);
	for (unsigned i = 0; i < rule->hour_count; i++)
		if (hours_hold(&rule->hours[i], week_second(&tm)))
			return true;
	return false;
}

// Seconds from second `now` of the week until the hours begin or end, 1..WEEK.
static int hours_next(const struct rule_hours *hours, int now)
{
	int next = WEEK;
	for (int day = 0; day < 7; day++) {
		int begin = day * DAY + hours->from_min * MINUTE;
		if (!(hours->days >> day & 1))
			continue;
		// What is now was before.
		int to_begin = week_distance(now + 1, begin) + 1;
		int to_end = week_distance(now + 1, begin + hours_length(hours)) + 1;
		next = to_begin < next ? to_begin : next;
		next = to_end < next ? to_end : next;
	}
	return next;
}

// When the zone's offset changes, within the next `days` days; otherwise their end.
static time_t zone_change(const struct zone *zone, time_t now, int days)
{
	struct tm tm;
	zone_time(zone, now, &tm);
	long offset = tm.tm_gmtoff;
	time_t same = now, other = now;
	for (int day = 0; day < days && tm.tm_gmtoff == offset; day++) {
		same = other;
		other += DAY;
		zone_time(zone, other, &tm);
	}
	while (tm.tm_gmtoff != offset && other - same > 1) {
		time_t middle = same + (other - same) / 2;
		struct tm half;
		zone_time(zone, middle, &half);
		if (half.tm_gmtoff == offset)
			same = middle;
		else
			other = middle;
	}
	return other;
}

// Until the offset changes, the local clock goes as the other does. It may say that nothing changes then: two hours of a rule that
// meet.
static time_t rule_next_change(const struct rule *rule, time_t now)
{
	time_t next = rule->expires > now ? rule->expires : 0;
	if (rule->hour_count == 0 || (rule->expires != 0 && next == 0))
		return next;
	struct tm tm;
	zone_time(rule->zone, now, &tm);
	time_t hours = zone_change(rule->zone, now, 7);
	for (unsigned i = 0; i < rule->hour_count; i++) {
		time_t at = now + hours_next(&rule->hours[i], week_second(&tm));
		hours = at < hours ? at : hours;
	}
	return next == 0 || hours < next ? hours : next;
}

time_t policy_next_change(const struct rules *rules, time_t now)
{
	time_t next = 0;
	for (unsigned program = 0; program < FILTER_PROGRAMS; program++) {
		unsigned count;
		const struct rule *list = rules_of(rules, program, &count);
		for (unsigned i = 0; i < count; i++) {
			time_t at = rule_next_change(&list[i], now);
			if (at != 0 && (next == 0 || at < next))
				next = at;
		}
	}
	return next;
}

// `ret` gets two lists that the caller frees.
static int list_active(const struct rules *rules, time_t now, bool *ret[FILTER_PROGRAMS])
{
	for (unsigned program = 0; program < FILTER_PROGRAMS; program++) {
		unsigned count;
		const struct rule *list = rules_of(rules, program, &count);
		ret[program] = calloc(count + 1, sizeof(bool));
		if (!ret[program])
			return -ENOMEM;
		for (unsigned i = 0; i < count; i++)
			ret[program][i] = policy_active(&list[i], now);
	}
	return 0;
}

int policy_compile(const struct rules *rules, time_t now, struct filter **ret, struct error *error)
{
	bool *active[FILTER_PROGRAMS] = {NULL};
	int r = list_active(rules, now, active);
	if (r == 0)
		r = filter_new(rules, (const bool *const *)active, ret);
	free(active[0]);
	free(active[1]);
	if (r == -E2BIG)
		return error_set(error, E2BIG, "the policy has more than %u rules",
				 FILTER_RULES_MAX);
	return r < 0 ? error_set(error, -r, "out of memory") : 0;
}
