// SPDX-License-Identifier: Apache-2.0

#include "daemon/setting.h"

#include <stdio.h>
#include <string.h>

#include "daemon/config.h"

#define SETTING_NAME_MAX 64 // longest last part of a path that is compared for "did you mean"

// Groups stand before their members; that is also the order of the manual. `max` of arrays and lists bounds what one daemon
// holds and, for what is pushed to clients, what fits a control message.
static const struct setting settings[] = {
	{.path = "node",
	 .type = SETTING_GROUP,
	 .required = true,
	 .reloadable = true,
	 .offset = offsetof(struct config, node),
	 .help = "Who this node is and whom it believes."},
	{.path = "node.certificate",
	 .type = SETTING_PATH,
	 .required = true,
	 .reloadable = true,
	 .offset = offsetof(struct config_node, certificate),
	 .help = "Certificate chain of this node in PEM, its own certificate first. The file is watched: a new "
		 "certificate is taken up by itself, without the loss of a packet."},
	{.path = "node.key",
	 .type = SETTING_PATH,
	 .required = true,
	 .reloadable = true,
	 .offset = offsetof(struct config_node, key),
	 .help = "Private key of the certificate in PEM. Only its owner may have access to the file."},
	{.path = "node.trust",
	 .type = SETTING_PATH,
	 .required = true,
	 .reloadable = true,
	 .offset = offsetof(struct config_node, trust),
	 .help = "CA certificates of the own trust domain and their revocation lists in PEM."},
	{.path = "node.federation",
	 .type = SETTING_LIST,
	 .max = 64,
	 .reloadable = true,
	 .offset = offsetof(struct config_node, federation),
	 .count_offset = offsetof(struct config_node, federation_count),
	 .size = sizeof(struct config_federation),
	 .help = "Other trust domains whose identities can be admitted."},
	{.path = "node.federation[].domain",
	 .type = SETTING_DOMAIN,
	 .required = true,
	 .reloadable = true,
	 .offset = offsetof(struct config_federation, domain),
	 .help = "Name of the other trust domain."},
	{.path = "node.federation[].trust",
	 .type = SETTING_PATH,
	 .required = true,
	 .reloadable = true,
	 .offset = offsetof(struct config_federation, trust),
	 .help = "CA certificates and revocation lists of that domain in PEM."},
	{.path = "node.state",
	 .type = SETTING_PATH,
	 .fallback = "/var/lib/mutun",
	 .offset = offsetof(struct config_node, state),
	 .help = "Directory of what has to outlive the daemon, such as leases."},
	{.path = "renewal",
	 .type = SETTING_GROUP,
	 .reloadable = true,
	 .offset = offsetof(struct config, renewal),
	 .help = "How mutund renews the certificate of this node by itself, over EST (RFC 7030), with a new key each time, when "
		 "60 to 75 % of its life are over. Without it, the files are somebody else's to renew. Certificate and key "
		 "must be one file then (node.certificate and node.key name the same), which is replaced as a whole."},
	{.path = "renewal.url",
	 .type = SETTING_URL,
	 .required = true,
	 .reloadable = true,
	 .offset = offsetof(struct config_renewal, url),
	 .help = "Where the EST service is: \"https://vpn.corp.example\" for a gateway of mutun, or with a port, or with the whole "
		 "path of another service (\"https://est.corp.example/.well-known/est/laptops\"). It is reached beside the "
		 "tunnel, never through it."},
	{.path = "renewal.identity",
	 .type = SETTING_PATTERN,
	 .reloadable = true,
	 .offset = offsetof(struct config_renewal, identity),
	 .help = "Identity that the service must prove, against node.trust. Without it, it is judged as a web server: by the "
		 "name in the URL and the CA certificates of renewal.trust."},
	{.path = "renewal.trust",
	 .type = SETTING_PATH,
	 .reloadable = true,
	 .offset = offsetof(struct config_renewal, trust),
	 .help = "CA certificates in PEM for a service without an identity; those of the system if not set."},
	{.path = "interface",
	 .type = SETTING_GROUP,
	 .offset = offsetof(struct config, interface),
	 .help = "The network interface of the tunnel and its place in the host's routing."},
	{.path = "interface.name",
	 .type = SETTING_NAME,
	 .min = 1,
	 .max = 15,
	 .fallback = "mutun0",
	 .offset = offsetof(struct config_interface, name),
	 .help = "Name of the interface."},
	{.path = "interface.mtu",
	 .type = SETTING_INTEGER,
	 .min = 1280,
	 .max = 65000,
	 .fallback = "1420",
	 .offset = offsetof(struct config_interface, mtu),
	 .help = "Largest packet in bytes that the interface carries. 1420 fits every path of 1500 bytes."},
	{.path = "interface.workers",
	 .type = SETTING_INTEGER,
	 .min = 0,
	 .max = 64,
	 .fallback = "0",
	 .offset = offsetof(struct config_interface, workers),
	 .help = "Threads that carry packets; 0 is one for each core but one."},
	{.path = "interface.table",
	 .type = SETTING_INTEGER,
	 .min = 1,
	 .max = UINT32_MAX,
	 .fallback = "19797",
	 .offset = offsetof(struct config_interface, table),
	 .help = "Routing table of the kernel for the routes of the tunnel. 253 to 255 belong to the host."},
	{.path = "interface.rule_priority",
	 .type = SETTING_INTEGER,
	 .min = 1,
	 .max = 32000,
	 .fallback = "19797",
	 .offset = offsetof(struct config_interface, rule_priority),
	 .help = "Priority of the routing rule that leads to that table; lower ones are asked first."},
	{.path = "interface.mark",
	 .type = SETTING_INTEGER,
	 .min = 1,
	 .max = UINT32_MAX,
	 .fallback = "0x4d54",
	 .offset = offsetof(struct config_interface, mark),
	 .help = "Firewall mark of the daemon's own packets, which keeps them out of the tunnel."},
	{.path = "interface.crypto",
	 .type = SETTING_CRYPTO,
	 .fallback = "auto",
	 .offset = offsetof(struct config_interface, only_openssl),
	 .help = "Which library encrypts packets with AES-GCM: the fastest of those that are there, as measured at start, or OpenSSL."},
	{.path = "offload",
	 .type = SETTING_GROUP,
	 .offset = offsetof(struct config, offload),
	 .help = "What the kernel does for many packets at once. All of it is used where it works; \"mutun status\" shows it. To "
		 "switch one off is for finding out whether a kernel or a network card is at fault."},
	{.path = "offload.tso",
	 .type = SETTING_BOOLEAN,
	 .fallback = "true",
	 .offset = offsetof(struct config_offload, tso),
	 .help = "Whether the kernel hands over TCP segments of up to 64 KiB in one piece."},
	{.path = "offload.uso",
	 .type = SETTING_BOOLEAN,
	 .fallback = "true",
	 .offset = offsetof(struct config_offload, uso),
	 .help = "The same of UDP, from Linux 6.2 on."},
	{.path = "offload.join",
	 .type = SETTING_BOOLEAN,
	 .fallback = "true",
	 .offset = offsetof(struct config_offload, join),
	 .help = "Whether packets of one flow that arrive together are given to the kernel in one piece."},
	{.path = "offload.segment",
	 .type = SETTING_BOOLEAN,
	 .fallback = "true",
	 .offset = offsetof(struct config_offload, segment),
	 .help = "Whether datagrams of one size leave in one piece (UDP_SEGMENT). Where a path loses such "
		 "runs, the daemon finds out and goes on without."},
	{.path = "offload.gro",
	 .type = SETTING_BOOLEAN,
	 .fallback = "true",
	 .offset = offsetof(struct config_offload, gro),
	 .help = "Whether datagrams of one peer arrive in one piece (UDP_GRO)."},
	{.path = "offload.steer",
	 .type = SETTING_BOOLEAN,
	 .fallback = "true",
	 .offset = offsetof(struct config_offload, steer),
	 .help = "Whether a flow and its answers are kept on one worker."},
	{.path = "gateway",
	 .type = SETTING_GROUP,
	 .reloadable = true,
	 .offset = offsetof(struct config, gateway),
	 .help = "Makes the node a gateway, which accepts clients and sites."},
	{.path = "gateway.listen",
	 .type = SETTING_ENDPOINTS,
	 .min = 1,
	 .max = 16,
	 .required = true,
	 .reloadable = true,
	 .offset = offsetof(struct config_gateway, listen),
	 .count_offset = offsetof(struct config_gateway, listen_count),
	 .size = sizeof(struct endpoint),
	 .help = "Where the gateway accepts channels (TCP) and packets (UDP)."},
	{.path = "gateway.pools",
	 .type = SETTING_PREFIXES,
	 .min = 1,
	 .max = 16,
	 .required = true,
	 .reloadable = true,
	 .offset = offsetof(struct config_gateway, pools),
	 .count_offset = offsetof(struct config_gateway, pool_count),
	 .size = sizeof(struct prefix),
	 .help = "Prefixes of which every peer gets one address each: IPv4 from /8 to /30, IPv6 from /8 to /126. The "
		 "first address of each is the gateway's own."},
	{.path = "gateway.admit",
	 .type = SETTING_PATTERNS,
	 .min = 1,
	 .max = 256,
	 .reloadable = true,
	 .offset = offsetof(struct config_gateway, admit),
	 .count_offset = offsetof(struct config_gateway, admit_count),
	 .size = sizeof(char *),
	 .help = "Identities that may connect. \"*\" stands for one path segment or a part of it, \"**\" at the end for all "
		 "further ones. If it is not set, every identity of the own trust domain may."},
	{.path = "gateway.routes",
	 .type = SETTING_PREFIXES,
	 .max = 256,
	 .reloadable = true,
	 .offset = offsetof(struct config_gateway, routes),
	 .count_offset = offsetof(struct config_gateway, route_count),
	 .size = sizeof(struct prefix),
	 .help = "Networks behind the gateway, which it pushes to every client as routes."},
	{.path = "gateway.sites",
	 .type = SETTING_LIST,
	 .max = 60000,
	 .reloadable = true,
	 .offset = offsetof(struct config_gateway, peers),
	 .count_offset = offsetof(struct config_gateway, peer_count),
	 .size = sizeof(struct config_peer),
	 .help = "Peers with networks behind them."},
	{.path = "gateway.sites[].identity",
	 .type = SETTING_IDENTITY,
	 .required = true,
	 .reloadable = true,
	 .offset = offsetof(struct config_peer, identity),
	 .help = "Identity of the peer. No pattern: a network is behind one peer."},
	{.path = "gateway.sites[].networks",
	 .type = SETTING_PREFIXES,
	 .min = 1,
	 .max = 256,
	 .required = true,
	 .reloadable = true,
	 .offset = offsetof(struct config_peer, networks),
	 .count_offset = offsetof(struct config_peer, network_count),
	 .size = sizeof(struct prefix),
	 .help = "Networks behind the peer. Those of different peers, and pools, do not overlap."},
	{.path = "gateway.clients",
	 .type = SETTING_LIST,
	 .max = 60000,
	 .reloadable = true,
	 .offset = offsetof(struct config_gateway, peers),
	 .count_offset = offsetof(struct config_gateway, peer_count),
	 .size = sizeof(struct config_peer),
	 .help = "Peers that always get the same, given addresses. Others need not be listed."},
	{.path = "gateway.clients[].identity",
	 .type = SETTING_IDENTITY,
	 .required = true,
	 .reloadable = true,
	 .offset = offsetof(struct config_peer, identity),
	 .help = "Identity of the peer."},
	{.path = "gateway.clients[].addresses",
	 .type = SETTING_ADDRESSES,
	 .min = 1,
	 .max = 16,
	 .required = true,
	 .reloadable = true,
	 .offset = offsetof(struct config_peer, addresses),
	 .count_offset = offsetof(struct config_peer, address_count),
	 .size = sizeof(struct prefix),
	 .help = "Its addresses, inside or outside of the pools."},
	{.path = "gateway.keepalive",
	 .type = SETTING_INTEGER,
	 .min = 1,
	 .max = 3600,
	 .fallback = "15",
	 .reloadable = true,
	 .offset = offsetof(struct config_gateway, keepalive_s),
	 .help = "Seconds of silence after which a peer sends a keepalive."},
	{.path = "gateway.reauth_within",
	 .type = SETTING_INTEGER,
	 .min = 0,
	 .max = 3600,
	 .fallback = "30",
	 .reloadable = true,
	 .offset = offsetof(struct config_gateway, reauth_within_s),
	 .help = "Seconds over which peers spread themselves when all have to prove their identity again."},
	{.path = "gateway.max_sessions",
	 .type = SETTING_INTEGER,
	 .min = 1,
	 .max = 60000,
	 .fallback = "10000",
	 .reloadable = true,
	 .offset = offsetof(struct config_gateway, max_sessions),
	 .help = "Most sessions at one time."},
	{.path = "gateway.ca",
	 .type = SETTING_PATH,
	 .reloadable = true,
	 .offset = offsetof(struct config_gateway, ca),
	 .help = "Directory of a CA (\"mutun ca init\") that enrols devices and renews their certificates over EST, on the "
		 "ports of gateway.listen. It needs the issuing key; the root's is better kept elsewhere."},
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
	 .help = "Prefixes within which the gateway may push routes. If it is not set, everywhere."},
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

