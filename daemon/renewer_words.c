// SPDX-License-Identifier: Apache-2.0

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/config.h"
#include "daemon/renewer_state.h"

const char *renewer_source_name(enum renewer_source source)
{
	static const char *const names[] = {"files", "est", "ca"};
	return names[source];
}

static const char *source_from(const struct renewer *renewer)
{
	switch (renewer->source) {
	case RENEWER_FILES:
		return NULL;
	case RENEWER_EST:
		return renewer->config->renewal.url;
	case RENEWER_CA:
		return renewer->config->gateway.ca;
	}
	return NULL;
}

static void add_reason(const struct renewer *renewer, enum renewal_alarm alarm, char *text,
		       size_t size)
{
	char why[ERROR_TEXT_MAX];
	size_t at = strlen(text);
	if (renewer->source == RENEWER_FILES)
		snprintf(text + at, size - at, "; nobody has put a new one into %s",
			 renewer->config->node.certificate);
	else if (renewer->plan.failures)
		snprintf(text + at, size - at, "; renewal failed %u times: %s",
			 renewer->plan.failures, error_text(&renewer->why, why, sizeof(why)));
	at = strlen(text);
	if (renewer->source == RENEWER_EST && alarm == RENEWAL_EXPIRED)
		snprintf(text + at, size - at,
			 "; a CA seldom renews what has expired: let this device join again");
}

void renewer_say_alarm(struct renewer *renewer, time_t now)
{
	static const char *const left[] = {NULL, "less than a quarter of its life is left",
					   "less than a tenth of its life is left",
					   "less than an hour is left", "it has expired"};
	enum renewal_alarm alarm = renewal_alarm(&renewer->plan, now);
	char text[RENEWER_WORDS_MAX], words[32];
	bool worse = alarm > renewer->said;
	renewer->said = alarm;
	if (!worse)
		return;
	snprintf(text, sizeof(text), "the certificate of this node: %s", left[alarm]);
	if (alarm != RENEWAL_EXPIRED)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), ", it expires in %s",
			 clock_words(renewer->plan.to - now, words, sizeof(words)));
	add_reason(renewer, alarm, text, sizeof(text));
	log_write(alarm == RENEWAL_EXPIRED ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, "%s", text);
}

const char *renewer_clock_words(time_t now, char text[RENEWER_CLOCK_MAX])
{
	char date[32];
	struct tm tm;
	gmtime_r(&now, &tm);
	strftime(date, sizeof(date), "%Y-%m-%d", &tm);
	snprintf(text, RENEWER_CLOCK_MAX,
		 "this clock says %s, before mutun was built: nothing is renewed until it is set",
		 date);
	return text;
}

bool renewer_say_clock(struct renewer *renewer, time_t now)
{
	char text[RENEWER_CLOCK_MAX];
	bool wrong = now < clock_built();
	if (wrong && !renewer->clock_said)
		log_error("%s", renewer_clock_words(now, text));
	renewer->clock_said = wrong;
	return wrong;
}

void renewer_status(const struct renewer *renewer, struct renewer_status *ret)
{
	time_t now = clock_wall();
	*ret = (struct renewer_status){
		.source = renewer->source,
		.from = source_from(renewer),
		.at = renewer->source == RENEWER_FILES ? 0 : renewer->plan.at,
		.not_after = renewer->plan.to,
		.alarm = renewal_alarm(&renewer->plan, now),
		.busy = renewer->attempt || renewer->adopt_by_ms,
		.attempts = renewer->attempts,
		.failures = renewer->plan.failures,
		.why = &renewer->why,
		.held = renewer->held.leaf != NULL,
		.previous = renewer->previous_not_after != 0,
		.clock_wrong = renewer->clock_said,
		.dated = renewer->dated,
		.skew_s = renewer->skew_s,
	};
	if (ret->held)
		ret->at = renewer->held.not_before;
}

static size_t add(char *text, size_t at, const char *before, const char *words)
{
	if (at < RENEWER_WORDS_MAX)
		at += (size_t)snprintf(text + at, RENEWER_WORDS_MAX - at, "%s%s", before, words);
	return at;
}

static size_t add_next(const struct renewer_status *status, char text[RENEWER_WORDS_MAX])
{
	char words[ERROR_TEXT_MAX];
	int64_t wait = status->at - clock_wall();
	size_t at = 0;

	if (status->clock_wrong)
		return add(text, 0, "", renewer_clock_words(clock_wall(), words));
	if (status->busy)
		return add(text, 0, "", "renewing now");
	if (status->held) {
		at = add(text, 0, "not valid yet: this clock is ", clock_words(wait, words, 32));
		return add(text, at, " behind", "");
	}
	if (status->failures) {
		snprintf(words, sizeof(words), "failed %u time%s: ", status->failures,
			 status->failures > 1 ? "s" : "");
		at = add(text, 0, words,
			 error_text(status->why, (char[ERROR_TEXT_MAX]){0}, ERROR_TEXT_MAX));
		at = add(text, at, "; next try in ", clock_words(wait > 0 ? wait : 0, words, 32));
		return at;
	}
	return add(text, at, "renews in ", clock_words(wait > 0 ? wait : 0, words, 32));
}

const char *renewer_words(const struct renewer *renewer, char text[RENEWER_WORDS_MAX])
{
	struct renewer_status status;
	char words[32];

	renewer_status(renewer, &status);
	int64_t left = status.not_after - clock_wall();
	size_t at = status.source == RENEWER_FILES
			    ? add(text, 0, "by whoever writes ", renewer->config->node.certificate)
			    : add_next(&status, text);
	clock_words(left, words, sizeof(words));
	at = add(text, at, left > 0 ? ", expires in " : ", expired ", words);
	if (left <= 0)
		add(text, at, " ago", "");
	return text;
}
