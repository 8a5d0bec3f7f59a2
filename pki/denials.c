// SPDX-License-Identifier: Apache-2.0
// A list is a chain of parts, newest first. A name is looked for in each part until one knows it. Small parts are merged when
// another one comes, so that there are few.

#include "pki/denials.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/sha.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/table.h"
#include "pki/denial_signer.h"
#include "pki/revocation.h"

#define MERGE_MAX 4096u // entries of a part that is copied into a newer one

static const char beginning[] = "mutun denials 1"; // with its NUL, before the domain

struct denials {
	atomic_uint references;
	struct denials *earlier; // NULL: this part begins with entry 1
	char *domain;
	uint64_t first; // number of entries[0]
	size_t count;
	struct denial **entries;
	struct table *by_name; // the newest of these entries for each name
};

struct denials *denials_get(struct denials *denials)
{
	atomic_fetch_add_explicit(&denials->references, 1, memory_order_relaxed);
	return denials;
}

struct denials *denials_put(struct denials *denials)
{
	while (denials &&
	       atomic_fetch_sub_explicit(&denials->references, 1, memory_order_acq_rel) == 1) {
		struct denials *earlier = denials->earlier;
		for (size_t i = 0; i < denials->count; i++)
			denial_put(denials->entries[i]);
		free(denials->entries);
		table_free(denials->by_name);
		free(denials->domain);
		free(denials);
		denials = earlier;
	}
	return NULL;
}

const char *denials_domain(const struct denials *denials)
{
	return denials->domain;
}

uint64_t denials_number(const struct denials *denials)
{
	return denials ? denials->first + denials->count - 1 : 0;
}

const struct denial *denials_at(const struct denials *denials, uint64_t number)
{
	if (number == 0 || number > denials_number(denials))
		return NULL;
	while (number < denials->first)
		denials = denials->earlier;
	return denials->entries[number - denials->first];
}

const struct denial *denials_last(const struct denials *denials)
{
	return denials_at(denials, denials_number(denials));
}

int denials_hash_next(const uint8_t before[DENIAL_HASH_SIZE], const char *text, size_t size,
		      uint8_t ret[DENIAL_HASH_SIZE])
{
	uint8_t bytes[DENIAL_HASH_SIZE + DENIAL_TEXT_MAX];

	if (size > DENIAL_TEXT_MAX)
		return -EINVAL;
	memcpy(bytes, before, DENIAL_HASH_SIZE);
	memcpy(bytes + DENIAL_HASH_SIZE, text, size);
	return SHA256(bytes, DENIAL_HASH_SIZE + size, ret) ? 0 : -ENOMEM;
}

int denials_hash(const struct denials *denials, const char *domain, uint64_t number,
		 uint8_t ret[DENIAL_HASH_SIZE])
{
	uint8_t bytes[sizeof(beginning) + IDENTITY_DOMAIN_MAX];
	size_t length = strlen(domain);

	if (number) {
		const struct denial *denial = denials_at(denials, number);
		if (!denial)
			return -ENOENT;
		memcpy(ret, denial->hash, DENIAL_HASH_SIZE);
		return 0;
	}
	if (length > IDENTITY_DOMAIN_MAX)
		return -EINVAL;
	memcpy(bytes, beginning, sizeof(beginning));
	// NOLINTNEXTLINE(bugprone-not-null-terminated-result)
	memcpy(bytes + sizeof(beginning), domain, length);
	return SHA256(bytes, sizeof(beginning) + length, ret) ? 0 : -ENOMEM;
}

// --- asking

const struct denial *denials_find(const struct denials *denials, const uint8_t *name, size_t size)
{
	for (; denials; denials = denials->earlier) {
		const struct denial *found = table_find(denials->by_name, name, size);
		if (found)
			return found->allow ? NULL : found;
	}
	return NULL;
}

const struct denial *denials_judge(const struct denials *denials, const char *identity,
				   const struct revocation_chain *chain)
{
	uint8_t name[DENIAL_NAME_MAX];
	const struct denial *found = NULL;

	if (!denials)
		return NULL;
	if (identity)
		found = denials_find(denials, name, denial_name_identity(identity, name));
	for (unsigned i = 0; !found && i < chain->count; i++) {
		const struct revocation_link *link = &chain->links[i];
		found = denials_find(denials, name, denial_name_key(link->key, name));
		if (!found)
			found = denials_find(denials, name,
					     denial_name_serial(link->issuer_key, link->serial,
								link->serial_size, name));
	}
	return found;
}

