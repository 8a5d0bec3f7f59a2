// SPDX-License-Identifier: Apache-2.0

#include "server/gateway.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/slices.h"
#include "base/table.h"
#include "pki/facts.h"
#include "pki/tls.h"
#include "pki/verify.h"
#include "server/enrol.h"
#include "server/guest.h"
#include "server/lease.h"
#include "server/member.h"
#include "server/regrant.h"
#include "server/review.h"
#include "tun/anchor.h"
#include "tun/connection.h"
#include "tun/dataplane.h"
#include "tun/guard.h"
#include "tun/session.h"

#define REPLACED_RETRY_S  30u // a second machine with the same identity does not fight for it
#define REFUSED_RETRY_S	  10u
#define STATUS_RETRY_S	  1u // who has just started waits for his responder's first answer
#define FULL_RETRY_S	  30u
#define HANDSHAKE_THREADS 2u

struct gateway {
	sd_event *event;
	struct dataplane *dataplane;
	struct gateway_options options;
	struct tls_context *context;
	struct listener *listener;
	struct leases *leases;
	struct enrol *enrol;	   // NULL: not served
	struct table *by_identity; // members; keys are theirs
	struct guests guests;
	struct review *review;
	struct regrant *regrant;
};

static struct member *find_member(const struct gateway *gateway, const char *identity)
{
	return table_find(gateway->by_identity, identity, strlen(identity));
}

static void remove_member(struct gateway *gateway, struct member *member,
			  const struct message_bye *bye)
{
	const char *identity = member_identity(member);
	table_remove(gateway->by_identity, identity, strlen(identity));
	review_remove(gateway->review, member);
	lease_release(gateway->leases, identity, clock_wall());
	member_free(member, bye);
}

static void on_member_over(struct member *member, void *data)
{
	remove_member(data, member, NULL);
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
	remove_member(gateway, member, &bye);
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
	if (r == 0) {
		const char *key = member_identity(member);
		r = table_add(gateway->by_identity, key, strlen(key), member);
		if (r == 0 && (r = review_add(gateway->review, member)) < 0)
			table_remove(gateway->by_identity, key, strlen(key));
		if (r < 0) {
			member_free(member, NULL);
			error_set(error, -r, "out of memory");
		}
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
	struct member *member = find_member(gateway, verdict_identity(verdict));
	struct message_bye bye = {.code = code, .retry_after_s = REFUSED_RETRY_S};
	snprintf(bye.text, sizeof(bye.text), "%.255s", error->what);
	if (member && code == BYE_REVOKED &&
	    verdict_same_leaf(verdict, session_verdict(member_session(member))))
		remove_member(gateway, member, &bye);
	guest_refuse(guest, code, code == BYE_REVOKED ? REFUSED_RETRY_S : STATUS_RETRY_S,
		     error->what);
}

// What the peer of this certificate gets.
static int grant_of(const struct gateway *gateway, const struct verdict *verdict, struct grant *ret,
		    struct grant_routes *ret_routes, struct error *error)
{
	_cleanup_(facts_done) struct facts facts = {0};
	int r = facts_read(verdict_leaf(verdict), &facts);
	if (r < 0)
		return error_set(error, -r, "out of memory");
	struct filter_peer peer = guard_peer(verdict_identity(verdict), &facts);
	return admit_grant(&gateway->options.admit, gateway->leases, &peer, clock_wall(), ret,
			   ret_routes, error);
}

static void on_hello(struct guest *guest, const struct message_hello *hello, void *data)
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
	struct member *member = find_member(gateway, identity);
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
	if (!member && table_count(gateway->by_identity) >= gateway->options.max_sessions) {
		guest_refuse(guest, BYE_FULL, FULL_RETRY_S, "no session left on this gateway");
		return;
	}
	int r = grant_of(gateway, channel_verdict(channel), &grant, &routes, &error);
	if (r == 0)
		r = member ? member_regrant(member, &grant, &error)
			   : add_member(gateway, identity, &grant, &member, &error);
	if (r == -EEXIST && member && regrant_wait(gateway->regrant))
		r = 0;
	if (r < 0) {
		if (member)
			remove_member(gateway, member, NULL);
		guest_refuse(guest, error.code == ENOSPC ? BYE_FULL : BYE_REFUSED, REFUSED_RETRY_S,
			     error.what);
		return;
	}
	uint16_t port = connection_local(connection).port;
	if (member_take_channel(member, connection, hello, &routes, port, &error) < 0) {
		remove_member(gateway, member, NULL);
		guest_refuse(guest, BYE_PROTOCOL, REFUSED_RETRY_S, error.what);
		return;
	}
	guest_admit(guest);
	note_anchors(gateway, member_identity(member),
		     verdict_serial(channel_verdict(connection_channel(connection))),
		     &hello->anchors);
}