// What one value looks like, with examples; NULL: not a string.
static const char *const phrases[] = {
	[SETTING_GROUP] = NULL,
	[SETTING_LIST] = NULL,
	[SETTING_URL] = "a URL such as \"https://vpn.corp.example\"",
	[SETTING_PATH] = "a path, absolute or relative to the directory of its file",
	[SETTING_INTEGER] = NULL,
	[SETTING_BOOLEAN] = "true or false",
	[SETTING_ENDPOINTS] = "an address with a port such as \"0.0.0.0:443\" or \"[::]:443\"",
	[SETTING_TARGETS] = "a name or address with a port such as \"vpn.corp.example:443\"",
	[SETTING_PREFIXES] = "a prefix such as \"10.90.0.0/16\" or \"fd90::/64\"",
	[SETTING_ADDRESSES] = "an address such as \"10.90.0.7\" or \"fd90::7\"",
	[SETTING_PATTERNS] = "an identity pattern such as \"spiffe://corp.example/laptop/*\"",
	[SETTING_PATTERN] = "an identity pattern such as \"spiffe://corp.example/gateway/*\"",
	[SETTING_IDENTITY] = "an identity such as \"spiffe://corp.example/laptop/alice\"",
	[SETTING_DOMAIN] = "a trust domain such as \"corp.example\"",
	[SETTING_NAME] = NULL,
	[SETTING_CRYPTO] = "\"auto\" or \"openssl\"",
	[SETTING_LEVEL] = "one of \"error\", \"warning\", \"info\", \"debug\"",
};
_Static_assert(sizeof(phrases) / sizeof(phrases[0]) == SETTING_CRYPTO + 1, "a type has no phrase");

