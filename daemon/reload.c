// SPDX-License-Identifier: Apache-2.0
// Theory of operation: the new is made beside the old on a job (daemon/draft.h) and its filter gets classes for all peers in slices
// (daemon/policy_role.h), while everything goes on. What is left for the end is short: it is judged whether it may take the place of what
// is in force by then, and does.

#include "daemon/reload.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>

#include "base/clock.h"
#include "base/error.h"
#include "daemon/client_role.h"
#include "daemon/config.h"
#include "daemon/credentials.h"
#include "daemon/engine_state.h"
#include "daemon/gateway_role.h"
#include "daemon/lookout.h"
#include "daemon/policy_role.h"
#include "daemon/renewer.h"
#include "daemon/revocation_role.h"

struct reload {
	struct engine *engine;
	struct reload_order order;
	bool back; // to the configuration before
	struct draft *draft;
	struct error error; // what came of it
};

// --- to adopt

// Where no gateway is wanted any more, its sessions end when nothing can fail any more: none of them could be given back.
static int set_gateway(struct engine *engine, struct draft *draft, struct config *config,
		       struct error *error)
{
	const char *reason;
	struct tls_context *context = credentials_context(engine->credentials, TLS_SERVER);
	bool stops = !config->gateway.enabled;
	int r = stops ? 0
		      : gateway_role_set(engine->gateway_role, config, take(draft->terms), context,
					 error);
	if (r < 0)
		return r;
	r = credentials_reload(engine->credentials, &config->node, &reason, error);
	if (r < 0) {
		if (!stops)
			gateway_role_set(engine->gateway_role, engine->config, NULL, context, NULL);
		return r;
	}
	if (stops)
		gateway_role_set(engine->gateway_role, config, NULL, NULL, NULL);
	if (reason)
		engine_credentials_changed(engine, reason);
	return 0;
}

// What can fail comes first; from credentials_reload() on, parts borrow of `config`. The policy comes before what sessions are granted:
// who gets more is judged by the new rules from the first packet on.
static int reload_parts(struct engine *engine, struct draft *draft, struct config *config,
			struct error *error)
{
	int r = config_reloadable(engine->config, config, error);
	if (r == 0)
		r = client_role_prepare(engine->client_role, config, error);
	if (r == 0)
		r = revocation_role_prepare(engine->revocation_role, config, error);
	if (r < 0)
		return r;
	r = set_gateway(engine, draft, config, error);
	if (r < 0) {
		revocation_role_prepare(engine->revocation_role, engine->config, NULL);
		return r;
	}
	revocation_role_adopt(engine->revocation_role, config);
	policy_role_adopt(engine->policy_role, config);
	client_role_set(engine->client_role, config,
			credentials_context(engine->credentials, TLS_CLIENT));
	return 0;
}

// Takes the draft's configuration, whose policy is prepared, on failure too: then the one before stays in force.
static int adopt(struct engine *engine, struct draft *draft, struct error *error)
{
	struct config *config = take(draft->config);
	int r = reload_parts(engine, draft, config, error);
	if (r < 0) {
		policy_role_drop(engine->policy_role);
		config_put(config);
		return r;
	}
	struct config *old = engine->config;
	engine->config = config;
	renewer_reload(engine->renewer, config);
	config_put(old);
	log_set_level(config->log_level);
	lookout_reload(engine->lookout, &config->audit);
	lookout_policy(engine->lookout, &(struct error){0});
	return 0;
}

// --- its course

struct reload *reload_free(struct reload *reload)
{
	if (!reload)
		return NULL;
	draft_free(reload->draft);
	free(reload);
	return NULL;
}

// In place of who does not listen any more.
static void ignore(const struct error *error, void *data)
{
	(void)error;
	(void)data;
}

static void tell_reload(const struct reload *reload, const struct error *error)
{
	char text[ERROR_TEXT_MAX];
	if (error->code && !reload->order.done)
		log_error("reload refused, nothing changed: %s",
			  error_text(error, text, sizeof(text)));
	if (error->code == 0)
		engine_log_errors(reload->engine->config->warnings, LOG_LEVEL_WARNING);
	if (error->code == 0 && reload->order.confirm_s)
		log_info("configuration reloaded, for %u s unless it is confirmed",
			 reload->order.confirm_s);
	else if (error->code == 0)
		log_info("configuration reloaded");
	if (reload->order.done)
		reload->order.done(error, reload->order.data);
}

