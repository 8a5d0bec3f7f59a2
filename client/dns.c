// SPDX-License-Identifier: Apache-2.0
// All that is wanted is said anew at every change, in three calls of which each replaces what was said before, and when the service
// comes back after a restart, in which it may have forgotten. The bus is not touched before somebody wants something.

#include "client/dns.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "base/log.h"

#define SERVICE	  "org.freedesktop.resolve1"
#define OBJECT	  "/org/freedesktop/resolve1"
#define INTERFACE "org.freedesktop.resolve1.Manager"
#define BUS	  "org.freedesktop.DBus"
#define CALLS	  3u

enum state {
	STATE_NONE,  // nobody wants anything, and nothing is set
	STATE_ASKED, // said, and not all is answered
	STATE_SET,
	STATE_MISSING, // there is no such service
	STATE_FAILED,  // it refused
};

struct owner {
	struct owner *next;
	struct message_push push;
	bool all;
	char name[];
};

struct dns {
	sd_event *event;
	unsigned interface;
	char *name;
	struct owner *owners;
	sd_bus *bus; // NULL: not open
	sd_bus_slot *watch;
	sd_bus_slot *calls[CALLS];
	unsigned waiting; // calls without an answer
	enum state state;
	char problem[128]; // of STATE_FAILED
};

// --- what is wanted

static bool wants_servers(const struct dns *dns)
{
	for (const struct owner *owner = dns->owners; owner; owner = owner->next)
		if (owner->push.server_count)
			return true;
	return false;
}

static bool wants_all(const struct dns *dns)
{
	for (const struct owner *owner = dns->owners; owner; owner = owner->next)
		if (owner->all && owner->push.server_count)
			return true;
	return false;
}

static bool has_domains(const struct dns *dns)
{
	for (const struct owner *owner = dns->owners; owner; owner = owner->next)
		if (owner->push.domain_count)
			return true;
	return false;
}

static int append_servers(const struct dns *dns, sd_bus_message *message)
{
	int r = sd_bus_message_open_container(message, 'a', "(iay)");
	for (const struct owner *owner = dns->owners; r >= 0 && owner; owner = owner->next)
		for (unsigned i = 0; r >= 0 && i < owner->push.server_count; i++) {
			const struct addr *server = &owner->push.servers[i];
			r = sd_bus_message_open_container(message, 'r', "iay");
			if (r >= 0)
				r = sd_bus_message_append(message, "i", server->family);
			if (r >= 0)
				r = sd_bus_message_append_array(message, 'y', server->bytes,
								ADDR_BYTES(server));
			if (r >= 0)
				r = sd_bus_message_close_container(message);
		}
	return r < 0 ? r : sd_bus_message_close_container(message);
}

static int append_domains(const struct dns *dns, sd_bus_message *message)
{
	int r = sd_bus_message_open_container(message, 'a', "(sb)");
	for (const struct owner *owner = dns->owners; r >= 0 && owner; owner = owner->next)
		for (unsigned i = 0; r >= 0 && i < owner->push.domain_count; i++)
			r = sd_bus_message_append(message, "(sb)", owner->push.domains[i], false);
	// The root, not to complete names with: everything is asked here.
	if (r >= 0 && wants_all(dns))
		r = sd_bus_message_append(message, "(sb)", ".", true);
	return r < 0 ? r : sd_bus_message_close_container(message);
}

static int append_default(const struct dns *dns, sd_bus_message *message)
{
	bool asked = wants_servers(dns) && (wants_all(dns) || !has_domains(dns));
	return sd_bus_message_append(message, "b", asked);
}

// --- words

static void list_servers(const struct dns *dns, char *text, size_t size)
{
	char addr[ADDR_TEXT_MAX];
	size_t at = 0;
	text[0] = '\0';
	for (const struct owner *owner = dns->owners; owner; owner = owner->next)
		for (unsigned i = 0; i < owner->push.server_count && at < size; i++) {
			addr_text(&owner->push.servers[i], addr);
			at += (size_t)snprintf(text + at, size - at, "%s%s", at ? ", " : "", addr);
		}
}

