// SPDX-License-Identifier: Apache-2.0
// A name is compared label by label, so that neither a prefix nor a suffix of a label ever matches, and what a "*" stood for holds
// no character that could add a segment to a path.

#include "pki/mapping.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "pki/identity.h"
#include "pki/names.h"

#define NAME_MAX_BYTES 254 // of an e-mail address (RFC 5321, 4.5.3.1.3); a DNS name has fewer
#define SHOWN_MAX      64

struct mapping {
	size_t count;
	struct mapping_rule rules[]; // strings are our own
};

// What the wildcards of a name stood for; borrowed from the name.
struct captures {
	struct {
		const char *text;
		size_t size;
	} list[MAPPING_WILDCARDS_MAX];
	size_t count;
};

static const char *const type_names[] = {
	[MAPPING_DNS] = "DNS name", [MAPPING_EMAIL] = "e-mail address"};

static bool is_label_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

// Of a local part, and so of a segment of a path.
static bool is_local_char(char c)
{
	return is_label_char(c) || (c >= 'A' && c <= 'Z') || c == '.';
}

static char fold(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

// The label that begins at `*at`; the local part of an address, where `local`, is one. Moves past its end and what ends it.
static size_t next_label(const char **at, bool local, const char **ret)
{
	size_t size = strcspn(*at, local ? "@" : ".");

	*ret = *at;
	*at += size;
	if (**at)
		(*at)++;
	return size;
}

static bool is_wildcard(const char *label, size_t size)
{
	return size == 1 && *label == '*';
}

static bool label_good(const char *label, size_t size, bool local)
{
	for (size_t i = 0; i < size; i++)
		if (!(local ? is_local_char(label[i]) : is_label_char(label[i])))
			return false;
	return size > 0 && label[size - 1] != '.' && label[0] != '.';
}

// NULL, or what is wrong with the name of a rule.
static const char *name_fault(const struct mapping_rule *rule, size_t *ret_wildcards)
{
	const char *at = rule->name, *label;
	bool local = rule->type == MAPPING_EMAIL;
	size_t size = strlen(rule->name), wildcards = 0;

	if (size == 0 || size > NAME_MAX_BYTES)
		return "it must have 1 to 254 characters";
	if (local && !strchr(at, '@'))
		return "it has no \"@\"";
	if (strchr(".@", rule->name[size - 1]))
		return "its last label is missing";
	do {
		size = next_label(&at, local, &label);
		wildcards += is_wildcard(label, size);
		if (!is_wildcard(label, size) && !label_good(label, size, local))
			return "its labels must be \"*\" or of the characters a-z, 0-9, \"-\" and \"_\"";
		local = false;
	} while (*at);
	if (is_wildcard(label, size))
		return "its last label must not be a wildcard";
	if (wildcards > MAPPING_WILDCARDS_MAX)
		return "it has more than 9 wildcards";
	*ret_wildcards = wildcards;
	return NULL;
}

// Fills in the template. -EINVAL: it names what is not there; -E2BIG: too long; -ENOMEM.
static int expand(const char *template, const struct captures *captures, char **ret)
{
	char text[IDENTITY_MAX + 1];
	size_t at = 0;

	for (const char *c = template; *c; c++) {
		const char *from = c;
		size_t size = 1;
		if (*c == '$') {
			size_t number = (size_t)(c[1] - '1');
			if (c[1] < '1' || c[1] > '9' || number >= captures->count)
				return -EINVAL;
			from = captures->list[number].text;
			size = captures->list[number].size;
			c++;
		}
		if (at + size > IDENTITY_MAX)
			return -E2BIG;
		memcpy(text + at, from, size);
		at += size;
	}
	*ret = strndup(text, at);
	return *ret ? 0 : -ENOMEM;
}

static bool uses(const char *template, size_t number)
{
	char word[] = {'$', (char)('1' + (int)number), '\0'};

	return strstr(template, word) != NULL;
}

// With a stand-in for everything that a wildcard may stand for.
static int check_template(const struct mapping_rule *rule, size_t wildcards, const char *domain,
			  struct error *error)
{
	struct captures captures = {.count = wildcards};
	_cleanup_(freep) char *text = NULL;
	_cleanup_(freep) char *identity = NULL;
	const char *found;

	for (size_t i = 0; i < wildcards; i++) {
		captures.list[i].text = "x";
		captures.list[i].size = 1;
		if (!uses(rule->identity, i))
			return error_set(
				error, EINVAL,
				"the identity does not use $%zu: what differs in the name must "
				"differ in the identity",
				i + 1);
	}
	int r = expand(rule->identity, &captures, &text);
	if (r == -EINVAL)
		return error_set(error, EINVAL,
				 "the identity uses a $ beyond the %zu wildcards of the name",
				 wildcards);
	if (r < 0)
		return error_set(error, -r, "the identity cannot be made: %s", strerror(-r));
	r = identity_parse(text, strlen(text), &identity, error);
	if (r < 0)
		return r;
	size_t length = identity_domain(identity, &found);
	const char *written = rule->identity + (found - identity);
	if (strcspn(written, "$") < strcspn(written, "/"))
		return error_set(error, EINVAL, "the trust domain must be written out");
	if (domain && (strlen(domain) != length || memcmp(domain, found, length) != 0))
		return error_set(error, EINVAL, "the identity is not of the trust domain %.100s",
				 domain);
	return 0;
}

int mapping_rule_check(const struct mapping_rule *rule, const char *domain, struct error *error)
{
	size_t wildcards = 0;
	const char *fault = name_fault(rule, &wildcards);

	if (fault)
		return error_set(error, EINVAL, "\"%.100s\" is no pattern of %s %s: %s", rule->name,
				 rule->type == MAPPING_EMAIL ? "an" : "a", type_names[rule->type],
				 fault);
	return check_template(rule, wildcards, domain, error);
}

int mapping_new(const struct mapping_rule *rules, size_t count, struct mapping **ret)
{
	_cleanup_(mapping_freep) struct mapping *mapping =
		calloc(1, sizeof(*mapping) + count * sizeof(mapping->rules[0]));

	if (!mapping)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		struct mapping_rule *rule = &mapping->rules[mapping->count++];
		*rule = (struct mapping_rule){.type = rules[i].type,
					      .name = strdup(rules[i].name),
					      .identity = strdup(rules[i].identity)};
		if (!rule->name || !rule->identity)
			return -ENOMEM;
	}
	*ret = take(mapping);
	return 0;
}

