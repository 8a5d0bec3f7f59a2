// SPDX-License-Identifier: Apache-2.0

#include "server/member.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "pki/tls.h"
#include "pki/verify.h"
#include "server/grant.h"
#include "tun/anchor.h"
#include "tun/connection.h"
#include "tun/dataplane.h"
#include "tun/guard.h"
#include "tun/herald.h"
#include "tun/session.h"
#include "tun/subject.h"
#include "tun/witness.h"

struct member {
	struct member_tools tools;
	struct session *session;
	struct grant grant;
	bool granted;			 // it is in force
	uint8_t told[GRANT_DIGEST_SIZE]; // what the peer was told of it and of its routes
	unsigned peer_mtu;		 // largest inner packet that it takes
	struct connection *current;	 // NULL: lost, while the session goes on
	struct connection *previous;	 // until the peer's last word on it
	struct herald_line *line;	 // NULL: no herald
	struct dialogue dialogue;
	sd_event_source *timer;
	char reason
		[MESSAGE_TEXT_MAX]; // of the REAUTH that was sent; empty: none. Once it is cut or over: of that
	bool told_begun; // the witness
	bool is_cut;
	enum bye_code code; // of that
	uint64_t number;
};

static void arm(const struct member *member)
{
	uint64_t at = session_deadline(member->session);
	uint64_t told = member->current ? dialogue_deadline(&member->dialogue) : CLOCK_NEVER;
	at = told < at ? told : at;
	if (at == CLOCK_NEVER)
		return;
	sd_event_source_set_time(member->timer, at * 1000);
	sd_event_source_set_enabled(member->timer, SD_EVENT_ONESHOT);
}

static void over(struct member *member, enum bye_code code, const char *text)
{
	member->code = code;
	snprintf(member->reason, sizeof(member->reason), "%.255s", text);
	member->tools.over(member, member->tools.data);
}

static void end(struct member *member, enum bye_code code, const char *text)
{
	struct message_bye bye = {.code = code};
	snprintf(bye.text, sizeof(bye.text), "%.255s", text);
	log_info("session %s ends: %s", session_name(member->session), text);
	if (member->current)
		connection_close(take(member->current), &bye);
	over(member, code, text);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *data)
{
	struct member *member = data;
	(void)source;
	(void)usec;
	dialogue_tick(&member->dialogue, member->current, clock_ms());
	switch (session_tick(member->session, clock_ms())) {
	case SESSION_NOTHING:
		break;
	case SESSION_REKEY:
		member_reauth(member, 0, "usage limit of the data keys");
		break;
	case SESSION_DEAD:
		end(member, BYE_DEAD, "nothing was heard for too long");
		return 0;
	case SESSION_EXPIRED:
		end(member, BYE_EXPIRED, "a certificate has expired");
		return 0;
	case SESSION_KEYS:
		end(member, BYE_KEYS, "too many forged packets");
		return 0;
	}
	arm(member);
	return 0;
}

static void forget(struct member *member, struct connection *connection)
{
	if (connection == member->current)
		member->current = NULL;
	if (connection == member->previous)
		member->previous = NULL;
	connection_free(connection);
}

// The peer has moved on to a newer channel, and says what it sent in the epoch of this one.
static void on_renewed(struct member *member, struct connection *connection,
		       const struct message_bye *theirs)
{
	struct message_bye bye = {.code = BYE_RENEWED, .text = "a newer channel took over"};
	session_switch(member->session);
	session_peer_sent(member->session, theirs->sent, theirs->sent_count);
	bye.sent_count = session_sent(member->session, bye.sent);
	if (connection == member->previous)
		member->previous = NULL;
	connection_close(connection, &bye);
}

static void on_bye(struct member *member, struct connection *connection,
		   const struct message_bye *bye)
{
	if (connection != member->current) {
		on_renewed(member, connection, bye);
		return;
	}
	log_info("session %s ends: the peer said %s: %s", session_name(member->session),
		 bye_name(bye->code), bye->text);
	over(member, bye->code, bye->text);
}

static void on_deny(struct member *member, const struct message_deny *deny)
{
	struct error error;
	error_set(&error, EPROTO, "denials that cannot be read");
	if (herald_line_heard(member->line, deny, &error) < 0)
		end(member, BYE_PROTOCOL, error.what);
}

static void on_message(struct member *member, struct connection *connection,
		       const struct message *message)
{
	struct message pong = {.type = MESSAGE_PONG, .ping = message->ping};
	session_heard(member->session, clock_ms());
	switch (message->type) {
	case MESSAGE_PING:
		connection_send(connection, &pong);
		return;
	case MESSAGE_PONG:
		return;
	case MESSAGE_BYE:
		on_bye(member, connection, &message->bye);
		return;
	case MESSAGE_REAUTH: // the dialling side decides for itself when to prove identity again
		return;
	case MESSAGE_DENY:
		on_deny(member, &message->deny);
		return;
	case MESSAGE_QUESTION:
	case MESSAGE_ANSWER:
		dialogue_heard(&member->dialogue, member->session, connection, message, clock_ms());
		return;
	case MESSAGE_HELLO:
	case MESSAGE_READY:
	case MESSAGE_CONFIG:
	case MESSAGE_REFUSAL:
		log_warning("session %s: %s out of turn", session_name(member->session),
			    message_name(message->type));
		end(member, BYE_PROTOCOL, "a message came out of turn");
		return;
	}
}

