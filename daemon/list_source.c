// SPDX-License-Identifier: Apache-2.0

#include "daemon/list_source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/job.h"
#include "base/log.h"
#include "daemon/config.h"
#include "daemon/list_attempt.h"
#include "daemon/list_words.h"
#include "pki/certificate.h"
#include "pki/crl.h"
#include "pki/crl_list.h"
#include "pki/crl_slot.h"
#include "pki/refresh.h"
#include "pki/tls.h"
#include "pki/trust.h"
#include "pki/watch.h"

#define ISSUER_MAX (1u << 20)
#define TICK_S	   60	// at most between two looks at the clock, which may be set
#define REPEAT_S   3600 // between two lines about a list that is too old

// A file that was half written is looked at again.
static const unsigned again_ms[] = {200, 1000, 5000, 60000};
#define AGAIN_COUNT (sizeof(again_ms) / sizeof(again_ms[0]))

struct list_source {
	struct list_source_tools tools;
	char *place, *domain, *issuer, *copy;
	bool is_file, hard;
	unsigned grace_s;
	STACK_OF(X509) * issuers;
	struct trust *trust;

	struct crl *crl;
	struct crl_slot *slot; // what is judged by: `crl`, where it is trusted
	bool trusted;	       // who signed it is
	bool tried;	       // with whatever outcome
	struct error problem;
	enum list_state told;
	time_t told_at, looked;

	struct refresh refresh;
	char tag[HTTP_TAG_MAX + 1];
	time_t modified;
	struct watch *watch;
	sd_event_source *timer;
	struct job *job;
	struct list_attempt attempt;
	bool again; // there was reason to look while a look was under way
};

static uint64_t any(void)
{
	uint64_t value = 0;

	(void)!getrandom(&value, sizeof(value), 0);
	return value;
}

static enum list_state state_of(const struct list_source *source, time_t now)
{
	if (!source->crl || !source->trusted)
		return LIST_UNREAD;
	time_t end = crl_facts(source->crl)->next_update;
	if (now <= end)
		return LIST_CURRENT;
	return now <= end + (time_t)source->grace_s ? LIST_LATE : LIST_OLD;
}

static void tell_problem(struct list_source *source, const struct error *error)
{
	char text[ERROR_TEXT_MAX];

	if (memcmp(error, &source->problem, sizeof(*error)) != 0)
		log_warning("revocation list not taken%s: %s",
			    source->crl ? ", the last good one stays in use" : "",
			    error_text(error, text, sizeof(text)));
	source->problem = *error;
}

// --- looking

static void arm(struct list_source *source)
{
	time_t now = clock_wall(), at = now + TICK_S;

	if (!source->timer)
		return;
	if (!source->is_file && !source->job && source->refresh.at < at)
		at = source->refresh.at;
	if (state_of(source, now) <= LIST_LATE) {
		time_t next = crl_facts(source->crl)->next_update + 1;
		if (next <= now)
			next += (time_t)source->grace_s;
		at = next < at ? next : at;
	}
	sd_event_source_set_time_relative(source->timer,
					  at > now ? (uint64_t)(at - now) * 1000000u : 0);
	sd_event_source_set_enabled(source->timer, SD_EVENT_ONESHOT);
}

static void prepare(struct list_source *source, struct list_attempt *attempt)
{
	*attempt = (struct list_attempt){
		.copy = source->copy,
		.domain = source->domain,
		.trust = trust_get(source->trust),
		.issuers = source->issuers,
		.old = source->crl ? crl_get(source->crl) : NULL,
		.afresh = !source->trusted,
		.mark = source->tools.mark,
	};
	if (source->is_file)
		attempt->file = source->place;
	else
		attempt->url = source->place;
	if (source->trusted) {
		memcpy(attempt->tag, source->tag, sizeof(attempt->tag));
		attempt->modified = source->modified;
	}
}

static void use(struct list_source *source)
{
	crl_slot_set(source->slot, source->trusted ? source->crl : NULL);
}

// Whether who signed the list in use may do so, by the trust of today.
static bool judge_again(struct list_source *source)
{
	struct crl_scope scope = {source->trust, source->domain, source->issuers};
	struct error error = {0};

	if (crl_judge_again(source->crl, &scope, clock_wall(), &error) == 0)
		return true;
	tell_problem(source, &error);
	return false;
}

