// SPDX-License-Identifier: Apache-2.0
// The configured revocation lists (CRLs), kept current.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"

struct config;
struct credentials;
struct error;
struct list_source_status;
struct lists;
struct revocation;

// All borrowed as long as the object is there.
struct lists_tools {
	sd_event *event;
	const struct credentials *credentials;
	// What the lists say has changed. On the loop's thread, also from within calls.
	void (*changed)(void *data);
	void *data;
};

// Reads what is there without the network, which may take seconds with large lists. Returns a new object.
int lists_new(const struct lists_tools *tools, const struct config *config, struct lists **ret,
	      struct error *error);
struct lists *lists_free(struct lists *lists); // takes NULL, returns NULL
DEFINE_CLEANUP(struct lists *, lists_free);

// Makes ready what another configuration needs that is not there yet, and forgets what was made ready before. What counts stays.
int lists_prepare(struct lists *lists, const struct config *config, struct error *error);
// The lists of the configuration that is prepared. One that stays as it is keeps what it has; a new one counts from when it was first
// looked at, which goes on behind the scenes.
void lists_adopt(struct lists *lists, const struct config *config);
// The credentials have other CA certificates: lists are judged by those.
void lists_trust_changed(struct lists *lists);
// What holds now. -ENOMEM.
int lists_add_to(const struct lists *lists, struct revocation *revocation);

// For reports. False past the end.
bool lists_at(const struct lists *lists, size_t position, struct list_source_status *ret);
