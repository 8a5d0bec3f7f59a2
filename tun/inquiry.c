// SPDX-License-Identifier: Apache-2.0

#include "tun/inquiry.h"

#include <errno.h>
#include <stdlib.h>

#include "tun/connection.h"
#include "tun/message.h"

struct inquiry {
	struct inquiries *inquiries; // NULL: answered
	struct inquiry *next, **at;
	uint32_t number;
	void (*done)(const struct message_answer *answer, void *data);
	void *data;
};

static void leave(struct inquiry *inquiry)
{
	if (!inquiry->inquiries)
		return;
	*inquiry->at = inquiry->next;
	if (inquiry->next)
		inquiry->next->at = inquiry->at;
	inquiry->inquiries->count--;
	inquiry->inquiries = NULL;
}

int inquiry_new(struct inquiries *inquiries, struct connection *connection,
		const struct message_question *question,
		void (*done)(const struct message_answer *answer, void *data), void *data,
		struct inquiry **ret)
{
	struct message message = {.type = MESSAGE_QUESTION, .question = *question};
	if (inquiries->count >= INQUIRIES_MAX)
		return -EBUSY;
	struct inquiry *inquiry = calloc(1, sizeof(*inquiry));
	if (!inquiry)
		return -ENOMEM;
	if (++inquiries->number == 0)
		inquiries->number = 1;
	inquiry->number = message.question.number = inquiries->number;
	int r = connection_send(connection, &message);
	if (r < 0) {
		free(inquiry);
		return r;
	}
	inquiry->inquiries = inquiries;
	inquiry->done = done;
	inquiry->data = data;
	inquiry->next = inquiries->first;
	inquiry->at = &inquiries->first;
	if (inquiry->next)
		inquiry->next->at = &inquiry->next;
	inquiries->first = inquiry;
	inquiries->count++;
	*ret = inquiry;
	return 0;
}

struct inquiry *inquiry_free(struct inquiry *inquiry)
{
	if (inquiry)
		leave(inquiry);
	free(inquiry);
	return NULL;
}

static void finish(struct inquiry *inquiry, const struct message_answer *answer)
{
	leave(inquiry);
	inquiry->done(answer, inquiry->data);
}

void inquiries_heard(struct inquiries *inquiries, const struct message_answer *answer)
{
	struct inquiry *inquiry = inquiries->first;
	while (inquiry && inquiry->number != answer->number)
		inquiry = inquiry->next;
	if (inquiry)
		finish(inquiry, answer);
}

void inquiries_lost(struct inquiries *inquiries)
{
	while (inquiries->first)
		finish(inquiries->first, NULL);
}

bool inquiries_may_answer(struct inquiries *inquiries, uint64_t now_ms)
{
	uint64_t again = (now_ms - inquiries->answered_ms) * INQUIRY_ANSWERS_S / 1000;
	if (again > 0) {
		inquiries->answered -=
			again < inquiries->answered ? (unsigned)again : inquiries->answered;
		inquiries->answered_ms = now_ms;
	}
	if (inquiries->answered >= INQUIRY_ANSWERS_MAX)
		return false;
	inquiries->answered++;
	return true;
}