#define SETTING_COUNT (sizeof(settings) / sizeof(settings[0]))

const struct setting *setting_find(const char *path)
{
	for (size_t i = 0; i < SETTING_COUNT; i++)
		if (strcmp(settings[i].path, path) == 0)
			return &settings[i];
	return NULL;
}

const struct setting *setting_at(size_t position)
{
	return position < SETTING_COUNT ? &settings[position] : NULL;
}

// The part after the last dot.
static const char *path_leaf(const char *path)
{
	const char *dot = strrchr(path, '.');
	return dot ? dot + 1 : path;
}

bool setting_within(const struct setting *setting, const char *group)
{
	size_t length = strlen(group);
	return strncmp(setting->path, group, length) == 0 && !strchr(setting->path + length, '.');
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned least = a < b ? a : b;
	return least < c ? least : c;
}

// Levenshtein's distance, in one row.
static unsigned edit_distance(const char *a, const char *b)
{
	unsigned row[SETTING_NAME_MAX + 1];
	size_t width = strlen(b);
	if (width > SETTING_NAME_MAX || strlen(a) > SETTING_NAME_MAX)
		return UINT32_MAX;
	for (unsigned i = 0; i <= width; i++)
		row[i] = i;
	for (unsigned line = 1; a[line - 1]; line++) {
		unsigned diagonal = row[0];
		row[0] = line;
		for (unsigned i = 1; i <= width; i++) {
			unsigned change = diagonal + (a[line - 1] != b[i - 1]);
			diagonal = row[i];
			row[i] = min3(row[i] + 1, row[i - 1] + 1, change);
		}
	}
	return row[width];
}

