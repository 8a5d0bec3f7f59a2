// SPDX-License-Identifier: Apache-2.0

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sqlite3.h>

#include "base/hex.h"
#include "pki/ca_crl.h"
#include "pki/ca_denied.h"
#include "pki/ca_enrol.h"
#include "pki/ca_revoke.h"
#include "pki/denial_journal.h"
#include "pki/denials.h"
#include "pki/denials_file.h"
#include "pki/journal.h"
#include "pki/pem.h"
#include "pki/profile.h"
#include "pki/request.h"
#include "unit/ca_fixture.h"

#define BOB "spiffe://corp.example/laptop/bob"

DEFINE_CLEANUP(X509 *, X509_free);
DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free);

static int set_up(void **state)
{
	place_setup(state);
	struct place *place = *state;
	expect_done(place, ca_init(place->ca, DOMAIN, &place->error));
	return 0;
}

static X509 *leaf_of(struct place *place, const char *name)
{
	X509 *certificate = NULL;
	char path[128];
	snprintf(path, sizeof(path), "%s/%s.crt", place->directory, name);
	expect_done(place, pem_read_certificate(path, &certificate, &place->error));
	return certificate;
}

static void key_text(X509 *certificate, char text[2 * SPKI_HASH_SIZE + 1])
{
	uint8_t hash[SPKI_HASH_SIZE];
	assert_int_equal(certificate_spki_hash(certificate, hash), 0);
	hex_text(hash, sizeof(hash), text);
}

static int withdraw(struct place *place, struct ca *ca, struct ca_subject subject)
{
	struct denial *entry = NULL;
	int r = ca_revoke(ca, &subject, DENIAL_KEY_COMPROMISE, &entry, &place->error);
	assert_true((r == 0) == (entry != NULL));
	denial_put(entry);
	return r;
}

// What a node that trusts the CA learns from the published file.
static struct denials *published(struct place *place)
{
	char trust[128], file[128];
	_cleanup_(trust_putp) struct trust *trusted = NULL;
	struct denials *denials = NULL;
	snprintf(trust, sizeof(trust), "%s/trust.crt", place->ca);
	snprintf(file, sizeof(file), "%s/denials", place->ca);
	struct trust_source source = {.domain = DOMAIN, .path = trust};
	expect_done(place,
		    trust_load(tls_library(), &source, 1, clock_wall(), &trusted, &place->error));
	expect_done(place, denials_file_read(file, DOMAIN, NULL, trusted, &denials, &place->error));
	return denials;
}

static bool denies(const struct denials *denials, const char *identity)
{
	uint8_t name[DENIAL_NAME_MAX];
	return denials_find(denials, name, denial_name_identity(identity, name)) != NULL;
}

static void test_each_kind(void **state)
{
	struct place *place = *state;
	_cleanup_(ca_closep) struct ca *ca = open_ca(place);
	char serial[SERIAL_TEXT_MAX], key[2 * SPKI_HASH_SIZE + 1];
	expect_done(place, issue(place, ca, ALICE, "alice", DAY_S));
	_cleanup_(X509_freep) X509 *leaf = leaf_of(place, "alice");
	certificate_serial(leaf, serial);
	key_text(leaf, key);
	expect_done(place, withdraw(place, ca, (struct ca_subject){.serial = serial}));
	expect_done(place, withdraw(place, ca, (struct ca_subject){.key = key}));
	expect_done(place, withdraw(place, ca, (struct ca_subject){.identity = ALICE}));
	_cleanup_(denials_putp) struct denials *denials = published(place);
	assert_int_equal(denials_number(denials), 3);
	assert_int_equal(denials_at(denials, 1)->kind, DENIAL_SERIAL);
	assert_true(denials_at(denials, 1)->until > clock_wall());
	assert_int_equal(denials_at(denials, 2)->kind, DENIAL_KEY);
	assert_int_equal(denials_at(denials, 3)->reason, DENIAL_KEY_COMPROMISE);
	assert_true(denies(denials, ALICE));
	assert_false(denies(denials, BOB));
	// Once more changes nothing.
	expect_done(place, withdraw(place, ca, (struct ca_subject){.identity = ALICE}));
	_cleanup_(denials_putp) struct denials *again = published(place);
	assert_int_equal(denials_number(again), 3);
}

