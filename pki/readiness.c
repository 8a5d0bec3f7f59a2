// SPDX-License-Identifier: Apache-2.0

#include "pki/readiness.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/table.h"
#include "pki/ca.h"
#include "pki/ca_denied.h"
#include "pki/denials.h"
#include "pki/record.h"

// One node: what it said, and what the journal has of it.
struct node {
	bool known; // to the journal
	bool says;  // what it trusts
	time_t seen, not_after;
	char *anchors; // hashes in a row, without anything between
	char identity[];
};

struct readiness {
	struct table *nodes;
};

struct readiness *readiness_new(void)
{
	_cleanup_(readiness_freep) struct readiness *readiness = calloc(1, sizeof(*readiness));

	if (readiness)
		readiness->nodes = table_new();
	return readiness && readiness->nodes ? take(readiness) : NULL;
}

struct readiness *readiness_free(struct readiness *readiness)
{
	struct node *node;
	size_t cursor = 0;

	if (!readiness)
		return NULL;
	while (readiness->nodes && (node = table_next(readiness->nodes, &cursor))) {
		free(node->anchors);
		free(node);
	}
	table_free(readiness->nodes);
	free(readiness);
	return NULL;
}

static struct node *get_node(struct readiness *readiness, const char *identity)
{
	size_t size = strlen(identity);
	struct node *node = table_find(readiness->nodes, identity, size);

	if (node)
		return node;
	node = calloc(1, sizeof(*node) + size + 1);
	if (!node)
		return NULL;
	memcpy(node->identity, identity, size);
	if (table_add(readiness->nodes, node->identity, size, node) == 0)
		return node;
	free(node);
	return NULL;
}

int readiness_add(struct readiness *readiness, const char *identity, const char *const *anchors,
		  size_t count, time_t seen)
{
	struct node *node = get_node(readiness, identity);
	size_t size = 0;

	if (!node)
		return -ENOMEM;
	if (node->says && node->seen > seen)
		return 0;
	for (size_t i = 0; anchors && i < count; i++)
		size += strlen(anchors[i]);
	char *text = calloc(1, size + 1);
	if (!text)
		return -ENOMEM;
	for (size_t i = 0, at = 0; anchors && i < count; i++)
		at += (size_t)snprintf(text + at, size + 1 - at, "%s", anchors[i]);
	free(node->anchors);
	node->anchors = text;
	node->says = anchors;
	node->seen = seen;
	return 0;
}

struct known {
	struct readiness *readiness;
	struct denials *denials; // NULL: nothing was ever revoked
};

static int note_known(const struct record *record, void *data)
{
	const struct known *known = data;

	if (ca_denial_of(known->denials, record))
		return 0;
	struct node *node = get_node(known->readiness, record->identity);
	if (!node)
		return -ENOMEM;
	node->known = true;
	if (record->not_after > node->not_after)
		node->not_after = record->not_after;
	return 0;
}

static enum readiness_state state_of(const struct node *node, const char *anchor)
{
	size_t size = strlen(anchor);

	if (!node->says)
		return READINESS_UNSEEN;
	for (const char *at = node->anchors; strlen(at) >= size; at += size)
		if (strncmp(at, anchor, size) == 0)
			return READINESS_READY;
	return READINESS_LACKING;
}

static int compare(const void *a, const void *b)
{
	const struct node *const *x = a, *const *y = b;

	return strcmp((*x)->identity, (*y)->identity);
}

int readiness_judge(struct readiness *readiness, struct ca *ca, const char *anchor, time_t now,
		    int (*each)(const struct readiness_node *node, void *data), void *data,
		    struct error *error)
{
	const struct record_filter filter = {.ends_after = now};
	struct node *node;
	size_t cursor = 0, count = 0;

	struct known known = {.readiness = readiness};

	int r = ca_denials(ca, &known.denials, error);
	if (r == 0)
		r = record_walk(ca_journal(ca), &filter, note_known, &known, error);
	denials_put(known.denials);
	_cleanup_(freep) struct node **nodes =
		calloc(table_count(readiness->nodes) + 1, sizeof(struct node *));
	if (r == -ENOMEM || !nodes)
		return error_set(error, ENOMEM, "out of memory");
	if (r < 0)
		return r;
	while ((node = table_next(readiness->nodes, &cursor)))
		if (node->known)
			nodes[count++] = node;
	qsort(nodes, count, sizeof(struct node *), compare);
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct readiness_node said = {.identity = nodes[i]->identity,
					      .state = state_of(nodes[i], anchor),
					      .seen = nodes[i]->seen,
					      .not_after = nodes[i]->not_after};
		r = each(&said, data);
	}
	return r;
}
