// SPDX-License-Identifier: Apache-2.0
// The database of leases: broken, locked, written by others; and what else is kept in it.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <sqlite3.h>

#include "base/buffer.h"
#include "server/declared.h"
#include "unit/lease_fixture.h"

// Whether a database is taken for broken, and works after it.
static void expect_moved(struct plant *plant, bool moved)
{
	char broken[192];

	_cleanup_(leases_closep) struct leases *leases = open_leases(plant);
	acquire(leases, "spiffe://t/a");
	snprintf(broken, sizeof(broken), "%s.broken", plant->path);
	assert_int_equal(access(broken, F_OK), moved ? 0 : -1);
	unlink(broken);
}

static void run_sql(const char *path, const char *sql)
{
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void test_broken_databases(void **state)
{
	struct plant *plant = *state;
	_cleanup_(freep) char *junk = malloc(8192);

	plant_pool(plant, "10.1.2.0/24");
	memset(junk, 'x', 8192);
	assert_int_equal(file_write(plant->path, junk, 8192, 0600), 0);
	expect_moved(plant, true);
	expect_moved(plant, false);
	run_sql(plant->path, "PRAGMA user_version = 2");
	expect_moved(plant, true);
	run_sql(plant->path, "DROP TABLE leases; CREATE TABLE leases (address TEXT)");
	expect_moved(plant, true);
	run_sql(plant->path, "PRAGMA user_version = 0");
	expect_moved(plant, true);
	assert_int_equal(truncate(plant->path, 5000), 0);
	expect_moved(plant, true);
	assert_int_equal(truncate(plant->path, 0), 0);
	expect_moved(plant, false);
}

static int collect_declared(const struct declared *declared, void *data)
{
	snprintf(data + strlen(data), 200, "%s %u %02x %lld;", declared->identity,
		 declared->anchors->count, declared->anchors->hashes[0][31],
		 (long long)declared->seen);
	return 0;
}

static int stop(const struct declared *declared, void *data)
{
	(void)declared;
	++*(int *)data;
	return -EINTR;
}

// What peers declare outlives the daemon; the last word counts; who was not seen for ages is forgotten.
static void test_declared(void **state)
{
	struct plant *plant = *state;
	struct message_anchors two = {.hashes = {{[31] = 0xaf}, {2}}, .count = 2}, none = {0};
	time_t now = time(NULL);
	char text[600] = "", expected[600];
	int calls = 0;

	plant_pool(plant, "10.1.2.0/24");
	struct leases *leases = open_leases(plant);
	declared_put(leases_db(leases), "spiffe://t/b", &none, "ab", now);
	declared_put(leases_db(leases), "spiffe://t/a", &none, "ab", 7);
	declared_put(leases_db(leases), "spiffe://t/c", &two, "ab", now - 401 * 86400);
	declared_put(leases_db(leases), "spiffe://t/a", &two, "ab", now + 1);
	declared_put(NULL, "spiffe://t/a", &none, "ab", now);
	leases_close(leases);
	leases = open_leases(plant);
	assert_int_equal(declared_each(leases_db(leases), collect_declared, text), 0);
	snprintf(expected, sizeof(expected), "spiffe://t/a 2 af %lld;spiffe://t/b 0 00 %lld;",
		 (long long)now + 1, (long long)now);
	assert_string_equal(text, expected);
	assert_int_equal(declared_each(leases_db(leases), stop, &calls), -EINTR);
	assert_int_equal(calls, 1);
	assert_int_equal(declared_each(NULL, stop, &calls), 0);
	leases_close(leases);
	run_sql(plant->path, "DROP TABLE declared"); // as an older mutun left it
	expect_moved(plant, false);
}

// Whoever says the same again by the same certificate makes the database write nothing, but once a day.
static void test_declared_again(void **state)
{
	struct plant *plant = *state;
	struct message_anchors two = {.hashes = {{[31] = 0xaf}, {2}}, .count = 2}, none = {0};
	time_t now = time(NULL);
	char text[600] = "", expected[600];

	plant_pool(plant, "10.1.2.0/24");
	struct leases *leases = open_leases(plant);
	declared_put(leases_db(leases), "spiffe://t/a", &two, "ab", now);
	declared_put(leases_db(leases), "spiffe://t/a", &two, "ab", now + 86400);
	declared_put(leases_db(leases), "spiffe://t/b", &two, "ab", now);
	declared_put(leases_db(leases), "spiffe://t/b", &two, "ab", now + 86401);
	declared_put(leases_db(leases), "spiffe://t/c", &two, "ab", now);
	declared_put(leases_db(leases), "spiffe://t/c", &none, "ab", now + 1);
	declared_put(leases_db(leases), "spiffe://t/d", &two, "ab", now);
	declared_put(leases_db(leases), "spiffe://t/d", &two, "ab", now - 1); // the clock was set
	declared_put(leases_db(leases), "spiffe://t/e", &two, "ab", now);
	declared_put(leases_db(leases), "spiffe://t/e", &two, "ac",
		     now + 2); // by a new certificate
	assert_int_equal(declared_each(leases_db(leases), collect_declared, text), 0);
	snprintf(expected, sizeof(expected),
		 "spiffe://t/a 2 af %lld;spiffe://t/b 2 af %lld;spiffe://t/c 0 00 %lld;"
		 "spiffe://t/d 2 af %lld;spiffe://t/e 2 af %lld;",
		 (long long)now, (long long)now + 86401, (long long)now + 1, (long long)now - 1,
		 (long long)now + 2);
	assert_string_equal(text, expected);
	leases_close(leases);
}

// A page in the middle is overwritten.
static void test_damaged_page(void **state)
{
	struct plant *plant = *state;
	char identity[64];

	plant_pool(plant, "10.1.0.0/16");
	struct leases *leases = open_leases(plant);
	for (unsigned i = 0; i < 500; i++) {
		snprintf(identity, sizeof(identity), "spiffe://t/%u", i);
		acquire(leases, identity);
	}
	leases_close(leases);
	FILE *file = fopen(plant->path, "r+");
	assert_non_null(file);
	fseek(file, 4096L * 3, SEEK_SET);
	for (unsigned i = 0; i < 4096; i++)
		fputc(0xa5, file);
	fclose(file);
	expect_moved(plant, true);
}

// Rows that an editor made nonsense of do not matter.
static void test_foreign_rows(void **state)
{
	struct plant *plant = *state;

	plant_pool(plant, "10.1.2.0/24");
	leases_close(open_leases(plant));
	run_sql(plant->path, "INSERT INTO leases (address, identity, pool, since, used) VALUES"
			     " ('garbage', 'spiffe://t/a', '10.1.2.0/24', 1, 1),"
			     " ('10.1.2.0', 'spiffe://t/b', '10.1.2.0/24', 1, 1),"
			     " ('10.1.2.1', 'spiffe://t/c', '10.1.2.0/24', 1, 1),"
			     " ('10.1.2.255', 'spiffe://t/d', '10.1.2.0/24', 1, 1),"
			     " ('10.7.7.7', 'spiffe://t/e', '10.1.2.0/24', 1, 1),"
			     " ('10.1.2.77', 'spiffe://t/f', '10.1.2.0/24', 1, 1)");
	_cleanup_(leases_closep) struct leases *leases = open_leases(plant);
	assert_string_equal(acquire(leases, "spiffe://t/f"), "10.1.2.77");
	assert_string_not_equal(acquire(leases, "spiffe://t/c"), "10.1.2.1");
	assert_string_not_equal(acquire(leases, "spiffe://t/e"), "10.7.7.7");
}

static void test_place_that_cannot_be(void **state)
{
	struct plant *plant = *state;
	struct leases *leases = NULL;
	struct error error = {0};

	plant_pool(plant, "10.1.2.0/24");
	plant->options.path = "/nonexistent/leases.db";
	assert_int_equal(leases_open(&plant->options, &leases, &error), -ENOENT);
	assert_string_equal(error.where, "/nonexistent/leases.db");
	plant->options.path = plant->path;
	assert_int_equal(mkdir(plant->path, 0700), 0);
	assert_int_equal(leases_open(&plant->options, &leases, &error), -EISDIR);
	assert_null(leases);
}

// Somebody holds the file locked: peers join nevertheless.
static void test_locked_database(void **state)
{
	struct plant *plant = *state;
	sqlite3 *db = NULL;

	plant_pool(plant, "10.1.2.0/24");
	_cleanup_(leases_closep) struct leases *leases = open_leases(plant);
	assert_int_equal(sqlite3_open(plant->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	acquire(leases, "spiffe://t/a");
	sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
	sqlite3_close(db);
	acquire(leases, "spiffe://t/b");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		plant_test(test_broken_databases), plant_test(test_declared),
		plant_test(test_declared_again),   plant_test(test_damaged_page),
		plant_test(test_foreign_rows),	   plant_test(test_place_that_cannot_be),
		plant_test(test_locked_database),
	};

	return cmocka_run_group_tests_name("lease", tests, NULL, NULL);
}
