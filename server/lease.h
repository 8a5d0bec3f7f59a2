// SPDX-License-Identifier: Apache-2.0
// Addresses that a gateway hands out. A lease is sticky: an identity gets the same addresses again, over restarts too
// (SQLite file). Fixed addresses come from the configuration and are never given to anybody else.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/addr.h"
#include "base/cleanup.h"

struct error;
struct lease_db;
struct leases;

#define LEASE_POOLS_MAX 64u
#define LEASE_POOLS_ALL UINT64_MAX // bits of pools by their position in the options
#define LEASE_COUNT_MAX \
	(1u << 20) // per pool, even where it has more addresses; then the oldest are taken over

struct lease_fixed {
	const char *identity;
	const struct prefix *addresses; // full-length prefixes, one per address
	unsigned address_count;
};

struct lease_options {
	const char *path; // database file; NULL: in memory only. Not changed by a reload
	const struct prefix
		*pools; // no two overlap; the first address of each is the gateway's own
	unsigned pool_count;
	const struct lease_fixed *fixed; // within or outside of the pools
	unsigned fixed_count;
};

// Opens or makes the database. A database that cannot be read is moved aside (.broken), said once in the log, and begun
// anew. Copies the options. Returns a new object.
int leases_open(const struct lease_options *options, struct leases **ret, struct error *error);
struct leases *leases_close(struct leases *leases); // takes NULL, returns NULL
DEFINE_CLEANUP(struct leases *, leases_close);
// New pools and fixed addresses after a reload. Leases that still fit stay. On failure nothing changed.
int leases_reload(struct leases *leases, const struct lease_options *options, struct error *error);

// One address of each pool that has its bit in `pools` (or the fixed ones of this identity instead, family by family), full-length prefixes, into
// `ret`; leases in other pools are given back. New leases are written before they are returned. The least recently used
// lease of an identity that no session holds is taken over when a pool is full. -ENOSPC when a pool has nothing left,
// -ENOBUFS when `ret` is too small. A database that cannot be written is said in the log; leases go on in memory.
int lease_acquire(struct leases *leases, const char *identity, uint64_t pools, time_t now,
		  struct prefix *ret, unsigned ret_size, unsigned *ret_count, struct error *error);
// The session of this identity is over: its leases stay sticky, but may be taken over when a pool runs out. An identity has
// one session at a time; acquiring again meanwhile (after a reload) is no second hold.
void lease_release(struct leases *leases, const char *identity, time_t now);
// What keeps the leases, borrowed; NULL: nothing, they are in memory only.
struct lease_db *leases_db(const struct leases *leases);
// The gateway's own address of a pool, with the pool's length ("10.90.0.1/16").
struct prefix lease_gateway_address(const struct prefix *pool);
