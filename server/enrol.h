// SPDX-License-Identifier: Apache-2.0
// Connections that come to the gateway's port to speak HTTP: their TLS ends here, what is inside goes to the EST service and
// back. Bounded in number (in all and per source), in bytes and in time: most of them have proved nothing yet.
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"

struct admit_options;
struct connection;
struct enrol;
struct error;

// Serves the CA in `directory`, as est_server_new(). Certificates are renewed for whom `admit` (borrowed until enrol_free()) lets
// in, and for this node.
int enrol_new(sd_event *event, const char *directory, const char *passphrase_path,
	      const struct admit_options *admit, struct enrol **ret, struct error *error);
struct enrol *enrol_free(struct enrol *enrol); // takes NULL, returns NULL
DEFINE_CLEANUP(struct enrol *, enrol_free);

// Takes a detached connection whose channel is open and speaks HTTP.
void enrol_take(struct enrol *enrol, struct connection *connection);
// Whether it serves this CA in this way; all may be NULL.
bool enrol_serves(const struct enrol *enrol, const char *directory, const char *passphrase_path);
