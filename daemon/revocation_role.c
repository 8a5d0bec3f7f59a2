// SPDX-License-Identifier: Apache-2.0

#include "daemon/revocation_role.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/log.h"
#include "daemon/config.h"
#include "daemon/credentials.h"
#include "daemon/denial_files.h"
#include "daemon/lists.h"
#include "pki/denial_store.h"
#include "pki/revocation.h"
#include "tun/herald.h"

#define CHANGED_US 20000u
#define AGAIN_US   1000000u // after one that did not work out

struct revocation_role {
	struct revocation_role_tools tools;
	struct denial_store *denials;
	struct denial_files *files;
	struct lists *lists;
	struct herald *herald;
	sd_event_source *timer; // armed: something has changed
};

static int add_denials(const struct revocation_role *role, struct revocation *revocation)
{
	const struct denial_entry *entry;
	int r = 0;
	for (size_t i = 0; r == 0 && (entry = denial_store_at(role->denials, i)); i++)
		r = revocation_add_denials(revocation, entry->denials);
	return r;
}

static int revise(const struct revocation_role *role)
{
	_cleanup_(revocation_putp) struct revocation *revocation = revocation_new();
	int r = revocation ? add_denials(role, revocation) : -ENOMEM;
	if (r == 0)
		r = lists_add_to(role->lists, revocation);
	return r < 0 ? r : credentials_set_revocation(role->tools.credentials, revocation);
}

static void arm(const struct revocation_role *role, uint64_t wait_us)
{
	sd_event_source_set_time_relative(role->timer, wait_us);
	sd_event_source_set_enabled(role->timer, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *data)
{
	struct revocation_role *role = data;
	(void)source;
	(void)usec;
	if (revise(role) < 0) {
		log_error("out of memory: what was revoked now does not count yet");
		arm(role, AGAIN_US);
	} else {
		role->tools.judge(role->tools.data);
	}
	denial_files_keep(role->files);
	return 0;
}

static void on_changed(void *data)
{
	const struct revocation_role *role = data;
	int enabled;
	// Armed already: more of them must not put it off.
	if (!role->timer || sd_event_source_get_enabled(role->timer, &enabled) > 0)
		return;
	arm(role, CHANGED_US);
}

static void on_denials(const char *domain, void *data)
{
	const struct revocation_role *role = data;
	(void)domain;
	if (role->herald) // else it has not begun
		herald_changed(role->herald);
	on_changed(data);
}

static struct trust *trust_of(void *data)
{
	const struct revocation_role *role = data;
	return credentials_trust(role->tools.credentials);
}

static int set_files(struct revocation_role *role, const struct config *config, bool wait,
		     struct error *error)
{
	_cleanup_(freep) char *own = NULL;
	const char *paths[DENIAL_FILES_MAX];
	size_t count = 0;
	if (config->gateway.ca) {
		if (asprintf(&own, "%s/denials", config->gateway.ca) < 0) {
			own = NULL;
			return error_set(error, ENOMEM, "out of memory");
		}
		paths[count++] = own;
	}
	if (config->revocation.denials)
		paths[count++] = config->revocation.denials;
	return denial_files_watch(role->files, paths, count, wait, error);
}

int revocation_role_prepare(struct revocation_role *role, const struct config *config,
			    struct error *error)
{
	int r = lists_prepare(role->lists, config, error);
	return r < 0 ? r : set_files(role, config, false, error);
}

void revocation_role_adopt(struct revocation_role *role, const struct config *config)
{
	lists_adopt(role->lists, config);
}

void revocation_role_trust_changed(struct revocation_role *role)
{
	lists_trust_changed(role->lists);
}

static int start_lists(struct revocation_role *role, const struct config *config,
		       struct error *error)
{
	struct lists_tools lists = {
		.event = role->tools.event,
		.credentials = role->tools.credentials,
		.changed = on_changed,
		.data = role,
	};
	return lists_new(&lists, config, &role->lists, error);
}

static int start_files(struct revocation_role *role, const struct config *config,
		       struct error *error)
{
	struct denial_files_tools files = {
		.event = role->tools.event,
		.store = role->denials,
		.state = config->node.state,
		.trust = trust_of,
		.data = role,
	};
	int r = denial_files_new(&files, &role->files);
	return r < 0 ? error_set(error, -r, "out of memory")
		     : set_files(role, config, true, error); // before anybody is believed
}

int revocation_role_new(const struct revocation_role_tools *tools, const struct config *config,
			struct revocation_role **ret, struct error *error)
{
	_cleanup_(revocation_role_freep) struct revocation_role *role = calloc(1, sizeof(*role));
	if (!role)
		return error_set(error, ENOMEM, "out of memory");
	role->tools = *tools;
	role->denials = denial_store_new(on_denials, role);
	if (!role->denials)
		return error_set(error, ENOMEM, "out of memory");
	int r = start_lists(role, config, error);
	if (r == 0)
		r = start_files(role, config, error);
	if (r < 0)
		return r;
	struct herald_tools herald = {
		.event = tools->event,
		.store = role->denials,
		.trust = trust_of,
		.data = role,
	};
	if (herald_new(&herald, &role->herald) < 0 || revise(role) < 0 ||
	    sd_event_add_time(tools->event, &role->timer, CLOCK_MONOTONIC, 0, 1000, on_timer,
			      role) < 0 ||
	    sd_event_source_set_enabled(role->timer, SD_EVENT_OFF) < 0)
		return error_set(error, ENOMEM, "out of memory");
	denial_files_keep(role->files);
	*ret = take(role);
	return 0;
}

struct revocation_role *revocation_role_free(struct revocation_role *role)
{
	if (!role)
		return NULL;
	sd_event_source_disable_unref(role->timer);
	lists_free(role->lists);
	denial_files_free(role->files);
	herald_free(role->herald);
	denial_store_free(role->denials);
	free(role);
	return NULL;
}

const struct lists *revocation_role_lists(const struct revocation_role *role)
{
	return role->lists;
}

struct herald *revocation_role_herald(const struct revocation_role *role)
{
	return role->herald;
}

struct denial_store *revocation_role_denials(const struct revocation_role *role)
{
	return role->denials;
}

const struct error *revocation_role_problem(const struct revocation_role *role)
{
	return denial_files_problem(role->files);
}
