// SPDX-License-Identifier: Apache-2.0
// When another configuration takes the place of the one in force, for good or for a trial: one that nobody confirms goes again by
// itself, so that a change that shuts its author out does not last. How it does: reload.c.

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "daemon/config.h"
#include "daemon/engine_state.h"
#include "daemon/lookout.h"
#include "daemon/reload.h"

#define BACK_AGAIN_S 10u

void engine_log_errors(const struct config_errors *errors, enum log_level level)
{
	char text[ERROR_TEXT_MAX];
	for (size_t i = 0; errors && i < config_errors_count(errors); i++)
		log_write(level, "%s", error_text(config_errors_at(errors, i), text, sizeof(text)));
}

// --- a trial

static void roll_back(struct engine *engine)
{
	const struct reload_order order = {.uid = geteuid(), .pid = getpid()};
	engine->roll_back = false;
	reload_back(engine, &order, engine->pending.before);
}

static int on_not_confirmed(sd_event_source *source, uint64_t usec, void *data)
{
	struct engine *engine = data;
	(void)source;
	(void)usec;
	engine->roll_back = true;
	engine_next_reload(engine);
	return 0;
}

int engine_begin_pending(struct engine *engine, unsigned confirm_s, struct error *error)
{
	// CLOCK_BOOTTIME: sleep does not stop it.
	int r = sd_event_add_time_relative(engine->event, &engine->pending.timer, CLOCK_BOOTTIME,
					   (uint64_t)confirm_s * 1000000, 1000, on_not_confirmed,
					   engine);
	if (r < 0)
		return error_set(error, -r, "cannot set a timer");
	engine->pending.before = config_get(engine->config);
	engine->pending.until_ms = clock_ms() + (uint64_t)confirm_s * 1000;
	return 0;
}

void engine_forget_pending(struct engine *engine)
{
	engine->pending.timer = sd_event_source_disable_unref(engine->pending.timer);
	engine->pending.before = config_put(engine->pending.before);
	engine->pending.problem = (struct error){0};
	engine->roll_back = false;
}

bool engine_back_failed(struct engine *engine, const struct error *error)
{
	struct pending *pending = &engine->pending;
	bool news = strcmp(pending->problem.what, error->what) != 0;
	pending->problem = *error;
	pending->until_ms = clock_ms() + BACK_AGAIN_S * UINT64_C(1000);
	sd_event_source_set_time_relative(pending->timer, BACK_AGAIN_S * UINT64_C(1000000));
	sd_event_source_set_enabled(pending->timer, SD_EVENT_ONESHOT);
	return news;
}

const struct error *engine_back_problem(const struct engine *engine)
{
	return engine->pending.problem.code ? &engine->pending.problem : NULL;
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
	const struct error *problem = engine_back_problem(engine);
	if (problem) {
		error_set(error, EBUSY,
			  "nobody confirmed the configuration, and the one before cannot be had "
			  "back: %.128s",
			  problem->what);
		return error_remedy(error, "keep this one with: mutun confirm; then reload");
	}
	error_set(error, EBUSY, "a configuration waits to be confirmed, for %u s more",
		  engine_unconfirmed(engine));
	return error_remedy(error, "confirm it with: mutun confirm");
}

static int refuse_second(struct error *error)
{
	error_set(error, EBUSY, "another reload is under way");
	return error_remedy(error, "ask again when it is over: mutun reload");
}

int engine_reload(struct engine *engine, const struct reload_order *order, struct error *error)
{
	if (engine->reload)
		return refuse_second(error);
	if (engine->pending.before)
		return refuse_pending(engine, error);
	return reload_new(engine, order, &engine->reload, error);
}

void engine_reload_soon(struct engine *engine, const struct reload_order *order)
{
	engine->again = *order;
	engine->reload_again = true;
	engine_next_reload(engine);
}

static void reload_now(struct engine *engine)
{
	char text[ERROR_TEXT_MAX];
	const struct reload_order *order = &engine->again;
	struct error error = {0};
	engine->reload_again = false;
	if (engine_reload(engine, order, &error) == 0)
		return;
	log_error("reload refused, nothing changed: %s", error_text(&error, text, sizeof(text)));
	lookout_act(engine->lookout, "reload", NULL, order->uid, order->pid, &error);
}

void engine_next_reload(struct engine *engine)
{
	if (!engine->reload && engine->roll_back)
		roll_back(engine);
	if (!engine->reload && engine->reload_again)
		reload_now(engine);
}

void engine_reload_forget(struct engine *engine, const void *data)
{
	if (engine->reload)
		reload_forget(engine->reload, data);
}
