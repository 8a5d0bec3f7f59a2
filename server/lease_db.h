// SPDX-License-Identifier: Apache-2.0
// The SQLite file behind the leases, and behind what peers declare: what outlives the daemon. Its faults after the opening never stop anybody from joining:
// they go to the log (limited), and the leases go on in memory.
#pragma once

#include <time.h>

#include "base/addr.h"
#include "base/cleanup.h"

struct error;
struct lease_db;

struct lease_row {
	const char *identity;
	struct prefix pool;
	struct addr address; // the key
	time_t since, used;
};

// Opens or makes the file (0640). What is no database of ours, or a damaged one, is moved aside (.broken), said in the log,
// and begun anew; anything else that is wrong with the file is an error for the operator.
int lease_db_open(const char *path, struct lease_db **ret, struct error *error);
struct lease_db *lease_db_close(struct lease_db *db); // takes NULL, returns NULL
DEFINE_CLEANUP(struct lease_db *, lease_db_close);

// Every row, least recently used first. Rows that are not understood are left out. `each` may remove rows; a failure of
// `each` stops the walk and is returned. -EIO.
int lease_db_load(struct lease_db *db, int (*each)(const struct lease_row *row, void *data),
		  void *data);

// All take NULL for a table in memory alone. What stands between begin and commit is written together.
void lease_db_begin(struct lease_db *db);
void lease_db_commit(struct lease_db *db);
void lease_db_put(struct lease_db *db, const struct lease_row *row);
void lease_db_remove(struct lease_db *db, const struct addr *address);
void lease_db_touch(struct lease_db *db, const char *identity, time_t used);

// Which CA certificates an identity said it trusts, and when, to within a day; `anchors` is a text of our own. The last word counts.
struct declared_row {
	const char *identity;
	const char *anchors;
	time_t seen;
};
void lease_db_declare(struct lease_db *db, const struct declared_row *row);
// Every row, by identity. A failure of `each` stops the walk and is returned. -EIO.
int lease_db_declared(struct lease_db *db, int (*each)(const struct declared_row *row, void *data),
		      void *data);
