// SPDX-License-Identifier: Apache-2.0
// In the database a set is one text, hash after hash in hexadecimal digits.

#include "server/declared.h"

#include <stdio.h>
#include <string.h>

#include "server/lease_db.h"

#define HASH_DIGITS (2ul * ANCHOR_SIZE)

void declared_put(struct lease_db *db, const char *identity, const struct message_anchors *anchors,
		  time_t now)
{
	char text[MESSAGE_ANCHORS_MAX * HASH_DIGITS + 1] = "";

	for (size_t i = 0; i < anchors->count; i++)
		for (size_t j = 0; j < ANCHOR_SIZE; j++)
			snprintf(text + i * HASH_DIGITS + 2 * j, 3, "%02x", anchors->hashes[i][j]);
	lease_db_declare(db, &(struct declared_row){identity, text, now});
}

static unsigned nibble(char digit)
{
	return (unsigned)(digit >= 'a' ? digit - 'a' + 10 : digit - '0') & 0xf;
}

static void read_anchors(const char *text, struct message_anchors *ret)
{
	size_t count = strlen(text) / HASH_DIGITS;

	ret->count = count < MESSAGE_ANCHORS_MAX ? (unsigned)count : MESSAGE_ANCHORS_MAX;
	for (size_t i = 0; i < (size_t)ret->count * ANCHOR_SIZE; i++)
		ret->hashes[i / ANCHOR_SIZE][i % ANCHOR_SIZE] =
			(uint8_t)(nibble(text[2 * i]) << 4 | nibble(text[2 * i + 1]));
}

struct walk {
	int (*each)(const struct declared *declared, void *data);
	void *data;
};

static int on_row(const struct declared_row *row, void *data)
{
	const struct walk *walk = data;
	struct message_anchors anchors = {0};

	read_anchors(row->anchors, &anchors);
	return walk->each(&(struct declared){row->identity, &anchors, row->seen}, walk->data);
}

int declared_each(struct lease_db *db, int (*each)(const struct declared *declared, void *data),
		  void *data)
{
	struct walk walk = {each, data};

	return lease_db_declared(db, on_row, &walk);
}
