// SPDX-License-Identifier: Apache-2.0
// Which flows somebody wants to see: {"from": IDENTITY-PATTERN or PREFIX, "to": likewise, "port": N, "protocol": "tcp"}, all of it
// optional.
#pragma once

#include <stdbool.h>
#include <jansson.h>

#include "base/addr.h"
#include "tun/flow_key.h"

struct error;

struct selection_side {
	char *identity;	      // pattern; NULL: any
	struct prefix prefix; // AF_UNSPEC: any
};

struct selection {
	struct selection_side from, to;
	bool has_port, has_protocol;
	uint16_t port;
	uint8_t protocol;
};

// -EINVAL with what is wrong, -ENOMEM. In both cases, too, selection_done() may be called.
int selection_parse(const json_t *request, struct selection *ret, struct error *error);
void selection_done(struct selection *selection);

// `service` and the identities (NULL: none) go with the key as its first packet went.
bool selection_matches(const struct selection *selection, const struct flow_key *key,
		       uint16_t service, const char *from, const char *to);
