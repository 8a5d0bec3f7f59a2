// SPDX-License-Identifier: Apache-2.0
// What a CA issues and what it does not, and what is left when it is stopped in the middle.

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include <openssl/x509v3.h>

#include "base/buffer.h"
#include "pki/credential.h"
#include "pki/pem.h"
#include "pki/verify.h"
#include "unit/issue_fixture.h"

static void test_issue_is_accepted(void **state)
{
	struct place *place = *state;
	struct ca_request ask = request(place);
	_cleanup_(trust_putp) struct trust *trust = trust_of(place, DOMAIN);
	_cleanup_(credential_putp) struct credential *credential = NULL;
	time_t now = clock_wall();

	ask.dns = "alice.corp.example";
	clock_set_wall(now);
	assert_int_equal(ca_issue(place->open, &ask, &place->error), 0);
	assert_int_equal(mode_of(place->certificate), 0644);
	assert_int_equal(mode_of(place->key), 0600);
	assert_int_equal(credential_load(tls_library(), place->certificate, place->key, now,
					 &credential, &place->error),
			 0);
	assert_string_equal(credential_identity(credential), ALICE);
	assert_int_equal(credential_not_before(credential), now - 300);
	assert_int_equal(credential_not_after(credential), now + DAY_S);
	assert_int_equal(sk_X509_num(credential_chain(credential)), 1);

	X509 *leaf = credential_leaf(credential);
	for (int role = VERIFY_PEER_IS_CLIENT; role <= VERIFY_PEER_IS_SERVER; role++) {
		_cleanup_(verdict_putp) struct verdict *verdict = NULL;
		assert_int_equal(verify_chain(trust, leaf, credential_chain(credential),
					      (enum verify_role)role, now, &verdict, NULL,
					      &place->error),
				 0);
		assert_string_equal(verdict_identity(verdict), ALICE);
	}
	const ASN1_INTEGER *serial = X509_get0_serialNumber(leaf);
	assert_int_equal(ASN1_STRING_length(serial), 20);
	assert_int_equal(ASN1_STRING_get0_data(serial)[0] & 0x80, 0);
	assert_int_equal(X509_check_host(leaf, "alice.corp.example", 0, 0, NULL), 1);
}

static void test_request_refusals(void **state)
{
	static const struct {
		const char *identity, *dns;
		int64_t lifetime_s, not_before_s;
		const char *what;
	} cases[] = {
		{"spiffe://partner.example/x", NULL, DAY_S, -300, "trust domain of this CA"},
		{"spiffe://a.corp.example/x", NULL, DAY_S, -300, "trust domain of this CA"},
		{"laptop/alice", NULL, DAY_S, -300, "not a SPIFFE ID"},
		{"spiffe://corp.example", NULL, DAY_S, -300, "not a SPIFFE ID"},
		{"spiffe://corp.example/a,DNS:x", NULL, DAY_S, -300, "not a SPIFFE ID"},
		{ALICE, "*.corp.example", DAY_S, -300, "not a host name"},
		{ALICE, "a.example,URI:spiffe://b/c", DAY_S, -300, "not a host name"},
		{ALICE, "A.example", DAY_S, -300, "not a host name"},
		{ALICE, "a..example", DAY_S, -300, "empty label"},
		{ALICE, "a.example.", DAY_S, -300, "empty label"},
		{ALICE, "", DAY_S, -300, "empty label"},
		{ALICE, "-a.example", DAY_S, -300, "begins or ends"},
		{ALICE, "10.0.0.1", DAY_S, -300, "as an address"},
		{ALICE, NULL, 59, -300, "lifetime of 59 s"},
		{ALICE, NULL, 399LL * DAY_S, -300, "lifetime"},
		{ALICE, NULL, INT64_MIN, -300, "lifetime"},
		{ALICE, NULL, DAY_S, INT64_MIN, "start"},
		{ALICE, NULL, DAY_S, INT64_MAX, "start"},
	};
	struct place *place = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ca_request ask = request(place);
		ask.identity = cases[i].identity;
		ask.dns = cases[i].dns;
		ask.lifetime_s = cases[i].lifetime_s;
		ask.not_before_s = cases[i].not_before_s;
		assert_int_equal(ca_issue(place->open, &ask, &place->error), -EINVAL);
		expect_what(&place->error, cases[i].what);
	}
	assert_int_equal(access(place->key, F_OK), -1);
	assert_int_equal(access(place->certificate, F_OK), -1);
}

