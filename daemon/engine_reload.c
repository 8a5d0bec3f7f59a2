// SPDX-License-Identifier: Apache-2.0
// Another configuration in the place of the one in force, for good or for a trial: one that nobody confirms goes again by itself, so
// that a change that shuts its author out does not last.

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>
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

void engine_log_errors(const struct config_errors *errors, enum log_level level)
{
	char text[ERROR_TEXT_MAX];
	for (size_t i = 0; errors && i < config_errors_count(errors); i++)
		log_write(level, "%s", error_text(config_errors_at(errors, i), text, sizeof(text)));
}

// What can fail comes first; from credentials_reload() on, parts borrow of `config`.
static int reload_parts(struct engine *engine, struct config *config, struct error *error)
{
	const char *reason;
	struct tls_context *context = credentials_context(engine->credentials, TLS_SERVER);
	int r = config_reloadable(engine->config, config, error);
	if (r == 0)
		r = client_role_prepare(engine->client_role, config, error);
	if (r == 0)
		r = policy_role_prepare(engine->policy_role, config, error);
	if (r == 0)
		r = revocation_role_prepare(engine->revocation_role, config, error);
	if (r < 0)
		return r;
	r = gateway_role_set(engine->gateway_role, config, context, error);
	if (r == 0) {
		r = credentials_reload(engine->credentials, &config->node, &reason, error);
		if (r < 0)
			gateway_role_set(engine->gateway_role, engine->config, context, NULL);
		else if (reason)
			engine_credentials_changed(engine, reason);
	}
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

// Takes the configuration, on failure too: then the one before stays in force.
static int adopt(struct engine *engine, struct config *config, struct error *error)
{
	int r = reload_parts(engine, config, error);
	if (r < 0) {
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

// --- a trial

static void roll_back(struct engine *engine)
{
	char text[ERROR_TEXT_MAX];
	struct error error = {0};
	struct config *before = config_get(engine->pending.before);
	engine_forget_pending(engine);
	int r = adopt(engine, before, &error);
	lookout_act(engine->lookout, "roll back", NULL, geteuid(), getpid(), &error);
	if (r < 0)
		log_error(
			"nobody confirmed the configuration, and the one before cannot be had back: %s",
			error_text(&error, text, sizeof(text)));
	else
		log_warning(
			"nobody confirmed the configuration: the one before is in force again; the "
			"files still have the other one, for the next reload or start");
}

static int on_not_confirmed(sd_event_source *source, uint64_t usec, void *data)
{
	(void)source;
	(void)usec;
	roll_back(data);
	return 0;
}

void engine_forget_pending(struct engine *engine)
{
	engine->pending.timer = sd_event_source_disable_unref(engine->pending.timer);
	engine->pending.before = config_put(engine->pending.before);
}

// What is in force now comes back unless engine_confirm() is called in time. CLOCK_BOOTTIME: sleep does not stop it.
static int begin_trial(struct engine *engine, unsigned confirm_s, struct error *error)
{
	int r = sd_event_add_time_relative(engine->event, &engine->pending.timer, CLOCK_BOOTTIME,
					   (uint64_t)confirm_s * 1000000, 1000, on_not_confirmed,
					   engine);
	if (r < 0)
		return error_set(error, -r, "cannot set a timer");
	engine->pending.before = config_get(engine->config);
	engine->pending.until_ms = clock_ms() + (uint64_t)confirm_s * 1000;
	return 0;
}

unsigned engine_unconfirmed(const struct engine *engine)
{
	uint64_t now_ms = clock_ms();
	if (!engine->pending.before)
		return 0;
	uint64_t left_ms =
		engine->pending.until_ms > now_ms ? engine->pending.until_ms - now_ms : 0;
	return (unsigned)(left_ms / 1000) + 1;
}

int engine_confirm(struct engine *engine, struct error *error)
{
	if (!engine->pending.before) {
		error_set(error, ENOENT, "no configuration waits to be confirmed");
		return error_remedy(error, "begin with: mutun reload --confirm SECONDS");
	}
	engine_forget_pending(engine);
	log_info("configuration confirmed");
	return 0;
}

// --- a reload

static int refuse_pending(const struct engine *engine, struct error *error)
{
	error_set(error, EBUSY, "a configuration waits to be confirmed, for %u s more",
		  engine_unconfirmed(engine));
	return error_remedy(error, "confirm it with: mutun confirm");
}

static int load_and_adopt(struct engine *engine, unsigned confirm_s, struct error *error)
{
	struct config *config;
	_cleanup_(config_errors_freep) struct config_errors *errors = NULL;
	int r = config_load(engine->path, &config, &errors);
	if (r < 0) {
		engine_log_errors(errors, LOG_LEVEL_ERROR);
		if (errors)
			*error = *config_errors_at(errors, 0);
		else
			error_set(error, ENOMEM, "out of memory");
		return r;
	}
	r = confirm_s ? begin_trial(engine, confirm_s, error) : 0;
	if (r < 0) {
		config_put(config);
		return r;
	}
	r = adopt(engine, config, error);
	if (r < 0)
		engine_forget_pending(engine);
	return r;
}

int engine_reload(struct engine *engine, unsigned confirm_s, struct error *error)
{
	if (engine->pending.before)
		return refuse_pending(engine, error);
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_ns() / 1000);
	int r = load_and_adopt(engine, confirm_s, error);
	sd_notify(0, "READY=1");
	if (r < 0) {
		lookout_policy(engine->lookout, error);
		return r;
	}
	engine_log_errors(engine->config->warnings, LOG_LEVEL_WARNING);
	if (confirm_s)
		log_info("configuration reloaded, for %u s unless it is confirmed", confirm_s);
	else
		log_info("configuration reloaded");
	return 0;
}