static void on_opened(struct connection *connection, void *data)
{
	struct gateway *gateway = data;
	if (channel_is_http(connection_channel(connection))) {
		if (gateway->enrol)
			enrol_take(gateway->enrol, connection);
		else
			connection_free(connection);
		return;
	}
	guest_add(&gateway->guests, connection);
}

static void on_distrusted(struct member *member, const struct message_bye *bye, void *data)
{
	remove_member(data, member, bye);
}

static void on_trusted(struct member *member, const char *reason, void *data)
{
	const struct gateway *gateway = data;
	member_reauth(member, gateway->options.reauth_within_s, reason);
}

// What the new configuration makes of one live session. false: it waits for what another one has not given up yet; not so the `last`
// time.
static bool on_regrant(struct member *member, bool last, void *data)
{
	struct gateway *gateway = data;
	struct message_bye bye = {.code = BYE_REFUSED, .retry_after_s = REFUSED_RETRY_S};
	struct error error;
	struct grant grant;
	struct grant_routes routes;
	member_set_keepalive(member, gateway->options.keepalive_s);
	int r = grant_of(gateway, session_verdict(member_session(member)), &grant, &routes, &error);
	if (r == 0)
		r = member_set_grant(member, &grant, &routes, &error);
	if (r == 0 || (r == -EEXIST && !last))
		return r == 0;
	snprintf(bye.text, sizeof(bye.text), "%.255s", error.what);
	log_info("session %s ends: %s", session_name(member_session(member)), error.what);
	remove_member(gateway, member, &bye);
	return true;
}

static bool make_walks(struct gateway *gateway)
{
	const struct review_tools review = {
		.event = gateway->event,
		.end = on_distrusted,
		.keep = on_trusted,
		.data = gateway,
	};
	gateway->review = review_new(&review);
	const struct regrant_tools regrant = {
		.event = gateway->event,
		.review = gateway->review,
		.grant = on_regrant,
		.data = gateway,
	};
	gateway->regrant = gateway->review ? regrant_new(&regrant) : NULL;
	return gateway->regrant;
}

int gateway_new(sd_event *event, struct dataplane *dataplane, const struct gateway_options *options,
		struct tls_context *context, struct gateway **ret, struct error *error)
{
	static const struct listener_limits limits = {
		.threads = HANDSHAKE_THREADS,
		.half_open = 512,
		.half_open_source = 8,
		.starts_per_second = 5,
		.starts_burst = 10,
	};
	_cleanup_(gateway_freep) struct gateway *gateway = calloc(1, sizeof(*gateway));
	if (!gateway)
		return error_set(error, ENOMEM, "out of memory");
	gateway->event = event;
	gateway->guests = (struct guests){.event = event, .hello = on_hello, .data = gateway};
	gateway->dataplane = dataplane;
	gateway->options = *options;
	gateway->context = tls_context_get(context);
	gateway->by_identity = table_new();
	if (!gateway->by_identity || !make_walks(gateway))
		return error_set(error, ENOMEM, "out of memory");
	int r = admit_open_leases(&options->admit, options->lease_path, &gateway->leases, error);
	if (r == 0 && options->ca)
		r = enrol_new(event, options->ca, options->ca_passphrase, &gateway->options.admit,
			      &gateway->enrol, error);
	if (r == 0)
		r = dataplane_listen(dataplane, options->listen, options->listen_count, error);
	if (r == 0)
		r = listener_new(event, options->listen, options->listen_count, options->mark,
				 &limits, context, on_opened, gateway, &gateway->listener, error);
	if (r < 0)
		return r;
	*ret = take(gateway);
	return 0;
}

struct gateway *gateway_free(struct gateway *gateway)
{
	struct message_bye bye = {.code = BYE_SHUTDOWN, .text = "the gateway stops"};
	size_t cursor = 0;
	struct member *member;
	if (!gateway)
		return NULL;
	listener_free(gateway->listener);
	enrol_free(gateway->enrol);
	guests_done(&gateway->guests);
	while (gateway->by_identity && (member = table_next(gateway->by_identity, &cursor)))
		remove_member(gateway, member, &bye);
	dataplane_listen(gateway->dataplane, NULL, 0, NULL);
	table_free(gateway->by_identity);
	regrant_free(gateway->regrant);
	review_free(gateway->review);
	leases_close(gateway->leases);
	tls_context_put(gateway->context);
	free(gateway);
	return NULL;
}

