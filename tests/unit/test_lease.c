// SPDX-License-Identifier: Apache-2.0

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
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "server/declared.h"
#include "server/lease.h"

#define NOW 1800000000

static struct prefix prefix(const char *text)
{
	struct prefix value;

	assert_int_equal(prefix_parse(text, &value), 0);
	return value;
}

struct plant { // a directory and what is needed to open leases in it
	char directory[64];
	char path[128];
	struct prefix pools[LEASE_POOLS_MAX];
	struct prefix fixed_addresses[16];
	struct lease_fixed fixed[16];
	struct lease_options options;
};

static void plant_pool(struct plant *plant, const char *text)
{
	plant->pools[plant->options.pool_count++] = prefix(text);
}

static void plant_fix(struct plant *plant, const char *identity, const char *address)
{
	unsigned i = plant->options.fixed_count++;

	plant->fixed_addresses[i] = prefix(address);
	plant->fixed[i] = (struct lease_fixed){identity, &plant->fixed_addresses[i], 1};
}

static int plant_setup(void **state)
{
	struct plant *plant = calloc(1, sizeof(*plant));

	snprintf(plant->directory, sizeof(plant->directory), "/tmp/test_lease.XXXXXX");
	if (!mkdtemp(plant->directory))
		return -1;
	snprintf(plant->path, sizeof(plant->path), "%s/leases.db", plant->directory);
	plant->options.path = plant->path;
	plant->options.pools = plant->pools;
	plant->options.fixed = plant->fixed;
	*state = plant;
	log_set_level(LOG_LEVEL_ERROR);
	return 0;
}

static int plant_teardown(void **state)
{
	static const char *const suffixes[] = {"",	  "-wal",	 "-shm",
					       ".broken", ".broken-wal", ".broken-shm"};
	struct plant *plant = *state;
	char path[192];

	for (unsigned i = 0; i < sizeof(suffixes) / sizeof(*suffixes); i++) {
		snprintf(path, sizeof(path), "%s%s", plant->path, suffixes[i]);
		unlink(path);
	}
	rmdir(plant->path);
	int r = rmdir(plant->directory);
	free(plant);
	return r;
}

static struct leases *open_leases(const struct plant *plant)
{
	struct leases *leases = NULL;
	struct error error = {0};

	if (leases_open(&plant->options, &leases, &error) < 0)
		fail_msg("%s", error.what);
	return leases;
}

// The address number `which` of the identity, which gets `count` in all.
static const char *acquire_nth(struct leases *leases, const char *identity, unsigned which,
			       unsigned count)
{
	static char text[ADDR_TEXT_MAX];
	struct prefix addresses[32];
	struct error error = {0};
	unsigned found = 0;

	if (lease_acquire(leases, identity, LEASE_POOLS_ALL, NOW, addresses, 32, &found, &error) <
	    0)
		fail_msg("%s", error.what);
	assert_int_equal(found, count);
	assert_int_equal(addresses[which].length, ADDR_BITS(&addresses[which].addr));
	return addr_text(&addresses[which].addr, text);
}

static const char *acquire(struct leases *leases, const char *identity)
{
	return acquire_nth(leases, identity, 0, 1);
}

static int acquire_error(struct leases *leases, const char *identity, struct error *error)
{
	struct prefix addresses[32];
	unsigned found = 77;
	int r = lease_acquire(leases, identity, LEASE_POOLS_ALL, NOW, addresses, 32, &found, error);

	assert_true(r < 0);
	assert_int_equal(found, 77);
	return r;
}

static void test_gateway_address(void **unused)
{
	(void)unused;
	char text[PREFIX_TEXT_MAX];
	struct prefix pool = prefix("10.90.0.0/16"), pool6 = prefix("fd90::/64");
	struct prefix gateway = lease_gateway_address(&pool);

	assert_string_equal(prefix_text(&gateway, text), "10.90.0.1/16");
	gateway = lease_gateway_address(&pool6);
	assert_string_equal(prefix_text(&gateway, text), "fd90::1/64");
}

