// SPDX-License-Identifier: Apache-2.0

#include "daemon/setting.h"

#include <stdio.h>
#include <string.h>

#include "daemon/setting_table.h"

#define SETTING_NAME_MAX 64 // longest last part of a path that is compared for "did you mean"

// In the order of the manual.
static const struct setting_table *const tables[] = {
	&setting_node,	  &setting_revocation, &setting_tunnel, &setting_gateway,
	&setting_profile, &setting_role,       &setting_policy, &setting_audit};
#define TABLE_COUNT (sizeof(tables) / sizeof(tables[0]))

// What one value looks like, with examples; NULL: not a string.
static const char *const phrases[] = {
	[SETTING_GROUP] = NULL,
	[SETTING_LIST] = NULL,
	[SETTING_URL] = "a URL such as \"https://vpn.corp.example\"",
	[SETTING_PLAIN_URL] =
		"a URL such as \"http://ocsp.corp.example/\" or \"http://pki.corp.example/ca.crl\"",
	[SETTING_PATH] = "a path, absolute or relative to the directory of its file",
	[SETTING_PLACE] = "a path, or a URI such as \"pkcs11:token=node;object=key\"",
	[SETTING_INTEGER] = NULL,
	[SETTING_BOOLEAN] = "true or false",
	[SETTING_ENDPOINTS] = "an address with a port such as \"0.0.0.0:443\" or \"[::]:443\"",
	[SETTING_TARGETS] = "a name or address with a port such as \"vpn.corp.example:443\"",
	[SETTING_PREFIXES] = "a prefix such as \"10.90.0.0/16\" or \"fd90::/64\"",
	[SETTING_ADDRESSES] = "an address such as \"10.90.0.7\" or \"fd90::7\"",
	[SETTING_WHO] = "\"group:NAME\" or an identity pattern such as "
			"\"spiffe://corp.example/contractor/*\"",
	[SETTING_NAMES] = "a name such as \"corp.example\"",
	[SETTING_PREFIX] = "a prefix such as \"192.168.1.0/24\" or \"fd90::/64\"",
	[SETTING_RATE] = "a rate from 64 kbit/s to 1000 Gbit/s such as \"50 Mbit/s\"",
	[SETTING_PATTERNS] = "an identity pattern such as \"spiffe://corp.example/laptop/*\"",
	[SETTING_PATTERN] = "an identity pattern such as \"spiffe://corp.example/gateway/*\"",
	[SETTING_IDENTITY] = "an identity such as \"spiffe://corp.example/laptop/alice\"",
	[SETTING_DOMAIN] = "a trust domain such as \"corp.example\"",
	[SETTING_NAME] = NULL,
	[SETTING_TEXT] = NULL,
	[SETTING_KEYS] =
		("a pin such as \"sha256/d6qzRu9zOECb90Uez27xWltNsj0e1Md7GkYYkVoZWmM=\", or 64 "
		 "hexadecimal digits"),
	[SETTING_MODE] = "\"soft\" or \"hard\"",
	[SETTING_CRYPTO] = "\"auto\" or \"openssl\"",
	[SETTING_WORDS] =
		"\"any\", \"self\", \"group:NAME\", \"net:NAME\", \"host:NAME\", an identity "
		"pattern, a prefix or an address",
	[SETTING_SERVICES] =
		"a service such as \"tcp/443\", \"udp/5000-5100\", \"icmp\" or \"any\"",
	[SETTING_HOURS] = "hours such as \"mon-fri 08:00-18:00\", \"sat,sun\" or \"22:00-06:00\"",
	[SETTING_REFUSAL] = "\"reject\" or \"drop\"",
	[SETTING_MOMENT] = "a time such as \"2027-01-31\", \"2027-01-31 18:00\" or "
			   "\"2027-01-31T18:00:00Z\"",
	[SETTING_ZONE] = "a time zone such as \"Europe/Berlin\"",
	[SETTING_SUBJECT] =
		"an identity such as \"spiffe://corp.example/laptop/alice\" or an address "
		"such as \"10.20.0.5\"",
	[SETTING_NAMED_PEERS] = ("a group { NAME = [ identity patterns ]; ... } or "
				 "{ NAME = ( { identity, issuer, unit, hardware }, ... ); ... }"),
	[SETTING_NAMED_PREFIXES] = "a group { NAME = [ prefixes ]; ... }",
	[SETTING_NAMED_ADDRESSES] = "a group { NAME = [ addresses ]; ... }",
	[SETTING_NAMED_SERVICES] = "a group { NAME = [ services ]; ... }",
	[SETTING_LEVEL] = "one of \"error\", \"warning\", \"info\", \"debug\"",
};
_Static_assert(sizeof(phrases) / sizeof(phrases[0]) == SETTING_NAMED_SERVICES + 1,
	       "a type has no phrase");

const struct setting *setting_at(size_t position)
{
	for (size_t i = 0; i < TABLE_COUNT; i++) {
		if (position < tables[i]->count)
			return &tables[i]->settings[position];
		position -= tables[i]->count;
	}
	return NULL;
}

const struct setting *setting_find(const char *path)
{
	const struct setting *setting;
	for (size_t i = 0; (setting = setting_at(i)); i++)
		if (strcmp(setting->path, path) == 0)
			return setting;
	return NULL;
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

// In one row.
unsigned setting_distance(const char *a, const char *b)
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
	const struct setting *setting;
	for (size_t i = 0; (setting = setting_at(i)); i++) {
		const char *other = path_leaf(setting->path);
		bool same_group = (size_t)(other - setting->path) == group &&
				  strncmp(path, setting->path, group) == 0;
		if (!same_group && !elsewhere && strcmp(leaf, other) == 0)
			elsewhere = setting;
		unsigned distance = same_group ? setting_distance(leaf, other) : UINT32_MAX;
		if (distance > best || (near && distance == best))
			continue;
		best = distance;
		near = setting;
	}
	return near ? near : elsewhere;
}

bool setting_is_array(const struct setting *setting)
{
	return setting->type >= SETTING_ENDPOINTS && setting->type <= SETTING_PATTERNS;
}

bool setting_is_named(const struct setting *setting)
{
	return setting->type >= SETTING_NAMED_PEERS && setting->type <= SETTING_NAMED_SERVICES;
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
	else if (setting->type == SETTING_TEXT)
		snprintf(text, size, "a string of %lld to %lld characters", min, max);
	else if (setting_is_array(setting))
		snprintf(text, size, "an array of %lld to %lld strings, each %s", min, max,
			 phrases[setting->type]);
	else
		snprintf(text, size, "%s", phrases[setting->type]);
	return text;
}
