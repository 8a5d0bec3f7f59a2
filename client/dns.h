// SPDX-License-Identifier: Apache-2.0
// Makes pushed name servers true on this host, for all links together, and takes them back exactly: through systemd-resolved, which
// keeps them with the interface (org.freedesktop.resolve1(5)). Where it does not run nothing is changed, and the log and the status
// say which servers would be asked. Nothing waits for the answers.
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "tun/message_push.h"

struct dns;

// Of the interface with this index and name (copied). Borrows the event loop. NULL: out of memory.
struct dns *dns_new(sd_event *event, unsigned interface, const char *name);
// Takes everything back. Takes NULL, returns NULL.
struct dns *dns_free(struct dns *dns);
DEFINE_CLEANUP(struct dns *, dns_free);

// From now on `owner` (a link's name, copied) wants these servers and domains; copies them. `all`: a default route was pushed, and
// names of all domains are asked there and nowhere else. -ENOMEM.
int dns_set(struct dns *dns, const char *owner, const struct message_push *push, bool all);
// The same with nothing wanted.
void dns_clear(struct dns *dns, const char *owner);

#define DNS_TEXT_MAX 640
// "none", "set in systemd-resolved", "not set: ...": how it stands, for people. Returns `text`.
const char *dns_text(const struct dns *dns, char text[DNS_TEXT_MAX]);