static void test_refusals(void **state)
{
	struct place *place = *state;
	_cleanup_(ca_closep) struct ca *ca = open_ca(place);
	static const struct {
		struct ca_subject subject;
		int code;
		const char *what;
	} cases[] = {
		{{.serial = "00ff"}, -ENOENT, "no certificate"},
		{{.key = "00ff"}, -EINVAL, "not the SHA-256"},
		{{.identity = "spiffe://other.example/a"}, -EINVAL, "not in the trust domain"},
		{{.identity = "laptop/alice"}, -EINVAL, ""},
		{{.identity = "spiffe://corp.example/*"}, -EINVAL, ""},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(withdraw(place, ca, cases[i].subject), cases[i].code);
		expect_what(&place->error, cases[i].what);
	}
	struct denial *entry = NULL;
	struct ca_subject alice = {.identity = ALICE}, serial = {.serial = "00"};
	assert_int_equal(ca_reinstate(ca, &alice, &entry, &place->error), -ENOENT);
	assert_int_equal(ca_reinstate(ca, &serial, &entry, &place->error), -EINVAL);
	assert_int_equal(access(in(place, "ca/denials"), F_OK), -1);
}

static int renew(struct place *place, struct ca *ca, const char *name)
{
	_cleanup_(X509_freep) X509 *old = leaf_of(place, name);
	_cleanup_(X509_freep) X509 *next = NULL;
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	_cleanup_(freep) uint8_t *der = NULL;
	size_t size;
	expect_done(place, profile_key(&key, &place->error));
	expect_done(place, request_make(key, NULL, NULL, &der, &size, &place->error));
	return ca_renew(ca, old, NULL, der, size, &next, &place->error);
}

static void test_nothing_is_signed_for_the_denied(void **state)
{
	struct place *place = *state;
	_cleanup_(ca_closep) struct ca *ca = open_ca(place);
	char serial[SERIAL_TEXT_MAX], key[2 * SPKI_HASH_SIZE + 1];
	struct denial *entry = NULL;
	expect_done(place, issue(place, ca, ALICE, "alice", DAY_S));
	expect_done(place, issue(place, ca, BOB, "bob", DAY_S));
	_cleanup_(X509_freep) X509 *alice = leaf_of(place, "alice");
	_cleanup_(X509_freep) X509 *bob = leaf_of(place, "bob");
	certificate_serial(alice, serial);
	key_text(bob, key);
	expect_done(place, renew(place, ca, "alice"));
	expect_done(place, withdraw(place, ca, (struct ca_subject){.serial = serial}));
	assert_int_equal(renew(place, ca, "alice"), -EPERM);
	expect_what(&place->error, "was revoked");
	expect_done(place,
		    issue(place, ca, ALICE, "new", DAY_S)); // another certificate of hers is good
	expect_done(place, withdraw(place, ca, (struct ca_subject){.key = key}));
	assert_int_equal(renew(place, ca, "bob"), -EPERM);
	struct ca_subject subject = {.identity = ALICE};
	expect_done(place, withdraw(place, ca, subject));
	assert_int_equal(issue(place, ca, ALICE, "new", DAY_S), -EPERM);
	assert_int_equal(renew(place, ca, "new"), -EPERM);
	expect_done(place, ca_reinstate(ca, &subject, &entry, &place->error));
	assert_true(entry->allow);
	denial_put(entry);
	expect_done(place, renew(place, ca, "new"));
	_cleanup_(denials_putp) struct denials *denials = published(place);
	assert_int_equal(denials_number(denials), 4);
	assert_false(denies(denials, ALICE));
}

static void test_issuing_key(void **state)
{
	struct place *place = *state;
	_cleanup_(ca_closep) struct ca *ca = open_ca(place);
	_cleanup_(X509_freep) X509 *root = NULL;
	char key[2 * SPKI_HASH_SIZE + 1];
	expect_done(place, pem_read_certificate(in(place, "ca/root.crt"), &root, &place->error));
	key_text(root, key);
	assert_int_equal(withdraw(place, ca, (struct ca_subject){.key = key}), -EINVAL);
	expect_what(&place->error, "root key");
	expect_done(place, withdraw(place, ca, (struct ca_subject){.identity = BOB}));
	key_text(ca_certificate(ca), key);
	assert_int_equal(rename(in(place, "ca/root.key"), in(place, "root.key")), 0);
	assert_int_equal(withdraw(place, ca, (struct ca_subject){.key = key}), -ENOENT);
	assert_int_equal(rename(in(place, "root.key"), in(place, "ca/root.key")), 0);
	expect_done(place, withdraw(place, ca, (struct ca_subject){.key = key}));
	_cleanup_(denials_putp) struct denials *denials = published(place);
	assert_int_equal(denials_number(denials), 2);
	assert_int_equal(issue(place, ca, ALICE, "alice", DAY_S), -EKEYREVOKED);
	// The root signs on.
	expect_done(place, withdraw(place, ca, (struct ca_subject){.identity = ALICE}));
	_cleanup_(denials_putp) struct denials *more = published(place);
	assert_int_equal(denials_number(more), 3);
}

