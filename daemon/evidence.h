// SPDX-License-Identifier: Apache-2.0
// What peers made of a credential of this node, gathered from its sessions and its failed handshakes.
#pragma once

#include <stdbool.h>

#include "daemon/renewer.h"

struct engine;
struct session;

struct renewer_evidence evidence_gather(const struct engine *engine,
					const struct credential *credential);
// Whether the newest channel of the session was opened with it.
bool evidence_shown_in(const struct session *session, const struct credential *credential);
