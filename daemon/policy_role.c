// SPDX-License-Identifier: Apache-2.0

#include "daemon/policy_role.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/job.h"
#include "base/log.h"
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
	struct config *config;	// in force; NULL: none yet
	struct filter *pending; // made, not published
	time_t pending_for;	// what holds then
	char pending_digest[POLICY_DIGEST_SIZE], digest[POLICY_DIGEST_SIZE];
	sd_event_source *timer; // CLOCK_REALTIME: it goes with the clock, whoever sets it
	time_t next_change;

	// The filter that is being made again; `made` and `error` are the job's until it is done.
	struct job *job;
	struct config *job_config; // the reference that keeps the rules
	struct filter *made;
	time_t made_for;
	struct error error;
	sd_event_source *slice; // armed: it is made, and gets classes for all peers
};

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

// Takes the filter. Where there is no memory for it, another one is made soon.
static void publish(struct policy_role *role, struct filter *filter, time_t made_for)
{
	if (filter && dataplane_set_filter(role->dataplane, filter) == 0) {
		arm(role, policy_next_change(role->config->policy.model, made_for));
		return;
	}
	filter_free(filter);
	log_error("out of memory: the policy of before goes on to judge for now");
	arm(role, clock_wall() + AGAIN_S);
}

// --- what changes with the clock

static void run_job(struct job *job, void *data)
{
	struct policy_role *role = data;
	(void)job;
	if (policy_compile(role->job_config->policy.model, role->made_for, &role->made,
			   &role->error) < 0)
		role->made = NULL;
}

static void end_job(struct policy_role *role)
{
	role->job = job_free(role->job);
	role->job_config = config_put(role->job_config);
	sd_event_source_set_enabled(role->slice, SD_EVENT_OFF);
	guard_prepare(dataplane_guard(role->dataplane), NULL);
	role->made = filter_free(role->made);
}

// A few milliseconds for the peers that the filter will judge, whenever nothing else is to be done.
static int on_slice(sd_event_source *source, void *data)
{
	struct policy_role *role = data;
	time_t made_for = role->made_for;
	int r = role->made ? guard_prepare(dataplane_guard(role->dataplane), role->made) : -ENOMEM;
	(void)source;
	if (r == 0)
		return 0;
	struct filter *filter = r > 0 ? take(role->made) : NULL;
	publish(role, filter, made_for);
	end_job(role);
	log_debug("the policy was made again: what holds changes with the time");
	return 0;
}

static void on_made(void *data)
{
	struct policy_role *role = data;
	sd_event_source_set_enabled(role->slice, SD_EVENT_ON);
}

static void begin_job(struct policy_role *role)
{
	const struct job_work work = {.run = run_job, .done = on_made, .data = role};
	end_job(role);
	role->job_config = config_get(role->config);
	role->made_for = clock_wall();
	if (job_new(role->event, &work, &role->job) < 0) {
		end_job(role);
		arm(role, clock_wall() + AGAIN_S);
	}
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

int policy_role_prepare(struct policy_role *role, const struct config *config, struct error *error)
{
	role->pending = filter_free(role->pending);
	if (policy_digest(config->policy.model, role->pending_digest) < 0)
		return error_set(error, ENOMEM, "out of memory");
	role->pending_for = clock_wall();
	return policy_compile(config->policy.model, role->pending_for, &role->pending, error);
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
	bool changed = strcmp(role->digest, role->pending_digest) != 0;
	end_job(role);
	role->config = config_get(config);
	memcpy(role->digest, role->pending_digest, sizeof(role->digest));
	const struct flow_limits limits = {config->policy.flows_per_peer, config->policy.flows};
	flows_set_limits(dataplane_guard(role->dataplane)->flows, &limits);
	publish(role, take(role->pending), role->pending_for);
	tell(role, changed, told);
	config_put(old);
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
	if (sd_event_add_defer(event, &role->slice, on_slice, role) < 0)
		return error_set(error, ENOMEM, "out of memory");
	sd_event_source_set_enabled(role->slice, SD_EVENT_OFF);
	sd_event_source_set_priority(role->slice, SD_EVENT_PRIORITY_IDLE);
	*ret = take(role);
	return 0;
}

struct policy_role *policy_role_free(struct policy_role *role)
{
	if (!role)
		return NULL;
	end_job(role);
	filter_free(role->pending);
	config_put(role->config);
	sd_event_source_disable_unref(role->timer);
	sd_event_source_disable_unref(role->slice);
	sd_event_unref(role->event);
	free(role);
	return NULL;
}
