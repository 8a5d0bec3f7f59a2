// SPDX-License-Identifier: Apache-2.0
// Questions to a peer what its policy would make of a packet (QUESTION), and their answers (ANSWER).
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "tun/message_question.h"

struct connection;
struct inquiry;

#define INQUIRIES_MAX 16u // of one peer that wait
#define INQUIRY_ANSWERS_S \
	5u // a peer's questions are answered so often in a second; the others are not
#define INQUIRY_ANSWERS_MAX 20u // at once

// Of one peer; zeroed: none.
struct inquiries {
	struct inquiry *first;
	unsigned count;
	uint32_t number;
	unsigned answered; // not longer ago than it takes to be allowed as many again
	uint64_t answered_ms;
};

// Asks on a channel whose peer speaks it. The answer comes to done(), or NULL when the peer goes; it comes once, and nothing
// after inquiry_free(). Who does not want to wait for ever has a timer of his own. `question->number` is ignored. Returns a new inquiry. -EBUSY: too many are waiting; or as connection_send().
int inquiry_new(struct inquiries *inquiries, struct connection *connection,
		const struct message_question *question,
		void (*done)(const struct message_answer *answer, void *data), void *data,
		struct inquiry **ret);
// Takes NULL, returns NULL. Needed after done(), too, or within it.
struct inquiry *inquiry_free(struct inquiry *inquiry);
DEFINE_CLEANUP(struct inquiry *, inquiry_free);

// ANSWER came.
void inquiries_heard(struct inquiries *inquiries, const struct message_answer *answer);
// The peer is gone.
void inquiries_lost(struct inquiries *inquiries);
// QUESTION came: whether it may be answered now.
bool inquiries_may_answer(struct inquiries *inquiries, uint64_t now_ms);
