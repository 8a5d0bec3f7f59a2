// SPDX-License-Identifier: Apache-2.0
// What a CA renews, and what it does not.

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <openssl/x509v3.h>

#include "base/clock.h"
#include "base/error.h"
#include "pki/ca.h"
#include "pki/ca_enrol.h"
#include "pki/ca_revoke.h"
#include "pki/ca_rotate.h"
#include "pki/certificate.h"
#include "pki/denial.h"
#include "pki/pem.h"
#include "pki/profile.h"
#include "pki/request.h"
#include "pki/trust.h"
#include "pki/verify.h"
#include "unit/ca_place_fixture.h"
#include "unit/pki_fixture.h"

static struct verdict *judged(struct place *place, X509 *leaf)
{
	STACK_OF(X509) *above = sk_X509_new_null();
	struct verdict *verdict = NULL;

	sk_X509_push(above, ca_certificate(place->ca));
	assert_int_equal(verify_chain(place->trust, leaf, above, VERIFY_PEER_IS_CLIENT,
				      clock_wall(), &verdict, NULL, NULL),
			 0);
	sk_X509_free(above);
	return verdict;
}

// What `mutun ca issue` would give.
static struct verdict *old_one(struct place *place, EVP_PKEY *key, const char *dns,
			       int64_t lifetime_s)
{
	_cleanup_(X509_freep) X509 *leaf = NULL;
	struct ca_leaf subject = {.identity = ALICE,
				  .dns = dns,
				  .lifetime_s = lifetime_s,
				  .not_before_s = -300,
				  .key = key,
				  .issued_by = "operator"};

	assert_int_equal(ca_sign(place->ca, &subject, &leaf, NULL), 0);
	return judged(place, leaf);
}

static int renew(struct place *place, const struct verdict *old, const struct asked *asked,
		 X509 **ret)
{
	place->error = (struct error){0};
	return ca_renew(place->ca, verdict_leaf(old), verdict_above(old), asked->der, asked->size,
			ret, &place->error);
}

static void renews_names_and_lifetime(void **state)
{
	struct place *place = *state;
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	_cleanup_(asked_done) struct asked plain = ask(NULL, NULL);
	_cleanup_(asked_done) struct asked named = ask(ALICE, "a.corp.example");
	const struct asked *requests[] = {&plain, &named};

	assert_int_equal(profile_key(&key, NULL), 0);
	_cleanup_(verdict_putp) struct verdict *old =
		old_one(place, key, "a.corp.example", 7 * DAY_S);
	for (size_t i = 0; i < 2; i++) {
		_cleanup_(X509_freep) X509 *certificate = NULL;
		assert_int_equal(renew(place, old, requests[i], &certificate), 0);
		expect_identity(certificate, ALICE);
		assert_int_equal(lifetime_of(certificate), 7 * DAY_S + 300);
		assert_int_equal(X509_check_host(certificate, "a.corp.example", 0, 0, NULL), 1);
	}
}

static void renews_no_other_names_and_not_the_old_key(void **state)
{
	static const char *const names[][2] = {{BOB, NULL}, {ALICE, "b.corp.example"}};
	struct place *place = *state;
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	_cleanup_(asked_done) struct asked same = {0};
	X509 *certificate = NULL;

	assert_int_equal(profile_key(&key, NULL), 0);
	_cleanup_(verdict_putp) struct verdict *old = old_one(place, key, "a.corp.example", DAY_S);
	for (size_t i = 0; i < 2; i++) {
		_cleanup_(asked_done) struct asked asked = ask(names[i][0], names[i][1]);
		assert_int_equal(renew(place, old, &asked, &certificate), -EPERM);
		expect_what(place, "other names than those of " ALICE);
	}
	EVP_PKEY_up_ref(key);
	same.key = key;
	assert_int_equal(request_make(key, NULL, NULL, &same.der, &same.size, NULL), 0);
	assert_int_equal(renew(place, old, &same, &certificate), -EPERM);
	expect_what(place, "old key");
	assert_null(certificate);
}

static void renews_nothing_that_has_expired(void **state)
{
	struct place *place = *state;
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	_cleanup_(asked_done) struct asked asked = ask(NULL, NULL);
	X509 *certificate = NULL;

	assert_int_equal(profile_key(&key, NULL), 0);
	_cleanup_(verdict_putp) struct verdict *old = old_one(place, key, NULL, HOUR_S);
	clock_set_wall(clock_wall() + HOUR_S + 1);
	assert_int_equal(renew(place, old, &asked, &certificate), -EPERM);
	expect_what(place, "expired");
}

// The gateway may trust more than the CA does.
static void renews_nothing_of_another_ca(void **state)
{
	static const struct {
		const char *domain, *identity;
	} others[] = {{"partner.example", "spiffe://partner.example/laptop/alice"},
		      {DOMAIN, ALICE}};
	struct place *place = *state;
	_cleanup_(asked_done) struct asked asked = ask(NULL, NULL);
	X509 *certificate = NULL;

	for (size_t i = 0; i < 2; i++) {
		_cleanup_(fixture_freep) struct fixture *root = fixture_root("foreign");
		_cleanup_(fixture_freep) struct fixture *leaf =
			fixture_leaf(root, others[i].identity);
		_cleanup_(trust_putp) struct trust *trust = fixture_trust(others[i].domain, root);
		_cleanup_(verdict_putp) struct verdict *old = NULL;
		assert_int_equal(verify_chain(trust, leaf->certificate, NULL, VERIFY_PEER_IS_CLIENT,
					      clock_wall(), &old, NULL, NULL),
				 0);
		assert_int_equal(renew(place, old, &asked, &certificate), -EPERM);
		assert_null(certificate);
	}
}

