// SPDX-License-Identifier: Apache-2.0

#include "server/member_state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "pki/tls.h"
#include "pki/verify.h"
#include "tun/connection.h"
#include "tun/guard.h"
#include "tun/herald.h"
#include "tun/session.h"
#include "tun/session_channel.h"
#include "tun/subject.h"

// Of a thousand that rest, those whose time has nearly come are looked at together.
#define ACCURACY_US	 1000u
#define REST_ACCURACY_US 250000u

void member_arm(const struct member *member)
{
	uint64_t at = session_deadline(member->session);
	uint64_t told = member->current ? dialogue_deadline(&member->dialogue) : CLOCK_NEVER;
	at = told < at ? told : at;
	if (at == CLOCK_NEVER)
		return;
	sd_event_source_set_time_accuracy(
		member->timer, session_rests(member->session) ? REST_ACCURACY_US : ACCURACY_US);
	sd_event_source_set_time(member->timer, at * 1000);
	sd_event_source_set_enabled(member->timer, SD_EVENT_ONESHOT);
}

void member_over(struct member *member, enum bye_code code, const char *text)
{
	member->code = code;
	snprintf(member->reason, sizeof(member->reason), "%.255s", text);
	member->tools.over(member, member->tools.data);
}

void member_end(struct member *member, enum bye_code code, const char *text)
{
	struct message_bye bye = {.code = code};
	snprintf(bye.text, sizeof(bye.text), "%.255s", text);
	log_info("session %s ends: %s", session_name(member->session), text);
	if (member->current)
		connection_close(take(member->current), &bye);
	member_over(member, code, text);
}

static void tick(void *data)
{
	struct member *member = data;
	if (member->is_cut)
		return;
	dialogue_tick(&member->dialogue, member->current, clock_ms());
	switch (session_tick(member->session, clock_ms())) {
	case SESSION_NOTHING:
	case SESSION_DOUBT:
		break;
	case SESSION_REKEY:
		member_reauth(member, 0, "usage limit of the data keys");
		break;
	case SESSION_DEAD:
		member_end(member, BYE_DEAD, "nothing was heard for too long");
		return;
	case SESSION_EXPIRED:
		member_end(member, BYE_EXPIRED, "a certificate has expired");
		return;
	case SESSION_KEYS:
		member_end(member, BYE_KEYS, "too many forged packets");
		return;
	}
	member_arm(member);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *data)
{
	(void)source;
	(void)usec;
	tick(data);
	return 0;
}

int member_new(const struct member_tools *tools, const char *identity, const struct grant *grant,
	       struct member **ret, struct error *error)
{
	struct member *member = calloc(1, sizeof(*member));
	if (!member)
		return error_set(error, ENOMEM, "out of memory");
	member->tools = *tools;
	member->grant = *grant;
	member->code = BYE_REFUSED;
	member->dialogue = witness_dialogue(tools->witness);
	int r = session_new(tools->dataplane, false, identity, NULL, tools->keepalive_s,
			    &member->session);
	if (r == 0 && tools->herald)
		member->line = herald_line_new(tools->herald, &member->current, identity);
	if (r == 0 && tools->herald && !member->line)
		r = -ENOMEM;
	if (r == 0)
		r = sd_event_add_time(tools->event, &member->timer, CLOCK_BOOTTIME, UINT64_MAX,
				      ACCURACY_US, on_timer, member);
	if (r < 0)
		error_set(error, -r, "cannot make a session: %s", strerror(-r));
	else
		r = member_regrant(member, grant, error);
	if (r < 0) {
		member_free(member, NULL);
		return r;
	}
	session_set_stirred(member->session, tick, member);
	session_channel_use(member->session, &member->current);
	*ret = member;
	return 0;
}

struct witness_news member_news(const struct member *member)
{
	return (struct witness_news){
		.session = member->session,
		.addresses = member->grant.addresses,
		.address_count = member->grant.address_count,
		.code = member->code,
		.why = member->reason,
	};
}

static void tell_over(const struct member *member, const struct message_bye *bye)
{
	struct witness_news news = member_news(member);
	if (!member->told_begun)
		return;
	if (bye) {
		news.code = bye->code;
		news.why = bye->text;
	}
	witness_over(member->tools.witness, &news);
}

