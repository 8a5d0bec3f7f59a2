// SPDX-License-Identifier: Apache-2.0

#include "client/conversation.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "client/greeting.h"
#include "client/initiator_state.h"
#include "client/resolve.h"
#include "client/reverse.h"
#include "pki/verify.h"
#include "tun/anchor.h"
#include "tun/dataplane.h"
#include "tun/herald.h"
#include "tun/session.h"
#include "tun/session_channel.h"
#include "tun/witness.h"

#define PING_PERIODS   4u
#define PING_WITHIN_MS 60000u
#define LINGER_MS      10000u // for the gateway's last word on an old channel

void conversation_error(struct initiator *initiator, const struct error *error)
{
	char text[ERROR_TEXT_MAX];
	initiator->last_error = *error;
	log_warning("link %s: %s", initiator->name, error_text(error, text, sizeof(text)));
}

void conversation_reason(struct initiator *initiator, const char *reason)
{
	snprintf(initiator->reason, sizeof(initiator->reason), "%s", reason);
}

void conversation_forget(struct initiator *initiator, struct connection *connection)
{
	if (connection == initiator->next)
		initiator->next = NULL;
	if (connection == initiator->previous)
		initiator->previous = NULL;
	if (connection == initiator->current) {
		initiator->current = NULL;
		initiator->pong_due_ms = CLOCK_NEVER;
	}
	connection_free(connection);
}

static struct witness_news news_of(const struct initiator *initiator)
{
	return (struct witness_news){
		.session = initiator->session,
		.addresses = initiator->pushed.addresses,
		.address_count = initiator->pushed.address_count,
	};
}

static void tell_over(struct initiator *initiator, enum bye_code code, const char *why)
{
	struct witness_news news = news_of(initiator);
	news.code = code;
	news.why = why;
	if (initiator->told_begun)
		witness_over(initiator->tools.witness, &news);
	initiator->told_begun = false;
}

static void release_session(struct initiator *initiator, enum bye_code code, const char *why)
{
	tell_over(initiator, code, why);
	log_info("link %s: session %s is over", initiator->name, session_name(initiator->session));
	initiator->session = session_free(initiator->session);
	pushed_clear(&initiator->pushed);
}

void conversation_drop(struct initiator *initiator, enum bye_code code, const char *why)
{
	if (!initiator->session)
		return;
	// A try under way has asked to go on with this session.
	if (initiator->next || initiator->resolve) {
		initiator->resolve = resolve_free(initiator->resolve);
		if (initiator->next)
			conversation_forget(initiator, initiator->next);
		link_failed(initiator->link, 0, clock_ms());
	}
	release_session(initiator, code, why);
}

static void linger(struct initiator *initiator, struct connection *connection, uint64_t now)
{
	struct message bye = {.type = MESSAGE_BYE};
	bye.bye.code = BYE_RENEWED;
	snprintf(bye.bye.text, sizeof(bye.bye.text), "%s", initiator->reason);
	bye.bye.sent_count = session_sent(initiator->session, bye.bye.sent);
	if (!connection)
		return;
	if (connection_send(connection, &bye) < 0) {
		connection_free(connection);
		return;
	}
	connection_free(initiator->previous);
	initiator->previous = connection;
	initiator->previous_until_ms = now + LINGER_MS;
}

static void say_hello(struct initiator *initiator)
{
	struct message hello;
	greeting_hello(initiator->session, dataplane_workers(initiator->tools.dataplane),
		       initiator->mtu, &hello);
	const struct channel *channel = connection_channel(initiator->next);
	anchor_declare(channel_context(channel), &hello.hello.anchors);
	channel_give_staple(channel, &hello.hello.staple);
	herald_say(initiator->tools.herald, &hello.hello.denials);
	connection_send(initiator->next, &hello);
	link_hello_sent(initiator->link, clock_ms());
}

// The session that READY speaks of: the one we have, or a new one. HELLO carried the index of a session object that exists
// before the gateway has named it.
static int ensure_session(struct initiator *initiator, const char *identity)
{
	struct message_bye bye = {.code = BYE_SHUTDOWN, .text = "moved to another gateway"};
	struct session *session = initiator->session;
	if (session && strcmp(session->identity, identity) == 0)
		return 0;
	if (initiator->current)
		connection_close(take(initiator->current), &bye);
	if (session)
		release_session(initiator, bye.code, bye.text);
	int r = session_new(initiator->tools.dataplane, true, identity, NULL, 15,
			    &initiator->session);
	if (r < 0)
		return r;
	session_set_stirred(initiator->session, initiator_tick, initiator);
	session_channel_use(initiator->session, &initiator->current);
	return 0;
}

