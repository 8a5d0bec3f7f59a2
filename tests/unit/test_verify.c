// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <errno.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "pki/tls.h"
#include "pki/trust.h"
#include "pki/verify.h"
#include "unit/refusal.h"

#define DAY INT64_C(86400)

DEFINE_CLEANUP(STACK_OF(X509) *, sk_X509_free);

static struct world *world;

static int set_up(void **state)
{
	(void)state;
	world = world_new();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	world = world_free(world);
	return 0;
}

static int verify(const struct fixture *leaf, enum verify_role role, struct verdict **ret,
		  int *code, struct error *error)
{
	_cleanup_(sk_X509_freep) STACK_OF(X509) *chain = fixture_chain(leaf);

	return verify_chain(world->trust, leaf->certificate, chain, role, clock_wall(), ret, code,
			    error);
}

static void refuses_every_line_of_the_matrix(void **state)
{
	(void)state;
	for (size_t i = 0; i < refusal_count; i++) {
		const struct refusal *refusal = &refusals[i];
		_cleanup_(fixture_freep) struct fixture *leaf = refusal_leaf(refusal, world);
		_cleanup_(sk_X509_freep) STACK_OF(X509) *sent = refusal_sent(refusal, world, leaf);
		for (int role = VERIFY_PEER_IS_CLIENT; role <= VERIFY_PEER_IS_SERVER; role++) {
			struct verdict *verdict = NULL;
			struct error error = {0};
			int code = X509_V_OK;
			int r = verify_chain(world->trust, leaf->certificate, sent,
					     (enum verify_role)role, clock_wall(), &verdict, &code,
					     &error);
			if (r != -EACCES || strcmp(error.what, refusal->what) != 0)
				print_error("%s: %d \"%s\"\n", refusal->name, r, error.what);
			assert_int_equal(r, -EACCES);
			assert_null(verdict);
			assert_string_equal(error.what, refusal->what);
			assert_int_equal(error.code, EACCES);
			assert_int_not_equal(code, X509_V_OK);
		}
	}
}

// A live session is judged by the same rules: where one could have been let in by an earlier trust or clock, it is put out with
// the same words; whatever else the matrix has could never have been let in.
static void judges_live_sessions_by_the_matrix(void **state)
{
	time_t now = clock_wall();

	(void)state;
	for (size_t i = 0; i < refusal_count * 2; i++) {
		const struct refusal *refusal = &refusals[i / 2];
		_cleanup_(fixture_freep) struct fixture *leaf = refusal_leaf(refusal, world);
		_cleanup_(sk_X509_freep) STACK_OF(X509) *sent = refusal_sent(refusal, world, leaf);
		_cleanup_(verdict_putp) struct verdict *verdict = NULL;
		struct verdict *none = NULL;
		struct error error = {0};
		int r = verify_chain(world->lenient, leaf->certificate, sent,
				     i % 2 ? VERIFY_PEER_IS_CLIENT : VERIFY_PEER_IS_SERVER,
				     now + refusal->once_s, &verdict, NULL, &error);
		if ((r == 0) != (refusal->once_s != 0))
			print_error("%s: %d \"%s\"\n", refusal->name, r, error.what);
		assert_int_equal(r, refusal->once_s ? 0 : -EACCES);
		if (r < 0)
			continue;
		assert_int_equal(verify_again(world->trust, verdict, now, &none, &error), -EACCES);
		assert_null(none);
		assert_string_equal(error.what, refusal->what);
	}
}

