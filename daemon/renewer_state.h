// SPDX-License-Identifier: Apache-2.0
// The inside of the renewal agent, shared by its two halves: renewer.c (what it does) and renewer_words.c (what it says). Nobody
// else includes it.
#pragma once

#include "daemon/renewer.h"
#include "pki/obtain.h"

struct attempt;

#define RENEWER_FINGERPRINT_SIZE 32

struct renewer {
	struct renewer_tools tools;
	const struct config *config;
	enum renewer_source source;
	struct renewal plan;
	uint8_t planned[RENEWER_FINGERPRINT_SIZE]; // the credential that the plan is for
	uint64_t planned_ms;
	struct renewer_evidence before; // when it was new
	enum renewal_alarm said;
	bool clock_said;
	struct attempt *attempt;		     // under way
	uint8_t attempted[RENEWER_FINGERPRINT_SIZE]; // what was in use when it began
	unsigned attempts;			     // that are over
	bool asked;				     // by the operator: now, whatever the plan says
	uint64_t adopt_by_ms;			     // 0: no new files lie there
	bool undone; // the old ones are being put back, and not in use yet
	bool unused; // the new ones were not taken up, and are put away
	struct error why;
	struct obtained held;
	bool dated;
	int64_t skew_s;
	time_t previous_not_after; // 0: none is kept
	uint64_t trust_ms;	   // 0: nobody asked
	uint64_t trust_asked_ms;
	struct error trust_why;
};

// Says once that the certificate comes to its end, when it is worse than what was said before.
void renewer_say_alarm(struct renewer *renewer, time_t now);
// Says once that nothing can be done with this clock, while it is so. Whether it is.
bool renewer_say_clock(struct renewer *renewer, time_t now);
// Why nothing is done with this clock. Returns `text`.
#define RENEWER_CLOCK_MAX 128
const char *renewer_clock_words(time_t now, char text[RENEWER_CLOCK_MAX]);
