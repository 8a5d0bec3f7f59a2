// SPDX-License-Identifier: Apache-2.0

#include "daemon/engine_state.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "base/clock.h"
#include "base/clock_watch.h"
#include "base/error.h"
#include "base/log.h"
#include "daemon/client_role.h"
#include "daemon/config.h"
#include "daemon/control.h"
#include "daemon/credentials.h"
#include "daemon/evidence.h"
#include "daemon/gateway_role.h"
#include "daemon/policy_role.h"
#include "daemon/reload.h"
#include "daemon/renewer.h"
#include "daemon/rescue.h"
#include "daemon/revocation_role.h"
#include "daemon/lookout.h"
#include "pki/credential.h"
#include "server/gateway.h"
#include "tun/dataplane.h"
#include "tun/session.h"

#define COLLECT_US 1000000u

// --- what happens

// Every live session is judged again, soon: by what was withdrawn alone, or as a `whole` (trust or the clock changed). With a `reason`
// for people, those that stay prove their identity again.
static void judge(struct engine *engine, bool whole, const char *reason)
{
	struct gateway *gateway = gateway_role_gateway(engine->gateway_role);
	if (gateway)
		gateway_set_context(gateway, credentials_context(engine->credentials, TLS_SERVER),
				    whole, reason);
	if (engine->client_role)
		client_role_set_context(engine->client_role,
					credentials_context(engine->credentials, TLS_CLIENT), whole,
					reason);
}

void engine_credentials_changed(struct engine *engine, const char *reason)
{
	judge(engine, true, reason);
	revocation_role_trust_changed(engine->revocation_role);
	if (engine->renewer)
		renewer_tick(engine->renewer); // the plan is for the certificate in use
}

static void on_credentials(const char *reason, void *data)
{
	engine_credentials_changed(data, reason);
}

static void on_revoked(void *data)
{
	judge(data, false, NULL);
}

static void on_unknown_anchor(void *data)
{
	struct engine *engine = data;
	log_limited(
		LOG_LEVEL_INFO,
		"a peer trusts a CA certificate of our trust domain that this node does not know");
	renewer_refresh_trust(engine->renewer);
}

static void on_claimed(void *data)
{
	struct engine *engine = data;
	client_role_judge_routes(engine->client_role);
}

static void on_network(void *data)
{
	struct engine *engine = data;
	if (engine->client_role)
		client_role_network_changed(engine->client_role);
}

static struct renewer_evidence on_question(const struct credential *credential, void *data)
{
	return evidence_gather(data, credential);
}

static void on_clock_stepped(int64_t step_s, void *data)
{
	struct engine *engine = data;
	char words[32];
	log_warning("the clock of this machine was set %s by %s", step_s < 0 ? "back" : "forward",
		    clock_words(step_s, words, sizeof(words)));
	renewer_clock_stepped(engine->renewer);
	policy_role_clock_stepped(engine->policy_role);
	on_credentials("the clock was set", engine);
}

static int on_collect(sd_event_source *source, uint64_t usec, void *data)
{
	struct engine *engine = data;
	dataplane_collect(engine->tunnel.dataplane);
	clock_watch_look(engine->clock_watch);
	renewer_tick(engine->renewer);
	sd_event_source_set_time(source, usec + COLLECT_US);
	return 0;
}

static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
	const struct reload_order order = {.uid = info->ssi_uid, .pid = (pid_t)info->ssi_pid};
	(void)source;
	engine_reload_soon(data, &order);
	return 0;
}

unsigned engine_reauth(struct engine *engine, const char *which)
{
	static const char reason[] = "asked by the operator";
	unsigned count = client_role_reauth(engine->client_role, which, reason);
	if (engine_gateway(engine))
		count += gateway_reauth(engine_gateway(engine), which, reason);
	return count;
}

unsigned engine_disconnect(struct engine *engine, const char *identity)
{
	struct gateway *gateway = engine_gateway(engine);
	unsigned count = gateway ? gateway_disconnect(gateway, identity) : 0;
	return count + client_role_disconnect(engine->client_role, identity);
}

// --- life

