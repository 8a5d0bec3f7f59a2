// SPDX-License-Identifier: Apache-2.0
// Settings of what a gateway pushes: to all, and by identity.

#include "daemon/setting_table.h"

#include "daemon/config.h"

#define PROFILE_PREFIXES(name, field, most)                                                  \
	.path = "gateway.profiles[]." name, .type = SETTING_PREFIXES, .min = 1, .max = most, \
	.reloadable = true, .offset = offsetof(struct config_profile, field##s),             \
	.count_offset = offsetof(struct config_profile, field##_count),                      \
	.size = sizeof(struct prefix)

static const struct setting settings[] = {
	{.path = "gateway.dns",
	 .type = SETTING_GROUP,
	 .reloadable = true,
	 .offset = offsetof(struct config, gateway.dns),
	 .help = "Whom clients ask for names, where no profile says otherwise."},
	{.path = "gateway.dns.servers",
	 .type = SETTING_ADDRESSES,
	 .max = 8,
	 .reloadable = true,
	 .offset = offsetof(struct config_dns, servers),
	 .count_offset = offsetof(struct config_dns, server_count),
	 .size = sizeof(struct prefix),
	 .help = "Name servers, which the pushed routes must lead to."},
	{.path = "gateway.dns.domains",
	 .type = SETTING_NAMES,
	 .max = 16,
	 .reloadable = true,
	 .offset = offsetof(struct config_dns, domains),
	 .count_offset = offsetof(struct config_dns, domain_count),
	 .size = sizeof(char *),
	 .help = "Domains that they are asked about, and that complete short names. Without any, and with a default route, they are "
		 "asked about everything."},
	{.path = "gateway.profiles",
	 .type = SETTING_LIST,
	 .max = 256,
	 .reloadable = true,
	 .offset = offsetof(struct config_gateway, profiles),
	 .count_offset = offsetof(struct config_gateway, profile_count),
	 .size = sizeof(struct config_profile),
	 .help = "What some identities get instead of what all get. Of the profiles that match an identity, the first that sets "
		 "something decides that; what none sets is as for all."},
	{.path = "gateway.profiles[].for",
	 .type = SETTING_WHO,
	 .min = 1,
	 .max = 256,
	 .required = true,
	 .reloadable = true,
	 .offset = offsetof(struct config_profile, matches),
	 .count_offset = offsetof(struct config_profile, match_count),
	 .size = sizeof(char *),
	 .help = "Groups of the policy and identity patterns; one that matches is enough."},
	{PROFILE_PREFIXES("pools", pool, 16),
	 .help = "Pools instead of those of gateway.pools. They may be some of those."},
	{PROFILE_PREFIXES("routes", route, 256),
	 .help = "What is pushed as routes instead of gateway.routes and of the networks of sites. 0.0.0.0/0 and ::/0 send everything "
		 "through the tunnel."},
	{.path = "gateway.profiles[].dns",
	 .type = SETTING_GROUP,
	 .reloadable = true,
	 .offset = offsetof(struct config_profile, dns),
	 .help = "Name servers and domains instead of those of gateway.dns."},
	{.path = "gateway.profiles[].dns.servers",
	 .type = SETTING_ADDRESSES,
	 .max = 8,
	 .reloadable = true,
	 .offset = offsetof(struct config_dns, servers),
	 .count_offset = offsetof(struct config_dns, server_count),
	 .size = sizeof(struct prefix),
	 .help = "As gateway.dns.servers."},
	{.path = "gateway.profiles[].dns.domains",
	 .type = SETTING_NAMES,
	 .max = 16,
	 .reloadable = true,
	 .offset = offsetof(struct config_dns, domains),
	 .count_offset = offsetof(struct config_dns, domain_count),
	 .size = sizeof(char *),
	 .help = "As gateway.dns.domains."},
	{.path = "gateway.profiles[].mtu",
	 .type = SETTING_INTEGER,
	 .min = 1280,
	 .max = 65000,
	 .fallback = "65000",
	 .reloadable = true,
	 .offset = offsetof(struct config_profile, mtu),
	 .help = "Largest packet in the tunnel; interface.mtu of either end where that is less."},
	{.path = "gateway.profiles[].bandwidth",
	 .type = SETTING_RATE,
	 .reloadable = true,
	 .offset = offsetof(struct config_profile, bandwidth),
	 .help = "What a session may carry in each direction."},
};

const struct setting_table setting_profile = {settings, sizeof(settings) / sizeof(settings[0])};
