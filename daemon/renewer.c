// SPDX-License-Identifier: Apache-2.0

#include "daemon/renewer.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/attempt.h"
#include "daemon/config.h"
#include "daemon/credentials.h"
#include "daemon/renewer_state.h"
#include "pki/certificate.h"
#include "pki/credential.h"
#include "pki/probation.h"

#define ADOPT_MS	 30000u // from new files to their use
#define TRUST_WITHIN_MS	 10000u // hints reach many nodes at once: each asks at a moment of its own
#define TRUST_SPACING_MS 20000u
#define REFUSALS_MIN	 2u // the first may be somebody's mistake

static uint64_t random_number(void)
{
	uint64_t number;
	if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != sizeof(number))
		number = clock_ns();
	return number;
}

static struct probation files_of(const struct renewer *renewer)
{
	return (struct probation){renewer->config->node.certificate, renewer->config->node.key};
}

static struct credential *current(const struct renewer *renewer)
{
	return credentials_credential(renewer->tools.credentials);
}

// --- the plan

// A file that cannot be replaced, or is a link that somebody swaps, is not ours to renew.
static bool is_ours(const char *path)
{
	_cleanup_(freep) char *copy = strdup(path);
	struct stat status;
	return copy && lstat(path, &status) == 0 && S_ISREG(status.st_mode) &&
	       access(dirname(copy), W_OK) == 0;
}

enum renewer_source renewer_source(const struct config *config)
{
	if (config->renewal.url)
		return RENEWER_EST;
	return config->gateway.ca && is_ours(config->node.certificate) && is_ours(config->node.key)
		       ? RENEWER_CA
		       : RENEWER_FILES;
}

static void failed(struct renewer *renewer, enum renewal_failure why, unsigned retry_after_s,
		   const struct error *error)
{
	char text[ERROR_TEXT_MAX], words[32];
	renewer->why = *error;
	renewal_failed(&renewer->plan, why, retry_after_s, clock_wall(), random_number());
	log_warning("renewal failed (%u in a row), next try in %s: %s", renewer->plan.failures,
		    clock_words((int64_t)renewer->plan.wait_s, words, sizeof(words)),
		    error_text(error, text, sizeof(text)));
}

static void look_for_previous(struct renewer *renewer)
{
	_cleanup_(credential_putp) struct credential *previous = NULL;
	struct probation files = files_of(renewer);
	renewer->previous_not_after = 0;
	if (renewer->source == RENEWER_FILES)
		return;
	int r = probation_previous(&files, clock_wall(), &previous, NULL);
	bool same = r == 0 &&
		    memcmp(credential_fingerprint(previous),
			   credential_fingerprint(current(renewer)), RENEWER_FINGERPRINT_SIZE) == 0;
	if (same || r == -EKEYEXPIRED)
		probation_end(&files, NULL);
	else if (r == 0)
		renewer->previous_not_after = credential_not_after(previous);
}

static void plan(struct renewer *renewer, time_t now)
{
	const struct credential *credential = current(renewer);
	struct renewal before = renewer->plan;
	if (memcmp(renewer->planned, credential_fingerprint(credential),
		   RENEWER_FINGERPRINT_SIZE) == 0)
		return;
	memcpy(renewer->planned, credential_fingerprint(credential), RENEWER_FINGERPRINT_SIZE);
	renewer->planned_ms = clock_ms();
	renewer->adopt_by_ms = 0;
	renewer->before = renewer->tools.evidence(credential, renewer->tools.data);
	renewal_plan(&renewer->plan, credential_not_before(credential),
		     credential_not_after(credential), now, random_number());
	if (renewer->undone) { // back to an old one, which is due already
		struct error why = renewer->why;
		renewer->plan.failures = before.failures;
		renewer->plan.wait_s = before.wait_s;
		failed(renewer, RENEWAL_REFUSED, 0, &why);
	} else {
		renewer->why.code = 0;
	}
	renewer->undone = false;
	look_for_previous(renewer);
}

// --- attempts

static enum renewal_failure classify(int r)
{
	switch (-r) {
	case EAGAIN:
		return RENEWAL_LATER;
	case EACCES:
	case EPERM:
	case EINVAL:
	case EBADMSG:
		return RENEWAL_REFUSED;
	default:
		return RENEWAL_UNREACHABLE;
	}
}

static void on_trust(struct renewer *renewer, const struct attempt_result *result)
{
	char text[ERROR_TEXT_MAX];
	bool news = memcmp(&renewer->trust_why, &result->trust_error, sizeof(struct error)) != 0;
	renewer->trust_why = result->trust_error;
	if (result->trust_changed)
		log_info("the CA has other roots than before: they are in %s now",
			 renewer->config->node.trust);
	else if (result->trust_error.code && news)
		log_warning("the CA's roots are not taken over, the old ones stay: %s",
			    error_text(&result->trust_error, text, sizeof(text)));
}

