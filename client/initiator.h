// SPDX-License-Identifier: Apache-2.0
// What dials: one configured link with its channel, its session and what it pushes to this host. The state machine is
// client/link.h; this is its hands.
#pragma once

#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "client/link.h"
#include "tun/message_question.h"

struct apply;
struct claims;
struct dataplane;
struct dns;
struct herald;
struct inquiry;
struct refusals;
struct host;
struct initiator;
struct message_push;
struct pushed_refusal;
struct session;
struct tls_context;
struct witness;

struct initiator_target {
	const char *host;
	uint16_t port;
};

struct initiator_options {
	const char *name;
	const struct initiator_target *targets; // at least one, in order of preference
	unsigned target_count;
	const char *identity;	     // pattern that the gateway must match
	const struct prefix *accept; // routes that may be taken from the gateway; none: all
	unsigned accept_count;
	unsigned mtu;  // of the interface
	uint32_t mark; // of outer packets
};

// What an initiator works with; all borrowed until initiator_free().
struct initiator_tools {
	sd_event *event;
	struct dataplane *dataplane;
	struct host *host;
	struct apply *apply;
	struct dns *dns;
	const struct claims *claims;   // what no gateway may draw to itself; NULL: nothing
	struct herald *herald;	       // passes denials on; NULL: none
	const struct witness *witness; // NULL: none
	// A gateway trusts a CA certificate of our own trust domain that we do not know: our trust may be out of date.
	void (*unknown_anchor)(void *data);
	void *data;
};

struct initiator_status {
	enum link_state state;
	struct endpoint endpoint; // of the channel, or dialled last; AF_UNSPEC: none yet
	unsigned attempts;
	uint64_t next_try_ms;		// monotonic; CLOCK_NEVER
	const struct error *last_error; // borrowed; code 0: none
	unsigned refusals; // handshakes in which a gateway refused our certificate, since the start
	const struct refusals
		*refused;	 // what the gateway did not let through; borrowed; NULL: nothing
	struct session *session; // borrowed; NULL: none
	const struct prefix *addresses; // pushed, borrowed
	unsigned address_count;
	const struct prefix *routes;
	unsigned route_count;
	const struct pushed_refusal *left_out; // routes that were pushed and not taken
	unsigned left_out_count;
	const struct message_push *push; // borrowed
};

// Copies the options, takes a reference of the context, starts to dial. 0 or -ENOMEM.
int initiator_new(const struct initiator_options *options, const struct initiator_tools *tools,
		  struct tls_context *context, struct initiator **ret);
// Says BYE, takes back what was pushed. Takes NULL, returns NULL.
struct initiator *initiator_free(struct initiator *initiator);
DEFINE_CLEANUP(struct initiator *, initiator_free);

// Whether these options differ from what the link was made with: then it must be made anew.
bool initiator_differs(const struct initiator *initiator, const struct initiator_options *options);
// New credential, trust or revocations, or another time (the same context again): the gateway is judged again at once, by what was
// withdrawn alone or as a `whole`. With a `reason`, identity is proved again (make before break).
void initiator_set_context(struct initiator *initiator, struct tls_context *context, bool whole,
			   const char *reason);
// Prove identity again now.
void initiator_reauth(struct initiator *initiator, const char *reason);
// Leave the gateway and dial anew.
void initiator_disconnect(struct initiator *initiator);
// The claims changed: what was pushed is judged again. A link whose address is claimed now is left.
void initiator_judge_routes(struct initiator *initiator);
// Addresses or routes of the host changed.
void initiator_network_changed(struct initiator *initiator);
// As dialogue_ask().
int initiator_ask(struct initiator *initiator, const struct message_question *question,
		  void (*done)(const struct message_answer *answer, void *data), void *data,
		  struct inquiry **ret);
const char *initiator_name(const struct initiator *initiator);
const char *initiator_pattern(const struct initiator *initiator);
void initiator_status(const struct initiator *initiator, struct initiator_status *ret);