// The revocation list as OpenSSL reads it.
static void test_crl(void **state)
{
	struct place *place = *state;
	_cleanup_(ca_closep) struct ca *ca = open_ca(place);
	char serial[SERIAL_TEXT_MAX];
	uint64_t number;
	unsigned count;
	expect_done(place, issue(place, ca, ALICE, "alice", DAY_S));
	expect_done(place, issue(place, ca, BOB, "bob", DAY_S));
	_cleanup_(X509_freep) X509 *alice = leaf_of(place, "alice");
	_cleanup_(X509_freep) X509 *bob = leaf_of(place, "bob");
	certificate_serial(alice, serial);
	expect_done(place, ca_crl(ca, in(place, "a.crl"), 7, &number, &count, &place->error));
	assert_int_equal(number, 1);
	assert_int_equal(count, 0);
	expect_done(place, withdraw(place, ca, (struct ca_subject){.serial = serial}));
	expect_done(place, ca_crl(ca, in(place, "a.crl"), 7, &number, &count, &place->error));
	assert_int_equal(number, 2);
	assert_int_equal(count, 1);
	FILE *file = fopen(in(place, "a.crl"), "r");
	X509_CRL *crl = PEM_read_X509_CRL(file, NULL, NULL, NULL);
	_cleanup_(X509_freep) X509 *issuer = PEM_read_X509(file, NULL, NULL, NULL);
	fclose(file);
	X509_REVOKED *revoked = NULL;
	assert_non_null(crl);
	assert_int_equal(X509_cmp(issuer, ca_certificate(ca)), 0);
	assert_int_equal(X509_CRL_verify(crl, X509_get0_pubkey(issuer)), 1);
	assert_int_equal(X509_CRL_get_version(crl), X509_CRL_VERSION_2);
	assert_int_equal(X509_CRL_get0_by_cert(crl, &revoked, alice), 1);
	int critical;
	ASN1_ENUMERATED *reason =
		X509_REVOKED_get_ext_d2i(revoked, NID_crl_reason, &critical, NULL);
	assert_int_equal(ASN1_ENUMERATED_get(reason), DENIAL_KEY_COMPROMISE);
	ASN1_ENUMERATED_free(reason);
	assert_int_equal(X509_CRL_get0_by_cert(crl, &revoked, bob), 0);
	X509_CRL_free(crl);
	assert_int_equal(ca_crl(ca, in(place, "a.crl"), 0, &number, &count, &place->error),
			 -EINVAL);
	assert_int_equal(ca_crl(ca, in(place, "ca/trust.crt"), 7, &number, &count, &place->error),
			 -EINVAL);
}

// A journal of the format before becomes one of ours.
static void test_older_journal(void **state)
{
	struct place *place = *state;
	sqlite3 *database;
	assert_int_equal(sqlite3_open(in(place, "ca/journal.db"), &database), SQLITE_OK);
	assert_int_equal(sqlite3_exec(database,
				      "DROP TABLE denials; DROP TABLE crls; "
				      "PRAGMA user_version = 2",
				      NULL, NULL, NULL),
			 SQLITE_OK);
	sqlite3_close(database);
	_cleanup_(ca_closep) struct ca *ca = open_ca(place);
	expect_done(place, withdraw(place, ca, (struct ca_subject){.identity = ALICE}));
	_cleanup_(denials_putp) struct denials *denials = published(place);
	assert_true(denies(denials, ALICE));
}

// Where the file cannot be written, the journal has it, and the same command again publishes it.
static void test_publishing_again(void **state)
{
	struct place *place = *state;
	_cleanup_(ca_closep) struct ca *ca = open_ca(place);
	assert_int_equal(mkdir(in(place, "ca/denials"), 0700), 0);
	assert_true(withdraw(place, ca, (struct ca_subject){.identity = ALICE}) < 0);
	expect_what(&place->error, "cannot be published");
	assert_int_equal(rmdir(in(place, "ca/denials")), 0);
	expect_done(place, withdraw(place, ca, (struct ca_subject){.identity = ALICE}));
	_cleanup_(denials_putp) struct denials *denials = published(place);
	assert_int_equal(denials_number(denials), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_each_kind, set_up, place_teardown),
		cmocka_unit_test_setup_teardown(test_refusals, set_up, place_teardown),
		cmocka_unit_test_setup_teardown(test_nothing_is_signed_for_the_denied, set_up,
						place_teardown),
		cmocka_unit_test_setup_teardown(test_issuing_key, set_up, place_teardown),
		cmocka_unit_test_setup_teardown(test_crl, set_up, place_teardown),
		cmocka_unit_test_setup_teardown(test_older_journal, set_up, place_teardown),
		cmocka_unit_test_setup_teardown(test_publishing_again, set_up, place_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
