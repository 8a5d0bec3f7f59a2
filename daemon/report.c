// SPDX-License-Identifier: Apache-2.0

#include "daemon/report.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/hex.h"
#include "client/dns.h"
#include "client/initiator.h"
#include "client/pushed.h"
#include "daemon/audit.h"
#include "daemon/config.h"
#include "daemon/credentials.h"
#include "daemon/engine.h"
#include "daemon/report_policy.h"
#include "daemon/report_refusals.h"
#include "daemon/report_renewal.h"
#include "daemon/report_revocation.h"
#include "daemon/stapler.h"
#include "daemon/trail.h"
#include "daemon/tunnel.h"
#include "daemon/lookout.h"
#include "pki/certificate.h"
#include "pki/credential.h"
#include "pki/staple.h"
#include "pki/trust.h"
#include "pki/verify.h"
#include "server/gateway.h"
#include "tun/dataplane.h"
#include "tun/offload.h"
#include "tun/seal.h"
#include "tun/session.h"

#define NETWORKS_SHOWN 64u // of a site, which may have thousands: `mutun routes` shows them all

static json_t *text_or_null(const char *text)
{
	return text ? json_string(text) : json_null();
}

static json_t *error_or_null(const struct error *error)
{
	char text[ERROR_TEXT_MAX];
	return error && error->code ? json_string(error_text(error, text, sizeof(text)))
				    : json_null();
}

static json_t *expiry(const char *serial, time_t not_after)
{
	char words[32], text[64];
	int64_t left = (int64_t)(not_after - clock_wall());
	clock_words(left, words, sizeof(words));
	snprintf(text, sizeof(text), left > 0 ? "expires in %s" : "expired %s ago", words);
	return json_pack("{s:s,s:I,s:I,s:s}", "serial", serial, "not_after", (json_int_t)not_after,
			 "expires_in_s", (json_int_t)left, "words", text);
}

static json_t *prefixes(const struct prefix *list, unsigned count)
{
	json_t *array = json_array();
	char text[PREFIX_TEXT_MAX];
	for (unsigned i = 0; i < count; i++)
		json_array_append_new(array, json_string(prefix_text(&list[i], text)));
	return array;
}

static json_t *drops(const uint64_t counts[DROP_LAST + 1])
{
	json_t *object = json_object();
	for (unsigned i = DROP_NONE + 1; i <= DROP_LAST; i++)
		if (counts[i])
			json_object_set_new(object, drop_name((enum drop)i),
					    json_integer((json_int_t)counts[i]));
	return object;
}

static json_t *renewal(const struct session_status *status)
{
	const struct session_renewal *last = &status->renewal;
	if (last->at_ms == 0)
		return json_null();
	return json_pack("{s:I,s:s,s:o}", "ago_s", (json_int_t)((clock_ms() - last->at_ms) / 1000),
			 "reason", last->reason, "lost_packets",
			 last->complete ? json_integer((json_int_t)last->lost) : json_null());
}

static void add_counters(json_t *object, const struct session_status *status)
{
	const struct epoch_totals *totals = &status->totals;
	json_object_set_new(object, "rx",
			    json_pack("{s:I,s:I}", "packets", (json_int_t)totals->rx_packets,
				      "bytes", (json_int_t)totals->rx_bytes));
	json_object_set_new(object, "tx",
			    json_pack("{s:I,s:I}", "packets", (json_int_t)totals->tx_packets,
				      "bytes", (json_int_t)totals->tx_bytes));
	json_object_set_new(object, "drops", drops(status->drops));
	json_object_set_new(object, "renewals", json_integer(status->renewals));
	json_object_set_new(object, "renewals_lost_packets",
			    json_integer((json_int_t)status->renewals_lost));
	json_object_set_new(object, "last_renewal", renewal(status));
}