// --- growing

static int put_entry(struct denials *part, struct denial *entry)
{
	part->entries[part->count++] = denial_get(entry);
	table_remove(part->by_name, entry->name, entry->name_size);
	return table_add(part->by_name, entry->name, entry->name_size, entry);
}

// A part with these entries behind `earlier`, which it merges where that is small.
static int make_part(struct denials *earlier, const char *domain, struct denial *const *entries,
		     size_t count, struct denials **ret)
{
	_cleanup_(denials_putp) struct denials *part = calloc(1, sizeof(*part));
	bool merge = earlier && earlier->count <= MERGE_MAX;
	size_t before = merge ? earlier->count : 0;
	int r = 0;

	if (!part)
		return -ENOMEM;
	atomic_init(&part->references, 1);
	part->domain = strdup(domain);
	part->by_name = table_new();
	part->entries = calloc(before + count, sizeof(struct denial *));
	part->first = denials_number(earlier) + 1 - before;
	if (!part->domain || !part->by_name || !part->entries)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < before; i++)
		r = put_entry(part, earlier->entries[i]);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = put_entry(part, entries[i]);
	if (r < 0)
		return r;
	struct denials *behind = merge ? earlier->earlier : earlier;
	part->earlier = behind ? denials_get(behind) : NULL;
	*ret = take(part);
	return 0;
}

// Whether the entries follow each other, and their hashes, counted from what `old` holds before them.
static int hash_entries(const struct denials *old, const char *domain,
			struct denial *const *entries, size_t count, struct error *error)
{
	uint8_t hash[DENIAL_HASH_SIZE];

	if (denials_hash(old, domain, entries[0]->number - 1, hash) < 0)
		return error_set(error, ENOENT, "denials of %s are missing between %llu and %llu",
				 domain, (unsigned long long)denials_number(old),
				 (unsigned long long)entries[0]->number);
	for (size_t i = 0; i < count; i++) {
		if (entries[i]->number != entries[0]->number + i)
			return error_set(error, EINVAL,
					 "denial %llu of %s stands in the wrong place",
					 (unsigned long long)entries[i]->number, domain);
		int r = denials_hash_next(hash, entries[i]->text, entries[i]->text_size,
					  entries[i]->hash);
		if (r < 0)
			return error_set(error, -r, "the denials of %s cannot be hashed", domain);
		memcpy(hash, entries[i]->hash, sizeof(hash));
	}
	return 0;
}

int denials_append(struct denials *old, const char *domain, struct denial *const *entries,
		   size_t count, struct denials **ret, struct error *error)
{
	if (count == 0 || entries[0]->number != denials_number(old) + 1)
		return error_set(error, EINVAL, "the denials of %s do not go on", domain);
	int r = hash_entries(old, domain, entries, count, error);
	if (r == 0 && make_part(old, domain, entries, count, ret) < 0)
		r = error_set(error, ENOMEM, "out of memory");
	return r;
}

static int check_signature(const struct denial *last, const char *domain, const struct trust *trust,
			   struct revocation_chain *ret, struct error *error)
{
	if (!last->signature || !last->signer)
		return error_set(error, EINVAL, "denial %llu of %s is not signed",
				 (unsigned long long)last->number, domain);
	int r = trust ? denial_signer_check(last->signer, domain, trust, last->time, ret, error)
		      : 0;
	return r < 0 ? r
		     : denial_signer_verify(last->signer, domain, last->number, last->hash,
					    last->signature, error);
}

// Both lists are signed. Only the one that withdraws the key of the other can be the one to believe.
static bool takes_over(const struct denials *old, const struct denials *whole,
		       const struct trust *trust)
{
	const struct denial *last = denials_last(old);
	struct revocation_chain chain;

	return whole && trust && last->signer &&
	       denial_signer_check(last->signer, old->domain, trust, last->time, &chain, NULL) ==
		       0 &&
	       denials_judge(whole, NULL, &chain);
}

static int withdrawn_signer(const char *domain, struct error *error)
{
	return error_set(error, EACCES, "the denials of %s are signed by who was itself withdrawn",
			 domain);
}