static void test_one_address_of_each_pool(void **state)
{
	struct plant *plant = *state;

	plant_pool(plant, "10.90.0.0/16");
	plant_pool(plant, "fd90::/64");
	plant_pool(plant, "fd91::/32");
	_cleanup_(leases_closep) struct leases *leases = open_leases(plant);
	struct prefix got[32];
	unsigned count = 0;

	assert_int_equal(
		lease_acquire(leases, "spiffe://t/a", LEASE_POOLS_ALL, NOW, got, 32, &count, NULL),
		0);
	assert_int_equal(count, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_true(prefix_contains(&plant->pools[i], &got[i].addr));
	assert_int_equal(
		lease_acquire(leases, "spiffe://t/a", LEASE_POOLS_ALL, NOW, got, 2, &count, NULL),
		-ENOBUFS);
}

// Every address of a small pool is given once, and none of those that must not be.
static void test_small_pool(void **state)
{
	struct plant *plant = *state;
	_cleanup_(freep) char *seen = calloc(1, 256);
	char identity[64];

	plant_pool(plant, "10.1.2.0/26");
	_cleanup_(leases_closep) struct leases *leases = open_leases(plant);
	for (unsigned i = 0; i < 61; i++) {
		snprintf(identity, sizeof(identity), "spiffe://t/%u", i);
		const char *text = acquire(leases, identity);
		assert_memory_equal(text, "10.1.2.", 7);
		unsigned long last = strtoul(text + 7, NULL, 10);
		assert_in_range(last, 2, 62);
		assert_false(seen[last]);
		seen[last] = 1;
	}
	struct error error = {0};
	assert_int_equal(acquire_error(leases, "spiffe://t/more", &error), -ENOSPC);
	assert_non_null(strstr(error.what, "10.1.2.0/26"));
	assert_non_null(strstr(error.what, "61"));
	assert_true(error.remedy[0] != 0);
}

static void test_tiny_pools(void **state)
{
	struct plant *plant = *state;

	plant_pool(plant, "10.1.2.0/30");
	plant_pool(plant, "fd90::/126");
	_cleanup_(leases_closep) struct leases *leases = open_leases(plant);
	char text[ADDR_TEXT_MAX];

	snprintf(text, sizeof(text), "%s", acquire_nth(leases, "spiffe://t/a", 1, 2));
	assert_true(strcmp(text, "fd90::2") == 0 || strcmp(text, "fd90::3") == 0);
	assert_string_equal(acquire_nth(leases, "spiffe://t/a", 0, 2), "10.1.2.2");
	assert_int_equal(acquire_error(leases, "spiffe://t/b", NULL), -ENOSPC);

	plant->options.path = NULL;
	plant->options.pool_count = 0;
	plant_pool(plant, "10.1.2.0/31");
	_cleanup_(leases_closep) struct leases *none = open_leases(plant);
	assert_int_equal(acquire_error(none, "spiffe://t/b", NULL), -ENOSPC);
}

static void test_sticky_over_restart(void **state)
{
	struct plant *plant = *state;
	char first[32][ADDR_TEXT_MAX], identity[64];

	plant_pool(plant, "10.1.2.0/26"); // crowded: many are not where their hash says
	for (unsigned round = 0; round < 2; round++) {
		_cleanup_(leases_closep) struct leases *leases = open_leases(plant);
		for (unsigned n = 0; n < 32; n++) {
			unsigned i = round ? 31 - n : n; // joining in another order
			snprintf(identity, sizeof(identity), "spiffe://t/%u", i);
			const char *text = acquire(leases, identity);
			if (round)
				assert_string_equal(first[i], text);
			else
				snprintf(first[i], sizeof(first[i]), "%s", text);
		}
	}
	struct stat status;
	assert_int_equal(stat(plant->path, &status), 0);
	assert_int_equal(status.st_mode & 07, 0);
}

static void test_sticky_without_database(void **state)
{
	struct plant *plant = *state;
	char first[ADDR_TEXT_MAX];

	plant->options.path = NULL;
	plant_pool(plant, "10.90.0.0/16");
	plant_pool(plant, "fd90::/64");
	_cleanup_(leases_closep) struct leases *one = open_leases(plant);
	acquire_nth(one, "spiffe://t/other", 0, 2);
	snprintf(first, sizeof(first), "%s", acquire_nth(one, "spiffe://t/a", 1, 2));
	_cleanup_(leases_closep) struct leases *two = open_leases(plant);
	assert_string_equal(acquire_nth(two, "spiffe://t/a", 1, 2), first);
}

// The place of an identity is part of the format: another version of the daemon finds the same one.
static void test_place_of_an_identity(void **state)
{
	struct plant *plant = *state;

	plant->options.path = NULL;
	plant_pool(plant, "10.90.0.0/16");
	plant_pool(plant, "fd90::/64");
	_cleanup_(leases_closep) struct leases *leases = open_leases(plant);
	const char *identity = "spiffe://corp.example/laptop/alice";

	// SHA-256 begins with 9777647f2052cb24: 2 more, as the first two addresses are not given.
	assert_string_equal(acquire_nth(leases, identity, 0, 2), "10.90.174.92");
	assert_string_equal(acquire_nth(leases, identity, 1, 2), "fd90::9777:647f:2052:cb26");
}

static void test_oldest_is_taken_over(void **state)
{
	struct plant *plant = *state;
	char oldest[ADDR_TEXT_MAX], held[ADDR_TEXT_MAX];

	plant_pool(plant, "10.1.2.0/29"); // five
	{
		_cleanup_(leases_closep) struct leases *leases = open_leases(plant);
		snprintf(held, sizeof(held), "%s", acquire(leases, "spiffe://t/held"));
		lease_release(leases, "spiffe://t/held", NOW + 1);
		acquire(leases, "spiffe://t/held");
		snprintf(oldest, sizeof(oldest), "%s", acquire(leases, "spiffe://t/c"));
		acquire(leases, "spiffe://t/b");
		acquire(leases, "spiffe://t/a");
		acquire(leases, "spiffe://t/d");
		acquire(leases, "spiffe://t/d"); // no second hold
		lease_release(leases, "spiffe://t/c", NOW + 10);
		lease_release(leases, "spiffe://t/b", NOW + 20);
		lease_release(leases, "spiffe://t/a", NOW + 30);
		lease_release(leases, "spiffe://t/d", NOW + 40);
		lease_release(leases, "spiffe://t/d", NOW + 50); // once too often
		lease_release(leases, "spiffe://t/stranger", NOW);
		assert_string_equal(acquire(leases, "spiffe://t/new"), oldest);
	}
	// After a restart nobody is held, and the order is that of the last use.
	_cleanup_(leases_closep) struct leases *leases = open_leases(plant);
	assert_string_equal(acquire(leases, "spiffe://t/held"), held);
	for (unsigned i = 0; i < 4; i++) {
		char identity[32];
		snprintf(identity, sizeof(identity), "spiffe://t/x%u", i);
		assert_string_not_equal(acquire(leases, identity), held);
	}
	assert_int_equal(acquire_error(leases, "spiffe://t/x5", NULL), -ENOSPC);
}

static void test_fixed_addresses(void **state)
{
	struct plant *plant = *state;
	char identity[64];

	plant_pool(plant, "10.1.2.0/28"); // 13, of which one is fixed
	plant_pool(plant, "fd90::/64");
	plant_fix(plant, "spiffe://t/server", "10.1.2.5");
	plant_fix(plant, "spiffe://t/outside", "10.9.9.9");
	_cleanup_(leases_closep) struct leases *leases = open_leases(plant);

	for (unsigned i = 0; i < 12; i++) {
		snprintf(identity, sizeof(identity), "spiffe://t/%u", i);
		assert_string_not_equal(acquire_nth(leases, identity, 0, 2), "10.1.2.5");
	}
	assert_int_equal(acquire_error(leases, "spiffe://t/more", NULL), -ENOSPC);
	assert_string_equal(acquire_nth(leases, "spiffe://t/server", 0, 2), "10.1.2.5");
	assert_memory_equal(acquire_nth(leases, "spiffe://t/server", 1, 2), "fd90::", 6);
	assert_string_equal(acquire_nth(leases, "spiffe://t/outside", 0, 2), "10.9.9.9");
}

static void test_fixed_addresses_refused(void **state)
{
	struct plant *plant = *state;
	static const char *const wrong[] = {"10.1.2.0",	   "10.1.2.1",	"10.1.2.255",
					    "10.1.3.0/24", "127.0.0.1", "10.1.2.9"};

	plant_pool(plant, "10.1.2.0/24");
	plant_fix(plant, "spiffe://t/first", "10.1.2.9");
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		struct leases *leases = NULL;
		struct error error = {0};
		plant->options.fixed_count = 1;
		plant_fix(plant, "spiffe://t/second", wrong[i]);
		assert_int_equal(leases_open(&plant->options, &leases, &error), -EINVAL);
		assert_null(leases);
		assert_non_null(strstr(error.what, "spiffe://t/second"));
	}
}

