// SPDX-License-Identifier: Apache-2.0

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sqlite3.h>

#include "base/clock.h"
#include "pki/ca.h"
#include "pki/certificate.h"
#include "pki/journal.h"
#include "pki/token.h"
#include "unit/ca_place_fixture.h"

static void gives_the_name_of_the_token(void **state)
{
	struct place *place = *state;
	static const char *const names[] = {NULL, ALICE};

	for (size_t i = 0; i < 2; i++) {
		_cleanup_(asked_done) struct asked asked = ask(names[i], NULL);
		_cleanup_(X509_freep) X509 *certificate = NULL;
		new_token(place, ALICE);
		assert_int_equal(enrol(place, &asked, &certificate), 0);
		expect_identity(certificate, ALICE);
		assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(certificate), asked.key), 1);
		assert_int_equal(lifetime_of(certificate), DAY_S + 300);
	}
	assert_int_equal(issued(place), 2);
}

static void gives_no_other_name(void **state)
{
	struct place *place = *state;
	_cleanup_(asked_done) struct asked bob = ask(BOB, NULL);
	_cleanup_(asked_done) struct asked dns = ask(ALICE, "gateway.corp.example");
	_cleanup_(asked_done) struct asked alice = ask(ALICE, NULL);
	_cleanup_(X509_freep) X509 *certificate = NULL;

	new_token(place, ALICE);
	expect_refused(place, &bob, -EPERM, "is for " ALICE ", not for " BOB);
	expect_refused(place, &dns, -EPERM, "no DNS name");
	assert_int_equal(issued(place), 0);
	// And the token is not used up by that.
	assert_int_equal(enrol(place, &alice, &certificate), 0);
}

static void uses_a_token_once(void **state)
{
	struct place *place = *state;
	_cleanup_(asked_done) struct asked first = ask(NULL, NULL);
	_cleanup_(asked_done) struct asked second = ask(NULL, NULL);
	_cleanup_(X509_freep) X509 *certificate = NULL;

	new_token(place, ALICE);
	assert_int_equal(enrol(place, &first, &certificate), 0);
	expect_refused(place, &second, -EACCES, "has been used");
	assert_int_equal(issued(place), 1);
}

static void delivers_again_within_a_minute(void **state)
{
	struct place *place = *state;
	_cleanup_(asked_done) struct asked asked = ask(NULL, NULL);
	_cleanup_(X509_freep) X509 *first = NULL;
	_cleanup_(X509_freep) X509 *again = NULL;
	time_t now = clock_wall();

	new_token(place, ALICE);
	assert_int_equal(enrol(place, &asked, &first), 0);
	clock_set_wall(now + TOKEN_REDELIVER_S);
	assert_int_equal(enrol(place, &asked, &again), 0);
	assert_int_equal(X509_cmp(first, again), 0);
	assert_int_equal(issued(place), 1);
	clock_set_wall(now + TOKEN_REDELIVER_S + 1);
	expect_refused(place, &asked, -EACCES, "has been used");
}

static void refuses_what_is_no_token(void **state)
{
	struct place *place = *state;
	_cleanup_(asked_done) struct asked asked = ask(NULL, NULL);
	time_t now = clock_wall();

	new_token(place, ALICE);
	clock_set_wall(now + HOUR_S);
	expect_refused(place, &asked, -EACCES, "has expired");
	clock_set_wall(now);
	place->password[0] ^= 1;
	expect_refused(place, &asked, -EACCES, "no such token");
	// Who has no token does not even hear whether the request is good.
	_cleanup_(asked_done) struct asked broken = ask(NULL, NULL);
	broken.der[broken.size - 1] ^= 1;
	expect_refused(place, &broken, -EACCES, "no such token");
}

static void refuses_a_broken_request(void **state)
{
	struct place *place = *state;
	_cleanup_(asked_done) struct asked asked = ask(NULL, NULL);
	_cleanup_(asked_done) struct asked good = ask(NULL, NULL);
	_cleanup_(X509_freep) X509 *certificate = NULL;

	new_token(place, ALICE);
	asked.der[asked.size - 1] ^= 1;
	expect_refused(place, &asked, -EINVAL, "not signed with its own key");
	asked.size = 20;
	expect_refused(place, &asked, -EINVAL, "not a certificate request");
	assert_int_equal(enrol(place, &good, &certificate), 0);
}

