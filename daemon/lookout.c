// SPDX-License-Identifier: Apache-2.0

#include "daemon/lookout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "daemon/audit.h"
#include "daemon/config.h"
#include "daemon/engine.h"
#include "daemon/explain.h"
#include "daemon/policy_role.h"
#include "daemon/sampler.h"
#include "server/gateway.h"
#include "tun/dataplane.h"
#include "tun/refusals.h"
#include "tun/session.h"
#include "tun/target.h"
#include "tun/witness.h"

#define NOTES_AT_ONCE 256u
#define TICK_US	      1000000u

struct lookout {
	struct lookout_tools tools;
	struct witness witness;
	struct audit *audit;
	sd_event_source *noted, *timer;
	struct sampler *denials;
	uint64_t sample_ms;
	struct refusals refused;
	struct lookout_follower *followers;
};

// --- audit

static const char *text_of(json_t *object, const char *member)
{
	const char *text = json_string_value(json_object_get(object, member));
	return text ? text : "";
}

// Who did it: the identity at its side, or else the address.
static const char *who(json_t *what)
{
	const char *from = text_of(what, "from");
	return *from ? from : text_of(what, "from_address");
}

static void write_denial(json_t *what, bool others, uint64_t count, void *data)
{
	struct lookout *lookout = data;
	json_t *members = json_copy(what);
	json_object_set_new(members, "count", json_integer((json_int_t)count));
	if (others) {
		const char *from = text_of(what, "from");
		audit_put(lookout->audit, AUDIT_DENIED, members, "refused %llu others %s %s",
			  (unsigned long long)count, *from ? "of" : "to",
			  *from ? from : text_of(what, "to"));
		return;
	}
	const char *place = text_of(what, "place");
	audit_put(lookout->audit, AUDIT_DENIED, members, "refused %s: %s (%s), %llu times",
		  who(what), text_of(what, "target"), *place ? place : text_of(what, "reason"),
		  (unsigned long long)count);
}

struct described {
	const struct lookout *lookout;
	const struct sighting *sighting;
};

// With the certificate of the peer whose flow it was, while it has a session.
static json_t *describe(const void *subject)
{
	const struct described *described = subject;
	const struct note *note = described->sighting->note;
	const struct session *session =
		dataplane_find(described->lookout->tools.dataplane, note->session_index);
	json_t *what = sighting_json(described->sighting);
	json_t *peer = session ? audit_session(session) : NULL;
	if (peer)
		json_object_update_missing(what, peer);
	json_decref(peer);
	return what;
}

// A peer, or else the network towards one: it shall not take a peer's room.
static json_t *describe_doer(const void *subject)
{
	const struct sighting *sighting = ((const struct described *)subject)->sighting;
	return sighting->from ? json_pack("{s:s}", "from", sighting->from)
			      : json_pack("{s:s*}", "to", sighting->to);
}

struct doer_key {
	unsigned from, to; // subjects; one of them is 0
};

struct key { // of equal denials
	struct addr from, to;
	uint8_t protocol, program, drop;
	uint16_t service;
	uint32_t rule;
	unsigned subject;
};

static void sample_denial(struct lookout *lookout, const struct sighting *sighting)
{
	const struct note *note = sighting->note;
	struct described described = {lookout, sighting};
	struct key key;
	memset(&key, 0, sizeof(key)); // its padding, too, is compared
	key.from = note->key.from;
	key.to = note->key.to;
	key.protocol = note->key.protocol;
	key.program = note->program;
	key.drop = note->drop;
	key.service = note->service;
	key.rule = note->rule;
	key.subject = note->key.from_subject;
	struct doer_key doer = {.from = note->key.from_subject};
	if (doer.from == 0)
		doer.to = note->key.to_subject;
	struct sampler_event event = {
		.key = &key,
		.size = sizeof(key),
		.doer_key = &doer,
		.doer_size = sizeof(doer),
		.describe = describe,
		.describe_doer = describe_doer,
		.subject = &described,
	};
	sampler_add(lookout->denials, &event, sighting->count, clock_ms());
}