static void test_output_refusals(void **state)
{
	struct place *place = *state;
	struct ca_request ask = request(place);
	_cleanup_(freep) char *issuing = fixture_path(place->ca, "issuing.key");
	_cleanup_(freep) char *nowhere = fixture_path(place->directory, "no/such.crt");

	ask.key_path = issuing;
	assert_int_equal(ca_issue(place->open, &ask, &place->error), -EINVAL);
	expect_what(&place->error, "file of the CA");
	ask.key_path = place->certificate;
	assert_int_equal(ca_issue(place->open, &ask, &place->error), -EINVAL);
	expect_what(&place->error, "a file each");
	ask = request(place);
	ask.certificate_path = nowhere;
	assert_int_equal(ca_issue(place->open, &ask, &place->error), -ENOENT);
	ask.certificate_path = place->ca;
	assert_int_equal(ca_issue(place->open, &ask, &place->error), -EISDIR);
	assert_int_equal(access(place->key, F_OK), -1);
}

static void test_never_beyond_issuer(void **state)
{
	struct place *place = *state;
	struct ca_request ask = request(place);
	_cleanup_(freep) char *path = fixture_path(place->ca, "issuing.crt");
	_cleanup_(X509_freep) X509 *issuing = NULL;
	_cleanup_(X509_freep) X509 *leaf = NULL;
	time_t from, to, end;

	assert_int_equal(pem_read_certificate(path, &issuing, &place->error), 0);
	assert_int_equal(certificate_lifetime(issuing, &from, &end), 0);
	clock_set_wall(end - 60);
	assert_int_equal(ca_issue(place->open, &ask, &place->error), 0);
	assert_int_equal(pem_read_certificate(place->certificate, &leaf, &place->error), 0);
	assert_int_equal(certificate_lifetime(leaf, &from, &to), 0);
	assert_int_equal(to, end);
	clock_set_wall(end - 59);
	assert_int_equal(ca_issue(place->open, &ask, &place->error), -EKEYEXPIRED);
	expect_what(&place->error, "expires in 59 s");
	assert_true(place->error.remedy[0]);
	clock_set_wall(end + 2LL * DAY_S);
	assert_int_equal(ca_issue(place->open, &ask, &place->error), -EKEYEXPIRED);
	expect_what(&place->error, "expired 2 days ago");
}

static void test_start_to_come(void **state)
{
	struct place *place = *state;
	struct ca_request ask = request(place);
	_cleanup_(X509_freep) X509 *leaf = NULL;
	time_t now = clock_wall(), from, to;

	clock_set_wall(now);
	ask.not_before_s = 100;
	ask.lifetime_s = 60;
	assert_int_equal(ca_issue(place->open, &ask, &place->error), 0);
	assert_int_equal(pem_read_certificate(place->certificate, &leaf, &place->error), 0);
	assert_int_equal(certificate_lifetime(leaf, &from, &to), 0);
	assert_int_equal(from, now + 100);
	assert_int_equal(to, now + 160);
}

static void test_reuse_key(void **state)
{
	struct place *place = *state;
	struct ca_request ask = request(place);
	_cleanup_(freep) char *before = NULL;
	_cleanup_(freep) char *after = NULL;
	_cleanup_(credential_putp) struct credential *credential = NULL;
	size_t size;

	ask.reuse_key = true;
	assert_int_equal(ca_issue(place->open, &ask, &place->error), -ENOENT);
	assert_non_null(strstr(place->error.remedy, "--reuse-key"));
	ask.reuse_key = false;
	assert_int_equal(ca_issue(place->open, &ask, &place->error), 0);
	assert_int_equal(file_read(place->key, 1 << 20, &before, &size), 0);
	ask.reuse_key = true;
	assert_int_equal(ca_issue(place->open, &ask, &place->error), 0);
	assert_int_equal(file_read(place->key, 1 << 20, &after, &size), 0);
	assert_string_equal(before, after);
	assert_int_equal(credential_load(tls_library(), place->certificate, place->key,
					 clock_wall(), &credential, &place->error),
			 0);
}

