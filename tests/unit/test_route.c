// SPDX-License-Identifier: Apache-2.0
// Routes beside a model that is a plain list, and under readers.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/rcu.h"
#include "tun/route.h"
#include "tun/session.h"
#include "unit/addr_fixture.h"

#define SESSIONS  5u
#define MODEL_MAX 4096u
#define CALL_MAX  6u
#define MANY	  130560u

static struct session sessions[SESSIONS];

struct model {
	struct prefix prefixes[MODEL_MAX];
	struct session *owners[MODEL_MAX];
	size_t count;
};

static struct session *look_up(const struct routes *routes, const char *text)
{
	struct addr addr = addr_from(text);
	return route_lookup(routes, &addr);
}

static void add_one(struct routes *routes, const char *text, struct session *session)
{
	struct prefix prefix = prefix_from(text);
	assert_int_equal(routes_add(routes, &prefix, 1, session), 0);
}

static void the_longest_match_wins(void **state)
{
	_cleanup_(routes_freep) struct routes *routes = routes_new();

	(void)state;
	assert_non_null(routes);
	assert_null(look_up(routes, "10.0.0.1"));
	assert_null(look_up(routes, "fd00::1"));
	add_one(routes, "0.0.0.0/0", &sessions[0]);
	add_one(routes, "10.0.0.0/8", &sessions[1]);
	add_one(routes, "10.1.0.0/16", &sessions[2]);
	add_one(routes, "10.1.2.3/32", &sessions[3]);
	add_one(routes, "fd00::/8", &sessions[1]);
	add_one(routes, "fd00::1/128", &sessions[4]);
	assert_ptr_equal(look_up(routes, "192.0.2.1"), &sessions[0]);
	assert_ptr_equal(look_up(routes, "10.2.0.0"), &sessions[1]);
	assert_ptr_equal(look_up(routes, "10.1.2.2"), &sessions[2]);
	assert_ptr_equal(look_up(routes, "10.1.2.3"), &sessions[3]);
	assert_ptr_equal(look_up(routes, "fdff::1"), &sessions[1]);
	assert_ptr_equal(look_up(routes, "fd00::1"), &sessions[4]);
	// An IPv4 default route leads no IPv6 packet, and bytes that agree do not make families equal.
	assert_null(look_up(routes, "2001:db8::1"));
	assert_null(look_up(routes, "a01:203::"));
	add_one(routes, "::/0", &sessions[2]);
	assert_ptr_equal(look_up(routes, "2001:db8::1"), &sessions[2]);
	assert_ptr_equal(look_up(routes, "192.0.2.1"), &sessions[0]);
}

static void an_owner_keeps_its_prefix(void **state)
{
	_cleanup_(routes_freep) struct routes *routes = routes_new();
	struct prefix wanted[] = {prefix_from("10.3.0.0/16"), prefix_from("10.1.0.0/16"),
				  prefix_from("10.4.0.0/16")};

	(void)state;
	add_one(routes, "10.1.0.0/16", &sessions[0]);
	assert_int_equal(routes_add(routes, wanted, 3, &sessions[1]), -EEXIST);
	assert_int_equal(routes_count(routes), 1);
	assert_ptr_equal(routes_owner(routes, &wanted[1]), &sessions[0]);
	assert_null(routes_owner(routes, &wanted[0]));
	assert_null(look_up(routes, "10.3.0.1"));
	assert_null(look_up(routes, "10.4.0.1"));
	// The failed call left no trace that a later one would publish.
	add_one(routes, "10.9.0.0/16", &sessions[2]);
	assert_int_equal(routes_count(routes), 2);
	assert_null(look_up(routes, "10.3.0.1"));
	// The owner itself may ask again.
	assert_int_equal(routes_add(routes, wanted, 3, &sessions[0]), 0);
	assert_int_equal(routes_count(routes), 4);
	assert_ptr_equal(look_up(routes, "10.4.0.1"), &sessions[0]);
}