// What a node brought along about its certificate; null: nothing.
static json_t *staple_report(const struct staple *staple)
{
	char words[32], text[96];
	int64_t left = (int64_t)(staple->next_update - clock_wall());
	if (staple->state == STAPLE_NONE)
		return json_null();
	clock_words(left, words, sizeof(words));
	snprintf(text, sizeof(text), left > 0 ? "%s, for another %s" : "%s, until %s ago",
		 staple_state_name(staple->state), words);
	return json_pack("{s:s,s:I,s:s}", "state", staple_state_name(staple->state), "next_update",
			 (json_int_t)staple->next_update, "words", text);
}

static json_t *certificate(const struct verdict *verdict)
{
	json_t *object = expiry(verdict_serial(verdict), verdict_leaf_not_after(verdict));
	json_object_set_new(object, "ocsp", staple_report(verdict_staple(verdict)));
	return object;
}

static json_t *session_report(const struct session *session, const char *link,
			      const struct prefix *addresses, unsigned address_count,
			      const struct prefix *routes, unsigned route_count)
{
	char id[HEX_TEXT_MAX(SESSION_ID_SIZE)], endpoint[ENDPOINT_TEXT_MAX];
	struct session_status status;
	json_t *object = json_object();
	session_status(session, &status);
	hex_text(session->id, SESSION_ID_SIZE, id);
	json_object_set_new(object, "identity", json_string(session->identity));
	json_object_set_new(object, "role", json_string(session->initiator ? "gateway" : "client"));
	json_object_set_new(object, "id", json_string(id));
	json_object_set_new(object, "link", text_or_null(link));
	json_object_set_new(object, "addresses", prefixes(addresses, address_count));
	unsigned shown =
		session->initiator || route_count < NETWORKS_SHOWN ? route_count : NETWORKS_SHOWN;
	json_object_set_new(object, "routes", prefixes(routes, shown));
	json_object_set_new(object, "route_count", json_integer(route_count));
	json_object_set_new(
		object, "endpoint",
		text_or_null(status.has_path ? endpoint_text(&status.endpoint, endpoint) : NULL));
	json_object_set_new(object, "path", json_string(status.has_path ? "udp" : "none"));
	json_object_set_new(object, "mtu", json_integer(status.mtu));
	json_object_set_new(object, "mtu_reason", json_string(status.mtu_reason));
	json_object_set_new(object, "segments_singly", json_boolean(status.singly));
	json_object_set_new(object, "epoch", json_integer(status.epoch));
	json_object_set_new(object, "cipher", json_string(cipher_name(status.cipher)));
	json_object_set_new(object, "group", json_string(status.group));
	json_object_set_new(object, "rtt_ms",
			    status.rtt_ns ? json_real((double)status.rtt_ns / 1e6) : json_null());
	add_counters(object, &status);
	if (status.verdict)
		json_object_set_new(object, "certificate", certificate(status.verdict));
	return object;
}

// Bits per second in each direction.
static void add_bandwidth(json_t *object, uint64_t rate)
{
	json_object_set_new(object, "bandwidth",
			    rate ? json_integer((json_int_t)rate) : json_null());
}

static void add_member(struct session *session, const struct grant *grant, void *data)
{
	const struct admit_peer *peer = grant->peer;
	json_t *object =
		session_report(session, NULL, grant->addresses, grant->address_count,
			       peer ? peer->networks : NULL, peer ? peer->network_count : 0);
	add_bandwidth(object, grant->rate);
	json_array_append_new(data, object);
}

// What the gateway pushed about names, and what became of it on this host.
static void add_names(json_t *object, const struct engine *engine, const struct message_push *push)
{
	json_t *servers = json_array(), *domains = json_array();
	char addr[ADDR_TEXT_MAX], text[DNS_TEXT_MAX];
	for (unsigned i = 0; i < push->server_count; i++)
		json_array_append_new(servers, json_string(addr_text(&push->servers[i], addr)));
	for (unsigned i = 0; i < push->domain_count; i++)
		json_array_append_new(domains, json_string(push->domains[i]));
	json_object_set_new(object, "dns",
			    json_pack("{s:o,s:o,s:s}", "servers", servers, "domains", domains,
				      "state", dns_text(engine_tunnel(engine)->dns, text)));
}

