// SPDX-License-Identifier: Apache-2.0

#include "pki/ca_strand.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/table.h"
#include "pki/ca.h"
#include "pki/ca_denied.h"
#include "pki/denials.h"
#include "pki/readiness.h"
#include "pki/record.h"
#include "pki/rotation.h"

#define WHY_MAX 120

DEFINE_CLEANUP(X509 *, X509_free);

// The leaves of one node.
struct held {
	time_t old_until; // the end of the last one that only the old root vouches for; 0: none
	time_t new_from;  // when the last one from below the new root was issued; 0: none
	char identity[];
};

struct walk {
	const struct ca *ca;
	const struct rotation *rotation;
	struct ca_strand *strand;
	struct table *leaves; // struct held by identity
	struct denials *denials;
	time_t now;
};

static int name(struct walk *walk, const char *identity, const char *why)
{
	struct ca_strand *strand = walk->strand;
	char *names;

	if (asprintf(&names, "%s%s%s", strand->names ? strand->names : "", strand->names ? " " : "",
		     identity) < 0)
		return -ENOMEM;
	free(strand->names);
	strand->names = names;
	strand->count++;
	if (strand->tell)
		strand->tell(identity, why, strand->data);
	return 0;
}

static struct held *find_or_add(struct table *leaves, const char *identity)
{
	size_t size = strlen(identity);
	struct held *held = table_find(leaves, identity, size);

	if (held)
		return held;
	held = calloc(1, sizeof(*held) + size + 1);
	if (!held)
		return NULL;
	memcpy(held->identity, identity, size);
	if (table_add(leaves, held->identity, size, held) == 0)
		return held;
	free(held);
	return NULL;
}

static int note_leaf(const struct record *record, void *data)
{
	struct walk *walk = data;
	_cleanup_(X509_freep) X509 *certificate = record_certificate(record);

	if (ca_denial_of(walk->denials, record))
		return 0;
	struct held *held = find_or_add(walk->leaves, record->identity);
	if (!held)
		return -ENOMEM;
	bool new = certificate &&rotation_signed_since(ca_journal(walk->ca), walk->rotation->id,
						       certificate);
	time_t *latest = new ? &held->new_from : &held->old_until;
	time_t at = new ? record->issued : record->not_after;
	if (at > *latest)
		*latest = at;
	return 0;
}

// Whoever proved its identity since it was given a new leaf has put that into use.
static bool needs_old_root(const struct held *held, const struct readiness_node *node)
{
	return held && held->old_until && (!held->new_from || node->seen < held->new_from);
}

static int judge(const struct readiness_node *node, void *data)
{
	struct walk *walk = data;
	const struct held *held = table_find(walk->leaves, node->identity, strlen(node->identity));
	char why[WHY_MAX], words[32];

	switch (node->state) {
	case READINESS_READY:
		if (!needs_old_root(held, node))
			return 0;
		snprintf(why, sizeof(why), "its certificate below the old root is valid for %s",
			 clock_words(held->old_until - walk->now, words, sizeof(words)));
		return name(walk, node->identity, why);
	case READINESS_LACKING:
		snprintf(why, sizeof(why), "did not trust the new root when it was heard %s ago",
			 clock_words(walk->now - node->seen, words, sizeof(words)));
		return name(walk, node->identity, why);
	case READINESS_UNSEEN:
		return name(walk, node->identity, "was never heard to say what it trusts");
	}
	return 0;
}

static void leaves_free(struct table *leaves)
{
	struct held *held;
	size_t cursor = 0;

	while (leaves && (held = table_next(leaves, &cursor)))
		free(held);
	table_free(leaves);
}

int ca_strand(struct ca *ca, const struct rotation *rotation, bool leaves, struct ca_strand *strand,
	      struct error *error)
{
	_cleanup_(readiness_freep) struct readiness *nothing =
		strand->readiness ? NULL : readiness_new();
	struct walk walk = {.ca = ca,
			    .rotation = rotation,
			    .strand = strand,
			    .leaves = table_new(),
			    .now = clock_wall()};
	const struct record_filter filter = {.ends_after = walk.now};
	int r = walk.leaves && (strand->readiness || nothing) ? 0 : -ENOMEM;

	strand->names = NULL;
	strand->count = 0;
	if (r == 0)
		r = ca_denials(ca, &walk.denials, error);
	if (r == 0 && leaves)
		r = record_walk(ca_journal(ca), &filter, note_leaf, &walk, error);
	if (r == 0)
		r = readiness_judge(strand->readiness ? strand->readiness : nothing, ca,
				    rotation->new, walk.now, judge, &walk, error);
	leaves_free(walk.leaves);
	denials_put(walk.denials);
	if (r == -ENOMEM)
		error_set(error, ENOMEM, "out of memory");
	if (r < 0)
		free(take(strand->names));
	return r;
}
