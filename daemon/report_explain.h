// SPDX-License-Identifier: Apache-2.0
// One question to a policy, from words to an answer with reasons, in JSON. For the running daemon and for a file alike.
#pragma once

#include <jansson.h>

struct config;
struct engine;
struct error;

// `request` is {"from": "spiffe://..." or address, "to": likewise, "service": "tcp/443"} and may have "unit", "issuer", "hardware" of
// the certificate of `from`, "at" ("2026-12-01 10:00") and "inbound" (true: the rules of a client). An identity that has a session
// with `engine` (NULL: none) is asked about as its certificate and addresses are. New; NULL: the reason is in `error`.
json_t *report_explain(const struct config *config, const struct engine *engine,
		       const json_t *request, struct error *error);