static int push(struct initiator *initiator, const struct message_ready *ready, struct error *error)
{
	struct message_config config = {
		.address_count = ready->address_count,
		.routes = ready->routes,
		.route_count = ready->route_count,
		.mtu = ready->mtu,
		.push = ready->push,
	};
	memcpy(config.addresses, ready->addresses, sizeof(config.addresses));
	return pushed_set(&initiator->pushed, initiator->session, &config, error);
}

// Whether what was believed in the handshake still is: trust may have changed since.
static int judge_gateway(const struct initiator *initiator, const struct connection *connection,
			 struct error *error)
{
	const struct channel *channel = connection_channel(connection);
	_cleanup_(verdict_putp) struct verdict *verdict = NULL;
	if (channel_context(channel) == initiator->context)
		return 0;
	return verify_again(tls_context_trust(initiator->context), channel_verdict(channel),
			    clock_wall(), &verdict, error);
}

// What is pushed may lead to the gateway itself; our own packets do not follow it, but a strict kernel does.
static void look_at_reverse_path(const struct initiator *initiator,
				 const struct connection *connection)
{
	struct endpoint peer = connection_peer(connection);
	bool covered = false;
	for (unsigned i = 0; i < initiator->pushed.route_count; i++)
		covered |= prefix_contains(&initiator->pushed.routes[i], &peer.addr);
	if (covered && peer.addr.family == AF_INET && reverse_is_strict())
		log_warning(
			"link %s: this host drops what comes from the gateway, because a route into "
			"the tunnel leads there too and the check of the reverse path is strict; "
			"loosen it: sysctl net.ipv4.conf.all.rp_filter=2",
			initiator->name);
}

static void give_up(struct initiator *initiator, const struct error *error)
{
	conversation_error(initiator, error);
	conversation_forget(initiator, initiator->next);
	link_failed(initiator->link, 0, clock_ms());
}

// Of the keepalive period. Probes on the data path say every period whether the gateway lives; the channel beside them is kept open,
// and forgotten by no translation on the way.
static uint64_t ping_every_ms(uint64_t keepalive_ms)
{
	uint64_t few = PING_PERIODS * keepalive_ms;
	if (few > PING_WITHIN_MS)
		few = PING_WITHIN_MS;
	return few > keepalive_ms ? few : keepalive_ms;
}

static void on_ready(struct initiator *initiator, const struct message_ready *ready)
{
	uint64_t now = clock_ms();
	struct connection *connection = initiator->next;
	struct error error;
	if (judge_gateway(initiator, connection, &error) < 0) {
		give_up(initiator, &error);
		return;
	}
	if (!ready->resumed)
		tell_over(initiator, BYE_DEAD, "the gateway has forgotten it");
	int r = greeting_ready(initiator->session, connection, ready, initiator->mtu,
			       initiator->reason, now);
	if (r < 0)
		error_set(&error, -r, "the gateway's READY cannot be used: %s", strerror(-r));
	else
		r = push(initiator, ready, &error);
	if (r < 0) {
		give_up(initiator, &error);
		return;
	}
	look_at_reverse_path(initiator, connection);
	initiator->next = NULL;
	linger(initiator, take(initiator->current), now);
	initiator->current = connection;
	initiator->ping_every_ms = ping_every_ms(ready->keepalive_s * 1000ull);
	initiator->ping_ms = now + initiator->ping_every_ms;
	initiator->pong_due_ms = CLOCK_NEVER;
	initiator->last_error.code = 0;
	link_ready(initiator->link, now);
	herald_line_open(initiator->line, &ready->denials);
	initiator->dialogue.spoken = ready->answers;
	if (!ready->resumed) {
		struct witness_news news = news_of(initiator);
		witness_begun(initiator->tools.witness, &news);
		initiator->told_begun = true;
	}
	session_probe(initiator->session, now);
	session_channel_ready(initiator->session);
	log_info("link %s: %s with %s, epoch %u%s%s", initiator->name,
		 ready->resumed ? "session goes on" : "up", session_name(initiator->session),
		 ready->epoch, ready->resumed ? ": " : "", ready->resumed ? initiator->reason : "");
	conversation_reason(initiator, "hourly rekey");
	if (anchor_is_news(initiator->context, initiator->session->identity, &ready->anchors))
		initiator->tools.unknown_anchor(initiator->tools.data);
}

