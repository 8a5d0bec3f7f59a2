// SPDX-License-Identifier: Apache-2.0
// Another configuration on its way into the place of the one in force. One at a time, in engine->reload; when and whether:
// engine_reload.c.
#pragma once

#include "base/cleanup.h"

struct config;
struct engine;
struct error;
struct reload;
struct reload_order;

// What the files say. It ends by itself: then engine->reload is NULL, and engine_next_reload() is called. Returns a new object.
int reload_new(struct engine *engine, const struct reload_order *order, struct reload **ret,
	       struct error *error);
struct reload *reload_free(struct reload *reload); // takes NULL, returns NULL
DEFINE_CLEANUP(struct reload *, reload_free);
// This configuration, of which it takes a reference, that was in force already: into engine->reload. The log tells what comes of it: nothing
// is pending any more, or engine_back_failed(). Once nothing is pending, it goes no further.
void reload_back(struct engine *engine, const struct reload_order *order, struct config *config);
// Who gave this data is told nothing.
void reload_forget(struct reload *reload, const void *data);