static void test_reload(void **state)
{
	struct plant *plant = *state;
	char one[ADDR_TEXT_MAX], two[ADDR_TEXT_MAX], three[ADDR_TEXT_MAX];

	plant_pool(plant, "10.1.2.0/24");
	plant_pool(plant, "fd90::/64");
	_cleanup_(leases_closep) struct leases *leases = open_leases(plant);
	snprintf(one, sizeof(one), "%s", acquire_nth(leases, "spiffe://t/one", 0, 2));
	snprintf(two, sizeof(two), "%s", acquire_nth(leases, "spiffe://t/two", 0, 2));
	snprintf(three, sizeof(three), "%s", acquire_nth(leases, "spiffe://t/three", 1, 2));
	lease_release(leases, "spiffe://t/three", NOW);

	// Refused: nothing changes.
	plant_fix(plant, "spiffe://t/x", "10.1.2.1");
	assert_int_equal(leases_reload(leases, &plant->options, NULL), -EINVAL);
	assert_string_equal(acquire_nth(leases, "spiffe://t/one", 0, 2), one);

	// The pool grows, another comes and one goes; the address of "two" is now fixed for "x".
	plant->options.pool_count = plant->options.fixed_count = 0;
	plant_pool(plant, "fd91::/64");
	plant_pool(plant, "10.1.0.0/16");
	plant_fix(plant, "spiffe://t/x", two);
	assert_int_equal(leases_reload(leases, &plant->options, NULL), 0);
	assert_string_equal(acquire_nth(leases, "spiffe://t/one", 1, 2), one);
	assert_memory_equal(acquire_nth(leases, "spiffe://t/one", 0, 2), "fd91::", 6);
	assert_string_not_equal(acquire_nth(leases, "spiffe://t/two", 1, 2), two);
	assert_string_equal(acquire_nth(leases, "spiffe://t/x", 0, 2), two);
	assert_string_not_equal(acquire_nth(leases, "spiffe://t/three", 0, 2), three);

	// Two pools become one: one lease of the family is left.
	plant->options.pool_count = plant->options.fixed_count = 0;
	plant_pool(plant, "fd90::/15");
	assert_int_equal(leases_reload(leases, &plant->options, NULL), 0);
	acquire_nth(leases, "spiffe://t/one", 0, 1);
}

