// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tun/limit.h"

#define RATE	UINT64_C(50000000) // bits per second
#define SECOND	UINT64_C(1000000000)
#define THREADS 4u

struct sum {
	uint64_t passed, told, dropped; // passed: bytes
};

// `factor` times the rate, in packets of `size` bytes, for so long.
static struct sum offer(struct limit *limit, size_t size, bool tcp, double factor, uint64_t from,
			uint64_t until)
{
	struct sum sum = {0};
	double step = (double)size * 8 * 1e9 / ((double)RATE * factor);
	for (double now = (double)from; now < (double)until; now += step)
		switch (limit_take(limit, size, tcp, 10000000, (uint64_t)now)) {
		case LIMIT_TELL:
			sum.told++;
			sum.passed += size;
			break;
		case LIMIT_PASS:
			sum.passed += size;
			break;
		case LIMIT_DROP:
			sum.dropped++;
			break;
		}
	return sum;
}

static double share(const struct sum *sum, uint64_t time)
{
	return (double)sum->passed * 8 * 1e9 / ((double)RATE * (double)time);
}

static void zero_is_no_limit(void **state)
{
	struct limit limit = {0};
	(void)state;
	assert_false(limit_is_set(&limit));
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(limit_take(&limit, 65535, false, 0, 1), LIMIT_PASS);
}

static void below_the_rate_nothing_is_lost(void **state)
{
	struct limit limit = {.rate = RATE};
	(void)state;
	struct sum sum = offer(&limit, 1400, false, 0.95, SECOND, 11 * SECOND);
	assert_int_equal(sum.dropped, 0);
	sum = offer(&limit, 60000, true, 0.95, 11 * SECOND, 21 * SECOND);
	assert_int_equal(sum.told + sum.dropped, 0);
}

static void the_rate_is_kept(void **state)
{
	static const size_t sizes[] = {64, 1400, 65000};
	static const double factors[] = {1.2, 2, 20};
	(void)state;
	for (unsigned i = 0; i < 3; i++)
		for (unsigned j = 0; j < 3; j++)
			for (unsigned tcp = 0; tcp < 2; tcp++) {
				struct limit limit = {.rate = RATE};
				uint64_t from = 2 * SECOND, until = 12 * SECOND;
				offer(&limit, sizes[i], tcp, factors[j], SECOND, from);
				struct sum sum =
					offer(&limit, sizes[i], tcp, factors[j], from, until);
				double found = share(&sum, until - from);
				assert_true(found > 0.97 && found < 1.03);
			}
}

// Ahead by the burst a TCP is told, once in a round trip, and loses nothing before it is far ahead.
static void tcp_is_told_first(void **state)
{
	struct limit limit = {.rate = RATE};
	(void)state;
	struct sum sum = offer(&limit, 14000, true, 2, SECOND, SECOND + 40000000);
	assert_int_equal(sum.told + sum.dropped, 0);
	sum = offer(&limit, 14000, true, 2, SECOND + 40000000, SECOND + 250000000);
	assert_int_equal(sum.dropped, 0);
	assert_in_range(sum.told, 10, 21);
}

static void a_pause_gives_no_more_than_the_burst(void **state)
{
	struct limit limit = {.rate = RATE};
	(void)state;
	offer(&limit, 1400, false, 0.5, SECOND, 2 * SECOND);
	// After an hour.
	struct sum sum = offer(&limit, 1400, false, 1000, 3600 * SECOND, 3600 * SECOND + 1000000);
	uint64_t most = RATE / 8 * (LIMIT_MOST_NS / 1000000) / 1000;
	assert_true(sum.passed < most + 65536);
}

static void *take_many(void *data)
{
	struct limit *limit = data;
	uint64_t passed = 0;
	for (uint64_t now = SECOND; now < 3 * SECOND; now += 50000)
		if (limit_take(limit, 1400, true, 0, now) != LIMIT_DROP)
			passed += 1400;
	return (void *)(uintptr_t)passed;
}

static void workers_share_it(void **state)
{
	struct limit limit = {.rate = RATE};
	pthread_t threads[THREADS];
	uint64_t passed = 0;
	(void)state;
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_many, &limit), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		void *result;
		pthread_join(threads[i], &result);
		passed += (uintptr_t)result;
	}
	// Their clocks are apart by as much as the scheduler likes: late ones find it paid up further than they are.
	uint64_t most = RATE / 8 * 2 + RATE / 8 * 3 / 10;
	assert_true(passed <= most + THREADS * 1400);
	assert_true(passed > most / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zero_is_no_limit),
		cmocka_unit_test(below_the_rate_nothing_is_lost),
		cmocka_unit_test(the_rate_is_kept),
		cmocka_unit_test(tcp_is_told_first),
		cmocka_unit_test(a_pause_gives_no_more_than_the_burst),
		cmocka_unit_test(workers_share_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
