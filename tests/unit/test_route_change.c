// SPDX-License-Identifier: Apache-2.0
// Sessions come, go and change what they have, beside a model that is a plain list with metrics, under readers, and among many others.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <cmocka.h>

#include "base/rcu.h"
#include "tun/route.h"
#include "tun/session.h"
#include "unit/addr_fixture.h"

#define SEEDS	 30u
#define ROUNDS	 300u
#define SESSIONS 6u
#define LISTS	 2u
#define LIST_MAX 5u
#define ALL_MAX	 (SESSIONS * LISTS * LIST_MAX)
#define MANY	 65000u // each with an address of both families
#define VISITS	 1000u

static struct session sessions[SESSIONS];

static uint64_t random_next(uint64_t *seed)
{
	uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

// --- beside a model

struct model {
	struct model_route {
		struct prefix prefix;
		struct session *session;
		unsigned metric;
	} all[ALL_MAX];
	size_t count;
};

// So few that they meet, and hold each other.
static struct prefix random_prefix(uint64_t *seed)
{
	static const uint8_t lengths[] = {0, 8, 15, 16, 17, 32};
	struct prefix prefix = {.addr.family = random_next(seed) & 1 ? AF_INET : AF_INET6};
	prefix.addr.bytes[0] = 10;
	prefix.addr.bytes[1] = (uint8_t)(random_next(seed) & 1);
	prefix.addr.bytes[2] = (uint8_t)(random_next(seed) & 0x80);
	prefix.length = lengths[random_next(seed) % 6];
	return prefix;
}

static void model_remove(struct model *model, const struct session *session)
{
	size_t left = 0;
	for (size_t i = 0; i < model->count; i++)
		if (model->all[i].session != session)
			model->all[left++] = model->all[i];
	model->count = left;
}

// Of the session, or of another one with this metric.
static bool model_has(const struct model *model, const struct prefix *prefix,
		      const struct session *session, bool own, unsigned metric)
{
	for (size_t i = 0; i < model->count; i++) {
		const struct model_route *route = &model->all[i];
		if (prefix_equal(&route->prefix, prefix) && (route->session == session) == own &&
		    (own || route->metric == metric))
			return true;
	}
	return false;
}

static int model_set(struct model *model, struct session *session, const struct route_list *lists)
{
	for (unsigned i = 0; i < LISTS; i++)
		for (unsigned n = 0; n < lists[i].count; n++) {
			struct prefix prefix = prefix_masked(&lists[i].prefixes[n]);
			if (model_has(model, &prefix, session, false, lists[i].metric))
				return -EEXIST;
		}
	model_remove(model, session);
	for (unsigned i = 0; i < LISTS; i++)
		for (unsigned n = 0; n < lists[i].count; n++) {
			struct prefix prefix = prefix_masked(&lists[i].prefixes[n]);
			if (!model_has(model, &prefix, session, true, 0))
				model->all[model->count++] =
					(struct model_route){prefix, session, lists[i].metric};
		}
	return 0;
}

static struct session *model_lookup(const struct model *model, const struct addr *addr)
{
	const struct model_route *best = NULL;
	for (size_t i = 0; i < model->count; i++) {
		const struct model_route *route = &model->all[i];
		if (!prefix_contains(&route->prefix, addr))
			continue;
		if (!best || route->prefix.length > best->prefix.length ||
		    (route->prefix.length == best->prefix.length && route->metric < best->metric))
			best = route;
	}
	return best ? best->session : NULL;
}

static unsigned change(struct routes *routes, struct model *model, uint64_t *seed)
{
	struct session *session = &sessions[random_next(seed) % SESSIONS];
	struct prefix prefixes[LISTS][LIST_MAX];
	struct route_list lists[LISTS];
	if (random_next(seed) % 4 == 0) {
		routes_remove(routes, session, NULL, 0);
		model_remove(model, session);
		return 0;
	}
	for (unsigned i = 0; i < LISTS; i++) {
		lists[i] = (struct route_list){
			.prefixes = prefixes[i],
			.count = (unsigned)(random_next(seed) % (LIST_MAX + 1)),
			.metric = (unsigned)(random_next(seed) % 12),
		};
		for (unsigned n = 0; n < lists[i].count; n++)
			prefixes[i][n] = random_prefix(seed);
	}
	int r = model_set(model, session, lists);
	assert_int_equal(routes_set(routes, session, lists, LISTS), r);
	return r < 0;
}

// Returns how often a set was refused.
static unsigned compare(uint64_t seed)
{
	_cleanup_(routes_freep) struct routes *routes = routes_new();
	struct model model = {.count = 0};
	unsigned refused = 0;
	assert_non_null(routes);
	for (unsigned i = 0; i < ROUNDS; i++) {
		refused += change(routes, &model, &seed);
		assert_int_equal(routes_count(routes), model.count);
		for (unsigned n = 0; n < 12; n++) {
			struct prefix at = random_prefix(&seed);
			assert_ptr_equal(route_lookup(routes, &at.addr),
					 model_lookup(&model, &at.addr));
		}
	}
	return refused;
}

static void agrees_with_a_model(void **state)
{
	unsigned refused = 0;
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		refused += compare(seed);
	assert_in_range(refused, SEEDS, SEEDS * ROUNDS / 2); // else it did not try what it is for
}

// --- under readers

struct watcher {
	const struct routes *routes;
	_Atomic bool stop;
	_Atomic unsigned long looked;
	unsigned long wrong;
};

// All of 10.1/16 is session 0's, whatever it says in between; 10.2/16 is session 1's or 2's; 10.3/16 stays session 3's.
static void *read_routes(void *data)
{
	struct watcher *watcher = data;
	struct addr whole = {.family = AF_INET, .bytes = {10, 1, 200, 1}};
	struct addr owned = {.family = AF_INET, .bytes = {10, 2, 0, 1}};
	struct addr stays = {.family = AF_INET, .bytes = {10, 3, 0, 1}};
	rcu_reader_register();
	while (!atomic_load(&watcher->stop)) {
		for (unsigned i = 0; i < 32; i++) {
			const struct session *owner = route_lookup(watcher->routes, &owned);
			watcher->wrong += owner != &sessions[1] && owner != &sessions[2];
			watcher->wrong += route_lookup(watcher->routes, &whole) != &sessions[0];
			watcher->wrong += route_lookup(watcher->routes, &stays) != &sessions[3];
		}
		atomic_fetch_add(&watcher->looked, 1);
		rcu_reader_quiescent();
	}
	rcu_reader_unregister();
	return NULL;
}

static int set_list(struct routes *routes, struct session *session, const struct prefix *prefixes,
		    unsigned count, unsigned metric)
{
	struct route_list list = {.prefixes = prefixes, .count = count, .metric = metric};
	return routes_set(routes, session, &list, 1);
}

static struct prefix nth_prefix(uint8_t family, unsigned n)
{
	struct prefix prefix = {.addr.family = family, .length = family == AF_INET ? 32 : 128};
	uint8_t *end = prefix.addr.bytes + (family == AF_INET ? 4 : 16);
	prefix.addr.bytes[0] = family == AF_INET ? 172 : 0xfd;
	end[-3] = (uint8_t)(n >> 16);
	end[-2] = (uint8_t)(n >> 8);
	end[-1] = (uint8_t)n;
	return prefix;
}

// The table grows from a few to hundreds and shrinks again, all the time.
static void nothing_is_lost_to_readers(void **state)
{
	const struct prefix whole = prefix_from("10.1.0.0/16"), stays = prefix_from("10.3.0.0/16");
	const struct prefix halves[] = {prefix_from("10.1.0.0/17"), prefix_from("10.1.128.0/17")};
	const struct prefix owned = prefix_from("10.2.0.0/16");
	_cleanup_(routes_freep) struct routes *routes = routes_new();
	struct watcher watchers[2] = {{.routes = routes}, {.routes = routes}};
	struct prefix crowd[400];
	pthread_t threads[2];
	unsigned refused = 0;

	(void)state;
	for (unsigned i = 0; i < 400; i++)
		crowd[i] = nth_prefix(i & 1 ? AF_INET : AF_INET6, i);
	assert_int_equal(set_list(routes, &sessions[0], &whole, 1, 0), 0);
	assert_int_equal(set_list(routes, &sessions[1], &owned, 1, 5), 0);
	assert_int_equal(set_list(routes, &sessions[3], &stays, 1, 0), 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_routes, &watchers[i]), 0);
	for (unsigned i = 0; i < 600; i++) {
		refused += set_list(routes, &sessions[0], i & 1 ? &whole : halves, i & 1 ? 1 : 2,
				    0) < 0;
		refused += set_list(routes, &sessions[2], &owned, i & 1 ? 0 : 1, i % 3 * 4) < 0;
		refused += set_list(routes, &sessions[4], crowd, i * 7 % 400, 0) < 0;
	}
	assert_int_equal(refused, 0);
	for (unsigned i = 0; i < 2; i++) {
		while (atomic_load(&watchers[i].looked) < 2)
			nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
		atomic_store(&watchers[i].stop, true);
		pthread_join(threads[i], NULL);
		assert_int_equal(watchers[i].wrong, 0);
	}
}

