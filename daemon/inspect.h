// SPDX-License-Identifier: Apache-2.0
// What `mutun flows` and `mutun trace` have in common: their options, and the request that they become.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>

struct inspect {
	const char *from, *to, *protocol; // NULL: any
	int64_t port;			  // -1: any
	bool denied, follow, json;
	unsigned limit; // rows; 0: not said
	unsigned count; // packets; 0: not said
	unsigned for_s; // 0: not said
};

// Reads the options; `allowed`: the letters of those that the command knows: f(rom) t(o) p(ort) P(roto) d(enied) F(ollow) l(imit) c(ount)
// s(econds) j(son). COMMAND_DONE or, said already, COMMAND_USAGE.
int inspect_read(int argc, char **argv, const char *allowed, struct inspect *ret);
// A new request; NULL: out of memory.
json_t *inspect_request(const char *command, const struct inspect *inspect);
// `policy.conf:12 "no mail"`. Returns `text`.
const char *inspect_rule(const json_t *line, char *text, size_t size);