const struct setting *setting_nearest(const char *path)
{
	const char *leaf = path_leaf(path);
	size_t group = (size_t)(leaf - path);
	const struct setting *near = NULL, *elsewhere = NULL;
	// A slip in three letters; more would suggest names that nobody meant.
	unsigned best = ((unsigned)strlen(leaf) + 2) / 3;
	for (size_t i = 0; i < SETTING_COUNT; i++) {
		const char *other = path_leaf(settings[i].path);
		bool same_group = (size_t)(other - settings[i].path) == group &&
				  strncmp(path, settings[i].path, group) == 0;
		if (!same_group && !elsewhere && strcmp(leaf, other) == 0)
			elsewhere = &settings[i];
		unsigned distance = same_group ? edit_distance(leaf, other) : UINT32_MAX;
		if (distance > best || (near && distance == best))
			continue;
		best = distance;
		near = &settings[i];
	}
	return near ? near : elsewhere;
}

bool setting_is_array(const struct setting *setting)
{
	return setting->type >= SETTING_ENDPOINTS && setting->type <= SETTING_PATTERNS;
}

const char *setting_allowed_element(const struct setting *setting, char *text, size_t size)
{
	snprintf(text, size, "%s", phrases[setting->type] ? phrases[setting->type] : "a string");
	return text;
}

const char *setting_allowed(const struct setting *setting, char *text, size_t size)
{
	long long min = setting->min, max = setting->max;
	if (setting->type == SETTING_GROUP)
		snprintf(text, size, "a group { ... }");
	else if (setting->type == SETTING_LIST)
		snprintf(text, size, "a list of at most %lld groups ( { ... }, ... )", max);
	else if (setting->type == SETTING_INTEGER)
		snprintf(text, size, "an integer from %lld to %lld", min, max);
	else if (setting->type == SETTING_NAME)
		snprintf(text, size,
			 "a name of %lld to %lld characters without white space, '/', ':' and '%%'",
			 min, max);
	else if (setting_is_array(setting))
		snprintf(text, size, "an array of %lld to %lld strings, each %s", min, max,
			 phrases[setting->type]);
	else
		snprintf(text, size, "%s", phrases[setting->type]);
	return text;
}
