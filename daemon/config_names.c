// SPDX-License-Identifier: Apache-2.0

#include "daemon/config_names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/arena.h"
#include "base/error.h"
#include "base/table.h"
#include "daemon/config.h"
#include "daemon/config_named.h"
#include "daemon/config_read.h"
#include "daemon/config_value.h"
#include "daemon/setting.h"
#include "server/lease.h"
#include "server/policy_service.h"

#define SUGGESTIONS_MAX 50 // errors with a "did you mean"; each is a look at all names
#define SELF		"self"

enum name_kind { NAME_GROUP, NAME_NET, NAME_SERVICE };

struct name {
	const char *word; // "group:engineers"; what stands in a rule as it is
	const config_setting_t *at;
	enum name_kind kind;
	unsigned position; // among those of its kind
	bool used;
};

struct services {
	const struct rule_service *services;
	unsigned count;
};

struct config_names {
	struct config_reader *reader;
	struct arena *arena;
	struct table *table; // word -> struct name
	struct name **names; // in the order in which they came
	struct rule_group *groups;
	struct rule_net *nets;
	struct services *services;
	const config_setting_t **group_places, **net_places;
	unsigned name_count, group_count, net_count, service_count;
};

// Returns false.
static bool no_memory(struct config_names *names)
{
	names->reader->out_of_memory = true;
	return false;
}

// Room for one more in an array that grows by doubling. False: out of memory.
static bool grow(struct config_names *names, void *array, unsigned count, size_t size)
{
	void *old;
	if (count & (count - 1))
		return true;
	// The type of the pointer is not known here.
	memcpy(&old, array, sizeof(old));
	void *grown = reallocarray(old, count ? (size_t)count * 2 : 1, size);
	if (!grown)
		return no_memory(names);
	memcpy(array, &grown, sizeof(grown));
	return true;
}

static bool add_name(struct config_names *names, const char *word, enum name_kind kind,
		     unsigned position, const config_setting_t *at)
{
	struct name *name = arena_alloc(names->arena, 1, sizeof(*name));
	if (!name || !(name->word = arena_text(names->arena, word)) ||
	    !grow(names, &names->names, names->name_count, sizeof(void *)) ||
	    table_add(names->table, name->word, strlen(name->word), name) < 0)
		return no_memory(names);
	name->kind = kind;
	name->position = position;
	name->at = at;
	names->names[names->name_count++] = name;
	return true;
}

static struct name *find_name(const struct config_names *names, const char *word)
{
	return table_find(names->table, word, strlen(word));
}

bool config_names_add_group(struct config_names *names, const char *word,
			    const struct rule_peer *peers, unsigned count,
			    const config_setting_t *at)
{
	unsigned position = names->group_count;
	if (!grow(names, &names->groups, position, sizeof(*names->groups)) ||
	    !grow(names, &names->group_places, position, sizeof(void *)) ||
	    !add_name(names, word, NAME_GROUP, position, at))
		return false;
	names->groups[position] = (struct rule_group){
		.name = config_named_is(word) ? find_name(names, word)->word : NULL,
		.peers = peers,
		.peer_count = count,
	};
	names->group_places[names->group_count++] = at;
	return true;
}

bool config_names_add_net(struct config_names *names, const char *word,
			  const struct prefix *prefixes, unsigned count, const config_setting_t *at)
{
	unsigned position = names->net_count;
	if (!grow(names, &names->nets, position, sizeof(*names->nets)) ||
	    !grow(names, &names->net_places, position, sizeof(void *)) ||
	    !add_name(names, word, NAME_NET, position, at))
		return false;
	names->nets[position] = (struct rule_net){
		.name = config_named_is(word) || !at ? find_name(names, word)->word : NULL,
		.prefixes = prefixes,
		.prefix_count = count,
	};
	names->net_places[names->net_count++] = at;
	return true;
}

bool config_names_add_services(struct config_names *names, const char *word,
			       const struct rule_service *services, unsigned count,
			       const config_setting_t *at)
{
	unsigned position = names->service_count;
	if (!grow(names, &names->services, position, sizeof(*names->services)) ||
	    !add_name(names, word, NAME_SERVICE, position, at))
		return false;
	names->services[names->service_count++] = (struct services){services, count};
	return true;
}