// --- among many

static uint64_t cpu_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

// To make the table anew for each of them would take hundreds of times as long as it took to make it.
static void a_visit_costs_the_same_among_many(void **state)
{
	_cleanup_(routes_freep) struct routes *routes = routes_new();
	_cleanup_(freep) struct prefix *prefixes = calloc(2UL * MANY, sizeof(*prefixes));

	(void)state;
	assert_true(routes && prefixes);
	for (unsigned i = 0; i < MANY; i++) {
		prefixes[i] = nth_prefix(AF_INET, i);
		prefixes[MANY + i] = nth_prefix(AF_INET6, i);
	}
	uint64_t begun = cpu_ns();
	assert_int_equal(set_list(routes, &sessions[0], prefixes, 2 * MANY, 0), 0);
	uint64_t filled = cpu_ns(), longest = 0;
	for (unsigned i = 0; i < VISITS; i++) {
		struct prefix visit[] = {nth_prefix(AF_INET, MANY + i),
					 nth_prefix(AF_INET6, MANY + i)};
		uint64_t before = cpu_ns();
		assert_int_equal(set_list(routes, &sessions[1], visit, 2, 0), 0);
		assert_ptr_equal(route_lookup(routes, &visit[1].addr), &sessions[1]);
		routes_remove(routes, &sessions[1], NULL, 0);
		uint64_t took = cpu_ns() - before;
		longest = took > longest ? took : longest;
	}
	uint64_t visited = cpu_ns();
	print_message("%u routes: %u us; %u visits: %u us, the longest %u us\n", 2 * MANY,
		      (unsigned)((filled - begun) / 1000), VISITS,
		      (unsigned)((visited - filled) / 1000), (unsigned)(longest / 1000));
	assert_true(visited - filled < 20 * (filled - begun));
	assert_int_equal(routes_count(routes), 2 * MANY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_a_model),
		cmocka_unit_test(nothing_is_lost_to_readers),
		cmocka_unit_test(a_visit_costs_the_same_among_many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