static void a_prefix_twice_in_one_call_is_one_route(void **state)
{
	_cleanup_(routes_freep) struct routes *routes = routes_new();
	struct prefix twice[] = {prefix_from("10.3.0.0/16"), prefix_from("10.3.0.0/16")};

	(void)state;
	twice[1].addr.bytes[3] = 1; // the same prefix with host bits
	assert_int_equal(routes_add(routes, twice, 2, &sessions[0]), 0);
	assert_int_equal(routes_count(routes), 1);
	routes_remove(routes, &sessions[0], NULL, 0);
	assert_int_equal(routes_count(routes), 0);
	assert_null(look_up(routes, "10.3.0.1"));
}

static void removes_all_but_what_is_kept(void **state)
{
	_cleanup_(routes_freep) struct routes *routes = routes_new();
	struct prefix keep = prefix_from("10.2.0.0/16");
	struct prefix at;
	struct session *owner;

	(void)state;
	add_one(routes, "10.1.0.0/16", &sessions[0]);
	add_one(routes, "10.2.0.0/16", &sessions[0]);
	add_one(routes, "10.3.0.0/16", &sessions[1]);
	add_one(routes, "fd00::/64", &sessions[0]);
	keep.addr.bytes[2] = 77; // host bits do not matter
	routes_remove(routes, &sessions[0], &keep, 1);
	assert_int_equal(routes_count(routes), 2);
	assert_null(look_up(routes, "10.1.0.1"));
	assert_null(look_up(routes, "fd00::1"));
	assert_ptr_equal(look_up(routes, "10.2.0.1"), &sessions[0]);
	assert_ptr_equal(look_up(routes, "10.3.0.1"), &sessions[1]);
	for (size_t i = 0; i < 2; i++) {
		assert_true(routes_at(routes, i, &at, &owner));
		assert_ptr_equal(owner, at.addr.bytes[1] == 2 ? &sessions[0] : &sessions[1]);
	}
	assert_false(routes_at(routes, 2, &at, &owner));
	routes_remove(routes, &sessions[0], NULL, 0);
	routes_remove(routes, &sessions[1], NULL, 0);
	assert_int_equal(routes_count(routes), 0);
	assert_null(look_up(routes, "10.2.0.1"));
}