static void test_reuse_of_weak_key(void **state)
{
	struct place *place = *state;
	struct ca_request ask = request(place);
	EVP_PKEY *key = EVP_PKEY_Q_keygen(tls_library(), NULL, "RSA", (size_t)1024);

	assert_non_null(key);
	assert_int_equal(pem_write_key(place->key, key, &place->error), 0);
	EVP_PKEY_free(key);
	ask.reuse_key = true;
	assert_int_equal(ca_issue(place->open, &ask, &place->error), -EINVAL);
	expect_what(&place->error, "RSA key of 1024 bits");
	assert_int_equal(access(place->certificate, F_OK), -1);
}

// The certificate's name leaves no room for that of a temporary file: writing fails after the key was written.
static void test_failed_write(void **state)
{
	struct place *place = *state;
	struct ca_request ask = request(place);
	_cleanup_(list_done) struct list list = {0};
	_cleanup_(freep) char *before = NULL;
	_cleanup_(freep) char *after = NULL;
	char name[251];
	size_t size;

	memset(name, 'c', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	_cleanup_(freep) char *path = fixture_path(place->directory, name);
	ask.certificate_path = path;
	assert_int_equal(ca_issue(place->open, &ask, &place->error), -ENAMETOOLONG);
	assert_int_equal(access(place->key, F_OK), -1);

	ask = request(place);
	assert_int_equal(ca_issue(place->open, &ask, &place->error), 0);
	assert_int_equal(file_read(place->key, 1 << 20, &before, &size), 0);
	ask.certificate_path = path;
	assert_int_equal(ca_issue(place->open, &ask, &place->error), -ENAMETOOLONG);
	assert_int_equal(file_read(place->key, 1 << 20, &after, &size), 0);
	assert_string_equal(before, after);
	assert_int_equal(record_walk(ca_journal(place->open), &(struct record_filter){0}, collect,
				     &list, &place->error),
			 0);
	assert_int_equal(list.count, 3); // journaled all the same
}

static int find_serial(const struct record *entry, void *data)
{
	return strcmp(entry->serial, data) == 0;
}

static void issue_until_killed(const struct place *place)
{
	struct ca_request ask = request(place);
	struct ca *ca = NULL;

	if (ca_open(place->ca, &ca, NULL) < 0)
		_exit(1);
	while (ca_issue(ca, &ask, NULL) == 0)
		;
	_exit(2);
}

// Killed anywhere: every file is whole, old or new, and every certificate that exists is in the journal.
static void test_killed(void **state)
{
	struct place *place = *state;

	for (useconds_t round = 0; round < 20; round++) {
		_cleanup_(X509_freep) X509 *leaf = NULL;
		_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
		char serial[SERIAL_TEXT_MAX];
		int status;
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			issue_until_killed(place);
		usleep(60000 + round * 1111);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		if (access(place->certificate, F_OK) < 0)
			continue;
		assert_int_equal(pem_read_key(place->key, &key, &place->error), 0);
		assert_int_equal(pem_read_certificate(place->certificate, &leaf, &place->error), 0);
		certificate_serial(leaf, serial);
		assert_int_equal(record_walk(ca_journal(place->open), &(struct record_filter){0},
					     find_serial, serial, &place->error),
				 1);
	}
	assert_int_equal(access(place->certificate, F_OK), 0);
}

#define test(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_issue_is_accepted),
		test(test_request_refusals),
		test(test_output_refusals),
		test(test_never_beyond_issuer),
		test(test_start_to_come),
		test(test_reuse_key),
		test(test_reuse_of_weak_key),
		test(test_failed_write),
		test(test_killed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
