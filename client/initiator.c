// SPDX-License-Identifier: Apache-2.0
// A link has up to three channels: the current one, one under way to take its place, and the one before, which waits for
// the gateway's last word (what it sent) before it closes. The session outlives them all; it goes when the gateway says
// so or when a certificate's time is over, and only then the host's configuration goes with it.

#include "client/initiator.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "client/conversation.h"
#include "client/initiator_state.h"
#include "client/resolve.h"
#include "pki/tls.h"
#include "pki/verify.h"
#include "tun/connection.h"
#include "tun/dataplane.h"
#include "tun/herald.h"
#include "tun/host.h"
#include "tun/session.h"
#include "tun/witness.h"

#define PONG_WITHIN_MS 10000u

// --- the loop

static void dial(struct initiator *initiator, const struct endpoint *endpoint)
{
	uint64_t now = clock_ms();
	initiator->endpoint = *endpoint;
	int r = connection_dial(initiator->tools.event, endpoint, initiator->mark,
				initiator->context, initiator->pattern, conversation_event,
				initiator, &initiator->next);
	if (r == 0)
		return;
	char text[ENDPOINT_TEXT_MAX];
	struct error error;
	error_set(&error, -r, "cannot dial %s: %s", endpoint_text(endpoint, text), strerror(-r));
	conversation_error(initiator, &error);
	link_failed(initiator->link, 0, now);
}

static void on_resolved(const struct endpoint *endpoints, unsigned count, const char *reason,
			void *data)
{
	struct initiator *initiator = data;
	const struct initiator_target *target = &initiator->targets[link_endpoint(initiator->link)];
	initiator->resolve = NULL;
	if (count > 0) {
		// A name with several addresses: another one at each round of tries.
		unsigned round = link_attempts(initiator->link) / initiator->target_count;
		dial(initiator, &endpoints[round % count]);
	} else {
		struct error error;
		error_set(&error, EHOSTUNREACH, "cannot resolve %s: %s", target->host, reason);
		conversation_error(initiator, &error);
		link_failed(initiator->link, 0, clock_ms());
	}
	initiator_follow(initiator);
}

static void start_dialling(struct initiator *initiator, uint64_t now)
{
	const struct initiator_target *target = &initiator->targets[link_endpoint(initiator->link)];
	link_dialling(initiator->link, now);
	int r = resolve_new(initiator->tools.event, target->host, target->port, on_resolved,
			    initiator, &initiator->resolve);
	if (r < 0)
		link_failed(initiator->link, 0, now);
}

static void abort_dialling(struct initiator *initiator, uint64_t now)
{
	char text[ENDPOINT_TEXT_MAX];
	struct error error;
	error_set(&error, ETIMEDOUT, "no answer from %s",
		  initiator->resolve ? "the name service"
				     : endpoint_text(&initiator->endpoint, text));
	conversation_error(initiator, &error);
	initiator->resolve = resolve_free(initiator->resolve);
	if (initiator->next)
		conversation_forget(initiator, initiator->next);
	link_failed(initiator->link, 0, now);
}

static void follow_link(struct initiator *initiator, uint64_t now)
{
	switch (link_wish(initiator->link, now)) {
	case LINK_WISH_NOTHING:
		return;
	case LINK_WISH_DIAL:
		start_dialling(initiator, now);
		return;
	case LINK_WISH_ABORT:
		abort_dialling(initiator, now);
		return;
	}
}

static void follow_session(struct initiator *initiator, uint64_t now)
{
	if (!initiator->session)
		return;
	switch (session_tick(initiator->session, now)) {
	case SESSION_NOTHING:
		return;
	case SESSION_DOUBT:
		initiator->ping_ms = now;
		return;
	case SESSION_REKEY:
		initiator_reauth(initiator, "usage limit of the data keys");
		return;
	case SESSION_DEAD:
		if (link_state(initiator->link) != LINK_UP)
			return;
		log_warning("link %s: %s does not answer", initiator->name,
			    session_name(initiator->session));
		if (initiator->current)
			conversation_forget(initiator, initiator->current);
		conversation_reason(initiator, "the gateway did not answer");
		link_dead(initiator->link, now);
		return;
	case SESSION_EXPIRED:
		conversation_end(initiator, BYE_EXPIRED, "a certificate has expired");
		return;
	case SESSION_KEYS:
		conversation_end(initiator, BYE_KEYS, "too many forged packets");
		return;
	}
}

static void follow_channel(struct initiator *initiator, uint64_t now)
{
	struct message ping = {.type = MESSAGE_PING, .ping.token = now};
	if (initiator->previous && now >= initiator->previous_until_ms)
		conversation_forget(initiator, initiator->previous);
	if (!initiator->current)
		return;
	if (now >= initiator->pong_due_ms) {
		log_warning("link %s: the channel does not answer", initiator->name);
		conversation_forget(initiator, initiator->current);
		conversation_lost(initiator, "the channel did not answer", 0);
		return;
	}
	if (now < initiator->ping_ms)
		return;
	initiator->ping_ms = now + initiator->ping_every_ms;
	if (connection_send(initiator->current, &ping) == 0 &&
	    initiator->pong_due_ms == CLOCK_NEVER)
		initiator->pong_due_ms = now + PONG_WITHIN_MS;
}

