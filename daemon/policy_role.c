// SPDX-License-Identifier: Apache-2.0

#include "daemon/policy_role.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/job.h"
#include "base/log.h"
#include "base/slices.h"
#include "daemon/config.h"
#include "server/policy.h"
#include "server/policy_digest.h"
#include "server/when.h"
#include "tun/dataplane.h"
#include "tun/guard.h"

#define DIGEST_SHOWN 12
#define AGAIN_S	     1 // after one that did not work out

struct policy_role {
	sd_event *event;
	struct dataplane *dataplane;
	struct config *config; // in force; NULL: none yet
	char digest[POLICY_DIGEST_SIZE];
	sd_event_source *timer; // CLOCK_REALTIME: it goes with the clock, whoever sets it
	time_t next_change;

	// The filter that is being made again; `made` is the job's until it is done.
	struct job *job;
	struct config *job_config; // the reference that keeps the rules
	struct policy_made made;
	bool due; // once what is under way is over

	// Of another configuration; it waits for the job, and the next job for it.
	struct policy_made next; // no filter: none
	void (*ready)(int r, void *data);
	void *data;

	sd_event_source *slice; // armed: a filter gets classes for all peers
};

int policy_make(const struct rules *rules, time_t at, struct policy_made *ret, struct error *error)
{
	struct policy_made made = {.at = at};
	if (policy_digest(rules, made.digest) < 0)
		return error_set(error, ENOMEM, "out of memory");
	int r = policy_compile(rules, at, &made.filter, error);
	if (r < 0)
		return r;
	made.next = policy_next_change(rules, at);
	*ret = made;
	return 0;
}

void policy_made_done(struct policy_made *made)
{
	made->filter = filter_free(made->filter);
}

