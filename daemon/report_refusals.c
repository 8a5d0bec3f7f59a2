// SPDX-License-Identifier: Apache-2.0

#include "daemon/report_refusals.h"

#include <stdio.h>

#include "base/clock.h"
#include "tun/refusals.h"
#include "tun/target.h"

// "tcp 10.20.0.5:25, rule policy.conf:12 "no mail", 14 times, last 3 s ago"
static void words_of(const struct refusal *refusal, uint64_t ago_s, char *text, size_t size)
{
	char target[TARGET_TEXT_MAX], rule[2 * MESSAGE_RULE_MAX + 16], ago[32];
	target_text(refusal->protocol, &refusal->to, refusal->port, target);
	if (!refusal->place[0])
		snprintf(rule, sizeof(rule), "no rule allows it");
	else if (refusal->rule[0])
		snprintf(rule, sizeof(rule), "rule %s \"%s\"", refusal->place, refusal->rule);
	else
		snprintf(rule, sizeof(rule), "rule %s", refusal->place);
	clock_words((int64_t)ago_s, ago, sizeof(ago));
	snprintf(text, size, "%s, %s, %llu times, last %s ago", target, rule,
		 (unsigned long long)refusal->count, ago);
}

static json_t *refusal_report(const struct refusal *refusal, uint64_t at_ms)
{
	char from[ADDR_TEXT_MAX], to[ADDR_TEXT_MAX], protocol[TARGET_TEXT_MAX], words[512];
	uint64_t ago_s = (clock_ms() - at_ms) / 1000;
	words_of(refusal, ago_s, words, sizeof(words));
	return json_pack("{s:s,s:s,s:s,s:i,s:s,s:s,s:I,s:I,s:s}", "from",
			 addr_text(&refusal->from, from), "to", addr_text(&refusal->to, to),
			 "protocol", target_protocol_text(refusal->protocol, protocol), "port",
			 (int)refusal->port, "rule", refusal->rule, "place", refusal->place,
			 "count", (json_int_t)refusal->count, "ago_s", (json_int_t)ago_s, "words",
			 words);
}

// The one that was heard of last, of those that are not done. -1: none.
static int next_older(const struct refusals *refusals, const bool *done)
{
	int newest = -1;
	for (unsigned i = 0; i < refusals->count; i++)
		if (!done[i] && (newest < 0 || refusals->at_ms[i] > refusals->at_ms[newest]))
			newest = (int)i;
	return newest;
}

json_t *report_refusals(const struct refusals *refusals)
{
	bool done[MESSAGE_REFUSALS_MAX] = {false};
	json_t *array = json_array();
	int i;
	while (refusals && (i = next_older(refusals, done)) >= 0) {
		done[i] = true;
		json_array_append_new(array,
				      refusal_report(&refusals->list[i], refusals->at_ms[i]));
	}
	return array;
}
