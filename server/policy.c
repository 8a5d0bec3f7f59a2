// SPDX-License-Identifier: Apache-2.0

#include "server/policy.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"

#define DAY_MIN	 1440
#define WEEK_MIN (7 * DAY_MIN)

// Whether minute `now` of the week (0: Monday 00:00) is within.
static bool hours_hold(const struct rule_hours *hours, int now)
{
	int length = (hours->to_min - hours->from_min + DAY_MIN - 1) % DAY_MIN + 1;
	for (int day = 0; day < 7; day++)
		if ((hours->days >> day & 1) &&
		    (now - day * DAY_MIN - hours->from_min + 2 * WEEK_MIN) % WEEK_MIN < length)
			return true;
	return false;
}

static int week_minute(time_t now)
{
	struct tm tm;
	localtime_r(&now, &tm);
	return (tm.tm_wday + 6) % 7 * DAY_MIN + tm.tm_hour * 60 + tm.tm_min;
}

bool policy_active(const struct rule *rule, time_t now)
{
	if (rule->expires != 0 && now >= rule->expires)
		return false;
	bool holds = rule->hour_count == 0;
	int minute = holds ? 0 : week_minute(now);
	for (unsigned i = 0; !holds && i < rule->hour_count; i++)
		holds = hours_hold(&rule->hours[i], minute);
	return holds;
}

time_t policy_next_change(const struct rules *rules, time_t now)
{
	time_t next = 0;
	for (unsigned program = 0; program < FILTER_PROGRAMS; program++) {
		unsigned count;
		const struct rule *list = rules_of(rules, program, &count);
		for (unsigned i = 0; i < count; i++) {
			if (list[i].expires > now && (next == 0 || list[i].expires < next))
				next = list[i].expires;
			// Hours begin and end on minutes.
			time_t minute = now - now % 60 + 60;
			if (list[i].hour_count > 0 && (next == 0 || minute < next))
				next = minute;
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

int policy_why(const struct rules *rules, time_t now, const struct rule_question *question,
	       struct filter_verdict *ret, struct rule_why *ret_why)
{
	bool *active[FILTER_PROGRAMS] = {NULL};
	int r = list_active(rules, now, active);
	if (r == 0)
		rules_judge(rules, (const bool *const *)active, question, ret, ret_why);
	free(active[0]);
	free(active[1]);
	return r;
}