// The same one, which comes from each peer once more, costs next to nothing.
static bool lives_longer(const struct denial_signer *one, const struct denial_signer *other)
{
	return strcmp(denial_signer_text(one), denial_signer_text(other)) != 0 &&
	       denial_signer_end(one) > denial_signer_end(other);
}

// The last entry of `old` once more: a CA that got another certificate signs it anew for those who do not know the one before.
static int sign_anew(struct denials *old, struct denial *entry, const struct trust *trust,
		     struct denials **ret, struct error *error)
{
	const struct denial *last = denials_last(old);
	struct revocation_chain signer = {0};

	if (entry->number < last->number)
		return error_set(error, ERANGE,
				 "the denials of %s end with %llu, while %llu are known",
				 old->domain, (unsigned long long)entry->number,
				 (unsigned long long)last->number);
	if (!trust || !entry->signer ||
	    (last->signer && !lives_longer(entry->signer, last->signer)) ||
	    check_signature(entry, old->domain, trust, &signer, NULL) < 0 ||
	    denials_judge(old, NULL, &signer))
		return error_set(error, ESTALE, "there is nothing new in the denials of %s",
				 old->domain);
	struct denial **entries = reallocarray(NULL, old->count, sizeof(struct denial *));
	if (!entries)
		return error_set(error, ENOMEM, "out of memory");
	memcpy(entries, old->entries, old->count * sizeof(struct denial *));
	entries[old->count - 1] = entry;
	int r = make_part(old->earlier, old->domain, entries, old->count, ret);
	free(entries);
	return r < 0 ? error_set(error, ENOMEM, "out of memory") : 0;
}

int denials_add(struct denials *old, const char *domain, struct denial *const *entries,
		size_t count, const struct trust *trust, struct denials **ret, struct error *error)
{
	_cleanup_(denials_putp) struct denials *list = NULL;
	struct revocation_chain signer = {0};
	uint64_t have = denials_number(old);

	int r = count ? hash_entries(old, domain, entries, count, error)
		      : error_set(error, EINVAL, "there are no denials");
	if (r < 0)
		return r;
	size_t known = entries[0]->number <= have ? have - entries[0]->number + 1 : 0;
	if (known > count)
		known = count;
	bool apart = known && memcmp(denials_at(old, entries[known - 1]->number)->hash,
				     entries[known - 1]->hash, DENIAL_HASH_SIZE) != 0;
	if (!apart && known == count)
		return sign_anew(old, entries[count - 1], trust, ret, error);
	r = check_signature(entries[count - 1], domain, trust, &signer, error);
	if (r < 0)
		return r;
	if (denials_judge(old, NULL, &signer))
		return withdrawn_signer(domain, error);
	if (apart && entries[0]->number == 1)
		r = make_part(NULL, domain, entries, count, &list);
	else if (!apart)
		r = make_part(old, domain, entries + known, count - known, &list);
	if (r < 0)
		return error_set(error, ENOMEM, "out of memory");
	if (list && denials_judge(list, NULL, &signer))
		return withdrawn_signer(domain, error);
	if (apart && !takes_over(old, list, trust)) {
		error_set(error, ENOTUNIQ,
			  "there are two lists of denials of %s, which go apart before entry %llu",
			  domain, (unsigned long long)have);
		return error_remedy(
			error, "find out which is the CA's: either it was restored from an old "
			       "backup, or somebody else has its key");
	}
	*ret = take(list);
	return 0;
}

int denials_text(const struct denials *denials, uint64_t from, size_t max, struct buffer *ret,
		 const struct denial **ret_last)
{
	const struct denial *entry, *signed_last = NULL;
	size_t size = 0, signed_size = 0;
	int r = 0;

	for (uint64_t number = from + 1; (entry = denials_at(denials, number)); number++) {
		size += entry->text_size + 1;
		if (size > max && signed_last)
			break;
		if (entry->signature) {
			signed_last = entry;
			signed_size = size;
		}
	}
	if (!signed_last)
		return -ENOENT;
	if (signed_size > max)
		return -ENOBUFS;
	for (uint64_t number = from + 1; r == 0 && number <= signed_last->number; number++) {
		entry = denials_at(denials, number);
		r = buffer_put(ret, entry->text, entry->text_size);
		if (r == 0)
			r = buffer_put(ret, "\n", 1);
	}
	*ret_last = signed_last;
	return r;
}
