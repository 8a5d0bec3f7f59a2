// SPDX-License-Identifier: Apache-2.0

#include "daemon/report_session.h"

#include "base/clock.h"
#include "base/hex.h"
#include "client/dns.h"
#include "client/initiator.h"
#include "daemon/engine.h"
#include "daemon/report_value.h"
#include "daemon/tunnel.h"
#include "pki/verify.h"
#include "server/admit.h"
#include "tun/session.h"

#define NETWORKS_SHOWN 64u // of a site, which may have thousands: `mutun routes` shows them all

static json_t *prefixes(const struct prefix *list, unsigned count)
{
	json_t *array = json_array();
	char text[PREFIX_TEXT_MAX];
	for (unsigned i = 0; i < count; i++)
		json_array_append_new(array, json_string(prefix_text(&list[i], text)));
	return array;
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
	json_object_set_new(object, "drops", report_drops(status->drops));
	json_object_set_new(object, "renewals", json_integer(status->renewals));
	json_object_set_new(object, "renewals_lost_packets",
			    json_integer((json_int_t)status->renewals_lost));
	json_object_set_new(object, "last_renewal", renewal(status));
}

static json_t *certificate(const struct verdict *verdict)
{
	json_t *object = report_expiry(verdict_serial(verdict), verdict_leaf_not_after(verdict));
	json_object_set_new(object, "ocsp", report_staple(verdict_staple(verdict)));
	return object;
}

// NULL: packets go over UDP, or nowhere yet.
static json_t *path_reason(const struct session_status *status, bool initiator)
{
	uint64_t now = clock_ms();
	if (!status->in_channel)
		return json_null();
	if (!initiator)
		return json_string("its packets come over TCP");
	uint64_t left = status->udp_ask_ms > now ? status->udp_ask_ms - now : 0;
	return json_sprintf("no answer over UDP, asked again in %u s", (unsigned)(left / 1000));
}

static const char *path_name(const struct session_status *status)
{
	if (!status->has_path)
		return "none";
	return status->in_channel ? "tcp" : "udp";
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
	json_object_set_new(object, "link", report_text(link));
	json_object_set_new(object, "addresses", prefixes(addresses, address_count));
	unsigned shown =
		session->initiator || route_count < NETWORKS_SHOWN ? route_count : NETWORKS_SHOWN;
	json_object_set_new(object, "routes", prefixes(routes, shown));
	json_object_set_new(object, "route_count", json_integer(route_count));
	json_object_set_new(object, "endpoint",
			    report_text(status.endpoint.addr.family != AF_UNSPEC
						? endpoint_text(&status.endpoint, endpoint)
						: NULL));
	json_object_set_new(object, "path", json_string(path_name(&status)));
	json_object_set_new(object, "path_reason", path_reason(&status, session->initiator));
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

json_t *report_member(const struct session *session, const struct grant *grant)
{
	const struct admit_peer *peer = grant->peer;
	json_t *object =
		session_report(session, NULL, grant->addresses, grant->address_count,
			       peer ? peer->networks : NULL, peer ? peer->network_count : 0);
	add_bandwidth(object, grant->rate);
	return object;
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

bool report_is_up(const struct initiator *initiator)
{
	struct initiator_status status;
	initiator_status(initiator, &status);
	return status.session && session_verdict(status.session);
}

json_t *report_link_session(const struct engine *engine, const struct initiator *initiator)
{
	struct initiator_status status;
	initiator_status(initiator, &status);
	json_t *object = session_report(status.session, initiator_name(initiator), status.addresses,
					status.address_count, status.routes, status.route_count);
	add_bandwidth(object, status.push->rate);
	add_names(object, engine, status.push);
	return object;
}