static void look_failed(struct list_source *source, const struct list_attempt *attempt, time_t now)
{
	time_t end = source->crl ? crl_facts(source->crl)->next_update : 0;
	unsigned failures = source->refresh.failures;

	tell_problem(source, &attempt->error);
	refresh_failed(&source->refresh, end, attempt->retry_after_s, now, any());
	if (source->watch)
		watch_again(source->watch,
			    again_ms[failures < AGAIN_COUNT ? failures : AGAIN_COUNT - 1]);
}

// True: what the source says has changed.
static bool look_done(struct list_source *source, struct list_attempt *attempt)
{
	time_t now = clock_wall();
	bool changed = !source->tried;

	source->tried = true;
	if (attempt->result < 0) {
		look_failed(source, attempt, now);
		return changed;
	}
	source->problem.code = 0;
	source->looked = now;
	memcpy(source->tag, attempt->tag, sizeof(source->tag));
	source->modified = attempt->modified;
	if (attempt->crl) {
		crl_put(source->crl);
		source->crl = take(attempt->crl);
		source->trusted = attempt->trust == source->trust || judge_again(source);
		use(source);
		list_words_taken(source->place, crl_facts(source->crl), now);
		changed = true;
	}
	const struct crl_facts *facts = crl_facts(source->crl);
	refresh_plan(&source->refresh, facts->this_update, facts->next_update, now, any());
	return changed;
}

static void follow(struct list_source *source, bool changed)
{
	time_t now = clock_wall();
	enum list_state state = state_of(source, now), before = source->told;
	// A URL that was never asked is no trouble yet.
	bool known = source->tried && (source->crl || source->problem.code);
	bool worse = known && state != LIST_CURRENT &&
		     (state != before || now - source->told_at >= REPEAT_S);

	if (worse) {
		struct list_source_status status;
		list_source_status(source, &status);
		list_words_state(&status, now);
		source->told_at = now;
	}
	source->told = state;
	arm(source);
	// From then on others may be refused.
	if (changed || (state == LIST_OLD && before != LIST_OLD))
		source->tools.changed(source->tools.data);
}

static void look(struct list_source *source);

static void on_done(void *data)
{
	struct list_source *source = data;

	source->job = job_free(source->job);
	bool changed = look_done(source, &source->attempt);
	list_attempt_done(&source->attempt);
	if (source->again)
		look(source);
	follow(source, changed);
}

static void on_run(struct job *job, void *data)
{
	struct list_source *source = data;

	list_attempt_run(&source->attempt, job);
}

static void look(struct list_source *source)
{
	struct job_work work = {.run = on_run, .done = on_done, .data = source};

	source->again = source->job;
	if (source->job)
		return;
	prepare(source, &source->attempt);
	int r = job_new(source->tools.event, &work, &source->job);
	if (r == 0)
		return;
	list_attempt_done(&source->attempt);
	refresh_failed(&source->refresh, 0, 0, clock_wall(), any());
	log_warning("revocation list %s is not looked at: %s", source->place, strerror(-r));
}

static void on_file(void *data)
{
	look(data);
}

static int on_timer(sd_event_source *timer, uint64_t usec, void *data)
{
	struct list_source *source = data;

	(void)timer;
	(void)usec;
	if (!source->is_file && !source->job && source->refresh.at <= clock_wall())
		look(source);
	follow(source, false);
	return 0;
}

// --- life

static int read_issuers(struct list_source *source, struct error *error)
{
	_cleanup_(freep) char *text = NULL;
	size_t size;

	if (!source->issuer)
		return 0;
	int r = file_read(source->issuer, ISSUER_MAX, &text, &size);
	if (r < 0)
		error_set(error, -r, "the issuer of a revocation list cannot be read: %s",
			  strerror(-r));
	else
		r = certificate_read_pem(tls_library(), text, size, &source->issuers, error);
	return r < 0 ? error_where(error, "%.180s", source->issuer) : 0;
}

// Watch first: a change between the first look and the watch must not go unseen.
static int begin(struct list_source *source)
{
	const char *const paths[] = {source->place};
	int r = sd_event_add_time_relative(source->tools.event, &source->timer, CLOCK_BOOTTIME, 0,
					   0, on_timer, source);

	if (r >= 0 && source->is_file)
		r = watch_new(source->tools.event, paths, 1, on_file, source, &source->watch);
	return r < 0 ? r : 0;
}

int list_source_new(const struct list_source_tools *tools, const struct config_list *config,
		    struct trust *trust, struct list_source **ret, struct error *error)
{
	_cleanup_(list_source_freep) struct list_source *source = calloc(1, sizeof(*source));

