// SPDX-License-Identifier: Apache-2.0

#include "daemon/report.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "client/initiator.h"
#include "client/pushed.h"
#include "daemon/audit.h"
#include "daemon/config.h"
#include "daemon/credentials.h"
#include "daemon/engine.h"
#include "daemon/report_policy.h"
#include "daemon/report_refusals.h"
#include "daemon/report_renewal.h"
#include "daemon/report_session.h"
#include "daemon/report_value.h"
#include "daemon/report_revocation.h"
#include "daemon/stapler.h"
#include "daemon/trail.h"
#include "daemon/tunnel.h"
#include "daemon/lookout.h"
#include "pki/certificate.h"
#include "pki/credential.h"
#include "pki/trust.h"
#include "server/gateway.h"
#include "tun/dataplane.h"
#include "tun/offload.h"
#include "tun/seal.h"
#include "tun/session.h"

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
			 report_text(dialled ? endpoint_text(&status.endpoint, endpoint) : NULL),
			 "identity", initiator_pattern(initiator), "attempts", (int)status.attempts,
			 "last_error", report_problem(status.last_error), "next_try_in_s",
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
	return report_problem(in_trust == of_trust ? error : NULL);
}

static json_t *own_certificate(const struct engine *engine)
{
	char serial[SERIAL_TEXT_MAX];
	const struct credential *credential = credentials_credential(engine_credentials(engine));
	json_t *object = report_expiry(certificate_serial(credential_leaf(credential), serial),
				       credential_not_after(credential));
	json_object_set_new(object, "problem", problem(engine, false));
	json_object_set_new(object, "disbelieved",
			    report_problem(credentials_disbelieved(engine_credentials(engine))));
	const struct stapler *stapler = credentials_stapler(engine_credentials(engine));
	json_object_set_new(object, "ocsp", report_staple(stapler_staple(stapler)));
	json_object_set_new(object, "ocsp_problem", report_problem(stapler_problem(stapler)));
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
			 report_problem(&status.problem));
}

static size_t session_count(const struct engine *engine)
{
	size_t count = engine_gateway(engine) ? gateway_count(engine_gateway(engine)) : 0;
	const struct initiator *initiator;
	for (unsigned i = 0; (initiator = engine_initiator(engine, i)); i++)
		count += report_is_up(initiator);
	return count;
}

json_t *report_status(const struct engine *engine)
{
	const struct config *config = engine_config(engine);
	const struct credentials *credentials = engine_credentials(engine);
	struct dataplane *dataplane = engine_tunnel(engine)->dataplane;
	uint64_t counts[DROP_LAST + 1];
	dataplane_drops(dataplane, counts);
	json_t *status = json_pack(
		"{s:i,s:s,s:s,s:o,s:o,s:{s:i,s:o},s:{s:s,s:i,s:o},s:o,s:i,s:o,s:i,s:o}", "schema",
		REPORT_SCHEMA, "version", MUTUN_VERSION, "identity",
		credential_identity(credentials_credential(credentials)), "policy",
		report_policy(engine), "certificate", own_certificate(engine), "trust",
		"certificates", (int)trust_count(credentials_trust(credentials)), "problem",
		problem(engine, true), "interface", "name", config->interface.name, "mtu",
		(int)config->interface.mtu, "offload", offloads(engine), "crypto", crypto(engine),
		"workers", (int)dataplane_workers(dataplane), "links", links(engine),
		"session_count", (int)session_count(engine), "drops", report_drops(counts));
	if (status && engine_unconfirmed(engine))
		json_object_set_new(status, "unconfirmed_s",
				    json_integer(engine_unconfirmed(engine)));
	if (status && engine_back_problem(engine))
		json_object_set_new(status, "back_problem",
				    report_problem(engine_back_problem(engine)));
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
