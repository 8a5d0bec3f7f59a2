// SPDX-License-Identifier: Apache-2.0
// The channels of a member: taking one over, and what is said on it.

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "pki/tls.h"
#include "pki/verify.h"
#include "server/member_state.h"
#include "tun/anchor.h"
#include "tun/connection.h"
#include "tun/dataplane.h"
#include "tun/herald.h"
#include "tun/session.h"
#include "tun/session_channel.h"

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
	member_over(member, bye->code, bye->text);
}

static void on_deny(struct member *member, const struct message_deny *deny)
{
	struct error error;
	error_set(&error, EPROTO, "denials that cannot be read");
	if (herald_line_heard(member->line, deny, &error) < 0)
		member_end(member, BYE_PROTOCOL, error.what);
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
		member_end(member, BYE_PROTOCOL, "a message came out of turn");
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
	case CHANNEL_BYTES:
		return;
	case CHANNEL_PACKET:
		session_channel_take(member->session, event->packet, event->packet_size);
		return;
	case CHANNEL_ROOM:
		session_channel_ready(member->session);
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
	session_channel_ready(member->session);
	herald_line_open(member->line, &hello->denials);
	member->dialogue.spoken = hello->answers;
	if (!resumed) {
		struct witness_news news = member_news(member);
		witness_begun(member->tools.witness, &news);
		member->told_begun = true;
	}
	member_arm(member);
	return 0;
}
