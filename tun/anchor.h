// SPDX-License-Identifier: Apache-2.0
// Which CA certificates the two ends of a channel trust, as they tell each other (PROTOCOL.md, "Messages"): what makes a
// change of the root visible before it hurts.
#pragma once

#include <stdbool.h>

#include "tun/message.h"

struct tls_context;

// What this node says: the certificates of its own trust domain.
void anchor_declare(const struct tls_context *context, struct message_anchors *ret);
// Whether `peer`, an identity, declares one in our own trust domain that we do not know.
bool anchor_is_news(const struct tls_context *context, const char *peer,
		    const struct message_anchors *anchors);
