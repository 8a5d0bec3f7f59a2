// SPDX-License-Identifier: Apache-2.0

#include "client/claim.h"

#include <errno.h>
#include <stdlib.h>

#include "tun/lpm.h"

struct claims {
	struct prefix *prefixes;
	struct lpm *all;
	struct lpm *peers;
};

struct claims *claims_new(void)
{
	return calloc(1, sizeof(struct claims));
}

static void claims_done(struct claims *claims)
{
	lpm_free(claims->all);
	lpm_free(claims->peers);
	free(claims->prefixes);
}

struct claims *claims_free(struct claims *claims)
{
	if (!claims)
		return NULL;
	claims_done(claims);
	free(claims);
	return NULL;
}

int claims_set(struct claims *claims, const struct claim_list *list)
{
	size_t count = list->peer_count + list->behind_count;
	struct claims new = {
		.prefixes = calloc(count + 1, sizeof(*new.prefixes)),
		.all = lpm_new(count),
		.peers = lpm_new(list->peer_count),
	};
	if (!new.prefixes || !new.all || !new.peers) {
		claims_done(&new);
		return -ENOMEM;
	}
	for (size_t i = 0; i < count; i++) {
		bool behind = i >= list->peer_count;
		struct prefix *prefix = &new.prefixes[i];
		*prefix = prefix_masked(behind ? &list->behind[i - list->peer_count]
					       : &list->peers[i]);
		if (prefix->length == 0)
			continue;
		lpm_add(new.all, prefix, prefix);
		if (!behind)
			lpm_add(new.peers, prefix, prefix);
	}
	claims_done(claims);
	*claims = new;
	return 0;
}

const struct prefix *claims_around(const struct claims *claims, const struct prefix *prefix)
{
	return lpm_around(claims->all, prefix);
}

const struct prefix *claims_of_peers(const struct claims *claims, const struct prefix *prefix)
{
	return lpm_around(claims->peers, prefix);
}
