// SPDX-License-Identifier: Apache-2.0

#include "daemon/client_role.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "daemon/config.h"
#include "tun/session.h"

struct client_role {
	struct initiator_tools tools;
	struct initiator **links;
	unsigned count;
	struct initiator **room; // for those of the configuration that was prepared
};

static struct initiator_options link_options(const struct config *config,
					     const struct config_link *link,
					     const struct initiator_target *targets)
{
	return (struct initiator_options){
		.name = link->name,
		.targets = targets,
		.target_count = link->to_count,
		.identity = link->identity,
		.accept = link->accept_routes,
		.accept_count = link->accept_route_count,
		.mtu = config->interface.mtu,
		.mark = config->interface.mark,
	};
}

static struct initiator **find_running(const struct client_role *role, const char *name)
{
	for (unsigned i = 0; i < role->count; i++)
		if (role->links[i] && strcmp(initiator_name(role->links[i]), name) == 0)
			return &role->links[i];
	return NULL;
}

// NULL: out of memory.
static struct initiator_target *make_targets(const struct config_link *link)
{
	struct initiator_target *targets = calloc(link->to_count, sizeof(*targets));
	for (unsigned i = 0; targets && i < link->to_count; i++)
		targets[i] = (struct initiator_target){link->to[i].host, link->to[i].port};
	return targets;
}

// The link of this name as it runs, if it runs as configured, taken out of the list; else a new one.
static int adopt_or_start(struct client_role *role, const struct config *config,
			  const struct config_link *link, struct tls_context *context,
			  struct initiator **ret)
{
	_cleanup_(freep) struct initiator_target *targets = make_targets(link);
	if (!targets)
		return -ENOMEM;
	struct initiator_options options = link_options(config, link, targets);
	struct initiator **place = find_running(role, link->name);
	struct initiator *running = place ? take(*place) : NULL;
	if (running && !initiator_differs(running, &options)) {
		*ret = running;
		return 0;
	}
	initiator_free(running);
	return initiator_new(&options, &role->tools, context, ret);
}

struct client_role *client_role_new(const struct initiator_tools *tools)
{
	struct client_role *role = calloc(1, sizeof(*role));
	if (role)
		role->tools = *tools;
	return role;
}

static void end_links(struct client_role *role)
{
	for (unsigned i = 0; i < role->count; i++)
		initiator_free(role->links[i]);
	free(role->links);
}

struct client_role *client_role_free(struct client_role *role)
{
	if (!role)
		return NULL;
	end_links(role);
	free(role->room);
	free(role);
	return NULL;
}

int client_role_prepare(struct client_role *role, const struct config *config, struct error *error)
{
	struct initiator **room = calloc(config->link_count + 1, sizeof(struct initiator *));
	if (!room)
		return error_set(error, ENOMEM, "out of memory");
	free(role->room);
	role->room = room;
	return 0;
}

void client_role_set(struct client_role *role, const struct config *config,
		     struct tls_context *context)
{
	struct initiator **links = take(role->room);
	unsigned count = 0;
	for (unsigned i = 0; i < config->link_count; i++) {
		int r = adopt_or_start(role, config, &config->links[i], context, &links[count]);
		if (r < 0)
			log_error("link %s cannot be started: %s", config->links[i].name,
				  strerror(-r));
		else
			count++;
	}
	end_links(role);
	role->links = links;
	role->count = count;
}

static int compare_link(const struct client_role *role, const struct config *config,
			const struct config_link *link, enum link_change *ret)
{
	_cleanup_(freep) struct initiator_target *targets = make_targets(link);
	if (!targets)
		return -ENOMEM;
	struct initiator_options options = link_options(config, link, targets);
	struct initiator **running = find_running(role, link->name);
	if (!running)
		*ret = LINK_BEGUN;
	else
		*ret = initiator_differs(*running, &options) ? LINK_ANEW : LINK_KEPT;
	return 0;
}

static bool is_wanted(const struct config *config, const char *name)
{
	for (unsigned i = 0; i < config->link_count; i++)
		if (strcmp(config->links[i].name, name) == 0)
			return true;
	return false;
}

int client_role_compare(const struct client_role *role, const struct config *config,
			void (*each)(const char *name, enum link_change change, void *data),
			void *data)
{
	for (unsigned i = 0; i < config->link_count; i++) {
		enum link_change change;
		int r = compare_link(role, config, &config->links[i], &change);
		if (r < 0)
			return r;
		each(config->links[i].name, change, data);
	}
	for (unsigned i = 0; i < role->count; i++)
		if (!is_wanted(config, initiator_name(role->links[i])))
			each(initiator_name(role->links[i]), LINK_ENDED, data);
	return 0;
}

void client_role_set_context(struct client_role *role, struct tls_context *context, bool whole,
			     const char *reason)
{
	for (unsigned i = 0; i < role->count; i++)
		initiator_set_context(role->links[i], context, whole, reason);
}

void client_role_judge_routes(struct client_role *role)
{
	for (unsigned i = 0; role && i < role->count; i++)
		initiator_judge_routes(role->links[i]);
}

void client_role_network_changed(struct client_role *role)
{
	for (unsigned i = 0; i < role->count; i++)
		initiator_network_changed(role->links[i]);
}

static bool has_peer(const struct initiator *link, const char *identity)
{
	struct initiator_status status;
	initiator_status(link, &status);
	return status.session && strcmp(identity, status.session->identity) == 0;
}

unsigned client_role_reauth(struct client_role *role, const char *which, const char *reason)
{
	unsigned count = 0;
	for (unsigned i = 0; i < role->count; i++) {
		struct initiator *link = role->links[i];
		if (which && strcmp(which, initiator_name(link)) != 0 && !has_peer(link, which))
			continue;
		initiator_reauth(link, reason);
		count++;
	}
	return count;
}

unsigned client_role_disconnect(struct client_role *role, const char *identity)
{
	unsigned count = 0;
	for (unsigned i = 0; i < role->count; i++) {
		if (!has_peer(role->links[i], identity))
			continue;
		initiator_disconnect(role->links[i]);
		count++;
	}
	return count;
}

struct initiator *client_role_link(const struct client_role *role, unsigned position)
{
	return role && position < role->count ? role->links[position] : NULL;
}