static json_t *sessions(const struct engine *engine)
{
	json_t *array = json_array();
	const struct initiator *initiator;
	if (engine_gateway(engine))
		gateway_each(engine_gateway(engine), add_member, array);
	for (unsigned i = 0; (initiator = engine_initiator(engine, i)); i++) {
		struct initiator_status status;
		initiator_status(initiator, &status);
		if (!status.session || !session_verdict(status.session))
			continue;
		json_t *object =
			session_report(status.session, initiator_name(initiator), status.addresses,
				       status.address_count, status.routes, status.route_count);
		add_bandwidth(object, status.push->rate);
		add_names(object, engine, status.push);
		json_array_append_new(array, object);
	}
	return array;
}

// Routes that the gateway pushed and that were not taken.
static json_t *left_out(const struct initiator_status *status)
{
	json_t *array = json_array();
	char route[PREFIX_TEXT_MAX], words[PUSHED_TEXT_MAX];
	for (unsigned i = 0; i < status->left_out_count; i++) {
		const struct pushed_refusal *refusal = &status->left_out[i];
		json_array_append_new(array, json_pack("{s:s,s:s}", "prefix",
						       prefix_text(&refusal->route, route), "why",
						       pushed_words(refusal, words)));
	}
	return array;
}

static json_t *link_report(const struct initiator *initiator)
{
	char endpoint[ENDPOINT_TEXT_MAX];
	struct initiator_status status;
	initiator_status(initiator, &status);
	bool dialled = status.endpoint.addr.family != AF_UNSPEC;
	uint64_t now = clock_ms();
	bool waits = status.state == LINK_WAIT && status.next_try_ms != CLOCK_NEVER;
	uint64_t left = waits && status.next_try_ms > now ? status.next_try_ms - now : 0;
	return json_pack("{s:s,s:o,s:o,s:s,s:o,s:s,s:i,s:o,s:o}", "name", initiator_name(initiator),
			 "refused", report_refusals(status.refused), "routes_not_taken",
			 left_out(&status), "state", link_state_name(status.state), "endpoint",
			 text_or_null(dialled ? endpoint_text(&status.endpoint, endpoint) : NULL),
			 "identity", initiator_pattern(initiator), "attempts", (int)status.attempts,
			 "last_error", error_or_null(status.last_error), "next_try_in_s",
			 waits ? json_real((double)left / 1000) : json_null());
}

static json_t *links(const struct engine *engine)
{
	json_t *array = json_array();
	const struct initiator *initiator;
	for (unsigned i = 0; (initiator = engine_initiator(engine, i)); i++)
		json_array_append_new(array, link_report(initiator));
	return array;
}

// The set is judged as a whole; the problem is shown with the file that it was found in.
static json_t *problem(const struct engine *engine, bool of_trust)
{
	const struct error *error = credentials_problem(engine_credentials(engine));
	const char *trust = engine_config(engine)->node.trust;
	bool in_trust = error->code && strncmp(error->where, trust, strlen(trust)) == 0;
	return error_or_null(in_trust == of_trust ? error : NULL);
}

static json_t *own_certificate(const struct engine *engine)
{
	char serial[SERIAL_TEXT_MAX];
	const struct credential *credential = credentials_credential(engine_credentials(engine));
	json_t *object = expiry(certificate_serial(credential_leaf(credential), serial),
				credential_not_after(credential));
	json_object_set_new(object, "problem", problem(engine, false));
	json_object_set_new(object, "disbelieved",
			    error_or_null(credentials_disbelieved(engine_credentials(engine))));
	const struct stapler *stapler = credentials_stapler(engine_credentials(engine));
	json_object_set_new(object, "ocsp", staple_report(stapler_staple(stapler)));
	json_object_set_new(object, "ocsp_problem", error_or_null(stapler_problem(stapler)));
	return object;
}

static json_t *listener_report(const struct gateway *gateway)
{
	struct listener_counters counters = gateway_counters(gateway);
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I}", "accepted", (json_int_t)counters.accepted,
			 "opened", (json_int_t)counters.opened, "failed",
			 (json_int_t)counters.failed, "timed_out", (json_int_t)counters.timed_out,
			 "refused_half_open", (json_int_t)counters.refused_half_open,
			 "refused_source", (json_int_t)counters.refused_source);
}

