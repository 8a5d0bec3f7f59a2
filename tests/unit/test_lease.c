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
#include <sqlite3.h>

#include "unit/lease_fixture.h"
#include "unit/spent.h"

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

static void test_many(void **state)
{
	struct plant *plant = *state;
	char identity[64];
	uint64_t start = spent_ms();

	plant_pool(plant, "10.90.0.0/16");
	plant_pool(plant, "fd90::/64");
	for (unsigned round = 0; round < 2; round++) {
		_cleanup_(leases_closep) struct leases *leases = open_leases(plant);
		for (unsigned i = 0; i < 10000; i++) {
			snprintf(identity, sizeof(identity), "spiffe://corp.example/laptop/%u", i);
			acquire_nth(leases, identity, 0, 2);
		}
	}
	print_message("20,000 acquisitions in %llu ms\n", (unsigned long long)(spent_ms() - start));
	assert_true(spent_ms() - start < 20000);
}

// A pool that is nearly full: no scan of the table.
static void test_nearly_full(void **state)
{
	struct plant *plant = *state;
	char identity[64];
	uint64_t start = spent_ms();

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
	print_message("16,381 acquisitions in %llu ms\n", (unsigned long long)(spent_ms() - start));
	assert_true(spent_ms() - start < 30000);
}

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
		plant_test(test_many),
		plant_test(test_nearly_full),
	};

	return cmocka_run_group_tests_name("lease", tests, NULL, NULL);
}
