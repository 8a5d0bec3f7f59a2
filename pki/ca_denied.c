// SPDX-License-Identifier: Apache-2.0

#include "pki/ca_denied.h"

#include <errno.h>
#include <string.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "base/clock.h"
#include "base/error.h"
#include "pki/ca.h"
#include "pki/certificate.h"
#include "pki/denial_journal.h"
#include "pki/denials.h"
#include "pki/record.h"
#include "pki/revocation.h"

static int no_memory(struct error *error)
{
	return error_set(error, ENOMEM, "out of memory");
}

int ca_issuer_key(const struct ca *ca, uint8_t ret[SPKI_HASH_SIZE])
{
	return certificate_spki_hash(ca_certificate(ca), ret);
}

static int say_denied(const char *what, const struct denial *entry, struct error *error)
{
	char words[32];

	clock_words(clock_wall() - entry->time, words, sizeof(words));
	return error_set(error, EPERM, "%.*s was revoked %s ago (%s, denial %llu)",
			 IDENTITY_SHOWN_MAX, what, words, denial_reason_name(entry->reason),
			 (unsigned long long)entry->number);
}

static int check_name(struct ca *ca, const uint8_t *name, size_t size, const char *what,
		      struct error *error)
{
	_cleanup_(denial_putp) struct denial *entry = NULL;
	int r = denial_journal_find(ca_journal(ca), name, size, &entry, error);

	return r < 0 || !entry || entry->allow ? r : say_denied(what, entry, error);
}

int ca_denied_identity(struct ca *ca, const char *identity, struct error *error)
{
	uint8_t name[DENIAL_NAME_MAX];
	int r = check_name(ca, name, denial_name_identity(identity, name), identity, error);

	if (r == -EPERM)
		error_remedy(error, "mutun ca reinstate lifts that");
	return r;
}

int ca_denied_hash(struct ca *ca, const uint8_t hash[SPKI_HASH_SIZE], struct error *error)
{
	uint8_t name[DENIAL_NAME_MAX];

	return check_name(ca, name, denial_name_key(hash, name), "the key", error);
}

int ca_denied_key(struct ca *ca, EVP_PKEY *key, struct error *error)
{
	uint8_t hash[SPKI_HASH_SIZE];

	return certificate_key_hash(key, hash) < 0 ? no_memory(error)
						   : ca_denied_hash(ca, hash, error);
}

int ca_denied_certificate(struct ca *ca, const X509 *certificate, struct error *error)
{
	_cleanup_(denial_putp) struct denial *entry = NULL;
	struct revocation_link link;

	if (revocation_link(certificate, &link) < 0)
		return error_set(error, EINVAL, "the certificate cannot be read");
	int r = ca_denied_hash(ca, link.key, error);
	// Whichever issuing CA of ours signed it: serial numbers are random.
	if (r == 0)
		r = denial_journal_find_serial(ca_journal(ca), link.serial, link.serial_size,
					       &entry, error);
	return r < 0 || !entry ? r : say_denied("the certificate", entry, error);
}

// Names with a serial number hold the key of its issuer too, which the journal does not: those that denials speak of are few.
static const struct denial *find_serial(const struct denials *denials, const uint8_t *serial,
					size_t size)
{
	uint8_t name[DENIAL_NAME_MAX];
	const uint8_t *tried = NULL;
	const struct denial *entry, *found = NULL;

	for (uint64_t n = denials_number(denials); n > 0 && !found; n--) {
		entry = denials_at(denials, n);
		const uint8_t *issuer = entry->name + 1;
		if (entry->kind != DENIAL_SERIAL ||
		    (tried && memcmp(tried, issuer, SPKI_HASH_SIZE) == 0))
			continue;
		tried = issuer;
		found = denials_find(denials, name, denial_name_serial(issuer, serial, size, name));
	}
	return found;
}

const struct denial *ca_denial_of(const struct denials *denials, const struct record *record)
{
	uint8_t name[DENIAL_NAME_MAX], key[SPKI_HASH_SIZE], serial[SERIAL_MAX];
	size_t key_size, serial_size;

	if (!denials || !OPENSSL_hexstr2buf_ex(key, sizeof(key), &key_size, record->spki, '\0') ||
	    !OPENSSL_hexstr2buf_ex(serial, sizeof(serial), &serial_size, record->serial, '\0'))
		return NULL;
	const struct denial *found =
		denials_find(denials, name, denial_name_identity(record->identity, name));
	if (!found)
		found = denials_find(denials, name, denial_name_key(key, name));
	return found ? found : find_serial(denials, serial, serial_size);
}

int ca_denials(struct ca *ca, struct denials **ret, struct error *error)
{
	return denial_journal_load(ca_journal(ca), ca_domain(ca), ret, error);
}
