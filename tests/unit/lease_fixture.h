// SPDX-License-Identifier: Apache-2.0
// A directory, and what is needed to open leases in it.
#pragma once

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "server/lease.h"

#define NOW 1800000000

static inline struct prefix prefix(const char *text)
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

static inline void plant_pool(struct plant *plant, const char *text)
{
	plant->pools[plant->options.pool_count++] = prefix(text);
}

static inline void plant_fix(struct plant *plant, const char *identity, const char *address)
{
	unsigned i = plant->options.fixed_count++;

	plant->fixed_addresses[i] = prefix(address);
	plant->fixed[i] = (struct lease_fixed){identity, &plant->fixed_addresses[i], 1};
}

static inline int plant_setup(void **state)
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

static inline int plant_teardown(void **state)
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

static inline struct leases *open_leases(const struct plant *plant)
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

static inline int acquire_error(struct leases *leases, const char *identity, struct error *error)
{
	struct prefix addresses[32];
	unsigned found = 77;
	int r = lease_acquire(leases, identity, LEASE_POOLS_ALL, NOW, addresses, 32, &found, error);

	assert_true(r < 0);
	assert_int_equal(found, 77);
	return r;
}

#define plant_test(test) cmocka_unit_test_setup_teardown(test, plant_setup, plant_teardown)
