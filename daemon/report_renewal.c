// SPDX-License-Identifier: Apache-2.0

#include "daemon/report_renewal.h"

#include "base/clock.h"
#include "base/error.h"
#include "daemon/engine.h"
#include "daemon/renewer.h"

static json_t *number_or_null(int64_t number, bool known)
{
	return known ? json_integer(number) : json_null();
}

json_t *report_renewal(const struct engine *engine)
{
	const struct renewer *renewer = engine_renewer(engine);
	char words[RENEWER_WORDS_MAX], why[ERROR_TEXT_MAX];
	struct renewer_status status;

	renewer_status(renewer, &status);
	bool planned = status.at != 0;
	json_t *error = status.why->code ? json_string(error_text(status.why, why, sizeof(why)))
					 : json_null();
	return json_pack("{s:s,s:s?,s:s,s:o,s:o,s:I,s:s,s:b,s:i,s:i,s:o,s:b,s:b,s:b,s:o}", "source",
			 renewer_source_name(status.source), "from", status.from, "words",
			 renewer_words(renewer, words), "at", number_or_null(status.at, planned),
			 "in_s", number_or_null(status.at - clock_wall(), planned), "not_after",
			 (json_int_t)status.not_after, "alarm", renewal_alarm_name(status.alarm),
			 "busy", status.busy, "attempts", (int)status.attempts, "failures",
			 (int)status.failures, "last_error", error, "held", status.held, "previous",
			 status.previous, "clock_wrong", status.clock_wrong, "skew_s",
			 number_or_null(status.skew_s, status.dated));
}