// Before anybody is believed.
static int start_revocation(struct engine *engine, struct error *error)
{
	struct revocation_role_tools tools = {
		.event = engine->event,
		.credentials = engine->credentials,
		.judge = on_revoked,
		.data = engine,
	};
	return revocation_role_new(&tools, engine->config, &engine->revocation_role, error);
}

// Before anybody has a session.
static int start_policy(struct engine *engine, struct error *error)
{
	struct policy_made made;
	int r = policy_role_new(engine->event, engine->tunnel.dataplane, &engine->policy_role,
				error);
	if (r == 0)
		r = policy_make(engine->config->policy.model, clock_wall(), &made, error);
	if (r < 0)
		return r;
	policy_role_prepare(engine->policy_role, &made, NULL, NULL);
	policy_role_adopt(engine->policy_role, engine->config);
	lookout_policy(engine->lookout, &(struct error){0});
	return 0;
}

// Before anybody has a session.
static int start_lookout(struct engine *engine, struct error *error)
{
	struct lookout_tools tools = {
		.event = engine->event,
		.dataplane = engine->tunnel.dataplane,
		.identity = credential_identity(credentials_credential(engine->credentials)),
		.engine = engine,
	};
	return lookout_new(&tools, &engine->config->audit, &engine->lookout, error);
}

static int start_gateway(struct engine *engine, struct error *error)
{
	struct gateway_role_tools tools = {
		.event = engine->event,
		.dataplane = engine->tunnel.dataplane,
		.apply = engine->tunnel.apply,
		.claims = engine->tunnel.claims,
		.herald = revocation_role_herald(engine->revocation_role),
		.witness = lookout_witness(engine->lookout),
		.identity = credential_identity(credentials_credential(engine->credentials)),
		.state = engine->config->node.state,
		.unknown_anchor = on_unknown_anchor,
		.claimed = on_claimed,
		.data = engine,
	};
	int r = gateway_role_new(&tools, &engine->gateway_role, error);
	if (r < 0)
		return r;
	return gateway_role_set(engine->gateway_role, engine->config, NULL,
				credentials_context(engine->credentials, TLS_SERVER), error);
}

static int start_links(struct engine *engine, struct error *error)
{
	struct initiator_tools tools = {
		.event = engine->event,
		.dataplane = engine->tunnel.dataplane,
		.host = engine->tunnel.host,
		.apply = engine->tunnel.apply,
		.dns = engine->tunnel.dns,
		.claims = engine->tunnel.claims,
		.herald = revocation_role_herald(engine->revocation_role),
		.witness = lookout_witness(engine->lookout),
		.unknown_anchor = on_unknown_anchor,
		.data = engine,
	};
	engine->client_role = client_role_new(&tools);
	if (!engine->client_role)
		return error_set(error, ENOMEM, "out of memory");
	int r = client_role_prepare(engine->client_role, engine->config, error);
	if (r == 0)
		client_role_set(engine->client_role, engine->config,
				credentials_context(engine->credentials, TLS_CLIENT));
	return r;
}

static int start_renewer(struct engine *engine, struct error *error)
{
	struct renewer_tools tools = {
		.event = engine->event,
		.credentials = engine->credentials,
		.evidence = on_question,
		.data = engine,
	};
	int r = renewer_new(&tools, engine->config, &engine->renewer);
	if (r == 0)
		r = clock_watch_new(engine->event, on_clock_stepped, engine, &engine->clock_watch);
	return r < 0 ? error_set(error, -r, "cannot watch certificate and clock: %s", strerror(-r))
		     : 0;
}

static int start_event(struct engine *engine)
{
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGPIPE);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	int r = sd_event_new(&engine->event);
	if (r >= 0)
		r = sd_event_add_signal(engine->event, NULL, SIGTERM, NULL, NULL);
	if (r >= 0)
		r = sd_event_add_signal(engine->event, NULL, SIGINT, NULL, NULL);
	if (r >= 0)
		r = sd_event_add_signal(engine->event, NULL, SIGHUP, on_hangup, engine);
	if (r >= 0)
		r = sd_event_set_watchdog(engine->event, true);
	return r < 0 ? r : 0;
}