static void write_begun(struct lookout *lookout, const struct sighting *sighting)
{
	struct described described = {lookout, sighting};
	json_t *what = describe(&described);
	char target[TARGET_TEXT_MAX];
	const struct note *note = sighting->note;
	audit_put(lookout->audit, AUDIT_ADMITTED, what, "let %s begin %s (%s)",
		  sighting->from ? sighting->from : text_of(what, "from_address"),
		  target_text(note->key.protocol, &note->key.to, note->service, target),
		  sighting->place);
}

// --- notes

static void note_denied(struct lookout *lookout, const struct sighting *sighting)
{
	const struct note *note = sighting->note;
	struct gateway *gateway = engine_gateway(lookout->tools.engine);
	struct refusal refusal;
	sample_denial(lookout, sighting);
	if (note->drop != DROP_POLICY)
		return;
	sighting_refusal(sighting, &refusal);
	refusals_add(&lookout->refused, &refusal, clock_ms());
	if (gateway && sighting->from)
		gateway_refuse(gateway, sighting->from, &refusal);
}

static void on_note(const struct note *note, void *data)
{
	struct lookout *lookout = data;
	struct sighting sighting = sighting_of(note, lookout->tools.engine);
	if (note->type == NOTE_DENIED)
		note_denied(lookout, &sighting);
	if (note->type == NOTE_BEGUN)
		write_begun(lookout, &sighting);
	for (struct lookout_follower *f = lookout->followers; f; f = f->next)
		f->each(&sighting, f->data);
}

static int on_noted(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	struct lookout *lookout = data;
	(void)source;
	(void)fd;
	(void)revents;
	dataplane_take_notes(lookout->tools.dataplane, NOTES_AT_ONCE, on_note, lookout);
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *data)
{
	struct lookout *lookout = data;
	sampler_tick(lookout->denials, lookout->sample_ms, clock_ms());
	return sd_event_source_set_time(source, usec + TICK_US);
}

// --- sessions

static json_t *address_list(const struct witness_news *news)
{
	json_t *array = json_array();
	char text[ADDR_TEXT_MAX];
	for (unsigned i = 0; i < news->address_count; i++)
		json_array_append_new(array,
				      json_string(addr_text(&news->addresses[i].addr, text)));
	return array;
}

static json_t *members_of(const struct witness_news *news)
{
	char endpoint[ENDPOINT_TEXT_MAX];
	struct session_status status;
	json_t *members = audit_session(news->session);
	session_status(news->session, &status);
	json_object_set_new(members, "addresses", address_list(news));
	if (status.endpoint.addr.family != AF_UNSPEC)
		json_object_set_new(members, "endpoint",
				    json_string(endpoint_text(&status.endpoint, endpoint)));
	return members;
}

static void on_begun(const struct witness_news *news, void *data)
{
	const struct lookout *lookout = data;
	audit_put(lookout->audit, AUDIT_SESSION_BEGUN, members_of(news), "session with %s begins",
		  news->session->identity);
}

static void on_over(const struct witness_news *news, void *data)
{
	const struct lookout *lookout = data;
	struct session_status status;
	bool cut = news->code == BYE_REVOKED || news->code == BYE_UNTRUSTED;
	json_t *members = members_of(news);
	session_status(news->session, &status);
	json_object_set_new(members, "code", json_string(bye_name(news->code)));
	json_object_set_new(members, "reason", json_string(news->why));
	json_object_set_new(members, "received_bytes",
			    json_integer((json_int_t)status.totals.rx_bytes));
	json_object_set_new(members, "sent_bytes",
			    json_integer((json_int_t)status.totals.tx_bytes));
	audit_put(lookout->audit, cut ? AUDIT_SESSION_CUT : AUDIT_SESSION_OVER, members,
		  "session with %s is over: %s", news->session->identity, news->why);
}

static bool on_asked(const struct session *session, const struct message_question *question,
		     struct message_answer *ret, void *data)
{
	const struct lookout *lookout = data;
	return explain_asked(session, question, ret, lookout->tools.engine);
}

