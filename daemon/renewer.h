// SPDX-License-Identifier: Apache-2.0
// The renewal agent: sees to it that the certificate of this node never ends, or says in time that it will. The moments are
// chosen by pki/renewal.h, the work is done in daemon/attempt.h, the new files are taken up by daemon/credentials.h as anybody
// else's are.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "pki/renewal.h"

struct config;
struct credential;
struct credentials;
struct renewer;

enum renewer_source {
	RENEWER_FILES, // whoever writes them: this node only tells how long they last
	RENEWER_EST,   // renewal.url
	RENEWER_CA,    // gateway.ca: the CA is on this machine
};
const char *renewer_source_name(enum renewer_source source); // "files", "est", "ca"

enum renewer_source renewer_source(const struct config *config);

// What became of a credential in handshakes with peers.
struct renewer_evidence {
	bool proved; // a peer has accepted it
	unsigned
		refused_by_gateways; // counted since the start: handshakes in which a gateway refused our certificate
	unsigned
		refused_by_clients; // the same of clients, from where a real one was; it could still be another one, so it counts only where ...
	bool clients; // ... there are real ones, who would have accepted a good one by now
	unsigned clients_within_s; // the time that they are given for that
};

struct renewer_tools { // borrowed until renewer_free()
	sd_event *event;
	struct credentials *credentials;
	struct renewer_evidence (*evidence)(const struct credential *credential, void *data);
	void *data;
};

// Borrows `config` until the next renewer_reload(). Returns a new agent, which does nothing before renewer_tick().
int renewer_new(const struct renewer_tools *tools, const struct config *config,
		struct renewer **ret);
struct renewer *renewer_free(struct renewer *renewer); // takes NULL, returns NULL
DEFINE_CLEANUP(struct renewer *, renewer_free);
void renewer_reload(struct renewer *renewer, const struct config *config);

// Does what is due by the wall clock. Call it every second: so it survives sleep, and a clock that was set needs no telling
// but renewer_clock_stepped(), which shortens waits that were chosen by the old one.
void renewer_tick(struct renewer *renewer);
void renewer_clock_stepped(struct renewer *renewer);
// Begins an attempt at once, or joins the one under way. `ret_attempt`: renewer_status.attempts once it is over. -EINVAL: that is
// somebody else's to do; -EAGAIN: not with this clock.
int renewer_now(struct renewer *renewer, unsigned *ret_attempt, struct error *error);
// Asks the CA soon whether its roots are others than those that this node trusts; a hint that comes too often is one.
void renewer_refresh_trust(struct renewer *renewer);

struct renewer_status {
	enum renewer_source source;
	const char *from; // URL or directory; NULL for files
	time_t at;	  // next attempt; 0: none is planned
	time_t not_after;
	enum renewal_alarm alarm;
	bool busy;		 // an attempt is under way, or its outcome not in use yet
	unsigned attempts;	 // that are over
	unsigned failures;	 // in a row
	const struct error *why; // of the last one; borrowed; code 0: none
	bool held;		 // a new certificate waits for this clock to reach its beginning
	bool previous;	  // the pair from before is kept until a peer has accepted the new one
	bool clock_wrong; // earlier than this programme was built
	bool dated;
	int64_t skew_s; // where dated: how much the CA's clock was ahead of this one
};
void renewer_status(const struct renewer *renewer, struct renewer_status *ret);
// "renews in 5 h, expires in 9 h", "failed 3 times: ...; next try in 40 s". Returns `text`.
#define RENEWER_WORDS_MAX (ERROR_TEXT_MAX + 128)
const char *renewer_words(const struct renewer *renewer, char text[RENEWER_WORDS_MAX]);