const char *dns_text(const struct dns *dns, char text[DNS_TEXT_MAX])
{
	char servers[256];
	list_servers(dns, servers, sizeof(servers));
	switch (dns->state) {
	case STATE_NONE:
		snprintf(text, DNS_TEXT_MAX, "none");
		break;
	case STATE_ASKED:
		snprintf(text, DNS_TEXT_MAX, "systemd-resolved has not answered yet");
		break;
	case STATE_SET:
		snprintf(text, DNS_TEXT_MAX, "set in systemd-resolved");
		break;
	case STATE_MISSING:
		snprintf(text, DNS_TEXT_MAX,
			 "not set: systemd-resolved does not run here; start it, or write %s into "
			 "/etc/resolv.conf",
			 servers[0] ? servers : "the domains");
		break;
	case STATE_FAILED:
		snprintf(text, DNS_TEXT_MAX, "not set: systemd-resolved refused: %s", dns->problem);
		break;
	}
	return text;
}

static void set_state(struct dns *dns, enum state state)
{
	char text[DNS_TEXT_MAX];
	if (state == dns->state)
		return;
	dns->state = state;
	dns_text(dns, text);
	if (state == STATE_SET)
		log_info("name servers of %s: %s", dns->name, text);
	else if (state != STATE_NONE && state != STATE_ASKED)
		log_warning("name servers of %s: %s", dns->name, text);
}

// --- the bus

static void cancel(struct dns *dns)
{
	for (unsigned i = 0; i < CALLS; i++)
		dns->calls[i] = sd_bus_slot_unref(dns->calls[i]);
	dns->waiting = 0;
}

static void close_bus(struct dns *dns)
{
	cancel(dns);
	dns->watch = sd_bus_slot_unref(dns->watch);
	// What was said last may still be on its way; where the service cannot be reached, it forgets with the interface.
	if (dns->bus && sd_bus_is_ready(dns->bus) > 0)
		sd_bus_flush(dns->bus);
	dns->bus = sd_bus_close_unref(dns->bus);
}

static void fail(struct dns *dns, const char *name, const char *text)
{
	bool missing = name && (strcmp(name, SD_BUS_ERROR_SERVICE_UNKNOWN) == 0 ||
				strcmp(name, SD_BUS_ERROR_NAME_HAS_NO_OWNER) == 0);
	cancel(dns);
	snprintf(dns->problem, sizeof(dns->problem), "%s", text ? text : "no reason given");
	set_state(dns, missing ? STATE_MISSING : STATE_FAILED);
}

static int on_answer(sd_bus_message *message, void *data, sd_bus_error *unused)
{
	struct dns *dns = data;
	const sd_bus_error *error = sd_bus_message_get_error(message);
	(void)unused;
	if (error)
		fail(dns, error->name, error->message);
	else if (--dns->waiting == 0)
		set_state(dns, dns->owners ? STATE_SET : STATE_NONE);
	return 0;
}

static int call(struct dns *dns, unsigned place, const char *member,
		int (*append)(const struct dns *dns, sd_bus_message *message))
{
	sd_bus_message *message = NULL;
	int r = sd_bus_message_new_method_call(dns->bus, &message, SERVICE, OBJECT, INTERFACE,
					       member);
	// Whether the service is to run is the operator's choice.
	if (r >= 0)
		r = sd_bus_message_set_auto_start(message, false);
	if (r >= 0)
		r = sd_bus_message_append(message, "i", (int)dns->interface);
	if (r >= 0 && append)
		r = append(dns, message);
	if (r >= 0)
		r = sd_bus_call_async(dns->bus, &dns->calls[place], message, on_answer, dns, 0);
	if (r >= 0)
		dns->waiting++;
	sd_bus_message_unref(message);
	return r;
}