const struct witness *lookout_witness(const struct lookout *lookout)
{
	return &lookout->witness;
}

// --- life

static int start(struct lookout *lookout)
{
	sd_event *event = lookout->tools.event;
	lookout->denials = sampler_new(write_denial, lookout);
	if (!lookout->denials)
		return -ENOMEM;
	int r = sd_event_add_io(event, &lookout->noted, dataplane_noted(lookout->tools.dataplane),
				EPOLLIN, on_noted, lookout);
	if (r >= 0)
		r = sd_event_add_time_relative(event, &lookout->timer, CLOCK_MONOTONIC, TICK_US, 0,
					       on_timer, lookout);
	return r < 0 ? r : sd_event_source_set_enabled(lookout->timer, SD_EVENT_ON);
}

int lookout_new(const struct lookout_tools *tools, const struct config_audit *config,
		struct lookout **ret, struct error *error)
{
	_cleanup_(lookout_freep) struct lookout *lookout = calloc(1, sizeof(*lookout));
	if (!lookout)
		return error_set(error, ENOMEM, "out of memory");
	lookout->tools = *tools;
	lookout->witness = (struct witness){
		.begun = on_begun, .over = on_over, .asked = on_asked, .data = lookout};
	lookout->sample_ms = config->sample_s * UINT64_C(1000);
	int r = audit_new(config, tools->identity, &lookout->audit, error);
	if (r < 0)
		return r;
	r = start(lookout);
	if (r < 0)
		return error_set(error, -r, "cannot watch the packets: %s", strerror(-r));
	*ret = take(lookout);
	return 0;
}

struct lookout *lookout_free(struct lookout *lookout)
{
	if (!lookout)
		return NULL;
	sd_event_source_disable_unref(lookout->noted);
	sd_event_source_disable_unref(lookout->timer);
	if (lookout->denials)
		sampler_tick(lookout->denials, 0, clock_ms());
	sampler_free(lookout->denials);
	audit_free(lookout->audit);
	free(lookout);
	return NULL;
}

void lookout_reload(struct lookout *lookout, const struct config_audit *config)
{
	char text[ERROR_TEXT_MAX];
	struct error error;
	lookout->sample_ms = config->sample_s * UINT64_C(1000);
	if (audit_set(lookout->audit, config, &error) < 0)
		log_error("%s", error_text(&error, text, sizeof(text)));
}

struct audit *lookout_audit(const struct lookout *lookout)
{
	return lookout->audit;
}

void lookout_act(const struct lookout *lookout, const char *what, const char *whom, uid_t uid,
		 pid_t pid, const struct error *error)
{
	audit_act(lookout->audit, what, whom, uid, pid, error);
}

void lookout_policy(const struct lookout *lookout, const struct error *error)
{
	struct policy_status status = policy_role_status(engine_policy(lookout->tools.engine));
	char text[ERROR_TEXT_MAX];
	bool done = error->code == 0;
	json_t *members =
		json_pack("{s:s,s:s,s:i,s:i,s:s*}", "result", done ? "loaded" : "refused", "digest",
			  status.digest, "rules", (int)status.rules, "inbound", (int)status.inbound,
			  "reason", done ? NULL : error_text(error, text, sizeof(text)));
	audit_put(lookout->audit, AUDIT_POLICY, members,
		  done ? "policy %.12s is in force: %u rules, %u inbound"
		       : "no new policy, %.12s stays in force: %u rules, %u inbound",
		  status.digest, status.rules, status.inbound);
}

const struct refusals *lookout_refusals(const struct lookout *lookout)
{
	return &lookout->refused;
}

void lookout_follow(struct lookout *lookout, struct lookout_follower *follower)
{
	follower->next = lookout->followers;
	lookout->followers = follower;
}

void lookout_forget(struct lookout *lookout, struct lookout_follower *follower)
{
	struct lookout_follower **at = &lookout->followers;
	while (*at && *at != follower)
		at = &(*at)->next;
	if (*at)
		*at = follower->next;
}