static int compare_times(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static STACK_OF(X509) * copy(STACK_OF(X509) * stack)
{
	STACK_OF(X509) *copies = sk_X509_new_null();

	for (int i = 0; i < sk_X509_num(stack); i++)
		assert_true(sk_X509_push(copies, X509_dup(sk_X509_value(stack, i))) > 0);
	return copies;
}

// CPU time of one judgement over certificates that OpenSSL has not looked into yet, in microseconds.
static int64_t cost(const struct fixture *leaf, STACK_OF(X509) * sent)
{
	struct timespec from, to;
	struct verdict *verdict = NULL;
	STACK_OF(X509) *above = copy(sent);
	X509 *certificate = X509_dup(leaf->certificate);

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
	verify_chain(world->trust, certificate, above, VERIFY_PEER_IS_CLIENT, clock_wall(),
		     &verdict, NULL, NULL);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
	verdict_put(verdict);
	X509_free(certificate);
	sk_X509_pop_free(above, X509_free);
	return (to.tv_sec - from.tv_sec) * 1000000 + (to.tv_nsec - from.tv_nsec) / 1000;
}

static void refuses_within_10_ms(void **state)
{
	enum { TRIES = 9 };

	(void)state;
	for (size_t i = 0; i < refusal_count; i++) {
		_cleanup_(fixture_freep) struct fixture *leaf = refusal_leaf(&refusals[i], world);
		_cleanup_(sk_X509_freep) STACK_OF(X509) *sent =
			refusal_sent(&refusals[i], world, leaf);
		int64_t costs[TRIES];
		for (unsigned try = 0; try < TRIES; try++)
			costs[try] = cost(leaf, sent);
		qsort(costs, TRIES, sizeof(costs[0]), compare_times);
		if (costs[TRIES / 2] >= 10000)
			print_error("%s: %ld us\n", refusals[i].name, (long)costs[TRIES / 2]);
		assert_true(costs[TRIES / 2] < 10000);
	}
}

static void needs_neither_error_nor_code(void **state)
{
	(void)state;
	for (size_t i = 0; i < refusal_count; i += 7) {
		_cleanup_(fixture_freep) struct fixture *leaf = refusal_leaf(&refusals[i], world);
		struct verdict *verdict = NULL;
		assert_int_equal(verify(leaf, VERIFY_PEER_IS_CLIENT, &verdict, NULL, NULL),
				 -EACCES);
	}
}

static void accepts_good_leaves_of_every_key(void **state)
{
	static const char *const keys[] = {"P-256", "P-384", "P-521", "Ed25519", "RSA-2048"};

	(void)state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		struct fixture_options options = {
			.uris = {REFUSAL_ALICE}, .dns = "alice.corp.example", .key = keys[i]};
		_cleanup_(fixture_freep) struct fixture *leaf =
			fixture_issue(world->issuing, &options);
		for (int role = VERIFY_PEER_IS_CLIENT; role <= VERIFY_PEER_IS_SERVER; role++) {
			_cleanup_(verdict_putp) struct verdict *verdict = NULL;
			struct error error = {0};
			int code = -1;
			assert_int_equal(
				verify(leaf, (enum verify_role)role, &verdict, &code, &error), 0);
			assert_int_equal(code, X509_V_OK);
			assert_string_equal(verdict_identity(verdict), REFUSAL_ALICE);
		}
	}
}

static void tells_what_it_judged(void **state)
{
	static const uint8_t serial[] = {0x01, 0xAB, 0xCD};
	struct fixture_options options = {.uris = {"SPIFFE://Corp.Example/laptop/Alice"},
					  .serial = serial,
					  .serial_size = sizeof(serial),
					  .not_before_s = -60,
					  .not_after_s = 3600};
	_cleanup_(fixture_freep) struct fixture *leaf = NULL;
	_cleanup_(verdict_putp) struct verdict *verdict = NULL;
	uint8_t hash[SPKI_HASH_SIZE];
	time_t now = clock_wall();
	char name[64];

	(void)state;
	clock_set_wall(now);
	leaf = fixture_issue(world->issuing, &options);
	assert_int_equal(verify(leaf, VERIFY_PEER_IS_CLIENT, &verdict, NULL, NULL), 0);
	clock_set_wall(0);
	assert_string_equal(verdict_identity(verdict), "spiffe://corp.example/laptop/Alice");
	assert_string_equal(verdict_serial(verdict), "01abcd");
	assert_string_equal(
		certificate_name(X509_get_subject_name(verdict_issuer_certificate(verdict)), name,
				 sizeof(name)),
		"CN=corp issuing");
	assert_int_equal(certificate_spki_hash(leaf->certificate, hash), 0);
	assert_memory_equal(verdict_spki_hash(verdict), hash, sizeof(hash));
	assert_int_equal(verdict_leaf_not_after(verdict), now + 3600);
	assert_int_equal(verdict_not_after(verdict), now + 3600);
}

// The verdict ends with the shortest certificate of the chain, also when that is not the leaf.
static void ends_with_the_shortest_certificate(void **state)
{
	struct fixture_options options = {
		.uris = {REFUSAL_ALICE}, .not_before_s = -60, .not_after_s = 3650 * DAY};
	_cleanup_(fixture_freep) struct fixture *leaf = fixture_issue(world->issuing, &options);
	_cleanup_(verdict_putp) struct verdict *verdict = NULL;
	time_t not_before, not_after;

	(void)state;
	assert_int_equal(verify(leaf, VERIFY_PEER_IS_CLIENT, &verdict, NULL, NULL), 0);
	assert_int_equal(certificate_lifetime(world->issuing->certificate, &not_before, &not_after),
			 0);
	assert_int_equal(verdict_not_after(verdict), not_after);
	assert_true(verdict_leaf_not_after(verdict) > not_after);
}

