// SPDX-License-Identifier: Apache-2.0
// One piece of work of the renewal agent, on a thread of its own: a new certificate, the trust that the CA wants, the files.
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "pki/est_client.h"
#include "pki/obtain.h"

struct attempt;
struct config;
struct credential;
struct trust;

enum attempt_kind {
	ATTEMPT_RENEW, // trust, then a certificate, which is put into the files where it is valid already
	ATTEMPT_INSTALL, // one that was not valid yet goes into the files
	ATTEMPT_TRUST,	 // trust alone
	ATTEMPT_UNDO,	 // the pair from before goes back into the files
};

struct attempt_result {
	int r; // 0 or -errno, and `error` then
	struct error error;
	bool installed;	      // the files hold another pair now
	struct obtained held; // new, but not valid yet; leaf NULL: none
	struct est_meta meta;
	bool trust_changed;	  // the trust file holds another set now
	struct error trust_error; // why it does not; code 0: no fault
};

// Begins at once; `done` is called on the loop's thread, and may free the attempt. Copies what it needs of the configuration,
// takes references of credential and trust and, unless it fails, the `held` certificate of ATTEMPT_INSTALL (NULL for others).
// 0 or -errno.
int attempt_new(sd_event *event, enum attempt_kind kind, const struct config *config,
		struct credential *credential, struct trust *trust, struct obtained *held,
		void (*done)(void *data), void *data, struct attempt **ret);
// Gives it up where it runs, which takes a second at most. Takes NULL, returns NULL.
struct attempt *attempt_free(struct attempt *attempt);
DEFINE_CLEANUP(struct attempt *, attempt_free);
// Once it is done. Borrowed; what is taken out of it must be cleared there.
enum attempt_kind attempt_kind(const struct attempt *attempt);
struct attempt_result *attempt_result(struct attempt *attempt);
