// SPDX-License-Identifier: Apache-2.0
// A session, as JSON. Each report returns a new reference.
#pragma once

#include <stdbool.h>
#include <jansson.h>

struct engine;
struct grant;
struct initiator;
struct session;

// Of a gateway's.
json_t *report_member(const struct session *session, const struct grant *grant);
// Whether a link has a session whose peer has proved itself; then this is it.
bool report_is_up(const struct initiator *initiator);
json_t *report_link_session(const struct engine *engine, const struct initiator *initiator);
