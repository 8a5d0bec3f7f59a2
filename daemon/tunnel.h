// SPDX-License-Identifier: Apache-2.0
// What packets need on this host: the interface, the workers, addresses, routes and name servers, and the library that encrypts.
#pragma once

#include <systemd/sd-event.h>

#include "tun/seal.h"

struct apply;
struct claims;
struct config;
struct dataplane;
struct dns;
struct error;
struct host;

struct tunnel {
	struct host *host;
	struct dataplane *dataplane;
	sd_event_source *outlet; // what the workers have for channels
	struct apply *apply;
	struct dns *dns;
	struct claims *claims;
	sd_event_source *stirred;  // sessions that were at rest
	struct seal_choice crypto; // which library, and why
};

// Starts from zeroes. `network_changed` is called when networks of this host came or went. On failure tunnel_done() takes back what
// was made.
int tunnel_start(struct tunnel *tunnel, sd_event *event, const struct config *config,
		 void (*network_changed)(void *data), void *data, struct error *error);
void tunnel_done(struct tunnel *tunnel);

// OFFLOAD_BIT()s of those that work; `ret_wanted`: those that the configuration allows.
unsigned tunnel_offloads(const struct tunnel *tunnel, const struct config *config,
			 unsigned *ret_wanted);
