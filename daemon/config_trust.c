// SPDX-License-Identifier: Apache-2.0

#include "daemon/config_trust.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "daemon/config.h"
#include "daemon/config_read.h"
#include "pki/identity.h"
#include "pki/mapping.h"
#include "pki/pins.h"
#include "pki/tls.h"
#include "pki/trust.h"

static struct mapping_rule rule_of(const struct config_name *name)
{
	return (struct mapping_rule){
		.type = name->email ? MAPPING_EMAIL : MAPPING_DNS,
		.name = name->email ? name->email : name->dns,
		.identity = name->identity,
	};
}

// `domain` may be NULL: the own one, which the certificate will tell.
static void check_name(struct config_reader *reader, const struct config_name *name,
		       const config_setting_t *at, const char *domain)
{
	struct error error = {0};
	const struct mapping_rule rule = rule_of(name);
	bool several =
		config_setting_get_member(at, "dns") && config_setting_get_member(at, "email");

	if (several ||
	    (!config_setting_get_member(at, "dns") && !config_setting_get_member(at, "email"))) {
		error_expected(config_fault(reader->errors, at, "the rule has %s",
					    several ? "two names" : "no name"),
			       "either \"dns\" or \"email\"");
		return;
	}
	if (rule.name && rule.identity && mapping_rule_check(&rule, domain, &error) < 0)
		config_fault(reader->errors, at, "%s", error.what);
}

static void check_names(struct config_reader *reader)
{
	const struct config_node *node = &reader->config->node;

	for (unsigned i = 0; i < node->name_count; i++)
		check_name(reader, &node->names[i], config_read_place(reader, "node.names", i),
			   NULL);
	for (unsigned i = 0; i < node->federation_count; i++) {
		const struct config_federation *other = &node->federation[i];
		const config_setting_t *list = config_setting_get_member(
			config_read_place(reader, "node.federation", i), "names");
		for (unsigned n = 0; n < other->name_count; n++)
			check_name(reader, &other->names[n],
				   config_setting_get_elem((config_setting_t *)list, n),
				   other->domain);
	}
}

static void check_pins(struct config_reader *reader)
{
	const struct config_node *node = &reader->config->node;

	for (unsigned i = 0; i < node->pin_count; i++) {
		const struct config_pin *pin = &node->pins[i];
		if (pin->key_count < PINS_KEYS_MIN ||
		    pins_distinct(pin->keys, pin->key_count) >= PINS_KEYS_MIN)
			continue;
		struct error *error =
			config_fault(reader->errors, config_read_place(reader, "node.pins", i),
				     "the keys are all the same");
		error_expected(error, "at least two different ones");
		error_remedy(error, "make a second key, keep it in a safe place, and add its pin: "
				    "\"mutun pin FILE\" prints it");
	}
}

static void check_staple(struct config_reader *reader)
{
	const config_setting_t *at = config_read_place(reader, "node.responder", 0);

	if (at && config_read_place(reader, "node.staple", 0))
		error_expected(config_fault(reader->errors, at, "node.staple is set, too"),
			       "either a file or a responder");
}

void config_trust_check(struct config_reader *reader)
{
	check_staple(reader);
	check_names(reader);
	check_pins(reader);
}

// New; what is in the rules is borrowed.
static struct mapping_rule *rules_of(const struct config_name *names, unsigned count)
{
	struct mapping_rule *rules = calloc((size_t)count + 1, sizeof(*rules));

	for (unsigned i = 0; rules && i < count; i++)
		rules[i] = rule_of(&names[i]);
	return rules;
}

int config_trust_mapping(const struct config_node *node, struct mapping **ret)
{
	_cleanup_(freep) struct mapping_rule *rules = rules_of(node->names, node->name_count);

	*ret = NULL;
	if (!rules)
		return -ENOMEM;
	return node->name_count ? mapping_new(rules, node->name_count, ret) : 0;
}

