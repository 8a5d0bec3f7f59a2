// SPDX-License-Identifier: Apache-2.0

#include "pki/crl_list.h"

#include <errno.h>

#include "base/clock.h"
#include "base/error.h"
#include "pki/crl.h"
#include "pki/crl_slot.h"
#include "pki/identity.h"
#include "pki/revocation.h"

static int revoked(const struct crl_list *list, const struct crl *crl, const char *identity,
		   unsigned depth, const struct crl_entry *entry, time_t now, struct error *error)
{
	const char *reason = crl_reason_name(entry->reason);
	char words[32], when[48] = "";

	if (entry->time && entry->time <= now)
		snprintf(when, sizeof(when), " %s ago",
			 clock_words(now - entry->time, words, sizeof(words)));
	error_set(error, EKEYREVOKED, "%s %.*s was revoked%s by %s%s%s%s",
		  depth == 0 ? "the certificate of" : "a CA certificate above", IDENTITY_SHOWN_MAX,
		  identity, when, crl_facts(crl)->issuer, reason ? " (" : "", reason ? reason : "",
		  reason ? ")" : "");
	return error_where(error, "%.180s", list->name);
}

int crl_list_judge(const struct crl_list *list, const char *identity,
		   const struct revocation_chain *chain, time_t now, struct error *error)
{
	_cleanup_(crl_putp) struct crl *crl = crl_slot_crl(list->slot);
	struct crl_entry entry;

	for (unsigned i = 0; crl && i < chain->count; i++) {
		const struct revocation_link *link = &chain->links[i];
		if (crl_covers(crl, link->issuer_key, link->issuer_name) &&
		    crl_find(crl, link->serial, link->serial_size, link->negative, &entry))
			return revoked(list, crl, identity, i, &entry, now, error);
	}
	return 0;
}

// Who signs a list that was never read is not known: it might be any CA of the domain.
static bool concerns(const struct crl *crl, const struct revocation_chain *chain)
{
	bool any = !crl;

	for (unsigned i = 0; !any && i < chain->count; i++)
		any = crl_covers(crl, chain->links[i].issuer_key, chain->links[i].issuer_name);
	return any;
}

int crl_list_current(const struct crl_list *list, const char *identity,
		     const struct revocation_chain *chain, time_t now, struct error *error)
{
	_cleanup_(crl_putp) struct crl *crl = crl_slot_crl(list->slot);
	time_t end = crl ? crl_facts(crl)->next_update + (time_t)list->grace_s : 0;
	char words[32];

	if (!list->hard || now <= end || !concerns(crl, chain))
		return 0;
	if (end)
		error_set(error, EKEYREVOKED,
			  "whether %.*s was revoked is not known: the list is %s too old",
			  IDENTITY_SHOWN_MAX, identity,
			  clock_words(now - end, words, sizeof(words)));
	else
		error_set(error, EKEYREVOKED,
			  "whether %.*s was revoked is not known: the list could not be read yet",
			  IDENTITY_SHOWN_MAX, identity);
	error_where(error, "%.180s", list->name);
	return error_remedy(
		error,
		"\"mutun status\" on the node that refuses says what is wrong with the list");
}
