// SPDX-License-Identifier: Apache-2.0

#include "daemon/report_lists.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/error.h"
#include "daemon/list_source.h"
#include "daemon/list_words.h"
#include "daemon/lists.h"
#include "pki/crl.h"

static json_t *seconds(time_t from, time_t to)
{
	return from && to ? json_integer((json_int_t)(to - from)) : json_null();
}

static const char *words_of(const struct list_source_status *status, time_t now, char *text,
			    size_t size)
{
	char words[32];

	if (!status->facts) {
		snprintf(text, size, "never read: %s",
			 status->hard ? "nobody of its domain is let in"
				      : "nobody is refused by it");
		return text;
	}
	int64_t left = (int64_t)(status->facts->next_update - now);
	clock_words(left, words, sizeof(words));
	if (status->state == LIST_UNREAD)
		snprintf(text, size, "out of use: its signer is not trusted any more");
	else if (left >= 0)
		snprintf(text, size, "next update in %s", words);
	else
		snprintf(text, size, "%s late%s", words,
			 status->state == LIST_LATE ? ", within its grace" : ", too old");
	return text;
}

static void add_facts(json_t *object, const struct crl_facts *facts, time_t now)
{
	json_object_set_new(object, "issuer", json_string(facts->issuer));
	json_object_set_new(object, "number",
			    facts->number[0] ? json_string(facts->number) : json_null());
	json_object_set_new(object, "entries", json_integer((json_int_t)facts->counts.entries));
	json_object_set_new(object, "holds", json_integer((json_int_t)facts->counts.holds));
	json_object_set_new(object, "memory", json_integer((json_int_t)facts->memory));
	json_object_set_new(object, "age_s", seconds(facts->this_update, now));
	json_object_set_new(object, "next_update", json_integer((json_int_t)facts->next_update));
	json_object_set_new(object, "next_update_in_s", seconds(now, facts->next_update));
}

static json_t *list(const struct list_source_status *status)
{
	char words[96], problem[ERROR_TEXT_MAX];
	time_t now = clock_wall();
	json_t *object = json_pack(
		"{s:s,s:s,s:s,s:s,s:i,s:s,s:o,s:o,s:o}", "source", status->place, "domain",
		status->domain, "state", list_state_name(status->state), "mode",
		status->hard ? "hard" : "soft", "grace_s", (int)status->grace_s, "words",
		words_of(status, now, words, sizeof(words)), "looked_ago_s",
		seconds(status->looked, now), "next_look_in_s", seconds(now, status->next_look),
		"problem",
		status->problem->code
			? json_string(error_text(status->problem, problem, sizeof(problem)))
			: json_null());

	if (object && status->facts)
		add_facts(object, status->facts, now);
	return object;
}

json_t *report_lists(const struct lists *lists)
{
	struct list_source_status status;
	json_t *array = json_array();

	for (size_t i = 0; lists_at(lists, i, &status); i++)
		json_array_append_new(array, list(&status));
	return array;
}