// What a reload threw away is not there after a restart either.
static void test_reload_is_written(void **state)
{
	struct plant *plant = *state;

	plant_pool(plant, "10.1.2.0/24");
	struct leases *leases = open_leases(plant);
	acquire(leases, "spiffe://t/one");
	plant->options.pool_count = 0;
	plant_pool(plant, "10.1.3.0/24");
	assert_int_equal(leases_reload(leases, &plant->options, NULL), 0);
	leases_close(leases);

	sqlite3 *db = NULL;
	sqlite3_stmt *count = NULL;
	assert_int_equal(sqlite3_open(plant->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM leases", -1, &count, NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_step(count), SQLITE_ROW);
	assert_int_equal(sqlite3_column_int(count, 0), 0);
	sqlite3_finalize(count);
	sqlite3_close(db);
}

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

static void test_many(void **state)
{
	struct plant *plant = *state;
	char identity[64];
	uint64_t start = clock_ms();

	plant_pool(plant, "10.90.0.0/16");
	plant_pool(plant, "fd90::/64");
	for (unsigned round = 0; round < 2; round++) {
		_cleanup_(leases_closep) struct leases *leases = open_leases(plant);
		for (unsigned i = 0; i < 10000; i++) {
			snprintf(identity, sizeof(identity), "spiffe://corp.example/laptop/%u", i);
			acquire_nth(leases, identity, 0, 2);
		}
	}
	print_message("20,000 acquisitions in %llu ms\n", (unsigned long long)(clock_ms() - start));
	assert_true(clock_ms() - start < 20000);
}

// A pool that is nearly full: no scan of the table.
static void test_nearly_full(void **state)
{
	struct plant *plant = *state;
	char identity[64];
	uint64_t start = clock_ms();

	plant->options.path = NULL;
	plant_pool(plant, "10.90.0.0/18");
	_cleanup_(leases_closep) struct leases *leases = open_leases(plant);
	for (unsigned i = 0; i < 16381; i++) {
		snprintf(identity, sizeof(identity), "spiffe://corp.example/laptop/%u", i);
		acquire(leases, identity);
	}
	assert_int_equal(acquire_error(leases, "spiffe://corp.example/more", NULL), -ENOSPC);
	lease_release(leases, "spiffe://corp.example/laptop/4711", NOW);
	acquire(leases, "spiffe://corp.example/more");
	print_message("16,381 acquisitions in %llu ms\n", (unsigned long long)(clock_ms() - start));
	assert_true(clock_ms() - start < 30000);
}

#define plant_test(test) cmocka_unit_test_setup_teardown(test, plant_setup, plant_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gateway_address),
		plant_test(test_one_address_of_each_pool),
		plant_test(test_small_pool),
		plant_test(test_tiny_pools),
		plant_test(test_sticky_over_restart),
		plant_test(test_sticky_without_database),
		plant_test(test_place_of_an_identity),
		plant_test(test_oldest_is_taken_over),
		plant_test(test_fixed_addresses),
		plant_test(test_fixed_addresses_refused),
		plant_test(test_reload),
		plant_test(test_reload_is_written),
		plant_test(test_broken_databases),
		plant_test(test_declared),
		plant_test(test_declared_again),
		plant_test(test_damaged_page),
		plant_test(test_foreign_rows),
		plant_test(test_place_that_cannot_be),
		plant_test(test_locked_database),
		plant_test(test_many),
		plant_test(test_nearly_full),
	};

	return cmocka_run_group_tests_name("lease", tests, NULL, NULL);
}
