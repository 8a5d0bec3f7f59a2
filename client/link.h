// SPDX-License-Identifier: Apache-2.0
// The state machine of one configured link: when to dial which endpoint, when to prove identity again, how long to wait.
// No I/O and no clock: facts and `now` in, one wish and the next deadline out. Times are monotonic milliseconds.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

struct link;

// In brackets the facts that mean something in a state; the others are ignored there. link_start() means something in
// LINK_IDLE only, link_stop() and link_set_endpoint_count() everywhere.
enum link_state {
	LINK_IDLE, // not started, or stopped []
	LINK_DIAL, // TCP and TLS to one endpoint, with no session up [dialling, hello_sent, ready, failed, reauth, network]
	LINK_PROVE, // HELLO sent, waiting for READY, with no session up [ready, failed, reauth, network]
	LINK_UP,     // a session is up [down, reauth]
	LINK_REAUTH, // a session is up and a second channel is on its way (make before break) [all]
	LINK_WAIT,   // backoff before the next try, with no session up [reauth, network]
};
const char *
link_state_name(enum link_state state); // "idle", "dial", "prove", "up", "reauth", "wait"

// What the owner should do. Dialling covers TCP, TLS and HELLO.
enum link_wish {
	LINK_WISH_NOTHING,
	LINK_WISH_DIAL,	 // open a channel to endpoint link_endpoint(), say HELLO
	LINK_WISH_ABORT, // the channel under way took too long: drop it and call link_failed()
};

#define LINK_DIAL_MS	 4000u // TCP and TLS to one endpoint, before the next is tried
#define LINK_PROVE_MS	 5000u // from HELLO to READY
#define LINK_WAIT_MIN_MS 100u  // decorrelated jitter: uniform in [min, 3 x the wait before], capped
#define LINK_CAP_MIN_MS \
	1000u // the cap is a quarter of the time since the link went down, within these bounds:
#define LINK_CAP_MAX_MS \
	30000u // soon after a loss the link tries often, a gateway long gone is left in peace
#define LINK_REKEY_MS \
	3600000u // the session is proved again after this time, less up to a tenth at random
#define LINK_REAUTH_MIN_MS 1000u // the same between failed proofs, while the session stays up
#define LINK_REAUTH_MAX_MS 60000u
#define LINK_SPACING_MS	   1000u // from one READY to the next proof at least, whatever asks for it
// A session that is lost sooner is a failed try: two nodes with one identity, which take the session from each other, do not
// get to do it as fast as they can.
#define LINK_SETTLED_MS		5000u
#define LINK_RETRY_AFTER_MAX_MS 86400000u // more is taken as this
#define LINK_ENDPOINTS_MAX	64u	  // endpoints beyond it are never dialled

// `endpoint_count` >= 1. `seed` makes the jitter (tests fix it). NULL: out of memory.
struct link *link_new(unsigned endpoint_count, uint64_t seed);
struct link *link_free(struct link *link); // takes NULL, returns NULL
DEFINE_CLEANUP(struct link *, link_free);

// Facts. Each may change what link_wish() and link_deadline() say.
void link_start(struct link *link, uint64_t now);
void link_stop(struct link *link);
void link_set_endpoint_count(struct link *link, unsigned count);
void link_dialling(struct link *link, uint64_t now); // the owner took LINK_WISH_DIAL up
void link_hello_sent(struct link *link, uint64_t now);
void link_ready(struct link *link, uint64_t now); // READY came: up (again)
// The channel under way failed, or was refused with `retry_after_ms` (0: not said): the endpoint is not dialled earlier. The
// next endpoint follows at once, or after a wait when each had its turn. In LINK_REAUTH the session stays up meanwhile.
void link_failed(struct link *link, uint64_t retry_after_ms, uint64_t now);
// The session is gone (dead peer, BYE, expired). retry_after_ms as above. Dials at once where nothing else was said and the
// session was settled; a channel that is under way goes on instead.
void link_down(struct link *link, uint64_t retry_after_ms, uint64_t now);
// The session is gone because its gateway does not answer: the next endpoint is dialled first.
void link_dead(struct link *link, uint64_t now);
// Prove again at a random moment within `within_ms` (0: now): REAUTH from the gateway, new credential or trust, own
// address gone, channel lost while data flows, rekey. While one is under way, another follows after it.
void link_reauth(struct link *link, uint64_t within_ms, uint64_t now);
// The network of this host changed: waits are cut short, but never what a gateway asked for with retry_after_ms.
void link_network_changed(struct link *link, uint64_t now);

enum link_wish link_wish(struct link *link, uint64_t now);
uint64_t link_deadline(const struct link *link); // when to ask again at the latest; CLOCK_NEVER
enum link_state link_state(const struct link *link);
// The endpoint to dial: after a failure the next in order, after READY the same again.
unsigned link_endpoint(const struct link *link);
unsigned link_attempts(const struct link *link); // failed tries since READY