static void needs_the_intermediate(void **state)
{
	_cleanup_(fixture_freep) struct fixture *leaf = fixture_leaf(world->issuing, REFUSAL_ALICE);
	struct verdict *verdict = NULL;
	struct error error = {0};
	int code;

	(void)state;
	assert_int_equal(verify_chain(world->trust, leaf->certificate, NULL, VERIFY_PEER_IS_CLIENT,
				      clock_wall(), &verdict, &code, &error),
			 -EACCES);
	assert_string_equal(error.what,
			    "certificate of " REFUSAL_ALICE
			    " is signed by an unknown CA (issuer CN=corp issuing; trust domain "
			    "corp.example has 1 CA certificate)");
	assert_int_equal(code, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
}

static void takes_an_intermediate_as_anchor(void **state)
{
	_cleanup_(trust_putp) struct trust *trust = fixture_trust("corp.example", world->issuing);
	_cleanup_(fixture_freep) struct fixture *leaf = fixture_leaf(world->issuing, REFUSAL_ALICE);
	_cleanup_(fixture_freep) struct fixture *other = fixture_leaf(world->root, REFUSAL_ALICE);
	_cleanup_(verdict_putp) struct verdict *verdict = NULL;
	struct verdict *none = NULL;

	(void)state;
	assert_int_equal(verify_chain(trust, leaf->certificate, NULL, VERIFY_PEER_IS_CLIENT,
				      clock_wall(), &verdict, NULL, NULL),
			 0);
	assert_int_equal(verify_chain(trust, other->certificate, NULL, VERIFY_PEER_IS_CLIENT,
				      clock_wall(), &none, NULL, NULL),
			 -EACCES);
}

// Same name, other key: the forger's CA calls itself as ours does.
static void is_not_fooled_by_a_namesake_ca(void **state)
{
	_cleanup_(fixture_freep) struct fixture *forger = fixture_root("corp root");
	struct fixture_options options = {.uris = {REFUSAL_ALICE}};

	(void)state;
	for (int bare = 0; bare <= 1; bare++) {
		options.no_key_identifiers = bare;
		_cleanup_(fixture_freep) struct fixture *leaf = fixture_issue(forger, &options);
		struct verdict *verdict = NULL;
		struct error error = {0};
		assert_int_equal(verify(leaf, VERIFY_PEER_IS_CLIENT, &verdict, NULL, &error),
				 -EACCES);
		assert_non_null(strstr(error.what,
				       bare ? "has a signature that does not fit its issuer's key"
					    : "is signed by an unknown CA (issuer CN=corp root"));
	}
}

static void judges_again_by_the_trust_of_today(void **state)
{
	_cleanup_(trust_putp) struct trust *changed =
		fixture_trust("corp.example", world->stranger);
	_cleanup_(trust_putp) struct trust *gone = fixture_trust("partner.example", world->partner);
	_cleanup_(fixture_freep) struct fixture *leaf = fixture_leaf(world->issuing, REFUSAL_ALICE);
	_cleanup_(verdict_putp) struct verdict *verdict = NULL;
	_cleanup_(verdict_putp) struct verdict *again = NULL;
	struct verdict *none = NULL;
	struct error error = {0};

	(void)state;
	assert_int_equal(verify(leaf, VERIFY_PEER_IS_CLIENT, &verdict, NULL, NULL), 0);
	assert_int_equal(verify_again(world->trust, verdict, clock_wall(), &again, &error), 0);
	assert_string_equal(verdict_identity(again), REFUSAL_ALICE);
	assert_int_equal(verify_again(changed, verdict, clock_wall(), &none, &error), -EACCES);
	assert_string_equal(error.what,
			    "CA certificate \"CN=corp issuing\" above " REFUSAL_ALICE
			    " is signed by an unknown CA (issuer CN=corp root; trust domain "
			    "corp.example has 1 CA certificate)");
	assert_int_equal(verify_again(gone, verdict, clock_wall(), &none, &error), -EACCES);
	assert_string_equal(error.what, "trust domain of " REFUSAL_ALICE " is not trusted here");
	assert_string_equal(error.expected, "partner.example");
	assert_null(none);
}

static void judges_again_by_the_clock_of_today(void **state)
{
	_cleanup_(fixture_freep) struct fixture *leaf = fixture_leaf(world->issuing, REFUSAL_ALICE);
	_cleanup_(verdict_putp) struct verdict *verdict = NULL;
	_cleanup_(verdict_putp) struct verdict *again = NULL;
	struct verdict *none = NULL;
	struct error error = {0};

	(void)state;
	assert_int_equal(verify(leaf, VERIFY_PEER_IS_SERVER, &verdict, NULL, NULL), 0);
	time_t end = verdict_not_after(verdict);
	assert_int_equal(verify_again(world->trust, verdict, end - 1, &again, &error), 0);
	assert_int_equal(verify_again(world->trust, verdict, end + 1, &none, &error), -EACCES);
	assert_non_null(strstr(error.what, "certificate of " REFUSAL_ALICE " expired "));
	assert_int_equal(verify_again(world->trust, verdict, end - 2 * DAY, &none, &error),
			 -EACCES);
	assert_non_null(strstr(error.what, " is not valid for another "));
	assert_int_equal(verify_again(world->trust, verdict, end + 91 * DAY, &none, &error),
			 -EACCES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_every_line_of_the_matrix),
		cmocka_unit_test(judges_live_sessions_by_the_matrix),
		cmocka_unit_test(refuses_within_10_ms),
		cmocka_unit_test(needs_neither_error_nor_code),
		cmocka_unit_test(accepts_good_leaves_of_every_key),
		cmocka_unit_test(tells_what_it_judged),
		cmocka_unit_test(ends_with_the_shortest_certificate),
		cmocka_unit_test(needs_the_intermediate),
		cmocka_unit_test(takes_an_intermediate_as_anchor),
		cmocka_unit_test(is_not_fooled_by_a_namesake_ca),
		cmocka_unit_test(judges_again_by_the_trust_of_today),
		cmocka_unit_test(judges_again_by_the_clock_of_today),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