static int start_parts(struct engine *engine, struct error *error)
{
	const struct config *config = engine->config;
	int r = start_event(engine);
	if (r < 0)
		return error_set(error, -r, "cannot make the event loop: %s", strerror(-r));
	rescue(config);
	r = credentials_new(engine->event, &config->node, on_credentials, engine,
			    &engine->credentials, error);
	if (r < 0)
		return r;
	if (mkdir(config->node.state, 0700) < 0 && errno != EEXIST)
		return error_set(error, errno, "cannot make the state directory %s: %m",
				 config->node.state);
	r = start_revocation(engine, error);
	if (r == 0)
		r = tunnel_start(&engine->tunnel, engine->event, config, on_network, engine, error);
	if (r == 0)
		r = start_lookout(engine, error);
	if (r == 0)
		r = start_policy(engine, error);
	if (r == 0)
		r = start_gateway(engine, error);
	if (r == 0)
		r = control_new(engine->event, config->control_socket, engine, &engine->control,
				error);
	if (r == 0)
		r = start_links(engine, error);
	if (r == 0)
		r = start_renewer(engine, error);
	if (r == 0 && sd_event_add_time_relative(engine->event, &engine->collect, CLOCK_MONOTONIC,
						 COLLECT_US, 0, on_collect, engine) >= 0)
		sd_event_source_set_enabled(engine->collect, SD_EVENT_ON);
	return r;
}

int engine_new(const char *path, struct config *config, struct engine **ret, struct error *error)
{
	_cleanup_(engine_freep) struct engine *engine = calloc(1, sizeof(*engine));
	if (!engine) {
		config_put(config);
		return error_set(error, ENOMEM, "out of memory");
	}
	engine->config = config;
	engine->path = strdup(path);
	if (!engine->path)
		return error_set(error, ENOMEM, "out of memory");
	log_set_level(config->log_level);
	engine_log_errors(config->warnings, LOG_LEVEL_WARNING);
	int r = start_parts(engine, error);
	if (r < 0)
		return r;
	*ret = take(engine);
	return 0;
}

struct engine *engine_free(struct engine *engine)
{
	if (!engine)
		return NULL;
	control_free(engine->control);
	engine->reload = reload_free(engine->reload);
	engine_forget_pending(engine);
	clock_watch_free(engine->clock_watch);
	renewer_free(engine->renewer);
	engine->client_role = client_role_free(engine->client_role);
	gateway_role_free(engine->gateway_role);
	policy_role_free(engine->policy_role);
	lookout_free(engine->lookout);
	tunnel_done(&engine->tunnel);
	revocation_role_free(engine->revocation_role);
	credentials_free(engine->credentials);
	// Last: nothing of the host waits for a large file to be read.
	drafts_done(&engine->drafts);
	sd_event_source_disable_unref(engine->collect);
	sd_event_unref(engine->event);
	config_put(engine->config);
	free(engine->path);
	free(engine);
	return NULL;
}

int engine_run(struct engine *engine)
{
	log_info("mutun %s up as %s", MUTUN_VERSION,
		 credential_identity(credentials_credential(engine->credentials)));
	sd_notify(0, "READY=1");
	int r = sd_event_loop(engine->event);
	sd_notify(0, "STOPPING=1");
	log_info("stopping");
	return r < 0 ? r : 0;
}

struct lookout *engine_lookout(const struct engine *engine)
{
	return engine->lookout;
}

sd_event *engine_event(const struct engine *engine)
{
	return engine->event;
}

const struct config *engine_config(const struct engine *engine)
{
	return engine->config;
}

const struct revocation_role *engine_revocation(const struct engine *engine)
{
	return engine->revocation_role;
}

const struct policy_role *engine_policy(const struct engine *engine)
{
	return engine->policy_role;
}

const struct credentials *engine_credentials(const struct engine *engine)
{
	return engine->credentials;
}

const struct renewer *engine_renewer(const struct engine *engine)
{
	return engine->renewer;
}

int engine_renew(struct engine *engine, unsigned *ret_attempt, struct error *error)
{
	return renewer_now(engine->renewer, ret_attempt, error);
}

const struct tunnel *engine_tunnel(const struct engine *engine)
{
	return &engine->tunnel;
}

struct gateway *engine_gateway(const struct engine *engine)
{
	return gateway_role_gateway(engine->gateway_role);
}

struct initiator *engine_initiator(const struct engine *engine, unsigned position)
{
	return client_role_link(engine->client_role, position);
}
