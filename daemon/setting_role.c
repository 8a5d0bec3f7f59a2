// SPDX-License-Identifier: Apache-2.0
// Settings of what a node does beside accepting: dial, and tell.

#include "daemon/setting_table.h"

#include "daemon/config.h"

static const struct setting settings[] = {
	{.path = "links",
	 .type = SETTING_LIST,
	 .max = 64,
	 .reloadable = true,
	 .offset = offsetof(struct config, links),
	 .count_offset = offsetof(struct config, link_count),
	 .size = sizeof(struct config_link),
	 .help = "Gateways that this node dials."},
	{.path = "links[].name",
	 .type = SETTING_NAME,
	 .min = 1,
	 .max = 32,
	 .required = true,
	 .reloadable = true,
	 .offset = offsetof(struct config_link, name),
	 .help = "Name of the link in logs and commands, different for every link."},
	{.path = "links[].to",
	 .type = SETTING_TARGETS,
	 .min = 1,
	 .max = 16,
	 .required = true,
	 .reloadable = true,
	 .offset = offsetof(struct config_link, to),
	 .count_offset = offsetof(struct config_link, to_count),
	 .size = sizeof(struct config_target),
	 .help = "Where the gateway is, in order of preference."},
	{.path = "links[].identity",
	 .type = SETTING_PATTERN,
	 .required = true,
	 .reloadable = true,
	 .offset = offsetof(struct config_link, identity),
	 .help = "Pattern that the identity of the gateway must match."},
	{.path = "links[].accept",
	 .type = SETTING_PREFIXES,
	 .min = 1,
	 .max = 256,
	 .reloadable = true,
	 .offset = offsetof(struct config_link, accept_routes),
	 .count_offset = offsetof(struct config_link, accept_route_count),
	 .size = sizeof(struct prefix),
	 .help = "Prefixes within which the gateway may push routes. If it is not set, everywhere. On a node that is a gateway itself, a "
		 "pushed route within one of its own pools, gateway.routes, or networks and addresses of its sites and clients is not taken, "
		 "unless a prefix given here lies within the same; a shorter one is, and leads to what is nobody's. What was not taken is "
		 "shown by \"mutun status\"."},
	{.path = "log",
	 .type = SETTING_GROUP,
	 .reloadable = true,
	 .help = "What the daemon writes to the journal."},
	{.path = "log.level",
	 .type = SETTING_LEVEL,
	 .fallback = "info",
	 .reloadable = true,
	 .offset = offsetof(struct config, log_level),
	 .help = "The least important lines that are written."},
	{.path = "control", .type = SETTING_GROUP, .help = "How mutun(1) reaches the daemon."},
	{.path = "control.socket",
	 .type = SETTING_PATH,
	 .fallback = "/run/mutun/mutund.sock",
	 .offset = offsetof(struct config, control_socket),
	 .help = "The control socket; at most 107 characters."},
};

const struct setting_table setting_role = {settings, sizeof(settings) / sizeof(settings[0])};
