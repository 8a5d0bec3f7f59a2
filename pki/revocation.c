// SPDX-License-Identifier: Apache-2.0

#include "pki/revocation.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "pki/crl_list.h"
#include "pki/crl_slot.h"
#include "pki/denials.h"
#include "pki/identity.h"

struct revocation {
	atomic_uint references;
	struct denials **denials; // one for each trust domain
	size_t denials_count;
	struct crl_list *lists;
	size_t list_count;
};

int revocation_link(const X509 *certificate, struct revocation_link *ret)
{
	const ASN1_INTEGER *serial = X509_get0_serialNumber(certificate);
	const uint8_t *bytes = ASN1_STRING_get0_data(serial);
	int size = ASN1_STRING_length(serial);

	while (size > 0 && *bytes == 0) {
		bytes++;
		size--;
	}
	if (size < 0 || size > SERIAL_MAX)
		return -EINVAL;
	memcpy(ret->serial, bytes, (size_t)size);
	ret->serial_size = (uint8_t)size;
	ret->negative = ASN1_STRING_type(serial) == V_ASN1_NEG_INTEGER;
	ret->issuer_name =
		(uint32_t)X509_NAME_hash_ex(X509_get_issuer_name(certificate), NULL, NULL, NULL);
	return certificate_spki_hash(certificate, ret->key);
}

int revocation_chain(STACK_OF(X509) * chain, struct revocation_chain *ret)
{
	int count = sk_X509_num(chain);
	struct revocation_chain read = {0};

	if (count < 1 || count > CHAIN_LENGTH_MAX + 1)
		return -EINVAL;
	for (int i = count - 1; i >= 0; i--) {
		struct revocation_link *link = &read.links[i];
		int r = revocation_link(sk_X509_value(chain, i), link);
		if (r < 0)
			return r;
		memcpy(link->issuer_key, i == count - 1 ? link->key : link[1].key, SPKI_HASH_SIZE);
	}
	read.count = (unsigned)count;
	*ret = read;
	return 0;
}

struct revocation *revocation_new(void)
{
	struct revocation *revocation = calloc(1, sizeof(*revocation));

	if (revocation)
		atomic_init(&revocation->references, 1);
	return revocation;
}

struct revocation *revocation_get(struct revocation *revocation)
{
	atomic_fetch_add_explicit(&revocation->references, 1, memory_order_relaxed);
	return revocation;
}

static void list_done(struct crl_list *list)
{
	free((char *)list->name);
	free((char *)list->domain);
	crl_slot_put(list->slot);
}

struct revocation *revocation_put(struct revocation *revocation)
{
	if (!revocation ||
	    atomic_fetch_sub_explicit(&revocation->references, 1, memory_order_acq_rel) != 1)
		return NULL;
	for (size_t i = 0; i < revocation->denials_count; i++)
		denials_put(revocation->denials[i]);
	free(revocation->denials);
	for (size_t i = 0; i < revocation->list_count; i++)
		list_done(&revocation->lists[i]);
	free(revocation->lists);
	free(revocation);
	return NULL;
}

static const struct denials *find_denials(const struct revocation *revocation, const char *domain,
					  size_t length)
{
	for (size_t i = 0; i < revocation->denials_count; i++) {
		const char *name = denials_domain(revocation->denials[i]);
		if (strlen(name) == length && memcmp(name, domain, length) == 0)
			return revocation->denials[i];
	}
	return NULL;
}

int revocation_add_denials(struct revocation *revocation, struct denials *denials)
{
	const char *domain = denials_domain(denials);

	if (find_denials(revocation, domain, strlen(domain)))
		return -EEXIST;
	struct denials **list = reallocarray(revocation->denials, revocation->denials_count + 1,
					     sizeof(struct denials *));
	if (!list)
		return -ENOMEM;
	revocation->denials = list;
	list[revocation->denials_count++] = denials_get(denials);
	return 0;
}

static int denied(const struct denial *denial, const char *identity, time_t now,
		  struct error *error)
{
	char words[32], subject[DENIAL_SUBJECT_MAX];

	clock_words(now - denial->time, words, sizeof(words));
	return error_set(error, EKEYREVOKED,
			 "%.*s was revoked by its CA %s ago (%s%s%s, denial %llu)",
			 IDENTITY_SHOWN_MAX, identity, words,
			 denial->kind == DENIAL_IDENTITY ? "" : denial_subject(denial, subject),
			 denial->kind == DENIAL_IDENTITY ? "" : ", ",
			 denial_reason_name(denial->reason), (unsigned long long)denial->number);
}

int revocation_add_list(struct revocation *revocation, const struct crl_list *list)
{
	struct crl_list *lists = reallocarray(revocation->lists, revocation->list_count + 1,
					      sizeof(*revocation->lists));
	struct crl_list copy = *list;

	if (!lists)
		return -ENOMEM;
	revocation->lists = lists;
	copy.name = strdup(list->name);
	copy.domain = strdup(list->domain);
	copy.crl = NULL;
	copy.slot = list->slot ? crl_slot_get(list->slot) : crl_slot_new(list->crl);
	if (!copy.name || !copy.domain || !copy.slot) {
		list_done(&copy);
		return -ENOMEM;
	}
	lists[revocation->list_count++] = copy;
	return 0;
}

static bool is_of(const struct crl_list *list, const char *domain, size_t length)
{
	return strlen(list->domain) == length && memcmp(list->domain, domain, length) == 0;
}

// First who is named, by any list, as that says more; then whether all that must tell can.
static int check_lists(const struct revocation *revocation, const char *identity,
		       const struct revocation_chain *chain, time_t now, struct error *error)
{
	const char *domain;
	size_t length = identity_domain(identity, &domain);
	int r = 0;

	for (size_t i = 0; r == 0 && i < revocation->list_count; i++)
		if (is_of(&revocation->lists[i], domain, length))
			r = crl_list_judge(&revocation->lists[i], identity, chain, now, error);
	for (size_t i = 0; r == 0 && i < revocation->list_count; i++)
		if (is_of(&revocation->lists[i], domain, length))
			r = crl_list_current(&revocation->lists[i], identity, chain, now, error);
	return r;
}

int revocation_check(const struct revocation *revocation, const char *identity,
		     const struct revocation_chain *chain, time_t now, struct error *error)
{
	const char *domain;
	const struct denial *denial;

	if (!revocation)
		return 0;
	size_t length = identity_domain(identity, &domain);
	denial = denials_judge(find_denials(revocation, domain, length), identity, chain);
	return denial ? denied(denial, identity, now, error)
		      : check_lists(revocation, identity, chain, now, error);
}
