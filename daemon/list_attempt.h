// SPDX-License-Identifier: Apache-2.0
// One look at a revocation list: get it from its file or URL, judge it, keep a copy. Waits and works long: for a thread of its own.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include <openssl/x509.h>

#include "base/error.h"
#include "pki/http.h"

struct crl;
struct job;
struct trust;

// All but what comes out is set before; references are taken by who sets them, and put by list_attempt_done().
struct list_attempt {
	const char *file, *url; // one of them; borrowed
	const char *copy;	// where a good one is kept; NULL: nowhere
	const char *domain;
	struct trust *trust;
	STACK_OF(X509) *
		issuers; // the first one signs it, others stand above; borrowed; NULL: any CA may
	struct crl *old; // the one in use; may be NULL
	bool afresh;	 // take it even if it is the one in use
	uint32_t mark;
	char tag[HTTP_TAG_MAX + 1]; // of what was fetched last, and its time
	time_t modified;

	int result;
	struct error error;
	struct crl *crl; // new; NULL where the one in use is the newest there is
	unsigned retry_after_s;
};

// Where the copy of a list is kept, named after what must not be mixed up. Returns a new string. NULL: out of memory.
char *list_attempt_copy(const char *directory, const char *domain, const char *place);
// `job` may be NULL. 0: `crl` and, for a URL, `tag` and `modified`; else `error`, where `result` is also -errno of reading, of
// http_perform() or http_judge(), of crl_read(), or -ESTALE: it is older than the one in use.
void list_attempt_run(struct list_attempt *attempt, const struct job *job);
void list_attempt_done(struct list_attempt *attempt);