// Of several, the one that begins first.
static void hold(struct renewer *renewer, struct obtained *held)
{
	struct error error;
	char text[ERROR_TEXT_MAX];
	if (!renewer->held.leaf || held->not_before < renewer->held.not_before) {
		obtained_done(&renewer->held);
		renewer->held = *held;
		*held = (struct obtained){0};
	}
	if (obtained_check_begun(&renewer->held, clock_wall(), &error) == 0)
		return;
	if (renewer->held.not_before < renewer->plan.to) {
		log_warning("%s", error_text(&error, text, sizeof(text)));
		renewer->plan.at = renewer->held.not_before;
	} else { // there would be a time without any: the CA may say something else by then
		failed(renewer, RENEWAL_UNREACHABLE, 0, &error);
	}
}

static void on_certificate(struct renewer *renewer, struct attempt_result *result)
{
	if (result->meta.dated) {
		renewer->dated = true;
		renewer->skew_s = result->meta.skew_s;
	}
	if (result->r < 0)
		failed(renewer, classify(result->r), result->meta.retry_after_s, &result->error);
	if (result->held.leaf)
		hold(renewer, &result->held);
}

static void on_undone(struct renewer *renewer, const struct attempt_result *result)
{
	struct error why = renewer->why;
	renewer->previous_not_after = 0;
	if (result->r < 0) {
		renewer->undone = false;
		failed(renewer, RENEWAL_REFUSED, 0, &result->error);
	} else if (renewer->unused) { // what lies in the files again was in use all the time
		failed(renewer, RENEWAL_REFUSED, 0, &why);
	} else if (renewer->undone) {
		renewer->adopt_by_ms = clock_ms() + ADOPT_MS;
	}
	renewer->unused = false;
}

static bool renews(const struct attempt *attempt)
{
	return attempt_kind(attempt) == ATTEMPT_RENEW || attempt_kind(attempt) == ATTEMPT_INSTALL;
}

// The files may be looked at before their writer comes to say that they are there.
static bool taken_up(const struct renewer *renewer)
{
	return memcmp(renewer->planned, renewer->attempted, RENEWER_FINGERPRINT_SIZE) != 0;
}

static void on_done(void *data)
{
	struct renewer *renewer = data;
	_cleanup_(attempt_freep) struct attempt *attempt = take(renewer->attempt);
	struct attempt_result *result = attempt_result(attempt);

	if (renews(attempt)) {
		on_certificate(renewer, result);
		renewer->attempts++;
	}
	if (attempt_kind(attempt) == ATTEMPT_RENEW || attempt_kind(attempt) == ATTEMPT_TRUST)
		on_trust(renewer, result);
	if (attempt_kind(attempt) == ATTEMPT_UNDO)
		on_undone(renewer, result);
	else if (result->installed && !taken_up(renewer))
		renewer->adopt_by_ms = clock_ms() + ADOPT_MS;
	if (result->installed || result->trust_changed)
		credentials_look(renewer->tools.credentials);
}

static void begin(struct renewer *renewer, enum attempt_kind kind)
{
	struct error error;
	memcpy(renewer->attempted, renewer->planned, RENEWER_FINGERPRINT_SIZE);
	int r = attempt_new(renewer->tools.event, kind, renewer->config, current(renewer),
			    credentials_trust(renewer->tools.credentials),
			    kind == ATTEMPT_INSTALL ? &renewer->held : NULL, on_done, renewer,
			    &renewer->attempt);
	if (kind == ATTEMPT_RENEW)
		renewer->asked = false;
	if (kind == ATTEMPT_RENEW || kind == ATTEMPT_TRUST) {
		renewer->trust_ms = 0;
		renewer->trust_asked_ms = clock_ms();
	}
	if (r == 0)
		return;
	error_set(&error, -r, "no thread for it: %s", strerror(-r));
	if (kind == ATTEMPT_TRUST)
		return;
	renewer->attempts += kind != ATTEMPT_UNDO;
	renewer->previous_not_after = 0; // no undoing again and again
	renewer->undone = false;
	failed(renewer, RENEWAL_UNREACHABLE, 0, &error);
}

// New files that are not taken up would be made again and again, and be no use to start with.
static void give_up_adoption(struct renewer *renewer)
{
	const struct error *problem = credentials_problem(renewer->tools.credentials);
	struct error why = *problem;
	if (!why.code)
		error_set(&why, EBADMSG, "the new certificate is in %s, but not in use",
			  renewer->config->node.certificate);
	renewer->adopt_by_ms = 0;
	renewer->undone = false;
	look_for_previous(renewer);
	if (!renewer->previous_not_after) {
		failed(renewer, RENEWAL_REFUSED, 0, &why);
		return;
	}
	renewer->why = why;
	renewer->unused = true;
	begin(renewer, ATTEMPT_UNDO);
}

// --- probation

// A link or a gateway that is gone takes its count along.
static unsigned more(unsigned now, unsigned before)
{
	return now > before ? now - before : 0;
}

static bool refused(const struct renewer *renewer, const struct renewer_evidence *evidence)
{
	uint64_t age_s = (clock_ms() - renewer->planned_ms) / 1000;
	const struct renewer_evidence *before = &renewer->before;
	if (more(evidence->refused_by_gateways, before->refused_by_gateways) >= REFUSALS_MIN)
		return true;
	return evidence->clients && age_s > evidence->clients_within_s &&
	       more(evidence->refused_by_clients, before->refused_by_clients) >= REFUSALS_MIN;
}