static int say(struct dns *dns)
{
	if (!dns->owners)
		return call(dns, 0, "RevertLink", NULL);
	int r = call(dns, 0, "SetLinkDNS", append_servers);
	if (r >= 0)
		r = call(dns, 1, "SetLinkDomains", append_domains);
	return r < 0 ? r : call(dns, 2, "SetLinkDefaultRoute", append_default);
}

static void tell(struct dns *dns)
{
	cancel(dns);
	set_state(dns, STATE_ASKED);
	int r = say(dns);
	if (r < 0)
		fail(dns, NULL, strerror(-r));
}

// The service came or went.
static int on_owner(sd_bus_message *message, void *data, sd_bus_error *unused)
{
	struct dns *dns = data;
	const char *name, *before, *now;
	(void)unused;
	if (sd_bus_message_read(message, "sss", &name, &before, &now) < 0 || !dns->owners)
		return 0;
	if (*now)
		tell(dns);
	else
		fail(dns, SD_BUS_ERROR_NAME_HAS_NO_OWNER, NULL);
	return 0;
}

static int open_bus(struct dns *dns)
{
	if (dns->bus && sd_bus_is_open(dns->bus) > 0)
		return 0;
	close_bus(dns);
	int r = sd_bus_open_system(&dns->bus);
	if (r >= 0)
		r = sd_bus_attach_event(dns->bus, dns->event, SD_EVENT_PRIORITY_NORMAL);
	if (r >= 0)
		r = sd_bus_add_match_async(dns->bus, &dns->watch,
					   "type='signal',sender='" BUS "',interface='" BUS
					   "',member='NameOwnerChanged',arg0='" SERVICE "'",
					   on_owner, NULL, dns);
	if (r < 0)
		close_bus(dns);
	return r;
}

static void change(struct dns *dns)
{
	// Nothing is taken back that never was.
	if (!dns->owners && dns->state != STATE_SET && dns->state != STATE_ASKED) {
		set_state(dns, STATE_NONE);
		return;
	}
	int r = open_bus(dns);
	if (r >= 0)
		tell(dns);
	else if (!dns->owners)
		set_state(dns, STATE_NONE);
	else
		fail(dns, SD_BUS_ERROR_SERVICE_UNKNOWN, NULL);
}

// --- life

struct dns *dns_new(sd_event *event, unsigned interface, const char *name)
{
	struct dns *dns = calloc(1, sizeof(*dns));
	if (!dns)
		return NULL;
	dns->event = event;
	dns->interface = interface;
	dns->name = strdup(name);
	return dns->name ? dns : dns_free(dns);
}

struct dns *dns_free(struct dns *dns)
{
	if (!dns)
		return NULL;
	while (dns->owners)
		dns_clear(dns, dns->owners->name);
	close_bus(dns);
	free(dns->name);
	free(dns);
	return NULL;
}

static struct owner **find(struct dns *dns, const char *name)
{
	struct owner **at = &dns->owners;
	while (*at && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	return at;
}

int dns_set(struct dns *dns, const char *owner, const struct message_push *push, bool all)
{
	struct owner **at = find(dns, owner);
	if (!push->server_count && !push->domain_count) {
		dns_clear(dns, owner);
		return 0;
	}
	if (*at && (*at)->all == all && memcmp(&(*at)->push, push, sizeof(*push)) == 0 &&
	    dns->state != STATE_MISSING)
		return 0;
	if (!*at) {
		*at = calloc(1, sizeof(**at) + strlen(owner) + 1);
		if (!*at)
			return -ENOMEM;
		memcpy((*at)->name, owner, strlen(owner));
	}
	(*at)->push = *push;
	(*at)->all = all;
	change(dns);
	return 0;
}

void dns_clear(struct dns *dns, const char *owner)
{
	struct owner **at = find(dns, owner);
	struct owner *old = *at;
	if (!old)
		return;
	*at = old->next;
	free(old);
	change(dns);
}