static uint64_t earliest(const struct initiator *initiator)
{
	uint64_t times[] = {
		link_deadline(initiator->link),
		initiator->session ? session_deadline(initiator->session) : CLOCK_NEVER,
		initiator->current ? initiator->ping_ms : CLOCK_NEVER,
		initiator->current ? initiator->pong_due_ms : CLOCK_NEVER,
		initiator->previous ? initiator->previous_until_ms : CLOCK_NEVER,
	};
	uint64_t first = CLOCK_NEVER;
	for (unsigned i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		if (times[i] < first)
			first = times[i];
	return first;
}

static void arm(struct initiator *initiator)
{
	uint64_t at = earliest(initiator);
	if (at == CLOCK_NEVER) {
		sd_event_source_set_enabled(initiator->timer, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time(initiator->timer, at * 1000);
	sd_event_source_set_enabled(initiator->timer, SD_EVENT_ONESHOT);
}

void initiator_follow(struct initiator *initiator)
{
	follow_link(initiator, clock_ms());
	arm(initiator);
}

void initiator_tick(void *data)
{
	struct initiator *initiator = data;
	follow_session(initiator, clock_ms());
	follow_channel(initiator, clock_ms());
	initiator_follow(initiator);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *data)
{
	(void)source;
	(void)usec;
	initiator_tick(data);
	return 0;
}

// --- life

static int copy_options(struct initiator *initiator, const struct initiator_options *options)
{
	initiator->name = strdup(options->name);
	initiator->pattern = strdup(options->identity);
	initiator->targets = calloc(options->target_count, sizeof(*initiator->targets));
	initiator->accept = calloc(options->accept_count + 1, sizeof(*initiator->accept));
	if (!initiator->name || !initiator->pattern || !initiator->targets || !initiator->accept)
		return -ENOMEM;
	for (unsigned i = 0; i < options->target_count; i++) {
		initiator->targets[i].host = strdup(options->targets[i].host);
		initiator->targets[i].port = options->targets[i].port;
		initiator->target_count = i + 1;
		if (!initiator->targets[i].host)
			return -ENOMEM;
	}
	for (unsigned i = 0; i < options->accept_count; i++)
		initiator->accept[i] = options->accept[i];
	initiator->accept_count = options->accept_count;
	initiator->mtu = options->mtu;
	initiator->mark = options->mark;
	initiator->pushed = (struct pushed){
		.link = initiator->name,
		.dataplane = initiator->tools.dataplane,
		.host = initiator->tools.host,
		.apply = initiator->tools.apply,
		.dns = initiator->tools.dns,
		.claims = initiator->tools.claims,
		.accept = initiator->accept,
		.accept_count = initiator->accept_count,
		.mtu = options->mtu,
	};
	return 0;
}

int initiator_new(const struct initiator_options *options, const struct initiator_tools *tools,
		  struct tls_context *context, struct initiator **ret)
{
	_cleanup_(initiator_freep) struct initiator *initiator = calloc(1, sizeof(*initiator));
	if (!initiator)
		return -ENOMEM;
	initiator->tools = *tools;
	initiator->context = tls_context_get(context);
	initiator->pong_due_ms = CLOCK_NEVER;
	initiator->dialogue = witness_dialogue(tools->witness);
	conversation_reason(initiator, "start");
	int r = copy_options(initiator, options);
	if (r < 0)
		return r;
	initiator->link = link_new(options->target_count, clock_ns() ^ (uintptr_t)initiator);
	if (!initiator->link)
		return -ENOMEM;
	initiator->line = herald_line_new(tools->herald, &initiator->current, options->identity);
	if (tools->herald && !initiator->line)
		return -ENOMEM;
	link_start(initiator->link, clock_ms());
	r = sd_event_add_time(tools->event, &initiator->timer, CLOCK_BOOTTIME, 0, 1000, on_timer,
			      initiator);
	if (r < 0)
		return r;
	*ret = take(initiator);
	return 0;
}

struct initiator *initiator_free(struct initiator *initiator)
{
	struct message_bye bye = {.code = BYE_SHUTDOWN, .text = "the link is taken down"};
	if (!initiator)
		return NULL;
	herald_line_free(initiator->line);
	initiator->resolve = resolve_free(initiator->resolve);
	initiator->next = connection_free(initiator->next);
	initiator->previous = connection_free(initiator->previous);
	if (initiator->current)
		connection_close(take(initiator->current), &bye);
	if (initiator->name)
		conversation_drop(initiator, bye.code, bye.text);
	dialogue_done(&initiator->dialogue);
	sd_event_source_disable_unref(initiator->timer);
	link_free(initiator->link);
	tls_context_put(initiator->context);
	for (unsigned i = 0; i < initiator->target_count; i++)
		free((char *)initiator->targets[i].host);
	free(initiator->targets);
	free(initiator->accept);
	free(initiator->pattern);
	free(initiator->name);
	free(initiator);
	return NULL;
}

bool initiator_differs(const struct initiator *initiator, const struct initiator_options *options)
{
	if (strcmp(initiator->pattern, options->identity) != 0 ||
	    initiator->target_count != options->target_count ||
	    initiator->accept_count != options->accept_count)
		return true;
	for (unsigned i = 0; i < options->target_count; i++)
		if (strcmp(initiator->targets[i].host, options->targets[i].host) != 0 ||
		    initiator->targets[i].port != options->targets[i].port)
			return true;
	for (unsigned i = 0; i < options->accept_count; i++)
		if (!prefix_equal(&initiator->accept[i], &options->accept[i]))
			return true;
	return false;
}

// The gateway of the session as it is, by the trust of today. BYE_RENEWED: it may stay.
static enum bye_code judge_session(struct session *session, const struct trust *trust, bool whole,
				   struct error *error)
{
	const struct verdict *before = session_verdict(session);
	struct verdict *verdict;
	if (!before)
		return BYE_RENEWED;
	if (verdict_revoked(before, trust, clock_wall(), error) < 0)
		return BYE_REVOKED;
	if (!whole)
		return BYE_RENEWED;
	if (verify_again(trust, before, clock_wall(), &verdict, error) < 0)
		return BYE_UNTRUSTED;
	session_set_verdict(session, verdict);
	verdict_put(verdict);
	return BYE_RENEWED;
}

void initiator_set_context(struct initiator *initiator, struct tls_context *context, bool whole,
			   const char *reason)
{
	struct tls_context *old = initiator->context;
	struct error error;
	initiator->context = tls_context_get(context);
	tls_context_put(old);
	enum bye_code code = initiator->session
				     ? judge_session(initiator->session, tls_context_trust(context),
						     whole, &error)
				     : BYE_RENEWED;
	if (code != BYE_RENEWED)
		conversation_end(initiator, code, error.what);
	if (reason)
		initiator_reauth(initiator, reason);
	else
		initiator_follow(initiator);
}

void initiator_reauth(struct initiator *initiator, const char *reason)
{
	conversation_reason(initiator, reason);
	link_reauth(initiator->link, 0, clock_ms());
	initiator_follow(initiator);
}

void initiator_disconnect(struct initiator *initiator)
{
	conversation_end(initiator, BYE_DISCONNECTED, "disconnected by the operator");
	arm(initiator);
}

void initiator_judge_routes(struct initiator *initiator)
{
	struct error error;
	if (!initiator->session)
		return;
	int r = pushed_judge(&initiator->pushed, initiator->session, &error);
	if (r == -EPROTO)
		conversation_end(initiator, BYE_PROTOCOL, error.what);
	else if (r < 0)
		conversation_error(initiator, &error);
	initiator_follow(initiator);
}

void initiator_network_changed(struct initiator *initiator)
{
	uint64_t now = clock_ms();
	if (initiator->session && session_verdict(initiator->session))
		session_probe(initiator->session, now);
	if (initiator->current) {
		struct endpoint local = connection_local(initiator->current);
		if (!host_has_address(initiator->tools.host, &local.addr))
			initiator_reauth(initiator, "address of this node changed");
	}
	link_network_changed(initiator->link, now);
	follow_link(initiator, now);
	arm(initiator);
}

int initiator_ask(struct initiator *initiator, const struct message_question *question,
		  void (*done)(const struct message_answer *answer, void *data), void *data,
		  struct inquiry **ret)
{
	return dialogue_ask(&initiator->dialogue, initiator->current, question, done, data, ret);
}

const char *initiator_name(const struct initiator *initiator)
{
	return initiator->name;
}

const char *initiator_pattern(const struct initiator *initiator)
{
	return initiator->pattern;
}

void initiator_status(const struct initiator *initiator, struct initiator_status *ret)
{
	*ret = (struct initiator_status){
		.state = link_state(initiator->link),
		.endpoint = initiator->endpoint,
		.attempts = link_attempts(initiator->link),
		.next_try_ms = link_deadline(initiator->link),
		.last_error = &initiator->last_error,
		.refusals = initiator->refusals,
		.refused = initiator->dialogue.heard,
		.session = initiator->session,
		.addresses = initiator->pushed.addresses,
		.address_count = initiator->pushed.address_count,
		.routes = initiator->pushed.routes,
		.route_count = initiator->pushed.route_count,
		.left_out = initiator->pushed.refused,
		.left_out_count = initiator->pushed.refused_count,
		.push = &initiator->pushed.more,
	};
}