int gateway_reload(struct gateway *gateway, const struct gateway_options *options,
		   struct error *error)
{
	_cleanup_(enrol_freep) struct enrol *enrol = NULL;
	// Requests that are under way are not lost by a reload, and nobody waits for their end.
	bool same = enrol_serves(gateway->enrol, options->ca, options->ca_passphrase);
	int r = options->ca && !same
			? enrol_new(gateway->event, options->ca, options->ca_passphrase,
				    &gateway->options.admit, &enrol, error)
			: 0;
	if (r < 0)
		return r;
	r = listener_set_endpoints(gateway->listener, options->listen, options->listen_count,
				   error);
	if (r == 0)
		r = dataplane_listen(gateway->dataplane, options->listen, options->listen_count,
				     error);
	if (r == 0)
		r = admit_open_leases(&options->admit, options->lease_path, &gateway->leases,
				      error);
	if (r < 0) {
		listener_set_endpoints(gateway->listener, gateway->options.listen,
				       gateway->options.listen_count, NULL);
		dataplane_listen(gateway->dataplane, gateway->options.listen,
				 gateway->options.listen_count, NULL);
		return r;
	}
	if (!same) {
		enrol_free(gateway->enrol);
		gateway->enrol = take(enrol);
	}
	gateway->options = *options;
	return 0;
}

void gateway_grant(struct gateway *gateway, void (*done)(void *data), void *data)
{
	regrant_start(gateway->regrant, done, data);
}

bool gateway_compare(const struct gateway *gateway, const struct gateway_options *options,
		     size_t *cursor,
		     void (*each)(const struct session *session,
				  const struct grant_difference *difference, void *data),
		     void *data)
{
	uint64_t until = clock_ns() + SLICES_NS;
	const struct member *member;
	struct grant_difference difference;
	do {
		member = review_before(gateway->review, cursor);
		if (!member)
			return false;
		member_compare(member, &options->admit, &difference);
		each(member_session(member), &difference, data);
	} while (clock_ns() < until);
	return true;
}

void gateway_set_context(struct gateway *gateway, struct tls_context *context, bool whole,
			 const char *reason)
{
	struct tls_context *old = gateway->context;
	gateway->context = tls_context_get(context);
	tls_context_put(old);
	listener_set_context(gateway->listener, context);
	review_start(gateway->review, context, whole, reason);
}

unsigned gateway_disconnect(struct gateway *gateway, const char *identity)
{
	struct message_bye bye = {
		.code = BYE_DISCONNECTED,
		.text = "disconnected by the operator",
		.retry_after_s = REFUSED_RETRY_S,
	};
	struct member *member = find_member(gateway, identity);
	if (!member)
		return 0;
	log_info("session %s ends: %s", session_name(member_session(member)), bye.text);
	remove_member(gateway, member, &bye);
	return 1;
}

unsigned gateway_reauth(struct gateway *gateway, const char *identity, const char *reason)
{
	size_t cursor = 0;
	unsigned count = 0;
	struct member *member;
	while ((member = table_next(gateway->by_identity, &cursor))) {
		if (identity && strcmp(identity, member_identity(member)) != 0)
			continue;
		member_reauth(member, identity ? 0 : gateway->options.reauth_within_s, reason);
		count++;
	}
	return count;
}

void gateway_refuse(const struct gateway *gateway, const char *identity,
		    const struct refusal *refusal)
{
	struct member *member = find_member(gateway, identity);
	if (member)
		member_refuse(member, refusal);
}

int gateway_ask(const struct gateway *gateway, const char *identity,
		const struct message_question *question,
		void (*done)(const struct message_answer *answer, void *data), void *data,
		struct inquiry **ret)
{
	struct member *member = find_member(gateway, identity);
	return member ? member_ask(member, question, done, data, ret) : -ENOTCONN;
}

void gateway_each(const struct gateway *gateway,
		  void (*each)(struct session *session, const struct grant *grant, void *data),
		  void *data)
{
	size_t cursor = 0;
	struct member *member;
	while ((member = table_next(gateway->by_identity, &cursor)))
		each(member_session(member), member_grant(member), data);
}

int gateway_each_declared(const struct gateway *gateway,
			  int (*each)(const struct declared *declared, void *data), void *data)
{
	return declared_each(leases_db(gateway->leases), each, data);
}

struct listener_counters gateway_counters(const struct gateway *gateway)
{
	return listener_counters(gateway->listener);
}
