// SPDX-License-Identifier: Apache-2.0

#include "daemon/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "daemon/engine.h"
#include "daemon/explain.h"
#include "daemon/feed.h"
#include "daemon/flow_feed.h"
#include "daemon/plan.h"
#include "daemon/report.h"
#include "daemon/report_explain.h"
#include "daemon/report_readiness.h"
#include "daemon/route_feed.h"
#include "daemon/session_feed.h"
#include "daemon/trace_feed.h"
#include "daemon/lookout.h"

// Each returns the result (a new reference), or NULL with the reason in `error`.

#define CONFIRM_MAX_S 86400

// Who waits for the end of a reload.
struct waiter {
	struct engine *engine;
	struct feed *feed;
};

static void on_reloaded(const struct error *error, void *data)
{
	const struct waiter *waiter = data;
	feed_answer(waiter->feed, error->code ? NULL : json_object(), error);
}

static void on_waiter_gone(void *data)
{
	struct waiter *waiter = data;
	engine_reload_forget(waiter->engine, waiter);
	free(waiter);
}

static int start_reload(const struct request *request, struct error *error)
{
	json_int_t confirm_s = json_integer_value(json_object_get(request->body, "confirm"));
	if (confirm_s < 0 || confirm_s > CONFIRM_MAX_S) {
		error_set(error, EINVAL, "cannot wait %" JSON_INTEGER_FORMAT " s for confirmation",
			  confirm_s);
		return error_expected(error, "1 to %d s", CONFIRM_MAX_S);
	}
	_cleanup_(freep) struct waiter *waiter = calloc(1, sizeof(*waiter));
	if (!waiter)
		return error_set(error, ENOMEM, "out of memory");
	*waiter = (struct waiter){request->engine, request->feed};
	const struct reload_order order = {
		.confirm_s = (unsigned)confirm_s,
		.uid = request->uid,
		.pid = request->pid,
		.done = on_reloaded,
		.data = waiter,
	};
	int r = engine_reload(request->engine, &order, error);
	if (r == 0)
		feed_later(request->feed, on_waiter_gone, take(waiter));
	return r;
}

static json_t *do_confirm(struct engine *engine, const json_t *request, struct error *error)
{
	(void)request;
	return engine_confirm(engine, error) < 0 ? NULL : json_object();
}

static int open_plan(struct engine *engine, const json_t *request, struct feed *feed,
		     struct error *error)
{
	(void)request;
	return plan_open(engine, feed, error);
}

static json_t *do_reauth(struct engine *engine, const json_t *request, struct error *error)
{
	const char *which = json_string_value(json_object_get(request, "which"));
	unsigned count = engine_reauth(engine, which);
	if (count == 0) {
		error_set(error, ENOENT, "no session %s%s", which ? "of " : "is up",
			  which ? which : "");
		error_remedy(error, "see them with: mutun sessions");
		return NULL;
	}
	return json_pack("{s:i}", "sessions", (int)count);
}

static json_t *do_disconnect(struct engine *engine, const json_t *request, struct error *error)
{
	const char *identity = json_string_value(json_object_get(request, "identity"));
	if (!identity) {
		error_set(error, EINVAL, "which identity?");
		return NULL;
	}
	unsigned count = engine_disconnect(engine, identity);
	if (count == 0) {
		error_set(error, ENOENT, "no session of %s", identity);
		error_remedy(error, "see them with: mutun sessions");
		return NULL;
	}
	return json_pack("{s:i}", "sessions", (int)count);
}

static json_t *do_policy_explain(struct engine *engine, const json_t *request, struct error *error)
{
	return report_explain(engine_config(engine), engine, request, error);
}

static json_t *do_status(struct engine *engine, const json_t *request, struct error *error)
{
	(void)request;
	(void)error;
	return report_status(engine);
}

static json_t *do_readiness(struct engine *engine, const json_t *request, struct error *error)
{
	(void)request;
	(void)error;
	return report_readiness(engine);
}

static json_t *do_renewal(struct engine *engine, const json_t *request, struct error *error)
{
	(void)request;
	(void)error;
	return report_certificate(engine);
}

static json_t *do_renew(struct engine *engine, const json_t *request, struct error *error)
{
	unsigned attempt;
	(void)request;
	return engine_renew(engine, &attempt, error) < 0
		       ? NULL
		       : json_pack("{s:i}", "attempt", (int)attempt);
}

static const struct command {
	const char *name;
	bool acts; // changes something: root and the daemon's own user only, and the audit log tells
	bool spies; // shows what others do: root and the daemon's own user only
	json_t *(*run)(struct engine *engine, const json_t *request, struct error *error);
	// In place of it: opens the feed, or fails.
	int (*open)(struct engine *engine, const json_t *request, struct feed *feed,
		    struct error *error);
	// Likewise, whatever else goes on, and the audit log hears of it from the one who does it.
	int (*start)(const struct request *request, struct error *error);
} commands[] = {
	{"status", .run = do_status},
	{"sessions", .open = session_feed_open},
	{"routes", .open = route_feed_open},
	{"policy-explain", .run = do_policy_explain},
	{"reload", .acts = true, .start = start_reload},
	{"plan", .acts = true, .open = open_plan},
	{"confirm", .acts = true, .run = do_confirm},
	{"reauth", .acts = true, .run = do_reauth},
	{"disconnect", .acts = true, .run = do_disconnect},
	{"readiness", .run = do_readiness},
	{"renewal", .run = do_renewal},
	{"explain", .spies = true, .open = explain_open},
	{"flows", .spies = true, .open = flow_feed_open},
	{"trace", .acts = true, .open = trace_feed_open},
	{"renew", .acts = true, .run = do_renew},
};

static const struct command *find_command(const char *name)
{
	for (unsigned i = 0; name && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static json_t *open_feed(const struct command *command, const struct request *request,
			 struct error *error)
{
	if (request->crowded) {
		error_set(error, EBUSY, "too many answers go on already");
		error_remedy(error, "end one of: mutun flows --follow, mutun trace");
		return NULL;
	}
	int r = command->open(request->engine, request->body, request->feed, error);
	return r < 0 ? NULL : json_true();
}

// Also what was not allowed.
static void note_act(const struct request *request, const struct command *command,
		     const struct error *error)
{
	const char *which = json_string_value(json_object_get(request->body, "which"));
	const char *whom = json_string_value(json_object_get(request->body, "identity"));
	if (command->acts)
		lookout_act(engine_lookout(request->engine), command->name, whom ? whom : which,
			    request->uid, request->pid, error);
}

static json_t *run_command(const struct command *command, const struct request *request,
			   struct error *error)
{
	if (command->start)
		return command->start(request, error) < 0 ? NULL : json_true();
	return command->run ? command->run(request->engine, request->body, error)
			    : open_feed(command, request, error);
}

json_t *request_run(const struct request *request, struct error *error)
{
	const struct command *command =
		find_command(json_string_value(json_object_get(request->body, "command")));
	error->code = 0;
	if (!command) {
		error_set(error, EINVAL, "unknown command");
		error_remedy(error, "mutun and mutund must be of the same version");
		return NULL;
	}
	if ((command->acts || command->spies) && !request->may_act) {
		error_set(error, EPERM, "only root may do this");
		note_act(request, command, error);
		return NULL;
	}
	json_t *result = run_command(command, request, error);
	if (!result && !error->code)
		error_set(error, ENOMEM, "out of memory");
	if (!result || !command->start)
		note_act(request, command, error);
	return result;
}
