// SPDX-License-Identifier: Apache-2.0

#include "pki/pins.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/evp.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/hex.h"
#include "pki/identity.h"
#include "pki/revocation.h"

struct pins {
	size_t count;
	struct pin list[]; // patterns and keys are our own
};

int pins_new(const struct pin *list, size_t count, struct pins **ret)
{
	_cleanup_(pins_freep) struct pins *pins =
		calloc(1, sizeof(*pins) + count * sizeof(pins->list[0]));

	if (!pins)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		size_t size = list[i].count * sizeof(list[i].keys[0]);
		struct pin_key *keys = malloc(size);
		pins->list[pins->count++] = (struct pin){
			.identity = strdup(list[i].identity),
			.keys = keys,
			.count = list[i].count,
		};
		if (!keys || !pins->list[i].identity)
			return -ENOMEM;
		memcpy(keys, list[i].keys, size);
	}
	*ret = take(pins);
	return 0;
}

struct pins *pins_free(struct pins *pins)
{
	if (!pins)
		return NULL;
	for (size_t i = 0; i < pins->count; i++) {
		free((char *)pins->list[i].identity);
		free((struct pin_key *)pins->list[i].keys);
	}
	free(pins);
	return NULL;
}

static bool met(const struct pin *pin, const struct revocation_chain *chain)
{
	for (size_t i = 0; i < pin->count; i++)
		for (unsigned n = 0; n < chain->count; n++)
			if (memcmp(pin->keys[i].hash, chain->links[n].key, SPKI_HASH_SIZE) == 0)
				return true;
	return false;
}

int pins_check(const struct pins *pins, const char *identity, const struct revocation_chain *chain,
	       struct error *error)
{
	char text[PINS_TEXT_MAX];

	for (size_t i = 0; pins && i < pins->count; i++) {
		const struct pin *pin = &pins->list[i];
		if (!identity_match(pin->identity, identity) || met(pin, chain))
			continue;
		error_set(
			error, EACCES,
			"certificate of %.*s has a key that is not pinned (%s), nor is one above it",
			IDENTITY_SHOWN_MAX, identity, pins_text(chain->links[0].key, text));
		error_expected(error, "one of the %zu keys for %.*s", pin->count,
			       IDENTITY_SHOWN_MAX - 64, pin->identity);
		error_remedy(error,
			     "if the new key is genuine, add it to node.pins; if not, somebody "
			     "else holds a certificate of this identity");
		return -EACCES;
	}
	return 0;
}

size_t pins_distinct(const struct pin_key *keys, size_t count)
{
	size_t distinct = 0;

	for (size_t i = 0; i < count; i++) {
		size_t j = 0;
		while (j < i && memcmp(&keys[i], &keys[j], sizeof(keys[i])) != 0)
			j++;
		distinct += j == i;
	}
	return distinct;
}

static int parse_base64(const char *text, struct pin_key *ret)
{
	size_t length = strlen(text), size = 0;
	_cleanup_(freep) uint8_t *bytes =
		length < BASE64_TEXT_MAX(SPKI_HASH_SIZE) ? base64_parse(text, length, &size) : NULL;

	if (size != SPKI_HASH_SIZE)
		return -EINVAL;
	memcpy(ret->hash, bytes, SPKI_HASH_SIZE);
	return 0;
}

int pins_parse(const char *text, struct pin_key *ret)
{
	struct pin_key key;

	if (strncmp(text, PINS_TEXT_PREFIX, sizeof(PINS_TEXT_PREFIX) - 1) == 0)
		return parse_base64(text + sizeof(PINS_TEXT_PREFIX) - 1, ret);
	int r = hex_parse(text, strlen(text), key.hash, sizeof(key.hash));
	if (r == 0)
		*ret = key;
	return r;
}

const char *pins_text(const uint8_t hash[static SPKI_HASH_SIZE], char text[static PINS_TEXT_MAX])
{
	char base64[BASE64_TEXT_MAX(SPKI_HASH_SIZE)];

	snprintf(text, PINS_TEXT_MAX, PINS_TEXT_PREFIX "%s",
		 base64_text(hash, SPKI_HASH_SIZE, base64));
	return text;
}
