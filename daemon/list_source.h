// SPDX-License-Identifier: Apache-2.0
// A configured revocation list, kept current: its file is watched, its URL is fetched from time to time. The last good list stays in
// use until a newer one is there, also over a restart.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"

struct config_list;
struct crl_facts;
struct crl_list;
struct error;
struct list_source;
struct trust;

// All borrowed as long as the source is there.
struct list_source_tools {
	sd_event *event;
	uint32_t mark;	       // of sockets, 0: none
	const char *directory; // of the copies
	const char *domain;    // the own trust domain
	// What the source says has changed: another list, or it has become too old. On the loop's thread.
	void (*changed)(void *data);
	void *data;
};

// Copies `config`; takes a reference of `trust`. The issuer's certificate must be readable. Returns a new source,
// which watches and fetches once the loop runs.
int list_source_new(const struct list_source_tools *tools, const struct config_list *config,
		    struct trust *trust, struct list_source **ret, struct error *error);
struct list_source *list_source_free(struct list_source *source); // takes NULL, returns NULL
DEFINE_CLEANUP(struct list_source *, list_source_free);
// Reads the copy and the file, now: before anything is served. What is wrong is told and does not matter.
void list_source_load(struct list_source *source);

// Whether it reads the same list for the same purpose.
bool list_source_is(const struct list_source *source, const struct config_list *config);
// What `old` holds, where it reads the same list and only another issuer is named, and that one signed it: good until the first look
// of its own.
void list_source_inherit(struct list_source *source, const struct list_source *old);
// Other settings of the same list. True: what it says has changed by that.
bool list_source_set(struct list_source *source, const struct config_list *config);
// Other CA certificates: its signer is judged again, and the list is read again where that fails. True as above.
bool list_source_set_trust(struct list_source *source, struct trust *trust);
// What holds now, borrowed until the next change. False: not known yet, as it is being read for the first time.
bool list_source_list(const struct list_source *source, struct crl_list *ret);

enum list_state {
	LIST_CURRENT,
	LIST_LATE,   // past its next update, within its grace
	LIST_OLD,    // past that
	LIST_UNREAD, // there was never a good one
};

struct list_source_status {
	const char *place; // path or URL
	const char *domain;
	bool hard;
	unsigned grace_s;
	enum list_state state;
	const struct crl_facts *facts; // NULL: LIST_UNREAD
	time_t looked;		       // last time that its place had nothing newer, 0: not yet
	time_t next_look;	       // of a URL, 0: of a file
	const struct error *problem;   // code 0: none
};
void list_source_status(const struct list_source *source, struct list_source_status *ret);