void conversation_lost(struct initiator *initiator, const char *reason, uint64_t retry_after_ms)
{
	conversation_reason(initiator, reason);
	link_down(initiator->link, retry_after_ms, clock_ms());
}

static bool ends_session(enum bye_code code)
{
	switch (code) {
	case BYE_SHUTDOWN:
	case BYE_RENEWED:
	case BYE_DEAD:
	case BYE_FULL:
		return false;
	case BYE_REPLACED:
	case BYE_DISCONNECTED:
	case BYE_REFUSED:
	case BYE_EXPIRED:
	case BYE_UNTRUSTED:
	case BYE_PROTOCOL:
	case BYE_KEYS:
	case BYE_REVOKED:
		return true;
	}
	return true;
}

static void on_bye(struct initiator *initiator, struct connection *connection,
		   const struct message_bye *bye)
{
	struct error error;
	uint64_t retry_after_ms = bye->retry_after_s * 1000ull;
	if (connection == initiator->previous) {
		session_peer_sent(initiator->session, bye->sent, bye->sent_count);
		conversation_forget(initiator, connection);
		return;
	}
	error_set(&error, ECONNRESET, "the gateway said %s: %s", bye_name(bye->code), bye->text);
	conversation_error(initiator, &error);
	bool was_current = connection == initiator->current;
	conversation_forget(initiator, connection);
	// A new channel that is refused ends nothing: while there is a current one, the gateway says there when it is over.
	if (ends_session(bye->code) && !initiator->current)
		conversation_drop(initiator, bye->code, bye->text);
	if (was_current)
		conversation_lost(initiator, "the gateway ended the channel", retry_after_ms);
	else
		link_failed(initiator->link, retry_after_ms, clock_ms());
}

static void protocol_fault(struct initiator *initiator, struct connection *connection,
			   const char *what)
{
	struct error error;
	error_set(&error, EPROTO, "the gateway sent %s out of turn", what);
	conversation_error(initiator, &error);
	bool was_current = connection == initiator->current;
	conversation_forget(initiator, connection);
	if (was_current)
		conversation_lost(initiator, "channel lost", 0);
	else
		link_failed(initiator->link, 0, clock_ms());
}

// A gateway that tells what its CA cannot have said is left.
static void on_deny(struct initiator *initiator, struct connection *connection,
		    const struct message_deny *deny)
{
	struct message_bye bye = {.code = BYE_PROTOCOL};
	struct error error;
	error_set(&error, EPROTO, "denials that cannot be read");
	if (connection != initiator->current ||
	    herald_line_heard(initiator->line, deny, &error) == 0)
		return;
	conversation_error(initiator, &error);
	snprintf(bye.text, sizeof(bye.text), "%.255s", error.what);
	connection_close(take(initiator->current), &bye);
	initiator->pong_due_ms = CLOCK_NEVER;
	conversation_lost(initiator, "channel lost", 0);
}

static void on_message(struct initiator *initiator, struct connection *connection,
		       const struct message *message)
{
	struct message pong = {.type = MESSAGE_PONG, .ping = message->ping};
	struct error error;
	if (initiator->session && connection == initiator->current)
		session_heard(initiator->session, clock_ms());
	if (connection == initiator->next && message->type != MESSAGE_READY &&
	    message->type != MESSAGE_BYE) {
		protocol_fault(initiator, connection, message_name(message->type));
		return;
	}
	switch (message->type) {
	case MESSAGE_READY:
		if (connection == initiator->next)
			on_ready(initiator, &message->ready);
		else
			protocol_fault(initiator, connection, "READY");
		return;
	case MESSAGE_CONFIG:
		if (connection == initiator->current &&
		    pushed_set(&initiator->pushed, initiator->session, &message->config, &error) <
			    0)
			conversation_error(initiator, &error);
		return;
	case MESSAGE_REAUTH:
		conversation_reason(initiator, message->reauth.reason);
		link_reauth(initiator->link, message->reauth.within_s * 1000ull, clock_ms());
		return;
	case MESSAGE_PING:
		connection_send(connection, &pong);
		return;
	case MESSAGE_PONG:
		initiator->pong_due_ms = CLOCK_NEVER;
		return;
	case MESSAGE_DENY:
		on_deny(initiator, connection, &message->deny);
		return;
	case MESSAGE_REFUSAL:
	case MESSAGE_QUESTION:
	case MESSAGE_ANSWER:
		if (initiator->session)
			dialogue_heard(&initiator->dialogue, initiator->session, connection,
				       message, clock_ms());
		return;
	case MESSAGE_BYE:
		on_bye(initiator, connection, &message->bye);
		return;
	case MESSAGE_HELLO:
		protocol_fault(initiator, connection, "HELLO");
		return;
	}
}

