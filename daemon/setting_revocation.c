// SPDX-License-Identifier: Apache-2.0
// Settings of what is known of certificates that were withdrawn.

#include "daemon/setting_table.h"

#include "daemon/config.h"

static const struct setting settings[] = {
	{.path = "revocation",
	 .type = SETTING_GROUP,
	 .reloadable = true,
	 .offset = offsetof(struct config, revocation),
	 .help = "How this node learns of certificates that were withdrawn."},
	{.path = "revocation.denials",
	 .type = SETTING_PATH,
	 .reloadable = true,
	 .offset = offsetof(struct config_revocation, denials),
	 .help = "Copy of the file \"denials\" of a CA (\"mutun ca revoke\"), kept current by whatever you like. The file is watched. "
		 "Nodes that have a channel to one that knows it, or to a gateway with gateway.ca, need no copy."},
	{.path = "revocation.lists",
	 .type = SETTING_LIST,
	 .max = 32,
	 .reloadable = true,
	 .offset = offsetof(struct config_revocation, lists),
	 .count_offset = offsetof(struct config_revocation, list_count),
	 .size = sizeof(struct config_list),
	 .help = "Revocation lists (CRLs, RFC 5280) of CAs that this node trusts, each from a file or from a URL. A list is "
		 "checked once, beside the packets, and its serial numbers are kept in a table; sessions of those it names end at "
		 "once. The last good one is kept below node.state, in use as long as nothing newer can be read, and never "
		 "replaced by one with a lower number or an earlier time. URLs that stand in certificates are not used. Delta and "
		 "indirect lists, and lists for some certificates or reasons only, are not taken."},
	{.path = "revocation.lists[].file",
	 .type = SETTING_PATH,
	 .reloadable = true,
	 .offset = offsetof(struct config_list, file),
	 .help = "The list in PEM or DER, at most 64 MiB. The file is watched. In PEM, CA certificates may stand beside it."},
	{.path = "revocation.lists[].url",
	 .type = SETTING_PLAIN_URL,
	 .reloadable = true,
	 .offset = offsetof(struct config_list, url),
	 .help = "Where the list is fetched, by http or https, beside the tunnel; redirects are not followed. What counts is the "
		 "signature of the list."},
	{.path = "revocation.lists[].domain",
	 .type = SETTING_DOMAIN,
	 .reloadable = true,
	 .offset = offsetof(struct config_list, domain),
	 .help = "Trust domain that the list speaks for; the own one if not set."},
	{.path = "revocation.lists[].issuer",
	 .type = SETTING_PATH,
	 .reloadable = true,
	 .offset = offsetof(struct config_list, issuer),
	 .help = "Certificate in PEM of the CA that signs the list: one of the trust bundle, or below those, with the certificates between "
		 "behind it. If not set, any CA of the bundle may have signed the first list, and the same one all that follow."},
	{.path = "revocation.lists[].mode",
	 .type = SETTING_MODE,
	 .reloadable = true,
	 .fallback = "soft",
	 .offset = offsetof(struct config_list, hard),
	 .help = "What holds when the list is older than its next update and the grace, or was never read: by \"soft\", who is "
		 "not named by the last list is let in, with a warning in journal and status; by \"hard\", nobody whom it might "
		 "name. Whom the last list names is refused by both."},
	{.path = "revocation.lists[].grace",
	 .type = SETTING_INTEGER,
	 .min = 0,
	 .max = 31536000,
	 .reloadable = true,
	 .fallback = "86400",
	 .offset = offsetof(struct config_list, grace_s),
	 .help = "Seconds after the time of its next update for which the list still counts as current."},
	{.path = "revocation.lists[].refresh_min",
	 .type = SETTING_INTEGER,
	 .min = 1,
	 .max = 86400,
	 .reloadable = true,
	 .fallback = "60",
	 .offset = offsetof(struct config_list, refresh_min_s),
	 .help = "Fewest seconds between two looks at a URL. It is looked at when 50 to 80 % of the time until the list's next "
		 "update are over, and sooner again after a failure."},
	{.path = "revocation.lists[].refresh_max",
	 .type = SETTING_INTEGER,
	 .min = 1,
	 .max = 2592000,
	 .reloadable = true,
	 .fallback = "86400",
	 .offset = offsetof(struct config_list, refresh_max_s),
	 .help = "Most seconds between two looks at a URL."},
};

const struct setting_table setting_revocation = {settings, sizeof(settings) / sizeof(settings[0])};