struct member *member_free(struct member *member, const struct message_bye *bye)
{
	if (!member)
		return NULL;
	tell_over(member, bye);
	dialogue_done(&member->dialogue);
	herald_line_free(member->line);
	session_free(member->session);
	if (member->current && bye)
		connection_close(take(member->current), bye);
	connection_free(member->current);
	connection_free(member->previous);
	sd_event_source_disable_unref(member->timer);
	free(member);
	return NULL;
}

int member_regrant(struct member *member, const struct grant *grant, struct error *error)
{
	int r = grant_apply(member->granted ? &member->grant : NULL, grant, member->session, error);
	member->granted = r == 0;
	member->grant = *grant;
	return r;
}

int member_set_grant(struct member *member, const struct grant *grant,
		     const struct grant_routes *routes, struct error *error)
{
	struct message message = {.type = MESSAGE_CONFIG};
	uint8_t digest[GRANT_DIGEST_SIZE];
	int r = member_regrant(member, grant, error);
	if (r == 0 && grant_digest(grant, routes, digest) < 0)
		r = error_set(error, ENOMEM, "out of memory");
	if (r < 0 || !member->current || memcmp(digest, member->told, sizeof(digest)) == 0)
		return r;
	memcpy(member->told, digest, sizeof(digest));
	session_set_mtu(member->session, grant_mtu(grant, member->tools.mtu, member->peer_mtu),
			clock_ms());
	member_arm(member);
	grant_say(grant, routes, grant_mtu(grant, member->tools.mtu, MESSAGE_MTU_MAX),
		  &message.config);
	connection_send(member->current, &message);
	return 0;
}

void member_compare(const struct member *member, const struct admit_options *options,
		    struct grant_difference *ret)
{
	const struct subject *subject = member->session->subject;
	struct filter_peer peer = guard_peer(subject->identity, &subject->facts);
	admit_compare(options, &peer, &member->grant, member->told, ret);
}

void member_set_keepalive(struct member *member, unsigned keepalive_s)
{
	member->tools.keepalive_s = keepalive_s;
}

void member_reauth(struct member *member, unsigned within_s, const char *reason)
{
	struct message message = {.type = MESSAGE_REAUTH};
	message.reauth.within_s = within_s;
	snprintf(message.reauth.reason, sizeof(message.reauth.reason), "%s", reason);
	snprintf(member->reason, sizeof(member->reason), "%s", reason);
	if (member->current)
		connection_send(member->current, &message);
}

void member_refuse(struct member *member, const struct refusal *refusal)
{
	if (member->is_cut)
		return;
	dialogue_refuse(&member->dialogue, refusal, clock_ms());
	member_arm(member);
}

int member_ask(struct member *member, const struct message_question *question,
	       void (*done)(const struct message_answer *answer, void *data), void *data,
	       struct inquiry **ret)
{
	return dialogue_ask(&member->dialogue, member->current, question, done, data, ret);
}

int member_judge(struct member *member, struct tls_context *context, bool whole,
		 enum bye_code *ret_code, struct error *error)
{
	struct trust *trust = tls_context_trust(context);
	const struct verdict *before = session_verdict(member->session);
	struct verdict *verdict;
	*ret_code = BYE_REVOKED;
	int r = before ? verdict_revoked(before, trust, clock_wall(), error) : 0;
	if (r < 0 || !whole || !before)
		return r;
	*ret_code = BYE_UNTRUSTED;
	r = verify_again(trust, before, clock_wall(), &verdict, error);
	if (r < 0)
		return r;
	session_set_verdict(member->session, verdict);
	verdict_put(verdict);
	member_arm(member);
	return 0;
}

void member_cut(struct member *member, enum bye_code code, const char *text)
{
	session_cut(member->session);
	member->is_cut = true;
	member->code = code;
	snprintf(member->reason, sizeof(member->reason), "%.255s", text);
	sd_event_source_set_enabled(member->timer, SD_EVENT_OFF);
}

bool member_is_cut(const struct member *member, struct message_bye *ret)
{
	if (member->is_cut) {
		*ret = (struct message_bye){.code = member->code};
		snprintf(ret->text, sizeof(ret->text), "%s", member->reason);
	}
	return member->is_cut;
}

uint64_t *member_number(struct member *member)
{
	return &member->number;
}

struct session *member_session(const struct member *member)
{
	return member->session;
}

const char *member_identity(const struct member *member)
{
	return member->session->identity;
}

const struct grant *member_grant(const struct member *member)
{
	return &member->grant;
}