// "on", "off" (by configuration) or "missing" (the kernel cannot, or it was found not to work).
static json_t *offloads(const struct engine *engine)
{
	json_t *object = json_object();
	unsigned wanted;
	unsigned working = tunnel_offloads(engine_tunnel(engine), engine_config(engine), &wanted);
	for (unsigned i = 0; i < OFFLOAD_COUNT; i++) {
		const char *state = "missing";
		if (working & OFFLOAD_BIT(i))
			state = "on";
		else if (!(wanted & OFFLOAD_BIT(i)))
			state = "off";
		json_object_set_new(object, offload_name((enum offload)i), json_string(state));
	}
	return object;
}

static json_t *crypto(const struct engine *engine)
{
	const struct seal_choice *choice = &engine_tunnel(engine)->crypto;
	return json_pack("{s:s,s:i,s:o}", "engine", seal_engine_name(choice->engine), "openssl_ns",
			 (int)choice->openssl_ns, "ipsec_mb_ns",
			 choice->ipsec_mb_ns ? json_integer(choice->ipsec_mb_ns) : json_null());
}

static json_t *audit(const struct engine *engine)
{
	struct trail_status status;
	if (!audit_status(lookout_audit(engine_lookout(engine)), &status))
		return json_null();
	return json_pack("{s:s,s:I,s:I,s:I,s:o}", "file", engine_config(engine)->audit.file,
			 "written", (json_int_t)status.written, "lost", (json_int_t)status.lost,
			 "waiting", (json_int_t)status.waiting, "problem",
			 error_or_null(&status.problem));
}

json_t *report_status(const struct engine *engine)
{
	const struct config *config = engine_config(engine);
	const struct credentials *credentials = engine_credentials(engine);
	struct dataplane *dataplane = engine_tunnel(engine)->dataplane;
	uint64_t counts[DROP_LAST + 1];
	dataplane_drops(dataplane, counts);
	json_t *status = json_pack(
		"{s:i,s:s,s:s,s:o,s:o,s:{s:i,s:o},s:{s:s,s:i,s:o},s:o,s:i,s:o,s:o,s:o}", "schema",
		REPORT_SCHEMA, "version", MUTUN_VERSION, "identity",
		credential_identity(credentials_credential(credentials)), "policy",
		report_policy(engine), "certificate", own_certificate(engine), "trust",
		"certificates", (int)trust_count(credentials_trust(credentials)), "problem",
		problem(engine, true), "interface", "name", config->interface.name, "mtu",
		(int)config->interface.mtu, "offload", offloads(engine), "crypto", crypto(engine),
		"workers", (int)dataplane_workers(dataplane), "links", links(engine), "sessions",
		sessions(engine), "drops", drops(counts));
	if (status && engine_unconfirmed(engine))
		json_object_set_new(status, "unconfirmed_s",
				    json_integer(engine_unconfirmed(engine)));
	if (status && engine_back_problem(engine))
		json_object_set_new(status, "back_problem",
				    error_or_null(engine_back_problem(engine)));
	if (status)
		json_object_set_new(status, "renewal", report_renewal(engine));
	if (status)
		json_object_set_new(status, "revocation", report_revocation(engine));
	if (status)
		json_object_set_new(status, "refused",
				    report_refusals(lookout_refusals(engine_lookout(engine))));
	if (status)
		json_object_set_new(status, "audit", audit(engine));
	if (status && engine_gateway(engine))
		json_object_set_new(status, "listener", listener_report(engine_gateway(engine)));
	return status;
}

json_t *report_certificate(const struct engine *engine)
{
	return json_pack("{s:i,s:o,s:o}", "schema", REPORT_SCHEMA, "certificate",
			 own_certificate(engine), "renewal", report_renewal(engine));
}

json_t *report_sessions(const struct engine *engine)
{
	return json_pack("{s:i,s:o}", "schema", REPORT_SCHEMA, "sessions", sessions(engine));
}