static void arm(struct policy_role *role, time_t at)
{
	role->next_change = at;
	if (at == 0) {
		sd_event_source_set_enabled(role->timer, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time(role->timer, (uint64_t)at * 1000000);
	sd_event_source_set_enabled(role->timer, SD_EVENT_ONESHOT);
}

// Where there is no memory for it, another one is made soon.
static void publish(struct policy_role *role, struct policy_made *made)
{
	if (made->filter && dataplane_set_filter(role->dataplane, made->filter) == 0) {
		made->filter = NULL;
		arm(role, made->next);
		return;
	}
	guard_prepare(dataplane_guard(role->dataplane), NULL);
	policy_made_done(made);
	log_error("out of memory: the policy of before goes on to judge for now");
	arm(role, clock_wall() + AGAIN_S);
}

// --- what changes with the clock

static void run_job(struct job *job, void *data)
{
	struct policy_role *role = data;
	(void)job;
	policy_make(role->job_config->policy.model, clock_wall(), &role->made, NULL);
}

static void end_job(struct policy_role *role)
{
	role->job = job_free(role->job);
	role->job_config = config_put(role->job_config);
	guard_prepare(dataplane_guard(role->dataplane), NULL);
	policy_made_done(&role->made);
}

static void on_made(void *data)
{
	const struct policy_role *role = data;
	slices_go_on(role->slice);
}

static void begin_job(struct policy_role *role)
{
	const struct job_work work = {.run = run_job, .done = on_made, .data = role};
	role->due = role->job || role->next.filter;
	if (role->due)
		return;
	role->job_config = config_get(role->config);
	if (job_new(role->event, &work, &role->job) < 0) {
		end_job(role);
		arm(role, clock_wall() + AGAIN_S);
	}
}

// The next that is to be done, if there is something.
static void go_on(struct policy_role *role)
{
	sd_event_source_set_enabled(role->slice, SD_EVENT_OFF);
	if (role->next.filter && role->ready)
		slices_go_on(role->slice);
	else if (role->due && !role->next.filter)
		begin_job(role);
}

static void finish_job(struct policy_role *role, bool good)
{
	if (!good)
		policy_made_done(&role->made);
	publish(role, &role->made);
	end_job(role);
	log_debug("the policy was made again: what holds changes with the time");
	go_on(role);
}

static void finish_next(struct policy_role *role, int r)
{
	void (*ready)(int, void *) = role->ready;
	role->ready = NULL;
	ready(r, role->data);
}

// A few milliseconds for the peers that the filter will judge.
static int on_slice(sd_event_source *source, uint64_t usec, void *data)
{
	struct policy_role *role = data;
	struct filter *filter = role->job ? role->made.filter : role->next.filter;
	int r = filter ? guard_prepare(dataplane_guard(role->dataplane), filter) : -ENOMEM;
	(void)usec;
	if (r == 0)
		slices_go_on(source);
	else if (role->job)
		finish_job(role, r > 0);
	else
		finish_next(role, r < 0 ? r : 0);
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *data)
{
	(void)source;
	(void)usec;
	begin_job(data);
	return 0;
}

void policy_role_clock_stepped(struct policy_role *role)
{
	if (role->config)
		begin_job(role);
}

// --- configuration

void policy_role_prepare(struct policy_role *role, struct policy_made *made,
			 void (*ready)(int r, void *data), void *data)
{
	policy_role_drop(role);
	role->next = *made;
	made->filter = NULL;
	role->ready = ready;
	role->data = data;
	if (!role->job)
		go_on(role);
}

void policy_role_drop(struct policy_role *role)
{
	if (!role->next.filter)
		return;
	if (!role->job)
		guard_prepare(dataplane_guard(role->dataplane), NULL);
	policy_made_done(&role->next);
	role->ready = NULL;
	if (!role->job)
		go_on(role);
}

static bool lets_nothing_pass(const struct config *config)
{
	return config->gateway.enabled && config->policy.model->rule_count == 0;
}

static void tell(const struct policy_role *role, bool changed, bool told)
{
	const struct rules *rules = role->config->policy.model;
	if (changed)
		log_info("policy: %u rules, %u inbound, digest %.*s", rules->rule_count,
			 rules->inbound_count, DIGEST_SHOWN, role->digest);
	if (lets_nothing_pass(role->config) && !told)
		log_warning(
			"no policy allows anything, so nothing passes this gateway; add a group "
			"\"policy\" with rules, see mutun.conf(5); with rules = ( { from = [ "
			"\"any\" ]; to = [ \"any\" ]; allow = [ \"any\" ]; } ); everything passes");
}

void policy_role_adopt(struct policy_role *role, struct config *config)
{
	struct config *old = role->config;
	bool told = old && lets_nothing_pass(old);
	bool changed = strcmp(role->digest, role->next.digest) != 0;
	// The clock was set back since it was made, before it was prepared: nothing else would tell.
	bool early = role->next.at > clock_wall();
	role->config = config_get(config);
	memcpy(role->digest, role->next.digest, sizeof(role->digest));
	const struct flow_limits limits = {config->policy.flows_per_peer, config->policy.flows};
	flows_set_limits(dataplane_guard(role->dataplane)->flows, &limits);
	publish(role, &role->next);
	tell(role, changed, told);
	config_put(old);
	if (role->due || early)
		begin_job(role);
}

const struct rule *policy_role_rule(const struct policy_role *role, enum filter_program program,
				    uint32_t rule, uint32_t generation)
{
	const struct filter *filter = atomic_load(&dataplane_guard(role->dataplane)->filter);
	unsigned count = 0;
	const struct rule *list =
		role->config ? rules_of(role->config->policy.model, program, &count) : NULL;
	bool now = filter && generation == filter_generation(filter);
	return now && rule < count ? &list[rule] : NULL;
}

struct policy_status policy_role_status(const struct policy_role *role)
{
	return (struct policy_status){
		.rules = role->config ? role->config->policy.model->rule_count : 0,
		.inbound = role->config ? role->config->policy.model->inbound_count : 0,
		.digest = role->digest,
		.next_change = role->next_change,
		.none = role->config && lets_nothing_pass(role->config),
	};
}

// --- life

int policy_role_new(sd_event *event, struct dataplane *dataplane, struct policy_role **ret,
		    struct error *error)
{
	_cleanup_(policy_role_freep) struct policy_role *role = calloc(1, sizeof(*role));
	if (!role)
		return error_set(error, ENOMEM, "out of memory");
	role->event = sd_event_ref(event);
	role->dataplane = dataplane;
	if (sd_event_add_time(event, &role->timer, CLOCK_REALTIME, 0, 0, on_timer, role) < 0)
		return error_set(error, ENOMEM, "out of memory");
	sd_event_source_set_enabled(role->timer, SD_EVENT_OFF);
	if (slices_new(event, on_slice, role, &role->slice) < 0)
		return error_set(error, ENOMEM, "out of memory");
	*ret = take(role);
	return 0;
}

struct policy_role *policy_role_free(struct policy_role *role)
{
	if (!role)
		return NULL;
	end_job(role);
	policy_made_done(&role->next);
	config_put(role->config);
	sd_event_source_disable_unref(role->timer);
	sd_event_source_disable_unref(role->slice);
	sd_event_unref(role->event);
	free(role);
	return NULL;
}
