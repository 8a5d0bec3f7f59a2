// SPDX-License-Identifier: Apache-2.0

#include "server/gateway.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/slices.h"
#include "pki/facts.h"
#include "pki/tls.h"
#include "pki/verify.h"
#include "server/arrival.h"
#include "server/enrol.h"
#include "server/gateway_state.h"
#include "server/lease.h"
#include "server/member.h"
#include "server/regrant.h"
#include "server/review.h"
#include "server/roster.h"
#include "tun/connection.h"
#include "tun/dataplane.h"
#include "tun/guard.h"
#include "tun/session.h"

#define HANDSHAKE_THREADS 2u

void gateway_remove(struct gateway *gateway, struct member *member, const struct message_bye *bye)
{
	roster_remove(gateway->roster, member);
	lease_release(gateway->leases, member_identity(member), clock_wall());
	member_free(member, bye);
}

int gateway_grant_of(const struct gateway *gateway, const struct verdict *verdict,
		     struct grant *ret, struct grant_routes *ret_routes, struct error *error)
{
	_cleanup_(facts_done) struct facts facts = {0};
	int r = facts_read(verdict_leaf(verdict), &facts);
	if (r < 0)
		return error_set(error, -r, "out of memory");
	struct filter_peer peer = guard_peer(verdict_identity(verdict), &facts);
	return admit_grant(&gateway->options.admit, gateway->leases, &peer, clock_wall(), ret,
			   ret_routes, error);
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
	gateway_remove(data, member, bye);
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
	int r = gateway_grant_of(gateway, session_verdict(member_session(member)), &grant, &routes,
				 &error);
	if (r == 0)
		r = member_set_grant(member, &grant, &routes, &error);
	if (r == 0 || (r == -EEXIST && !last))
		return r == 0;
	snprintf(bye.text, sizeof(bye.text), "%.255s", error.what);
	log_info("session %s ends: %s", session_name(member_session(member)), error.what);
	gateway_remove(gateway, member, &bye);
	return true;
}

static bool make_walks(struct gateway *gateway)
{
	const struct review_tools review = {
		.event = gateway->event,
		.roster = gateway->roster,
		.end = on_distrusted,
		.keep = on_trusted,
		.data = gateway,
	};
	gateway->review = review_new(&review);
	const struct regrant_tools regrant = {
		.event = gateway->event,
		.roster = gateway->roster,
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
	gateway->guests = (struct guests){.event = event, .hello = arrival_take, .data = gateway};
	gateway->dataplane = dataplane;
	gateway->options = *options;
	gateway->context = tls_context_get(context);
	gateway->roster = roster_new();
	if (!gateway->roster || !make_walks(gateway))
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
	uint64_t cursor = ROSTER_END;
	struct member *member;
	if (!gateway)
		return NULL;
	listener_free(gateway->listener);
	enrol_free(gateway->enrol);
	guests_done(&gateway->guests);
	while (gateway->roster && (member = roster_before(gateway->roster, &cursor)))
		gateway_remove(gateway, member, &bye);
	dataplane_listen(gateway->dataplane, NULL, 0, NULL);
	regrant_free(gateway->regrant);
	review_free(gateway->review);
	roster_free(gateway->roster);
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
		     uint64_t *cursor,
		     void (*each)(const struct session *session,
				  const struct grant_difference *difference, void *data),
		     void *data)
{
	uint64_t until = clock_ns() + SLICES_NS;
	const struct member *member;
	struct grant_difference difference;
	do {
		member = roster_before(gateway->roster, cursor);
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
	struct member *member = roster_find(gateway->roster, identity);
	if (!member)
		return 0;
	log_info("session %s ends: %s", session_name(member_session(member)), bye.text);
	gateway_remove(gateway, member, &bye);
	return 1;
}

unsigned gateway_reauth(struct gateway *gateway, const char *identity, const char *reason)
{
	if (!identity) {
		review_start(gateway->review, gateway->context, false, reason);
		return (unsigned)roster_count(gateway->roster);
	}
	struct member *member = roster_find(gateway->roster, identity);
	if (member)
		member_reauth(member, 0, reason);
	return member != NULL;
}

void gateway_refuse(const struct gateway *gateway, const char *identity,
		    const struct refusal *refusal)
{
	struct member *member = roster_find(gateway->roster, identity);
	if (member)
		member_refuse(member, refusal);
}

int gateway_ask(const struct gateway *gateway, const char *identity,
		const struct message_question *question,
		void (*done)(const struct message_answer *answer, void *data), void *data,
		struct inquiry **ret)
{
	struct member *member = roster_find(gateway->roster, identity);
	return member ? member_ask(member, question, done, data, ret) : -ENOTCONN;
}

void gateway_each(const struct gateway *gateway,
		  void (*each)(struct session *session, const struct grant *grant, void *data),
		  void *data)
{
	uint64_t cursor = ROSTER_END;
	const struct member *member;
	while ((member = roster_before(gateway->roster, &cursor)))
		each(member_session(member), member_grant(member), data);
}

size_t gateway_count(const struct gateway *gateway)
{
	return roster_count(gateway->roster);
}

const struct session *gateway_before(const struct gateway *gateway, uint64_t *cursor,
				     const struct grant **ret_grant)
{
	const struct member *member = roster_before(gateway->roster, cursor);
	if (member)
		*ret_grant = member_grant(member);
	return member ? member_session(member) : NULL;
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