bool config_names_has(const struct config_names *names, const char *word)
{
	return find_name(names, word);
}

static unsigned add_own(const struct prefix *pools, unsigned count, struct prefix *to)
{
	unsigned added = 0;
	for (unsigned i = 0; i < count; i++) {
		struct prefix own = lease_gateway_address(&pools[i]);
		if (pools[i].addr.family != AF_UNSPEC)
			to[added++] = prefix_of(&own.addr);
	}
	return added;
}

// The first address of every pool, those of profiles, too; of a node that is no gateway, none.
static bool add_self(struct config_names *names)
{
	const struct config_gateway *gateway = &names->reader->config->gateway;
	size_t most = gateway->pool_count + 1u;
	for (unsigned i = 0; i < gateway->profile_count; i++)
		most += gateway->profiles[i].pool_count;
	struct prefix *prefixes = arena_alloc(names->arena, most, sizeof(*prefixes));
	if (!prefixes)
		return no_memory(names);
	unsigned count = add_own(gateway->pools, gateway->pool_count, prefixes);
	for (unsigned i = 0; i < gateway->profile_count; i++)
		count += add_own(gateway->profiles[i].pools, gateway->profiles[i].pool_count,
				 prefixes + count);
	return config_names_add_net(names, SELF, prefixes, count, NULL);
}

struct config_names *config_names_new(struct config_reader *reader)
{
	_cleanup_(config_names_freep) struct config_names *names = calloc(1, sizeof(*names));
	if (!names)
		return NULL;
	names->reader = reader;
	names->arena = reader->config->policy.arena;
	names->table = table_new();
	return names->table && add_self(names) ? take(names) : NULL;
}

struct config_names *config_names_free(struct config_names *names)
{
	if (!names)
		return NULL;
	table_free(names->table);
	free(names->names);
	free(names->groups);
	free(names->nets);
	free(names->services);
	free(names->group_places);
	free(names->net_places);
	free(names);
	return NULL;
}

// --- words

static const char *nearest_word(const struct config_names *names, const char *word)
{
	const char *nearest = NULL;
	unsigned best = ((unsigned)strlen(word) + 2) / 3;
	for (unsigned i = 0; i < names->name_count; i++) {
		const char *other = names->names[i]->word;
		unsigned distance =
			config_named_is(other) ? setting_distance(word, other) : UINT32_MAX;
		if (distance > best || (nearest && distance == best))
			continue;
		best = distance;
		nearest = other;
	}
	return nearest;
}

static void fault_unknown(struct config_names *names, const config_setting_t *at, const char *word)
{
	struct config_errors *errors = names->reader->errors;
	struct error *error = config_fault(errors, at, "there is no \"%.100s\"", word);
	const char *nearest =
		config_errors_count(errors) <= SUGGESTIONS_MAX ? nearest_word(names, word) : NULL;
	if (nearest)
		error_remedy(error, "did you mean \"%s\"?", nearest);
	else
		error_remedy(error, "define it in %s", config_named_section(word));
}

static bool add_pattern(struct config_names *names, const config_setting_t *at, const char *word)
{
	static const struct setting setting = {.type = SETTING_PATTERNS};
	_cleanup_(freep) char *identity = NULL;
	config_value_text(names->reader, &setting, at, &identity);
	if (!identity)
		return false;
	struct rule_peer *peer = arena_alloc(names->arena, 1, sizeof(*peer));
	if (!peer || !(peer->identity = arena_text(names->arena, identity)))
		return no_memory(names);
	return config_names_add_group(names, word, peer, 1, at);
}

static bool add_prefix(struct config_names *names, const config_setting_t *at, const char *word)
{
	static const struct setting setting = {.type = SETTING_PREFIXES};
	struct prefix prefix = {0};
	config_value_text(names->reader, &setting, at, &prefix);
	if (prefix.addr.family == AF_UNSPEC)
		return false;
	const struct prefix *copy = arena_copy(names->arena, &prefix, 1, sizeof(prefix));
	return copy ? config_names_add_net(names, word, copy, 1, at) : no_memory(names);
}