struct mapping *mapping_free(struct mapping *mapping)
{
	if (!mapping)
		return NULL;
	for (size_t i = 0; i < mapping->count; i++) {
		free((char *)mapping->rules[i].name);
		free((char *)mapping->rules[i].identity);
	}
	free(mapping);
	return NULL;
}

// Whether `name`, whose domain is in lower case, is one that the rule maps.
static bool rule_match(const struct mapping_rule *rule, const char *name, struct captures *ret)
{
	const char *pattern = rule->name, *want, *label;
	bool local = rule->type == MAPPING_EMAIL;

	ret->count = 0;
	if (strchr(".@", name[strlen(name) - 1]))
		return false;
	while (*pattern && *name) {
		size_t want_size = next_label(&pattern, local, &want);
		size_t size = next_label(&name, local, &label);
		if (!label_good(label, size, local))
			return false;
		if (is_wildcard(want, want_size)) {
			ret->list[ret->count].text = label;
			ret->list[ret->count++].size = size;
		} else if (size != want_size || memcmp(label, want, size) != 0) {
			return false;
		}
		local = false;
	}
	return !*pattern && !*name;
}

// What the search has found so far.
struct found {
	const struct mapping_rule *rule;
	char name[NAME_MAX_BYTES + 1];
	struct captures captures; // borrowed from `name`
	unsigned count;
};

static void try_rules(const struct mapping *mapping, enum mapping_type type, const char *name,
		      struct found *found)
{
	for (size_t i = 0; i < mapping->count; i++) {
		struct captures captures;
		if (mapping->rules[i].type != type ||
		    !rule_match(&mapping->rules[i], name, &captures) || found->count++ > 0)
			continue;
		found->rule = &mapping->rules[i];
		snprintf(found->name, sizeof(found->name), "%s", name);
		rule_match(found->rule, found->name, &found->captures);
	}
}

// The name as a string, its domain in lower case. False: no name of that type can look like this.
static bool read_name(const ASN1_STRING *value, enum mapping_type type,
		      char ret[static NAME_MAX_BYTES + 1])
{
	const char *text = (const char *)ASN1_STRING_get0_data(value);
	int length = ASN1_STRING_length(value);
	size_t size = length > 0 ? (size_t)length : 0;
	const char *at = type == MAPPING_EMAIL ? memchr(text, '@', size) : NULL;

	if (size == 0 || size > NAME_MAX_BYTES || (type == MAPPING_EMAIL && !at))
		return false;
	for (size_t i = 0; i < size; i++) {
		if (text[i] < 0x21 || text[i] > 0x7e)
			return false;
		ret[i] = at && text + i < at ? text[i] : fold(text[i]);
	}
	ret[size] = '\0';
	return true;
}

static int no_match(const GENERAL_NAMES *names, struct error *error)
{
	error_set(error, EINVAL, "has no URI name, and no rule for any of its %d other names",
		  sk_GENERAL_NAME_num(names));
	return error_expected(error, "one URI name, the SPIFFE ID, or one name that a rule maps");
}

int mapping_identity(const struct mapping *mapping, const GENERAL_NAMES *names, char **ret,
		     struct error *error)
{
	struct found found = {0};
	_cleanup_(freep) char *text = NULL;

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		enum mapping_type type = name->type == GEN_EMAIL ? MAPPING_EMAIL : MAPPING_DNS;
		char plain[NAME_MAX_BYTES + 1];
		if (name->type != GEN_DNS && name->type != GEN_EMAIL)
			continue;
		if (!read_name(name->d.ia5, type, plain))
			return error_set(error, EINVAL, "has a malformed %s", type_names[type]);
		try_rules(mapping, type, plain, &found);
	}
	if (found.count == 0)
		return no_match(names, error);
	if (found.count > 1) {
		error_set(error, EINVAL,
			  "has no URI name, and rules make %u identities of its names",
			  found.count);
		return error_expected(error, "exactly one name that exactly one rule maps");
	}
	if (expand(found.rule->identity, &found.captures, &text) < 0 ||
	    identity_parse(text, strlen(text), ret, NULL) < 0)
		return error_set(error, EINVAL,
				 "has the %s \"%.*s\", of which no identity can be made",
				 type_names[found.rule->type], SHOWN_MAX, found.name);
	return 0;
}