static uint64_t random_next(uint64_t *seed)
{
	uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

// Few distinct bytes, so that prefixes nest and meet.
static struct addr random_addr(uint64_t *seed)
{
	struct addr addr = {.family = random_next(seed) & 1 ? AF_INET : AF_INET6};
	for (unsigned i = 0; i < ADDR_BYTES(&addr); i++)
		addr.bytes[i] = (uint8_t)(random_next(seed) % 3 * 0x81);
	return addr;
}

static struct prefix random_prefix(uint64_t *seed)
{
	static const uint8_t lengths[2][6] = {{0, 1, 8, 13, 24, 32}, {0, 3, 32, 64, 127, 128}};
	struct prefix prefix = {.addr = random_addr(seed)};
	prefix.length = lengths[prefix.addr.family == AF_INET6][random_next(seed) % 6];
	return prefix;
}

static struct session *model_owner(const struct model *model, const struct prefix *prefix)
{
	struct prefix masked = prefix_masked(prefix);
	for (size_t i = 0; i < model->count; i++)
		if (prefix_equal(&model->prefixes[i], &masked))
			return model->owners[i];
	return NULL;
}

static int model_add(struct model *model, const struct prefix *prefixes, unsigned count,
		     struct session *session)
{
	for (unsigned i = 0; i < count; i++) {
		const struct session *owner = model_owner(model, &prefixes[i]);
		if (owner && owner != session)
			return -EEXIST;
	}
	for (unsigned i = 0; i < count; i++) {
		if (model_owner(model, &prefixes[i]))
			continue;
		model->prefixes[model->count] = prefix_masked(&prefixes[i]);
		model->owners[model->count++] = session;
	}
	return 0;
}

static void model_remove(struct model *model, const struct session *session,
			 const struct prefix *keep)
{
	size_t left = 0;
	struct prefix masked = keep ? prefix_masked(keep) : (struct prefix){0};
	for (size_t i = 0; i < model->count; i++) {
		bool kept = keep && prefix_equal(&model->prefixes[i], &masked);
		if (model->owners[i] == session && !kept)
			continue;
		model->prefixes[left] = model->prefixes[i];
		model->owners[left++] = model->owners[i];
	}
	model->count = left;
}

static struct session *model_lookup(const struct model *model, const struct addr *addr)
{
	struct session *best = NULL;
	int length = -1;
	for (size_t i = 0; i < model->count; i++) {
		if (model->prefixes[i].length > length &&
		    prefix_contains(&model->prefixes[i], addr)) {
			best = model->owners[i];
			length = model->prefixes[i].length;
		}
	}
	return best;
}

static void agrees_with_a_model(void **state)
{
	static struct model model;
	_cleanup_(routes_freep) struct routes *routes = routes_new();
	uint64_t seed = 7;
	unsigned refused = 0;

	(void)state;
	for (unsigned round = 0; round < 1500; round++) {
		struct session *session = &sessions[random_next(&seed) % SESSIONS];
		struct prefix prefixes[CALL_MAX];
		unsigned count = (unsigned)(random_next(&seed) % CALL_MAX) + 1;
		for (unsigned i = 0; i < count; i++)
			prefixes[i] = random_prefix(&seed);
		if (round % 10 == 9) {
			const struct prefix *keep = count & 1 ? prefixes : NULL;
			routes_remove(routes, session, keep, keep ? 1 : 0);
			model_remove(&model, session, keep);
		} else {
			int expected = model_add(&model, prefixes, count, session);
			refused += expected < 0;
			assert_int_equal(routes_add(routes, prefixes, count, session), expected);
		}
		assert_int_equal(routes_count(routes), model.count);
		for (unsigned i = 0; i < 40; i++) {
			struct addr addr = random_addr(&seed);
			assert_ptr_equal(route_lookup(routes, &addr), model_lookup(&model, &addr));
		}
	}
	assert_true(refused > 100); // else the walk did not try what it is for
}

static struct prefix nth_prefix(unsigned n)
{
	struct prefix prefix = {.addr.family = AF_INET, .length = 32};
	prefix.addr.bytes[0] = (uint8_t)(10 + (n >> 24));
	prefix.addr.bytes[1] = (uint8_t)(n >> 16);
	prefix.addr.bytes[2] = (uint8_t)(n >> 8);
	prefix.addr.bytes[3] = (uint8_t)n;
	return prefix;
}

// One session may bring as many as a message of the largest size holds. A time that grows with their square would be minutes.
static void one_session_brings_many(void **state)
{
	_cleanup_(routes_freep) struct routes *routes = routes_new();
	_cleanup_(freep) struct prefix *prefixes = calloc(MANY, sizeof(*prefixes));

	(void)state;
	assert_non_null(prefixes);
	for (unsigned i = 0; i < MANY; i++)
		prefixes[i] = nth_prefix(i);
	add_one(routes, "10.0.0.0/8", &sessions[1]);
	uint64_t begin = clock_ns();
	assert_int_equal(routes_add(routes, prefixes, MANY, &sessions[0]), 0);
	assert_int_equal(routes_add(routes, prefixes, MANY, &sessions[0]), 0);
	assert_int_equal(routes_count(routes), MANY + 1);
	assert_ptr_equal(look_up(routes, "10.0.0.77"), &sessions[0]);
	routes_remove(routes, &sessions[0], prefixes, MANY / 2);
	assert_int_equal(routes_count(routes), MANY / 2 + 1);
	assert_ptr_equal(look_up(routes, "10.0.0.77"), &sessions[0]);
	assert_ptr_equal(look_up(routes, "10.1.254.1"), &sessions[1]);
	routes_remove(routes, &sessions[0], NULL, 0);
	assert_int_equal(routes_count(routes), 1);
	assert_true(clock_ns() - begin < UINT64_C(10000000000));
}

struct reader_thread {
	const struct routes *routes;
	_Atomic bool stop;
	unsigned long lookups, wrong;
};

// 10/8 always leads to session 0; 10.1/16, when it is there, to session 1.
static void *read_routes(void *data)
{
	struct reader_thread *reader = data;
	struct addr stays, flickers;
	rcu_reader_register();
	if (addr_parse("10.2.0.1", &stays) < 0 || addr_parse("10.1.0.1", &flickers) < 0)
		reader->wrong++;
	while (!atomic_load(&reader->stop)) {
		for (unsigned i = 0; i < 32; i++) {
			const struct session *a = route_lookup(reader->routes, &stays);
			const struct session *b = route_lookup(reader->routes, &flickers);
			reader->wrong += a != &sessions[0];
			reader->wrong += b != &sessions[0] && b != &sessions[1];
			reader->lookups += 2;
		}
		rcu_reader_quiescent();
	}
	rcu_reader_unregister();
	return NULL;
}

static void readers_see_whole_tables(void **state)
{
	_cleanup_(routes_freep) struct routes *routes = routes_new();
	struct reader_thread readers[2] = {{.routes = routes}, {.routes = routes}};
	pthread_t threads[2];
	struct prefix flickering[64];

	(void)state;
	add_one(routes, "10.0.0.0/8", &sessions[0]);
	flickering[0] = prefix_from("10.1.0.0/16");
	for (uint8_t i = 1; i < 64; i++) {
		flickering[i] = prefix_from("172.16.0.0/24");
		flickering[i].addr.bytes[2] = i;
	}
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_routes, &readers[i]), 0);
	for (unsigned i = 0; i < 2000; i++) {
		if (routes_add(routes, flickering, i % 64 + 1, &sessions[1]) < 0)
			readers[0].wrong++;
		routes_remove(routes, &sessions[1], NULL, 0);
	}
	for (unsigned i = 0; i < 2; i++) {
		atomic_store(&readers[i].stop, true);
		pthread_join(threads[i], NULL);
		assert_true(readers[i].lookups > 0);
		assert_int_equal(readers[i].wrong, 0);
	}
}