static void lets_a_pattern_choose_among_free_names(void **state)
{
	struct place *place = *state;
	_cleanup_(asked_done) struct asked none = ask(NULL, NULL);
	_cleanup_(asked_done) struct asked gateway = ask("spiffe://corp.example/gateway/x", NULL);
	_cleanup_(asked_done) struct asked alice = ask(ALICE, NULL);
	_cleanup_(asked_done) struct asked twin = ask(ALICE, NULL);
	_cleanup_(X509_freep) X509 *certificate = NULL;
	_cleanup_(X509_freep) X509 *second = NULL;
	time_t now = clock_wall();

	new_token(place, LAPTOPS);
	expect_refused(place, &none, -EPERM, "must say which it is");
	expect_refused(place, &gateway, -EPERM, "is for " LAPTOPS);
	assert_int_equal(enrol(place, &alice, &certificate), 0);
	expect_identity(certificate, ALICE);
	// Nobody becomes alice with another token of the kind, before alice's certificate is over.
	clock_set_wall(now + 120);
	new_token(place, LAPTOPS);
	expect_refused(place, &twin, -EPERM, "has a certificate already");
	clock_set_wall(now + DAY_S + 1);
	new_token(place, LAPTOPS);
	assert_int_equal(enrol(place, &twin, &second), 0);
}

// The way back for a device whose certificate or key is gone.
static void lets_an_exact_token_replace_a_device(void **state)
{
	struct place *place = *state;
	_cleanup_(asked_done) struct asked first = ask(ALICE, NULL);
	_cleanup_(asked_done) struct asked second = ask(ALICE, NULL);
	_cleanup_(X509_freep) X509 *certificate = NULL;
	_cleanup_(X509_freep) X509 *replaced = NULL;

	new_token(place, ALICE);
	assert_int_equal(enrol(place, &first, &certificate), 0);
	new_token(place, ALICE);
	assert_int_equal(enrol(place, &second, &replaced), 0);
}

static void journals_the_token(void **state)
{
	struct place *place = *state;
	_cleanup_(asked_done) struct asked asked = ask(NULL, NULL);
	_cleanup_(X509_freep) X509 *certificate = NULL;
	_cleanup_(freep) uint8_t *der = NULL;
	unsigned char *mine = NULL;
	char serial[SERIAL_TEXT_MAX];
	size_t size;

	new_token(place, ALICE);
	assert_int_equal(enrol(place, &asked, &certificate), 0);
	certificate_serial(certificate, serial);
	assert_int_equal(journal_certificate(ca_journal(place->ca), serial, &der, &size, NULL), 0);
	assert_int_equal(i2d_X509(certificate, &mine), (int)size);
	assert_memory_equal(der, mine, size);
	OPENSSL_free(mine);
}

// Nobody is told that a good token is none, and to throw it away.
static void says_when_the_journal_cannot_be_written(void **state)
{
	struct place *place = *state;
	_cleanup_(asked_done) struct asked asked = ask(NULL, NULL);
	_cleanup_(X509_freep) X509 *certificate = NULL;
	sqlite3 *database = journal_database(ca_journal(place->ca));

	new_token(place, ALICE);
	assert_int_equal(sqlite3_exec(database, "PRAGMA query_only = 1", NULL, NULL, NULL), 0);
	expect_refused(place, &asked, -EROFS, "the journal cannot be used");
	assert_int_equal(sqlite3_exec(database, "PRAGMA query_only = 0", NULL, NULL, NULL), 0);
	assert_int_equal(enrol(place, &asked, &certificate), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, ca_place_set_up, ca_place_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(gives_the_name_of_the_token),
		TEST(gives_no_other_name),
		TEST(uses_a_token_once),
		TEST(delivers_again_within_a_minute),
		TEST(refuses_what_is_no_token),
		TEST(refuses_a_broken_request),
		TEST(lets_a_pattern_choose_among_free_names),
		TEST(lets_an_exact_token_replace_a_device),
		TEST(journals_the_token),
		TEST(says_when_the_journal_cannot_be_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