static void on_channel(struct connection *connection, const struct channel_event *event, void *data)
{
	struct member *member = data;
	char text[ERROR_TEXT_MAX];
	switch (event->type) {
	case CHANNEL_NONE:
	case CHANNEL_OPEN:
	case CHANNEL_PACKET:
	case CHANNEL_BYTES:
		return;
	case CHANNEL_MESSAGE:
		on_message(member, connection, &event->message);
		return;
	case CHANNEL_FAILED:
		log_info("session %s: channel lost: %s", session_name(member->session),
			 error_text(connection_error(connection), text, sizeof(text)));
		forget(member, connection);
		return;
	case CHANNEL_CLOSED:
		if (connection == member->current)
			log_info("session %s: the peer closed the channel",
				 session_name(member->session));
		forget(member, connection);
		return;
	}
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
				      1000, on_timer, member);
	if (r < 0)
		error_set(error, -r, "cannot make a session: %s", strerror(-r));
	else
		r = member_regrant(member, grant, error);
	if (r < 0) {
		member_free(member, NULL);
		return r;
	}
	*ret = member;
	return 0;
}

static struct witness_news news_of(const struct member *member)
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
	struct witness_news news = news_of(member);
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

static const char *renewal_reason(const struct member *member, const struct verdict *now)
{
	const struct verdict *before = session_verdict(member->session);
	if (!before)
		return "start";
	if (strcmp(verdict_serial(before), verdict_serial(now)) != 0)
		return "certificate of the peer renewed";
	return member->reason[0] ? member->reason : "the peer proved its identity again";
}

static void send_ready(const struct member *member, struct connection *connection, bool resumed,
		       const struct session_keys *keys, const struct grant_routes *routes,
		       uint16_t udp_port)
{
	struct message message = {.type = MESSAGE_READY};
	struct message_ready *ready = &message.ready;
	struct session_status status;
	session_status(member->session, &status);
	memcpy(ready->session, member->session->id, SESSION_ID_SIZE);
	ready->resumed = resumed;
	ready->index = member->session->index;
	ready->epoch = keys->epoch;
	ready->cipher = keys->cipher;
	ready->lanes = dataplane_workers(member->tools.dataplane);
	ready->mtu = keys->mtu;
	memcpy(ready->addresses, member->grant.addresses,
	       member->grant.address_count * sizeof(ready->addresses[0]));
	ready->address_count = member->grant.address_count;
	ready->routes = (struct prefix *)routes->prefixes;
	ready->route_count = routes->count;
	ready->keepalive_s = member->tools.keepalive_s;
	ready->udp_port = udp_port;
	ready->time = clock_wall();
	ready->expires = status.expires;
	ready->push = routes->push;
	anchor_declare(channel_context(connection_channel(connection)), &ready->anchors);
	ready->answers = true;
	herald_say(member->tools.herald, &ready->denials);
	connection_send(connection, &message);
}

int member_take_channel(struct member *member, struct connection *connection,
			const struct message_hello *hello, const struct grant_routes *routes,
			uint16_t udp_port, struct error *error)
{
	struct channel *channel = connection_channel(connection);
	bool resumed = session_newest_epoch(member->session) > 0;
	struct session_keys keys = {
		.epoch = session_newest_epoch(member->session) + 1,
		.cipher = hello->ciphers[0],
		.remote_index = hello->index,
		.peer_lanes = hello->lanes,
		.mtu = grant_mtu(&member->grant, member->tools.mtu, hello->mtu),
		.reason = renewal_reason(member, channel_verdict(channel)),
	};
	member->peer_mtu = hello->mtu;
	struct endpoint peer = connection_peer(connection);
	session_set_known_address(member->session, &peer.addr);
	int r = grant_digest(&member->grant, routes, member->told);
	if (r == 0)
		r = session_install(member->session, channel, &keys, clock_ms());
	if (r < 0)
		return error_set(error, -r, "cannot derive keys: %s", strerror(-r));
	log_info("session %s %s, epoch %u%s%s", session_name(member->session),
		 resumed ? "goes on" : "begins", keys.epoch, resumed ? ": " : "",
		 resumed ? keys.reason : "");
	member->reason[0] = '\0';
	connection_detach(connection);
	r = connection_attach(connection, member->tools.event, on_channel, member);
	if (r < 0)
		return error_set(error, -r, "cannot watch the channel: %s", strerror(-r));
	connection_free(member->previous);
	member->previous = member->current;
	member->current = connection;
	session_heard(member->session, clock_ms());
	send_ready(member, connection, resumed, &keys, routes, udp_port);
	herald_line_open(member->line, &hello->denials);
	member->dialogue.spoken = hello->answers;
	if (!resumed) {
		struct witness_news news = news_of(member);
		witness_begun(member->tools.witness, &news);
		member->told_begun = true;
	}
	arm(member);
	return 0;
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
	arm(member);
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
	arm(member);
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
	arm(member);
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