// Before HELLO, so that the gateway does not move a session to this channel: that one goes on with what was said before, unless
// it is by the very certificate that is found revoked. Who holds another one, such as a stolen one, cannot end it.
static void refuse_gateway(struct initiator *initiator, const struct error *error)
{
	bool revoked = error->code == EKEYREVOKED;
	bool ends = revoked && initiator->session &&
		    verdict_same_leaf(channel_verdict(connection_channel(initiator->next)),
				      session_verdict(initiator->session));
	struct message_bye bye = {.code = revoked ? BYE_REVOKED : BYE_UNTRUSTED};
	snprintf(bye.text, sizeof(bye.text), "%.255s", error->what);
	conversation_error(initiator, error);
	connection_close(take(initiator->next), &bye);
	link_failed(initiator->link, 0, clock_ms());
	if (ends)
		conversation_end(initiator, BYE_REVOKED, error->what);
}

static void on_open(struct initiator *initiator, struct connection *connection)
{
	const struct channel *channel = connection_channel(connection);
	struct error error;
	size_t size;
	if (connection != initiator->next)
		return;
	const uint8_t *staple = channel_shown_staple(channel, &size);
	if (channel_take_staple(channel, staple, size, &error) < 0) {
		refuse_gateway(initiator, &error);
		return;
	}
	int r = ensure_session(initiator, verdict_identity(channel_verdict(channel)));
	if (r < 0) {
		error_set(&error, -r, "cannot make a session: %s", strerror(-r));
		give_up(initiator, &error);
		return;
	}
	say_hello(initiator);
}

static void on_end(struct initiator *initiator, struct connection *connection, bool failed)
{
	bool was_next = connection == initiator->next;
	bool was_current = connection == initiator->current;
	struct error error;
	error_set(&error, ECONNRESET, "the gateway closed the channel");
	if (failed)
		error = *connection_error(connection);
	initiator->refusals += was_next && error.code == EKEYREJECTED;
	if (was_next || was_current)
		conversation_error(initiator, &error);
	conversation_forget(initiator, connection);
	if (was_next)
		link_failed(initiator->link, 0, clock_ms());
	else if (was_current)
		conversation_lost(initiator, "channel lost", 0);
}

void conversation_end(struct initiator *initiator, enum bye_code code, const char *text)
{
	struct message_bye bye = {.code = code};
	struct error error;
	snprintf(bye.text, sizeof(bye.text), "%.255s", text);
	error_set(&error, EKEYEXPIRED, "session ended: %s", text);
	conversation_error(initiator, &error);
	if (initiator->session)
		session_cut(initiator->session);
	if (initiator->current)
		connection_close(take(initiator->current), &bye);
	conversation_drop(initiator, code, text);
	conversation_lost(initiator, "channel lost", 0);
}

void conversation_event(struct connection *connection, const struct channel_event *event,
			void *data)
{
	struct initiator *initiator = data;
	switch (event->type) {
	case CHANNEL_NONE:
	case CHANNEL_BYTES:
		return;
	case CHANNEL_PACKET:
		if (connection != initiator->next && initiator->session)
			session_channel_take(initiator->session, event->packet, event->packet_size);
		return;
	case CHANNEL_ROOM:
		if (initiator->session)
			session_channel_ready(initiator->session);
		return;
	case CHANNEL_OPEN:
		on_open(initiator, connection);
		break;
	case CHANNEL_MESSAGE:
		on_message(initiator, connection, &event->message);
		break;
	case CHANNEL_CLOSED:
	case CHANNEL_FAILED:
		on_end(initiator, connection, event->type == CHANNEL_FAILED);
		break;
	}
	initiator_follow(initiator);
}
