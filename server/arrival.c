// SPDX-License-Identifier: Apache-2.0

#include "server/arrival.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "pki/tls.h"
#include "pki/verify.h"
#include "server/gateway_state.h"
#include "server/lease.h"
#include "server/member.h"
#include "server/regrant.h"
#include "server/roster.h"
#include "tun/anchor.h"
#include "tun/connection.h"
#include "tun/session.h"

#define REPLACED_RETRY_S 30u // a second machine with the same identity does not fight for it
#define STATUS_RETRY_S	 1u  // who has just started waits for his responder's first answer
#define FULL_RETRY_S	 30u

static void on_member_over(struct member *member, void *data)
{
	gateway_remove(data, member, NULL);
}

static struct member_tools tools_of(struct gateway *gateway)
{
	return (struct member_tools){
		.event = gateway->event,
		.dataplane = gateway->dataplane,
		.herald = gateway->options.herald,
		.witness = gateway->options.witness,
		.keepalive_s = gateway->options.keepalive_s,
		.mtu = gateway->options.mtu,
		.over = on_member_over,
		.data = gateway,
	};
}

// A live session of the same identity that this HELLO does not continue gives way: a node that restarted must get in at once.
static void replace(struct gateway *gateway, struct member *member)
{
	struct message_bye bye = {
		.code = BYE_REPLACED,
		.text = "the same identity joined from elsewhere",
		.retry_after_s = REPLACED_RETRY_S,
	};
	log_info("session %s ends: its identity joined anew", session_name(member_session(member)));
	gateway_remove(gateway, member, &bye);
}

static bool continues(const struct member *member, const struct message_hello *hello)
{
	struct message_bye bye;
	return hello->resume && !member_is_cut(member, &bye) &&
	       memcmp(member_session(member)->id, hello->session, SESSION_ID_SIZE) == 0;
}

static int add_member(struct gateway *gateway, const char *identity, const struct grant *grant,
		      struct member **ret, struct error *error)
{
	struct member_tools tools = tools_of(gateway);
	struct member *member;
	int r = member_new(&tools, identity, grant, &member, error);
	if (r == 0 && (r = roster_add(gateway->roster, member)) < 0) {
		member_free(member, NULL);
		error_set(error, -r, "out of memory");
	}
	if (r < 0) {
		lease_release(gateway->leases, identity, clock_wall());
		return r;
	}
	*ret = member;
	return 0;
}

static void note_anchors(struct gateway *gateway, const char *identity, const char *serial,
			 const struct message_anchors *anchors)
{
	declared_put(leases_db(gateway->leases), identity, anchors, serial, clock_wall());
	if (anchor_is_news(gateway->context, identity, anchors))
		gateway->options.unknown_anchor(gateway->options.data);
}

// By what it brings along, and by what is trusted now, which may have changed since its handshake.
static int judge_guest(const struct gateway *gateway, const struct guest *guest,
		       const struct message_staple *staple, enum bye_code *ret_code,
		       struct error *error)
{
	const struct channel *channel = connection_channel(guest_connection(guest));
	struct trust *trust = tls_context_trust(gateway->context);
	_cleanup_(verdict_putp) struct verdict *verdict = NULL;
	int r = channel_take_staple(channel, staple->der, staple->size, error);
	*ret_code = r == -EKEYREVOKED ? BYE_REVOKED : BYE_UNTRUSTED;
	if (r < 0 || channel_context(channel) == gateway->context)
		return r;
	*ret_code = BYE_REVOKED;
	r = verdict_revoked(channel_verdict(channel), trust, clock_wall(), error);
	if (r < 0)
		return r;
	*ret_code = BYE_UNTRUSTED;
	return verify_again(trust, channel_verdict(channel), clock_wall(), &verdict, error);
}

// Whoever is found revoked goes, also where a session of his lives on: one by this certificate. Somebody else may hold an older one
// of the same identity; what was withdrawn beyond that ends sessions in the review.
static void refuse_judged(struct gateway *gateway, struct guest *guest, enum bye_code code,
			  const struct error *error)
{
	struct verdict *verdict = channel_verdict(connection_channel(guest_connection(guest)));
	struct member *member = roster_find(gateway->roster, verdict_identity(verdict));
	struct message_bye bye = {.code = code, .retry_after_s = REFUSED_RETRY_S};
	snprintf(bye.text, sizeof(bye.text), "%.255s", error->what);
	if (member && code == BYE_REVOKED &&
	    verdict_same_leaf(verdict, session_verdict(member_session(member))))
		gateway_remove(gateway, member, &bye);
	guest_refuse(guest, code, code == BYE_REVOKED ? REFUSED_RETRY_S : STATUS_RETRY_S,
		     error->what);
}

void arrival_take(struct guest *guest, const struct message_hello *hello, void *data)
{
	struct gateway *gateway = data;
	struct connection *connection = guest_connection(guest);
	struct channel *channel = connection_channel(connection);
	struct grant grant;
	struct grant_routes routes;
	enum bye_code code;
	struct error error;
	if (judge_guest(gateway, guest, &hello->staple, &code, &error) < 0) {
		refuse_judged(gateway, guest, code, &error);
		return;
	}
	const char *identity = verdict_identity(channel_verdict(channel));
	struct member *member = roster_find(gateway->roster, identity);
	if (hello->protocol != MESSAGE_PROTOCOL) {
		snprintf(error.what, sizeof(error.what), "this gateway speaks version %u, not %u",
			 MESSAGE_PROTOCOL, hello->protocol);
		guest_refuse(guest, BYE_PROTOCOL, REFUSED_RETRY_S, error.what);
		return;
	}
	// The rules may have changed since this identity was admitted.
	if (!admit_allows(&gateway->options.admit, identity)) {
		error_set(&error, EACCES, "identity %s is not admitted here", identity);
		guest_refuse(guest, BYE_REFUSED, REFUSED_RETRY_S, error.what);
		return;
	}
	if (member && !continues(member, hello)) {
		replace(gateway, member);
		member = NULL;
	}
	if (!member && roster_count(gateway->roster) >= gateway->options.max_sessions) {
		guest_refuse(guest, BYE_FULL, FULL_RETRY_S, "no session left on this gateway");
		return;
	}
	int r = gateway_grant_of(gateway, channel_verdict(channel), &grant, &routes, &error);
	if (r == 0)
		r = member ? member_regrant(member, &grant, &error)
			   : add_member(gateway, identity, &grant, &member, &error);
	if (r == -EEXIST && member && regrant_wait(gateway->regrant))
		r = 0;
	if (r < 0) {
		if (member)
			gateway_remove(gateway, member, NULL);
		guest_refuse(guest, error.code == ENOSPC ? BYE_FULL : BYE_REFUSED, REFUSED_RETRY_S,
			     error.what);
		return;
	}
	uint16_t port = connection_local(connection).port;
	if (member_take_channel(member, connection, hello, &routes, port, &error) < 0) {
		gateway_remove(gateway, member, NULL);
		guest_refuse(guest, BYE_PROTOCOL, REFUSED_RETRY_S, error.what);
		return;
	}
	guest_admit(guest);
	note_anchors(gateway, member_identity(member),
		     verdict_serial(channel_verdict(connection_channel(connection))),
		     &hello->anchors);
}