static int set_one(struct routes *routes, struct session *session, const char *text,
		   unsigned metric)
{
	struct prefix prefix = prefix_from(text);
	struct route_list list = {.prefixes = &prefix, .count = 1, .metric = metric};
	return routes_set(routes, session, &list, 1);
}

// Whoever comes and goes in whatever order: the lowest metric that is there has it.
static void the_lowest_metric_owns(void **state)
{
	static const unsigned metrics[] = {7, 0, 3};
	bool there[3] = {false};
	_cleanup_(routes_freep) struct routes *routes = routes_new();

	(void)state;
	assert_non_null(routes);
	add_one(routes, "10.0.0.0/8", &sessions[4]);
	for (unsigned round = 0; round < 500; round++) {
		unsigned who = (unsigned)rand() % 3;
		struct session *best = &sessions[4];
		unsigned lowest = UINT32_MAX;
		there[who] = !there[who];
		if (there[who])
			assert_int_equal(
				set_one(routes, &sessions[who], "10.1.0.0/16", metrics[who]), 0);
		else
			routes_remove(routes, &sessions[who], NULL, 0);
		for (unsigned i = 0; i < 3; i++)
			if (there[i] && metrics[i] < lowest) {
				lowest = metrics[i];
				best = &sessions[i];
			}
		assert_ptr_equal(look_up(routes, "10.1.2.3"), best);
		assert_int_equal(routes_count(routes),
				 1u + (unsigned)there[0] + (unsigned)there[1] + (unsigned)there[2]);
	}
}

