// SPDX-License-Identifier: Apache-2.0

#include "unit/denial_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "pki/denial_signer.h"
#include "unit/must.h"

#define ENTRIES_MAX 16

struct denial *fixture_denial(const char *domain, uint64_t number, time_t time, const char *words,
			      const uint8_t *before, const struct fixture *signer)
{
	char text[DENIAL_TEXT_MAX];
	uint8_t start[DENIAL_HASH_SIZE];
	struct denial *entry = NULL;
	int size = snprintf(text, sizeof(text), "%llu %lld %s", (unsigned long long)number,
			    (long long)time, words);

	must(denial_parse(text, (size_t)size, &entry, NULL) == 0);
	must(before || denials_hash(NULL, domain, 0, start) == 0);
	must(denials_hash_next(before ? before : start, text, (size_t)size, entry->hash) == 0);
	if (!signer)
		return entry;
	STACK_OF(X509) *stack = sk_X509_new_null();
	must(stack && sk_X509_push(stack, signer->certificate));
	for (const struct fixture *f = signer->issuer; f && f->issuer; f = f->issuer)
		must(sk_X509_push(stack, f->certificate) > 0);
	entry->signer = denial_signer_of(stack);
	sk_X509_free(stack);
	must(entry->signer &&
	     denial_sign(signer->key, domain, number, entry->hash, &entry->signature, NULL) == 0);
	return entry;
}

struct denials *fixture_denials(struct denials *old, const char *domain, const char *const *words,
				size_t count, const struct fixture *signer)
{
	struct denial *entries[ENTRIES_MAX];
	struct denials *list = NULL;
	uint8_t hash[DENIAL_HASH_SIZE];

	must(count <= ENTRIES_MAX && denials_hash(old, domain, denials_number(old), hash) == 0);
	for (size_t i = 0; i < count; i++) {
		entries[i] = fixture_denial(domain, denials_number(old) + 1 + i, clock_wall(),
					    words[i], hash, signer);
		memcpy(hash, entries[i]->hash, sizeof(hash));
	}
	must(denials_append(old, domain, entries, count, &list, NULL) == 0);
	for (size_t i = 0; i < count; i++)
		denial_put(entries[i]);
	return list;
}

static void put_key(X509 *certificate, char text[2 * SPKI_HASH_SIZE + 1])
{
	uint8_t hash[SPKI_HASH_SIZE];

	must(certificate_spki_hash(certificate, hash) == 0);
	hex_text(hash, sizeof(hash), text);
}

char *fixture_deny_key(const struct fixture *fixture)
{
	char key[2 * SPKI_HASH_SIZE + 1], *text;

	put_key(fixture->certificate, key);
	must(asprintf(&text, "deny key %s 0 keyCompromise", key) > 0);
	return text;
}

char *fixture_deny_serial(const struct fixture *fixture)
{
	char key[2 * SPKI_HASH_SIZE + 1], serial[SERIAL_TEXT_MAX], *text;

	put_key(fixture->issuer->certificate, key);
	must(asprintf(&text, "deny serial %s %s 0 keyCompromise", key,
		      certificate_serial(fixture->certificate, serial)) > 0);
	return text;
}
