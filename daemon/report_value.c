// SPDX-License-Identifier: Apache-2.0

#include "daemon/report_value.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/error.h"
#include "pki/staple.h"

json_t *report_text(const char *text)
{
	return text ? json_string(text) : json_null();
}

json_t *report_problem(const struct error *error)
{
	char text[ERROR_TEXT_MAX];
	return error && error->code ? json_string(error_text(error, text, sizeof(text)))
				    : json_null();
}

json_t *report_expiry(const char *serial, time_t not_after)
{
	char words[32], text[64];
	int64_t left = (int64_t)(not_after - clock_wall());
	clock_words(left, words, sizeof(words));
	snprintf(text, sizeof(text), left > 0 ? "expires in %s" : "expired %s ago", words);
	return json_pack("{s:s,s:I,s:I,s:s}", "serial", serial, "not_after", (json_int_t)not_after,
			 "expires_in_s", (json_int_t)left, "words", text);
}

json_t *report_staple(const struct staple *staple)
{
	char words[32], text[96];
	int64_t left = (int64_t)(staple->next_update - clock_wall());
	if (staple->state == STAPLE_NONE)
		return json_null();
	clock_words(left, words, sizeof(words));
	snprintf(text, sizeof(text), left > 0 ? "%s, for another %s" : "%s, until %s ago",
		 staple_state_name(staple->state), words);
	return json_pack("{s:s,s:I,s:s}", "state", staple_state_name(staple->state), "next_update",
			 (json_int_t)staple->next_update, "words", text);
}

json_t *report_drops(const uint64_t counts[DROP_LAST + 1])
{
	json_t *object = json_object();
	for (unsigned i = DROP_NONE + 1; i <= DROP_LAST; i++)
		if (counts[i])
			json_object_set_new(object, drop_name((enum drop)i),
					    json_integer((json_int_t)counts[i]));
	return object;
}
