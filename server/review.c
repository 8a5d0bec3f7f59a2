// SPDX-License-Identifier: Apache-2.0
#include "server/review.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/slices.h"
#include "pki/tls.h"
#include "server/member.h"
#include "server/roster.h"
#include "tun/session.h"

enum stage { REVIEW_IDLE, REVIEW_JUDGE, REVIEW_END };

struct review {
	struct review_tools tools;
	sd_event_source *source;
	enum stage stage;
	uint64_t cursor; // of roster_before()
	bool cut;	 // some wait for their end
	struct tls_context *context;
	bool whole;
	char *reason;
};

static void judge(struct review *review, struct member *member)
{
	struct message_bye bye;
	struct error error;
	enum bye_code code;
	if (member_is_cut(member, &bye))
		return;
	if (member_judge(member, review->context, review->whole, &code, &error) < 0) {
		member_cut(member, code, error.what);
		review->cut = true;
	} else if (review->reason) {
		review->tools.keep(member, review->reason, review->tools.data);
	}
}

static void end(struct review *review, struct member *member)
{
	struct message_bye bye;
	if (!member_is_cut(member, &bye))
		return;
	log_warning("session %s ends: %s", session_name(member_session(member)), bye.text);
	review->tools.end(member, &bye, review->tools.data);
}

static void next_stage(struct review *review)
{
	bool ends = review->stage == REVIEW_JUDGE && review->cut;
	review->stage = ends ? REVIEW_END : REVIEW_IDLE;
	review->cursor = ROSTER_END;
	if (ends)
		return;
	review->cut = false;
	review->context = tls_context_put(review->context);
	free(take(review->reason));
	review->whole = false;
}

static int on_slice(sd_event_source *source, uint64_t usec, void *data)
{
	struct review *review = data;
	uint64_t until = clock_ns() + SLICES_NS;
	struct member *member;
	(void)usec;
	do {
		member = roster_before(review->tools.roster, &review->cursor);
		if (member && review->stage == REVIEW_JUDGE)
			judge(review, member);
		else if (member)
			end(review, member);
	} while (member && clock_ns() < until);
	if (!member)
		next_stage(review);
	if (review->stage != REVIEW_IDLE)
		slices_go_on(source);
	return 0;
}

struct review *review_new(const struct review_tools *tools)
{
	_cleanup_(review_freep) struct review *review = calloc(1, sizeof(*review));
	if (!review)
		return NULL;
	review->tools = *tools;
	if (slices_new(tools->event, on_slice, review, &review->source) < 0)
		return NULL;
	return take(review);
}

struct review *review_free(struct review *review)
{
	if (!review)
		return NULL;
	sd_event_source_disable_unref(review->source);
	tls_context_put(review->context);
	free(review->reason);
	free(review);
	return NULL;
}

void review_start(struct review *review, struct tls_context *context, bool whole,
		  const char *reason)
{
	struct tls_context *old = review->context;
	review->context = tls_context_get(context);
	tls_context_put(old);
	// What one that was under way had to do is not forgotten.
	review->whole = review->whole || whole;
	if (reason) {
		free(review->reason);
		review->reason = strdup(reason);
	}
	review->stage = REVIEW_JUDGE;
	review->cursor = ROSTER_END;
	slices_go_on(review->source);
}
