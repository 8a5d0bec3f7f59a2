// SPDX-License-Identifier: Apache-2.0
// Names of a peer's certificate (DER) to an identity by fixed rules and, after a first byte of 'r', a rule ("NAME\nIDENTITY") of
// a configuration.

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/err.h>

#include "base/error.h"
#include "pki/identity.h"
#include "pki/mapping.h"
#include "pki/names.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct mapping_rule rules[] = {
	{MAPPING_DNS, "*.*.serviceaccount.identity.linkerd.cluster.local",
	 "spiffe://linkerd.example/ns/$2/sa/$1"},
	{MAPPING_DNS, "*.corp.example", "spiffe://corp.example/host/$1"},
	{MAPPING_EMAIL, "*@corp.example", "spiffe://corp.example/user/$1"},
};

// Whatever a name held, the identity is one of those that the rules speak of.
static void check(const char *identity)
{
	static const char *const shapes[] = {"spiffe://linkerd.example/ns/*/sa/*",
					     "spiffe://corp.example/host/*",
					     "spiffe://corp.example/user/*"};

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		if (identity_match(shapes[i], identity))
			return;
	abort();
}

static void map(const uint8_t *data, size_t size)
{
	_cleanup_(GENERAL_NAMES_freep) GENERAL_NAMES *names = NULL;
	_cleanup_(mapping_freep) struct mapping *mapping = NULL;
	_cleanup_(freep) char *identity = NULL;
	struct error error = {0};
	const unsigned char *at = data;

	if (!d2i_GENERAL_NAMES(&names, &at, (long)size) ||
	    mapping_new(rules, sizeof(rules) / sizeof(rules[0]), &mapping) < 0)
		return;
	if (mapping_identity(mapping, names, &identity, &error) == 0)
		check(identity);
	else if (error.what[0] == '\0')
		abort(); // refused without a reason
}

static void judge_rule(const uint8_t *data, size_t size)
{
	_cleanup_(freep) char *text = strndup((const char *)data, size);
	char *newline = text ? strchr(text, '\n') : NULL;
	struct error error = {0};

	if (!newline)
		return;
	*newline = '\0';
	for (int type = MAPPING_DNS; type <= MAPPING_EMAIL; type++) {
		struct mapping_rule rule = {(enum mapping_type)type, text, newline + 1};
		if (mapping_rule_check(&rule, NULL, &error) < 0 && error.what[0] == '\0')
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 0 && data[0] == 'r')
		judge_rule(data + 1, size - 1);
	else if (size < 65536)
		map(data, size);
	ERR_clear_error();
	return 0;
}
