// SPDX-License-Identifier: Apache-2.0
// What peers made of a credential of this node, gathered from its sessions and its failed handshakes.
#pragma once

#include "daemon/renewer.h"

struct engine;

struct renewer_evidence evidence_gather(const struct engine *engine,
					const struct credential *credential);