static void tell_act(const struct engine *engine, bool back, const struct reload_order *order,
		     const struct error *error)
{
	lookout_act(engine->lookout, back ? "roll back" : "reload", NULL, order->uid, order->pid,
		    error);
}

static void end_back(struct engine *engine, const struct reload_order *order,
		     const struct error *error)
{
	char text[ERROR_TEXT_MAX];
	if (error->code == 0) {
		log_warning(
			"nobody confirmed the configuration: the one before is in force again; the "
			"files still have the other one, for the next reload or start");
	} else if (!engine->pending.before) {
		log_info("the configuration was confirmed just in time, and stays");
	} else if (engine_back_failed(engine, error)) {
		log_error(
			"nobody confirmed the configuration, and the one before cannot be had back; it "
			"is tried again every few seconds, unless somebody confirms: %s",
			error_text(error, text, sizeof(text)));
	} else {
		return;
	}
	tell_act(engine, true, order, error);
}

static void finish(struct reload *reload)
{
	struct engine *engine = reload->engine;
	const struct error *error = &reload->error;
	const struct reload_order *order = &reload->order;
	sd_notify(0, "READY=1");
	if (reload->back) {
		end_back(engine, order, error);
	} else {
		tell_act(engine, false, order, error);
		if (error->code)
			lookout_policy(engine->lookout, error);
		tell_reload(reload, error);
	}
	engine->reload = reload_free(reload);
	engine_next_reload(engine);
}

static void on_granted(void *data)
{
	finish(data);
}

// All is made, and every peer known to the filter. What is left is short, but for what sessions are granted, which comes in slices.
static void on_ready(int r, void *data)
{
	struct reload *reload = data;
	struct engine *engine = reload->engine;
	unsigned confirm_s = reload->order.confirm_s;
	if (r < 0)
		error_set(&reload->error, -r, "out of memory");
	if (r == 0 && reload->back && !engine->pending.before)
		r = error_set(&reload->error, ECANCELED, "it was confirmed meanwhile");
	if (r == 0 && confirm_s)
		r = engine_begin_pending(engine, confirm_s, &reload->error);
	if (r < 0)
		policy_role_drop(engine->policy_role);
	else
		r = adopt(engine, reload->draft, &reload->error);
	if (r < 0 ? confirm_s > 0 : reload->back)
		engine_forget_pending(engine);
	gateway_role_grant(engine->gateway_role, on_granted, reload);
}

static void on_draft(struct draft *draft, void *data)
{
	struct reload *reload = data;
	if (draft->error.code == 0) {
		policy_role_prepare(reload->engine->policy_role, &draft->policy, on_ready, reload);
		return;
	}
	engine_log_errors(draft->errors, LOG_LEVEL_ERROR);
	reload->error = draft->error;
	finish(reload);
}

static int begin(struct engine *engine, const struct reload_order *order, struct config *back,
		 struct reload **ret, struct error *error)
{
	_cleanup_(reload_freep) struct reload *reload = calloc(1, sizeof(*reload));
	if (!reload)
		return error_set(error, ENOMEM, "out of memory");
	*reload = (struct reload){.engine = engine, .order = *order, .back = back};
	const struct draft_wish wish = {
		.path = engine->path,
		.config = back,
		.done = on_draft,
		.data = reload,
	};
	int r = draft_new(engine->event, &engine->drafts, &wish, &reload->draft, error);
	if (r < 0)
		return r;
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_ns() / 1000);
	*ret = take(reload);
	return 0;
}

int reload_new(struct engine *engine, const struct reload_order *order, struct reload **ret,
	       struct error *error)
{
	return begin(engine, order, NULL, ret, error);
}

void reload_back(struct engine *engine, const struct reload_order *order, struct config *config)
{
	struct error error = {0};
	if (begin(engine, order, config, &engine->reload, &error) == 0)
		return;
	end_back(engine, order, &error);
}

void reload_forget(struct reload *reload, const void *data)
{
	if (reload->order.data == data)
		reload->order.done = ignore;
}
