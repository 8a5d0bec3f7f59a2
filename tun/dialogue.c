// SPDX-License-Identifier: Apache-2.0

#include "tun/dialogue.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "tun/connection.h"
#include "tun/message.h"

void dialogue_done(struct dialogue *dialogue)
{
	inquiries_lost(&dialogue->inquiries);
	refusals_due_done(&dialogue->due);
	free(take(dialogue->heard));
	dialogue->spoken = false;
}

static void note_refusals(struct dialogue *dialogue, const struct message_refusal *refusal,
			  uint64_t now_ms)
{
	if (!dialogue->heard)
		dialogue->heard = calloc(1, sizeof(*dialogue->heard));
	if (!dialogue->heard)
		return;
	for (unsigned i = 0; i < refusal->count; i++)
		refusals_add(dialogue->heard, &refusal->list[i], now_ms);
	dialogue->heard->others += refusal->others;
}

static void answer(struct dialogue *dialogue, const struct session *session,
		   struct connection *connection, const struct message_question *question,
		   uint64_t now_ms)
{
	struct message message = {.type = MESSAGE_ANSWER, .answer.number = question->number};
	if (dialogue->asked && inquiries_may_answer(&dialogue->inquiries, now_ms) &&
	    dialogue->asked(session, question, &message.answer, dialogue->data))
		connection_send(connection, &message);
}

void dialogue_heard(struct dialogue *dialogue, const struct session *session,
		    struct connection *connection, const struct message *message, uint64_t now_ms)
{
	if (message->type == MESSAGE_REFUSAL)
		note_refusals(dialogue, &message->refusal, now_ms);
	if (message->type == MESSAGE_QUESTION)
		answer(dialogue, session, connection, &message->question, now_ms);
	if (message->type == MESSAGE_ANSWER)
		inquiries_heard(&dialogue->inquiries, &message->answer);
}

void dialogue_refuse(struct dialogue *dialogue, const struct refusal *refusal, uint64_t now_ms)
{
	if (dialogue->spoken)
		refusals_due_add(&dialogue->due, refusal, now_ms);
}

uint64_t dialogue_deadline(const struct dialogue *dialogue)
{
	return refusals_due_at(&dialogue->due);
}

void dialogue_tick(struct dialogue *dialogue, struct connection *connection, uint64_t now_ms)
{
	struct message message = {.type = MESSAGE_REFUSAL};
	if (connection && refusals_due_take(&dialogue->due, now_ms, &message.refusal))
		connection_send(connection, &message);
}

int dialogue_ask(struct dialogue *dialogue, struct connection *connection,
		 const struct message_question *question,
		 void (*done)(const struct message_answer *answer, void *data), void *data,
		 struct inquiry **ret)
{
	if (!connection)
		return -ENOTCONN;
	if (!dialogue->spoken)
		return -EOPNOTSUPP;
	return inquiry_new(&dialogue->inquiries, connection, question, done, data, ret);
}