static void a_set_replaces_what_was(void **state)
{
	struct prefix first[] = {prefix_from("10.1.0.0/16"), prefix_from("10.2.0.0/16"),
				 prefix_from("10.1.0.0/16")};
	struct prefix second[] = {prefix_from("10.2.0.0/16"), prefix_from("10.3.0.0/16")};
	struct prefix own = prefix_from("10.90.0.2/32");
	struct route_list lists[] = {{&own, 1, 0}, {first, 3, 5}};
	_cleanup_(routes_freep) struct routes *routes = routes_new();

	(void)state;
	assert_non_null(routes);
	assert_int_equal(routes_set(routes, &sessions[0], lists, 2), 0);
	assert_int_equal(routes_count(routes), 3);
	lists[1] = (struct route_list){second, 2, 5};
	assert_int_equal(routes_set(routes, &sessions[0], lists, 2), 0);
	assert_int_equal(routes_count(routes), 3);
	assert_null(look_up(routes, "10.1.0.1"));
	assert_ptr_equal(look_up(routes, "10.3.0.1"), &sessions[0]);
	// The same metric belongs to whoever was first; another one does not clash.
	assert_int_equal(set_one(routes, &sessions[1], "10.3.0.0/16", 5), -EEXIST);
	assert_int_equal(set_one(routes, &sessions[1], "10.90.0.2/32", 0), -EEXIST);
	assert_int_equal(routes_count(routes), 3);
	assert_int_equal(set_one(routes, &sessions[1], "10.3.0.0/16", 6), 0);
	assert_ptr_equal(look_up(routes, "10.3.0.1"), &sessions[0]);
	assert_int_equal(set_one(routes, &sessions[1], "10.3.0.0/16", 4), 0);
	assert_ptr_equal(look_up(routes, "10.3.0.1"), &sessions[1]);
	assert_int_equal(routes_set(routes, &sessions[0], NULL, 0), 0);
	assert_int_equal(routes_count(routes), 1);
}

// Two lines of a site with many networks: one takes over from the other.
static void many_change_hands(void **state)
{
	_cleanup_(routes_freep) struct routes *routes = routes_new();
	struct prefix *many = calloc(MANY, sizeof(*many));

	(void)state;
	assert_true(routes && many);
	for (unsigned i = 0; i < MANY; i++) {
		many[i] = prefix_from("10.0.0.0/32");
		many[i].addr.bytes[1] = (uint8_t)(i >> 16);
		many[i].addr.bytes[2] = (uint8_t)(i >> 8);
		many[i].addr.bytes[3] = (uint8_t)i;
	}
	struct route_list list = {many, MANY, 5};
	uint64_t start = clock_ms();
	assert_int_equal(routes_set(routes, &sessions[0], &list, 1), 0);
	list.metric = 0;
	assert_int_equal(routes_set(routes, &sessions[1], &list, 1), 0);
	assert_ptr_equal(look_up(routes, "10.0.7.7"), &sessions[1]);
	routes_remove(routes, &sessions[1], NULL, 0);
	assert_ptr_equal(look_up(routes, "10.0.7.7"), &sessions[0]);
	print_message("%u networks changed hands in %u ms\n", MANY, (unsigned)(clock_ms() - start));
	free(many);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_longest_match_wins),
		cmocka_unit_test(an_owner_keeps_its_prefix),
		cmocka_unit_test(a_prefix_twice_in_one_call_is_one_route),
		cmocka_unit_test(removes_all_but_what_is_kept),
		cmocka_unit_test(agrees_with_a_model),
		cmocka_unit_test(one_session_brings_many),
		cmocka_unit_test(the_lowest_metric_owns),
		cmocka_unit_test(a_set_replaces_what_was),
		cmocka_unit_test(many_change_hands),
		cmocka_unit_test(readers_see_whole_tables),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
