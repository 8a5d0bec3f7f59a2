// SPDX-License-Identifier: Apache-2.0

#include "daemon/report_renewal.h"

#include "base/clock.h"
#include "base/error.h"
#include "client/initiator.h"
#include "daemon/credentials.h"
#include "daemon/engine.h"
#include "daemon/evidence.h"
#include "daemon/renewer.h"

static json_t *number_or_null(int64_t number, bool known)
{
	return known ? json_integer(number) : json_null();
}

// Whether a session of a link still rests on an older certificate: proofs follow one another by a second.
static bool is_proving(const struct engine *engine)
{
	const struct credential *newest = credentials_credential(engine_credentials(engine));
	struct initiator_status status;
	struct initiator *link;

	for (unsigned i = 0; (link = engine_initiator(engine, i)); i++) {
		initiator_status(link, &status);
		if (status.session && !evidence_shown_in(status.session, newest))
			return true;
	}
	return false;
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
	return json_pack("{s:s,s:s?,s:s,s:o,s:o,s:I,s:s,s:b,s:b,s:i,s:i,s:o,s:b,s:b,s:b,s:o}",
			 "source", renewer_source_name(status.source), "from", status.from, "words",
			 renewer_words(renewer, words), "at", number_or_null(status.at, planned),
			 "in_s", number_or_null(status.at - clock_wall(), planned), "not_after",
			 (json_int_t)status.not_after, "alarm", renewal_alarm_name(status.alarm),
			 "busy", status.busy, "proving", is_proving(engine), "attempts",
			 (int)status.attempts, "failures", (int)status.failures, "last_error",
			 error, "held", status.held, "previous", status.previous, "clock_wrong",
			 status.clock_wrong, "skew_s", number_or_null(status.skew_s, status.dated));
}