// A pattern or prefix that stands in a rule; equal ones are one. False: it is wrong, which is told.
static bool add_literal(struct config_names *names, const config_setting_t *at, const char *word)
{
	static const struct setting words = {.type = SETTING_WORDS};
	if (strncmp(word, "spiffe:", 7) == 0)
		return add_pattern(names, at, word);
	if ((word[0] >= '0' && word[0] <= '9') || strchr(word, ':'))
		return add_prefix(names, at, word);
	config_value_fault_element(names->reader, &words, at, NULL);
	return false;
}

bool config_names_word(struct config_names *names, const config_setting_t *at,
		       struct config_word *ret)
{
	const char *word = config_setting_get_string(at);
	*ret = (struct config_word){.group = RULE_NONE, .net = RULE_NONE};
	if (!word) // told when the array was read
		return false;
	ret->any = strcmp(word, "any") == 0;
	if (ret->any)
		return true;
	struct name *name = find_name(names, word);
	if (!name && config_named_is(word)) {
		fault_unknown(names, at, word);
		return false;
	}
	if (!name && !add_literal(names, at, word))
		return false;
	name = find_name(names, word);
	if (name->kind == NAME_SERVICE) {
		error_remedy(config_fault(names->reader->errors, at, "\"%s\" is a service", word),
			     "services stand in \"allow\" or \"deny\"");
		return false;
	}
	name->used = true;
	*(name->kind == NAME_GROUP ? &ret->group : &ret->net) = name->position;
	return true;
}

// What one element of `allow` or `deny` stands for; `parts` is room for what has no name.
static struct services services_of(struct config_names *names, const config_setting_t *at,
				   struct rule_service parts[POLICY_SERVICE_PARTS])
{
	struct services none = {0};
	const char *word = config_setting_get_string(at);
	if (!word) // told when the array was read
		return none;
	if (strncmp(word, "service:", 8) != 0)
		return (struct services){parts, config_named_service(names->reader, at, parts)};
	struct name *name = find_name(names, word);
	if (!name) {
		fault_unknown(names, at, word);
		return none;
	}
	name->used = true;
	return names->services[name->position];
}

const struct rule_service *config_names_services(struct config_names *names,
						 const config_setting_t *array, unsigned *ret_count)
{
	_cleanup_(freep) struct rule_service *list = NULL;
	bool there = array && config_setting_is_array(array);
	unsigned count = 0, length = there ? (unsigned)config_setting_length(array) : 0;
	for (unsigned i = 0; i < length; i++) {
		struct rule_service parts[POLICY_SERVICE_PARTS];
		struct services more = services_of(
			names, config_setting_get_elem((config_setting_t *)array, i), parts);
		struct rule_service *grown =
			reallocarray(list, count + more.count + 1, sizeof(*list));
		if (!grown) {
			no_memory(names);
			return NULL;
		}
		list = grown;
		if (more.count)
			memcpy(list + count, more.services, more.count * sizeof(*list));
		count += more.count;
	}
	*ret_count = count;
	const struct rule_service *copy = arena_copy(names->arena, list, count, sizeof(*list));
	if (!copy)
		no_memory(names);
	return copy;
}

// --- what became of them

int config_names_model(const struct config_names *names, struct rules *ret)
{
	const struct rule_group *groups =
		arena_copy(names->arena, names->groups, names->group_count, sizeof(*groups));
	const struct rule_net *nets =
		arena_copy(names->arena, names->nets, names->net_count, sizeof(*nets));
	if (!groups || !nets)
		return -ENOMEM;
	ret->groups = groups;
	ret->group_count = names->group_count;
	ret->nets = nets;
	ret->net_count = names->net_count;
	return 0;
}

const config_setting_t *config_names_group_place(const struct config_names *names,
						 unsigned position)
{
	return names->group_places[position];
}

const config_setting_t *config_names_net_place(const struct config_names *names, unsigned position)
{
	return names->net_places[position];
}

void config_names_check_services(const struct config_names *names)
{
	for (unsigned i = 0; i < names->name_count; i++) {
		const struct name *name = names->names[i];
		if (name->kind == NAME_SERVICE && !name->used)
			error_remedy(config_fault(names->reader->warnings, name->at,
						  "no rule uses \"%s\"", name->word),
				     "remove it");
	}
}