	if (!source)
		return error_set(error, ENOMEM, "out of memory");
	source->tools = *tools;
	source->is_file = config->file;
	source->trust = trust_get(trust);
	source->place = strdup(config->file ? config->file : config->url);
	source->domain = strdup(config->domain ? config->domain : tools->domain);
	source->issuer = config->issuer ? strdup(config->issuer) : NULL;
	if (!source->place || !source->domain || (config->issuer && !source->issuer))
		return error_set(error, ENOMEM, "out of memory");
	source->copy = list_attempt_copy(tools->directory, source->domain, source->place);
	source->slot = crl_slot_new(NULL);
	if (!source->copy || !source->slot)
		return error_set(error, ENOMEM, "out of memory");
	list_source_set(source, config);
	int r = read_issuers(source, error);
	if (r < 0)
		return r;
	r = begin(source);
	if (r < 0)
		return error_set(error, -r, "cannot watch for revocation lists: %s", strerror(-r));
	*ret = take(source);
	return 0;
}

struct list_source *list_source_free(struct list_source *source)
{
	if (!source)
		return NULL;
	job_free(source->job);
	list_attempt_done(&source->attempt);
	watch_free(source->watch);
	sd_event_source_disable_unref(source->timer);
	sk_X509_pop_free(source->issuers, X509_free);
	crl_put(source->crl);
	crl_slot_put(source->slot);
	trust_put(source->trust);
	free(source->place);
	free(source->domain);
	free(source->issuer);
	free(source->copy);
	free(source);
	return NULL;
}

static void look_now(struct list_source *source, const char *file, bool is_copy)
{
	struct list_attempt attempt;

	prepare(source, &attempt);
	attempt.file = file;
	attempt.url = NULL;
	if (is_copy)
		attempt.copy = NULL;
	list_attempt_run(&attempt, NULL);
	if (!is_copy || attempt.result != -ENOENT)
		look_done(source, &attempt);
	list_attempt_done(&attempt);
}

void list_source_load(struct list_source *source)
{
	look_now(source, source->copy, true);
	source->looked = 0;
	if (source->is_file)
		look_now(source, source->place, false);
	source->tried = true;
}

bool list_source_is(const struct list_source *source, const struct config_list *config)
{
	return config_same_text(source->is_file ? source->place : NULL, config->file) &&
	       config_same_text(source->is_file ? NULL : source->place, config->url) &&
	       config_same_text(source->domain,
				config->domain ? config->domain : source->tools.domain) &&
	       config_same_text(source->issuer, config->issuer);
}

void list_source_inherit(struct list_source *source, const struct list_source *old)
{
	struct crl_scope scope = {source->trust, source->domain, source->issuers};

	if (source->crl || !old->crl || source->is_file != old->is_file ||
	    strcmp(source->place, old->place) != 0 || strcmp(source->domain, old->domain) != 0 ||
	    crl_judge_again(old->crl, &scope, clock_wall(), NULL) < 0)
		return;
	source->crl = crl_get(old->crl);
	source->trusted = source->tried = true;
	use(source);
}

bool list_source_set(struct list_source *source, const struct config_list *config)
{
	bool changed = source->hard != config->hard || source->grace_s != config->grace_s;

	source->hard = config->hard;
	source->grace_s = config->grace_s;
	source->refresh.min_s = config->refresh_min_s;
	source->refresh.max_s = config->refresh_max_s;
	if (source->timer) {
		sd_event_source_set_time_relative(source->timer, 0);
		sd_event_source_set_enabled(source->timer, SD_EVENT_ONESHOT);
	}
	return changed;
}

bool list_source_set_trust(struct list_source *source, struct trust *trust)
{
	bool before = source->trusted;

	trust_put(source->trust);
	source->trust = trust_get(trust);
	source->trusted = source->crl && judge_again(source);
	use(source);
	if (!source->trusted)
		look(source);
	return before != source->trusted;
}

bool list_source_list(const struct list_source *source, struct crl_list *ret)
{
	*ret = (struct crl_list){
		.name = source->place,
		.domain = source->domain,
		.slot = source->slot,
		.hard = source->hard,
		.grace_s = source->grace_s,
	};
	return source->tried;
}

void list_source_status(const struct list_source *source, struct list_source_status *ret)
{
	*ret = (struct list_source_status){
		.place = source->place,
		.domain = source->domain,
		.hard = source->hard,
		.grace_s = source->grace_s,
		.state = state_of(source, clock_wall()),
		.facts = source->crl ? crl_facts(source->crl) : NULL,
		.looked = source->looked,
		.next_look = source->is_file ? 0 : source->refresh.at,
		.problem = &source->problem,
	};
}
