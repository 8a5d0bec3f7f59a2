// SPDX-License-Identifier: Apache-2.0
// In the database a set is one text, hash after hash in hexadecimal digits, and behind a space the serial of the certificate.

#include "server/declared.h"

#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "pki/certificate.h"
#include "server/lease_db.h"

#define HASH_DIGITS (2ul * ANCHOR_SIZE)

void declared_put(struct lease_db *db, const char *identity, const struct message_anchors *anchors,
		  const char *serial, time_t now)
{
	char text[MESSAGE_ANCHORS_MAX * HASH_DIGITS + 1 + SERIAL_TEXT_MAX];
	size_t i;

	for (i = 0; i < anchors->count; i++)
		hex_text(anchors->hashes[i], ANCHOR_SIZE, text + i * HASH_DIGITS);
	snprintf(text + i * HASH_DIGITS, 1 + SERIAL_TEXT_MAX, " %s", serial);
	lease_db_declare(db, &(struct declared_row){identity, text, now});
}

static void read_anchors(const char *text, struct message_anchors *ret)
{
	size_t count = strcspn(text, " ") / HASH_DIGITS;

	for (ret->count = 0; ret->count < count && ret->count < MESSAGE_ANCHORS_MAX; ret->count++)
		if (hex_parse(text + ret->count * HASH_DIGITS, HASH_DIGITS, ret->hashes[ret->count],
			      ANCHOR_SIZE) < 0)
			return;
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
