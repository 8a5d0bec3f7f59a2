// SPDX-License-Identifier: Apache-2.0
// The refusals that were heard of last, the same ones counted together: on a gateway those that a peer is to be told, on a client
// those that its gateway told it, on both what the node refused itself.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tun/message_refusal.h"

struct refusals { // zeroed: none
	struct refusal list[MESSAGE_REFUSALS_MAX];
	uint64_t at_ms[MESSAGE_REFUSALS_MAX]; // when one was added, the last time
	unsigned count;
	uint64_t others; // that gave way to newer ones
};

// Where there is no room, the one that was heard of longest ago gives way.
void refusals_add(struct refusals *refusals, const struct refusal *refusal, uint64_t now_ms);

// A peer to be told: at once, and then not more often than REFUSALS_EVERY_MS. Zeroed: nothing is waiting.
#define REFUSALS_EVERY_MS 500u
struct refusals_due {
	struct refusals *waiting; // owned; NULL: none
	uint64_t told_ms;
};

// 0, or -ENOMEM: it is forgotten.
int refusals_due_add(struct refusals_due *due, const struct refusal *refusal, uint64_t now_ms);
uint64_t refusals_due_at(const struct refusals_due *due); // CLOCK_NEVER: nothing is waiting
// Takes what is waiting if it is time. false: it is not.
bool refusals_due_take(struct refusals_due *due, uint64_t now_ms, struct message_refusal *ret);
void refusals_due_done(struct refusals_due *due);