// Whether the old pair is being put back.
static bool judge_probation(struct renewer *renewer, time_t now)
{
	struct probation files = files_of(renewer);
	struct renewer_evidence evidence;
	struct error error;
	char words[32];
	if (!renewer->previous_not_after || renewer->adopt_by_ms)
		return false;
	evidence = renewer->tools.evidence(current(renewer), renewer->tools.data);
	if (evidence.proved || renewer->previous_not_after <= now) {
		log_info("the new certificate is %s: the previous pair is removed",
			 evidence.proved ? "accepted by a peer" : "the only one that is valid");
		renewer->previous_not_after = 0;
		if (probation_end(&files, &error) < 0)
			log_warning("%s: %s", error.where, error.what);
		return false;
	}
	if (!refused(renewer, &evidence))
		return false;
	error_set(&renewer->why, EKEYREJECTED,
		  "peers refuse the new certificate: back to the previous one, which expires in %s",
		  clock_words(renewer->previous_not_after - now, words, sizeof(words)));
	log_error("%s", renewer->why.what);
	renewer->undone = true;
	begin(renewer, ATTEMPT_UNDO);
	return true;
}

// --- life

// Whether one that was not valid yet is put into the files.
static bool follow_held(struct renewer *renewer, time_t now)
{
	if (!renewer->held.leaf || renewer->held.not_before > now)
		return false;
	if (renewer->held.not_after > now) {
		begin(renewer, ATTEMPT_INSTALL);
		return true;
	}
	obtained_done(&renewer->held);
	renewer->plan.at = now;
	return false;
}

// One that was signed while this clock was ahead is of no use once it is right.
static bool is_due(const struct renewer *renewer, time_t now)
{
	bool early = now < credential_not_before(current(renewer)) && renewer->plan.failures == 0;
	return renewer->asked || renewer->plan.at <= now || early;
}

void renewer_tick(struct renewer *renewer)
{
	time_t now = clock_wall();
	plan(renewer, now);
	renewer_say_alarm(renewer, now);
	if (renewer->source == RENEWER_FILES || renewer_say_clock(renewer, now) ||
	    renewer->attempt || judge_probation(renewer, now))
		return;
	if (renewer->adopt_by_ms) {
		if (clock_ms() >= renewer->adopt_by_ms)
			give_up_adoption(renewer);
	} else if (follow_held(renewer, now)) {
		return;
	} else if (is_due(renewer, now)) {
		begin(renewer, ATTEMPT_RENEW);
	} else if (renewer->trust_ms && clock_ms() >= renewer->trust_ms) {
		begin(renewer, ATTEMPT_TRUST);
	}
}

void renewer_clock_stepped(struct renewer *renewer)
{
	renewal_stepped(&renewer->plan, clock_wall());
	renewer_tick(renewer);
}

int renewer_now(struct renewer *renewer, unsigned *ret_attempt, struct error *error)
{
	char text[RENEWER_CLOCK_MAX];
	if (renewer->source == RENEWER_FILES) {
		error_set(error, EINVAL, "the certificate is not this daemon's to renew");
		error_where(error, "%s", renewer->config->node.certificate);
		return error_remedy(error, "whoever writes the file renews it; or set renewal.url");
	}
	if (renewer_say_clock(renewer, clock_wall()))
		return error_set(error, EAGAIN, "%s", renewer_clock_words(clock_wall(), text));
	bool under_way = renewer->attempt && renews(renewer->attempt);
	bool adopting = renewer->adopt_by_ms && !renewer->undone;
	*ret_attempt = renewer->attempts + !adopting;
	if (under_way || adopting)
		return 0;
	renewer->asked = true;
	renewer_tick(renewer);
	return 0;
}

void renewer_refresh_trust(struct renewer *renewer)
{
	uint64_t from = clock_ms();
	if (renewer->trust_ms)
		return;
	if (renewer->trust_asked_ms && from < renewer->trust_asked_ms + TRUST_SPACING_MS)
		from = renewer->trust_asked_ms + TRUST_SPACING_MS;
	renewer->trust_ms = from + random_number() % TRUST_WITHIN_MS;
}

void renewer_reload(struct renewer *renewer, const struct config *config)
{
	renewer->config = config;
	renewer->source = renewer_source(config);
	look_for_previous(renewer);
}

int renewer_new(const struct renewer_tools *tools, const struct config *config,
		struct renewer **ret)
{
	struct renewer *renewer = calloc(1, sizeof(*renewer));
	if (!renewer)
		return -ENOMEM;
	renewer->tools = *tools;
	renewer_reload(renewer, config);
	plan(renewer, clock_wall());
	*ret = renewer;
	return 0;
}

struct renewer *renewer_free(struct renewer *renewer)
{
	if (!renewer)
		return NULL;
	attempt_free(renewer->attempt);
	obtained_done(&renewer->held);
	free(renewer);
	return NULL;
}
