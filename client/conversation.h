// SPDX-License-Identifier: Apache-2.0
// What a link says and hears on its channels, and what follows from it.
#pragma once

#include <stdint.h>

#include "tun/connection.h"
#include "tun/message.h"

struct error;
struct initiator;

// The handler of every channel of a link; `data` is the initiator.
void conversation_event(struct connection *connection, const struct channel_event *event,
			void *data);

// Keeps the error for status, and says it in the log.
void conversation_error(struct initiator *initiator, const struct error *error);
// Why identity is proved again, for people.
void conversation_reason(struct initiator *initiator, const char *reason);
// Frees one of the link's channels.
void conversation_forget(struct initiator *initiator, struct connection *connection);
// The current channel is gone, and with it maybe the gateway: dial. A try that is under way goes on.
void conversation_lost(struct initiator *initiator, const char *reason, uint64_t retry_after_ms);
// The session is over: BYE, the host's configuration taken back, then dial anew.
void conversation_end(struct initiator *initiator, enum bye_code code, const char *text);
// The same without a word and without dialling.
void conversation_drop(struct initiator *initiator, enum bye_code code, const char *why);