// Also where the gateway judged it before that was known.
static void renews_nothing_below_a_denied_issuer(void **state)
{
	struct place *place = *state;
	struct ca_rotate_options options = {0};
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	_cleanup_(asked_done) struct asked asked = ask(NULL, NULL);
	_cleanup_(asked_done) struct asked again = ask(NULL, NULL);
	_cleanup_(X509_freep) X509 *first = NULL;
	_cleanup_(denial_putp) struct denial *denial = NULL;
	uint8_t hash[SPKI_HASH_SIZE];
	char text[2 * SPKI_HASH_SIZE + 1];
	X509 *certificate = NULL;

	assert_int_equal(profile_key(&key, NULL), 0);
	_cleanup_(verdict_putp) struct verdict *old = old_one(place, key, NULL, DAY_S);
	assert_int_equal(certificate_spki_hash(ca_certificate(place->ca), hash), 0);
	for (size_t i = 0; i < sizeof(hash); i++)
		snprintf(text + 2 * i, 3, "%02x", hash[i]);
	ca_close(place->ca);
	assert_int_equal(ca_rotate_issuing(place->path, &options, NULL), 0);
	assert_int_equal(ca_open(place->path, &place->ca, NULL), 0);
	assert_int_equal(renew(place, old, &asked, &first), 0);
	struct ca_subject subject = {.key = text};
	assert_int_equal(ca_revoke(place->ca, &subject, DENIAL_CA_COMPROMISE, &denial, NULL), 0);
	assert_int_equal(renew(place, old, &again, &certificate), -EPERM);
	expect_what(place, "was revoked");
	assert_null(certificate);
}

// A new issuing certificate, as a roll-over makes it.
static void replace_issuing(struct place *place, time_t from, time_t to)
{
	_cleanup_(freep) char *root_key = fixture_path(place->path, "root.key");
	_cleanup_(freep) char *root_path = fixture_path(place->path, "root.crt");
	_cleanup_(freep) char *path = fixture_path(place->path, "issuing.crt");
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *signer = NULL;
	_cleanup_(X509_freep) X509 *root = NULL;
	_cleanup_(X509_freep) X509 *issuing = NULL;
	struct profile_subject subject = {
		.domain = DOMAIN, .not_before = from, .not_after = to, .key = ca_key(place->ca)};

	assert_int_equal(pem_read_key(root_key, &signer, NULL), 0);
	assert_int_equal(pem_read_certificate(root_path, &root, NULL), 0);
	assert_int_equal(profile_sign(PROFILE_INTERMEDIATE, &subject, root, signer, &issuing, NULL),
			 0);
	assert_int_equal(pem_write_certificate(path, issuing, NULL, NULL), 0);
	ca_close(place->ca);
	assert_int_equal(ca_open(place->path, &place->ca, &place->error), 0);
}

static void renews_at_full_length_after_a_cut(void **state)
{
	struct place *place = *state;
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	_cleanup_(asked_done) struct asked asked = ask(NULL, NULL);
	_cleanup_(asked_done) struct asked again = ask(NULL, NULL);
	_cleanup_(X509_freep) X509 *cut = NULL;
	_cleanup_(X509_freep) X509 *full = NULL;
	_cleanup_(verdict_putp) struct verdict *first = NULL;
	_cleanup_(verdict_putp) struct verdict *second = NULL;
	time_t from, to;

	assert_int_equal(profile_key(&key, NULL), 0);
	assert_int_equal(certificate_lifetime(ca_certificate(place->ca), &from, &to), 0);
	clock_set_wall(to - DAY_S - HOUR_S);
	first = old_one(place, key, NULL, DAY_S);
	clock_set_wall(to - 2 * HOUR_S);
	assert_int_equal(renew(place, first, &asked, &cut), 0);
	assert_int_equal(lifetime_of(cut), 2 * HOUR_S + 300);
	second = judged(place, cut);
	replace_issuing(place, clock_wall() - HOUR_S, to + 90 * DAY_S);
	assert_int_equal(renew(place, second, &again, &full), 0);
	assert_int_equal(lifetime_of(full), DAY_S + 300);
}

static void limits_how_often(void **state)
{
	struct place *place = *state;
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	_cleanup_(asked_done) struct asked asked = ask(NULL, NULL);
	time_t now = clock_wall();

	assert_int_equal(profile_key(&key, NULL), 0);
	_cleanup_(verdict_putp) struct verdict *old = old_one(place, key, NULL, DAY_S);
	for (unsigned i = 1; i < 10; i++) {
		_cleanup_(X509_freep) X509 *certificate = NULL;
		assert_int_equal(renew(place, old, &asked, &certificate), 0);
	}
	_cleanup_(X509_freep) X509 *late = NULL;
	assert_int_equal(renew(place, old, &asked, &late), -EAGAIN);
	expect_what(place, "10 certificates within 60 s");
	new_token(place, ALICE);
	expect_refused(place, &asked, -EAGAIN, "10 certificates within 60 s");
	_cleanup_(X509_freep) X509 *back = NULL;
	clock_set_wall(now - HOUR_S);
	new_token(place, ALICE);
	assert_int_equal(enrol(place, &asked, &back), 0);
	clock_set_wall(now + CA_OFTEN_S + 1);
	assert_int_equal(renew(place, old, &asked, &late), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, ca_place_set_up, ca_place_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(renews_names_and_lifetime),
		TEST(renews_no_other_names_and_not_the_old_key),
		TEST(renews_nothing_that_has_expired),
		TEST(renews_nothing_of_another_ca),
		TEST(renews_nothing_below_a_denied_issuer),
		TEST(renews_at_full_length_after_a_cut),
		TEST(limits_how_often),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