// What trust_load() borrows.
struct sources {
	struct trust_source *list;
	size_t count;
	struct pin *pins;
	char *own; // trust domain
};

static void sources_done(struct sources *sources)
{
	for (size_t i = 0; sources->list && i < sources->count; i++)
		free((struct mapping_rule *)sources->list[i].rules);
	free(sources->list);
	free(sources->pins);
	free(sources->own);
}

static int sources_init(struct sources *sources, const struct config_node *node,
			const char *identity)
{
	const char *domain;
	size_t length = identity_domain(identity, &domain);

	sources->count = (size_t)node->federation_count + 1;
	sources->list = calloc(sources->count, sizeof(*sources->list));
	sources->pins = calloc((size_t)node->pin_count + 1, sizeof(*sources->pins));
	sources->own = strndup(domain, length);
	if (!sources->list || !sources->pins || !sources->own)
		return -ENOMEM;
	for (unsigned i = 0; i < node->pin_count; i++)
		sources->pins[i] = (struct pin){node->pins[i].identity, node->pins[i].keys,
						node->pins[i].key_count};
	for (size_t i = 0; i < sources->count; i++) {
		const struct config_federation *other = i ? &node->federation[i - 1] : NULL;
		struct trust_source *source = &sources->list[i];
		source->domain = other ? other->domain : sources->own;
		source->path = other ? other->trust : node->trust;
		source->require_staple = other ? other->require_staple : node->require_staple;
		source->rule_count = other ? other->name_count : node->name_count;
		source->rules = rules_of(other ? other->names : node->names,
					 other ? other->name_count : node->name_count);
		if (!source->rules)
			return -ENOMEM;
	}
	// A pattern names its trust domain; it does not matter beside which one it stands.
	sources->list[0].pins = sources->pins;
	sources->list[0].pin_count = node->pin_count;
	return 0;
}

int config_trust_load(const struct config_node *node, const char *identity, struct trust **ret,
		      struct error *error)
{
	_cleanup_(sources_done) struct sources sources = {0};

	if (sources_init(&sources, node, identity) < 0)
		return error_set(error, ENOMEM, "out of memory");
	return trust_load(tls_library(), sources.list, sources.count, clock_wall(), ret, error);
}

static bool same_names(const struct config_name *a, unsigned a_count, const struct config_name *b,
		       unsigned b_count)
{
	bool same = a_count == b_count;

	for (unsigned i = 0; same && i < a_count; i++)
		same = config_same_text(a[i].dns, b[i].dns) &&
		       config_same_text(a[i].email, b[i].email) &&
		       config_same_text(a[i].identity, b[i].identity);
	return same;
}

static bool same_pins(const struct config_node *a, const struct config_node *b)
{
	bool same = a->pin_count == b->pin_count;

	for (unsigned i = 0; same && i < a->pin_count; i++)
		same = strcmp(a->pins[i].identity, b->pins[i].identity) == 0 &&
		       a->pins[i].key_count == b->pins[i].key_count &&
		       memcmp(a->pins[i].keys, b->pins[i].keys,
			      a->pins[i].key_count * sizeof(struct pin_key)) == 0;
	return same;
}

bool config_trust_same(const struct config_node *a, const struct config_node *b)
{
	bool same = strcmp(a->trust, b->trust) == 0 && a->federation_count == b->federation_count &&
		    same_names(a->names, a->name_count, b->names, b->name_count) &&
		    same_pins(a, b) && a->require_staple == b->require_staple;

	for (unsigned i = 0; same && i < a->federation_count; i++) {
		const struct config_federation *x = &a->federation[i], *y = &b->federation[i];
		same = strcmp(x->domain, y->domain) == 0 && strcmp(x->trust, y->trust) == 0 &&
		       same_names(x->names, x->name_count, y->names, y->name_count) &&
		       x->require_staple == y->require_staple;
	}
	return same;
}
