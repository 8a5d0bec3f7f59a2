// SPDX-License-Identifier: Apache-2.0

#include <errno.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include <openssl/x509v3.h>

#include "base/buffer.h"
#include "pki/pem.h"
#include "pki/profile.h"
#include "pki/verify.h"
#include "unit/issue_fixture.h"

// Runs a programme and returns what it printed, new; fails when it fails.
static char *output_of(char **arguments)
{
	static char *environment[] = {"PATH=/usr/bin:/bin:/usr/local/bin", NULL};
	posix_spawn_file_actions_t actions;
	char text[16384];
	size_t size = 0;
	int pipes[2], status;
	pid_t pid;

	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
	posix_spawn_file_actions_adddup2(&actions, pipes[1], 1);
	posix_spawn_file_actions_adddup2(&actions, pipes[1], 2);
	posix_spawn_file_actions_addclose(&actions, pipes[0]);
	assert_int_equal(posix_spawnp(&pid, arguments[0], &actions, NULL, arguments, environment),
			 0);
	posix_spawn_file_actions_destroy(&actions);
	close(pipes[1]);
	for (ssize_t n; (n = read(pipes[0], text + size, sizeof(text) - 1 - size)) > 0;)
		size += (size_t)n;
	close(pipes[0]);
	text[size] = '\0';
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("%s %s failed: %s", arguments[0], arguments[1], text);
	return strdup(text);
}

static void test_init_files(void **state)
{
	static const struct {
		const char *name;
		unsigned mode;
	} files[] = {{"root.key", 0600},    {"root.crt", 0644},	 {"issuing.key", 0600},
		     {"issuing.crt", 0644}, {"trust.crt", 0644}, {"journal.db", 0600}};
	struct place *place = *state;

	assert_int_equal(mode_of(place->ca), 0700);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		_cleanup_(freep) char *path = fixture_path(place->ca, files[i].name);
		assert_int_equal(mode_of(path), files[i].mode);
	}
	assert_string_equal(ca_domain(place->open), DOMAIN);
}

static void test_init_refusals(void **state)
{
	static const char *const domains[] = {
		"", "Corp.example", "corp example", ".corp.example", "corp.example/x", "c,URI:d"};
	struct place *place = *state;
	struct error *error = &place->error;
	_cleanup_(freep) char *other = fixture_path(place->directory, "other");
	_cleanup_(freep) char *deep = fixture_path(place->directory, "no/such");

	assert_int_equal(ca_init(place->ca, DOMAIN, error), -EEXIST);
	expect_what(error, "not empty");
	assert_string_equal(error->where, place->ca);
	assert_true(error->remedy[0]);
	for (size_t i = 0; i < sizeof(domains) / sizeof(domains[0]); i++) {
		assert_int_equal(ca_init(other, domains[i], error), -EINVAL);
		assert_int_equal(access(other, F_OK), -1);
	}
	assert_int_equal(ca_init(deep, DOMAIN, error), -ENOENT);
	assert_int_equal(ca_init(place->trust, DOMAIN, error), -ENOTDIR);

	// An empty directory is taken, but not one that is everybody's.
	assert_int_equal(mkdir(other, 0700), 0);
	assert_int_equal(chmod(other, 01777), 0);
	assert_int_equal(ca_init(other, DOMAIN, error), -EPERM);
	assert_int_equal(chmod(other, 0700), 0);
	assert_int_equal(ca_init(other, DOMAIN, error), 0);
	fixture_directory_free(take(other));
}

// A domain of the greatest length is longer than a subject's part may be.
static void test_long_domain(void **state)
{
	struct place *place = *state;
	_cleanup_(freep) char *other = fixture_path(place->directory, "other");
	_cleanup_(ca_closep) struct ca *ca = NULL;
	char domain[256];

	memset(domain, 'a', sizeof(domain) - 1);
	domain[sizeof(domain) - 1] = '\0';
	for (size_t i = 50; i < sizeof(domain) - 1; i += 50)
		domain[i] = '.';
	assert_int_equal(ca_init(other, domain, &place->error), 0);
	assert_int_equal(ca_open(other, &ca, &place->error), 0);
	assert_string_equal(ca_domain(ca), domain);
	fixture_directory_free(take(other));
}

static void damage(struct place *place, const char *name, const char *text, unsigned mode, int code,
		   const char *what)
{
	_cleanup_(freep) char *path = fixture_path(place->ca, name);
	_cleanup_(freep) char *before = NULL;
	struct ca *ca = NULL;
	size_t size;

	assert_int_equal(file_read(path, 1 << 20, &before, &size), 0);
	unsigned old_mode = mode_of(path);
	if (text)
		assert_int_equal(file_write(path, text, strlen(text), mode), 0);
	else
		assert_int_equal(unlink(path), 0);
	assert_int_equal(ca_open(place->ca, &ca, &place->error), code);
	expect_what(&place->error, what);
	assert_true(place->error.where[0]);
	assert_int_equal(file_write(path, before, size, old_mode), 0);
	assert_int_equal(ca_open(place->ca, &ca, &place->error), 0);
	ca_close(ca);
}

static void test_open_refusals(void **state)
{
	struct place *place = *state;
	_cleanup_(freep) char *root_key = fixture_path(place->ca, "root.key");
	_cleanup_(freep) char *issuing_key = fixture_path(place->ca, "issuing.key");
	_cleanup_(freep) char *root = NULL;
	_cleanup_(freep) char *key = NULL;
	_cleanup_(freep) char *root_key_text = NULL;
	struct ca *ca = NULL;
	size_t size;

	assert_int_equal(file_read(place->trust, 1 << 20, &root, &size), 0);
	assert_int_equal(file_read(issuing_key, 1 << 20, &key, &size), 0);
	assert_int_equal(file_read(root_key, 1 << 20, &root_key_text, &size), 0);
	assert_int_equal(ca_open(place->directory, &ca, &place->error), -ENOENT);
	assert_non_null(strstr(place->error.remedy, "mutun ca init"));
	damage(place, "issuing.crt", NULL, 0, -ENOENT, "no CA");
	damage(place, "issuing.crt", "garbage", 0644, -EINVAL, "PEM");
	damage(place, "issuing.crt", root, 0644, -EINVAL, "name constraint");
	damage(place, "issuing.key", NULL, 0, -ENOENT, "cannot be read");
	damage(place, "issuing.key", "garbage", 0600, -EINVAL, "no private key");
	damage(place, "issuing.key", key, 0640, -EPERM, "others may use the key");
	damage(place, "issuing.key", root_key_text, 0600, -EKEYREJECTED, "does not belong");
	damage(place, "journal.db", NULL, 0, -ENOENT, "journal is missing");
	damage(place, "journal.db", "garbage, and more of it than a header", 0600, -EIO, "journal");
	damage(place, "journal.db", "", 0600, -EINVAL, "format 0");

	// Issuing does not need the root's key: it may be elsewhere.
	assert_int_equal(unlink(root_key), 0);
	assert_int_equal(ca_open(place->ca, &ca, &place->error), 0);
	ca_close(ca);
}

// The profile, as another programme reads it.
static void expect_lines(const char *const *lines, char *file)
{
	// OpenSSL 3.0 puts blanks around "=", 3.5 does not.
	char *arguments[] = {"openssl", "x509",	 "-in",	     file,
			     "-noout",	"-text", "-nameopt", "oneline,-space_eq",
			     NULL};
	_cleanup_(freep) char *text = output_of(arguments);

	for (; *lines; lines++)
		if (!strstr(text, *lines))
			fail_msg("%s has no \"%s\":\n%s", file, *lines, text);
}

static void test_profile_by_openssl(void **state)
{
	static const char *const leaf[] = {
		"Version: 3",
		"Subject: O=corp.example\n",
		"Issuer: O=corp.example, CN=issuing CA\n",
		"Signature Algorithm: ecdsa-with-SHA256",
		"ASN1 OID: prime256v1",
		"X509v3 Basic Constraints: critical\n                CA:FALSE\n",
		"X509v3 Key Usage: critical\n                Digital Signature\n",
		"X509v3 Extended Key Usage: \n",
		"                TLS Web Server Authentication, TLS Web Client Authentication\n",
		"X509v3 Subject Key Identifier:",
		"X509v3 Authority Key Identifier:",
		"X509v3 Subject Alternative Name: \n",
		"                URI:spiffe://corp.example/laptop/alice, DNS:a.example\n",
		NULL};
	static const char *const issuing[] = {
		"Subject: O=corp.example, CN=issuing CA\n",
		"X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:0\n",
		"X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign\n",
		"X509v3 Name Constraints: critical\n",
		"                Permitted:\n                  URI:corp.example\n",
		"X509v3 Authority Key Identifier:",
		NULL};
	static const char *const root[] = {
		"Subject: O=corp.example, CN=root CA\n",
		"X509v3 Basic Constraints: critical\n                CA:TRUE\n",
		"X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign\n", NULL};
	struct place *place = *state;
	_cleanup_(freep) char *intermediate = fixture_path(place->ca, "issuing.crt");
	char *verify[] = {"openssl",	"verify",     "-x509_strict",	  "-check_ss_sig",
			  "-purpose",	"sslclient",  "-CAfile",	  place->trust,
			  "-untrusted", intermediate, place->certificate, NULL};
	struct ca_request ask = request(place);

	ask.dns = "a.example";
	assert_int_equal(ca_issue(place->open, &ask, &place->error), 0);
	expect_lines(leaf, place->certificate);
	expect_lines(issuing, intermediate);
	expect_lines(root, place->trust);
	free(output_of(verify));
}

static void test_lifetimes_of_cas(void **state)
{
	struct place *place = *state;
	_cleanup_(freep) char *path = fixture_path(place->ca, "issuing.crt");
	_cleanup_(X509_freep) X509 *root = NULL;
	_cleanup_(X509_freep) X509 *issuing = NULL;
	time_t from, to;

	assert_int_equal(pem_read_certificate(place->trust, &root, &place->error), 0);
	assert_int_equal(certificate_lifetime(root, &from, &to), 0);
	assert_int_equal(to - from, 3650LL * DAY_S + 300);
	assert_int_equal(pem_read_certificate(path, &issuing, &place->error), 0);
	assert_int_equal(certificate_lifetime(issuing, &from, &to), 0);
	assert_int_equal(to - from, 90LL * DAY_S + 300);
	assert_in_range(clock_wall() - from, 300, 330);
}

// Even with the intermediate's key nobody signs names of another domain.
static void test_name_constraint(void **state)
{
	static const struct {
		const char *domain, *identity;
		int result;
	} cases[] = {
		{DOMAIN, ALICE, 0},
		{"partner.example", "spiffe://partner.example/laptop/alice", -EACCES},
		{"a.corp.example", "spiffe://a.corp.example/laptop/alice", -EACCES},
	};
	struct place *place = *state;
	_cleanup_(freep) char *certificate_path = fixture_path(place->ca, "issuing.crt");
	_cleanup_(freep) char *key_path = fixture_path(place->ca, "issuing.key");
	_cleanup_(X509_freep) X509 *issuing = NULL;
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	STACK_OF(X509) *chain = sk_X509_new_null();
	time_t now = clock_wall();

	assert_int_equal(pem_read_certificate(certificate_path, &issuing, &place->error), 0);
	assert_int_equal(pem_read_key(key_path, &key, &place->error), 0);
	sk_X509_push(chain, issuing);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct profile_subject subject = {.domain = cases[i].domain,
						  .identity = cases[i].identity,
						  .key = key,
						  .not_before = now,
						  .not_after = now + HOUR_S};
		_cleanup_(X509_freep) X509 *leaf = NULL;
		_cleanup_(trust_putp) struct trust *trust = trust_of(place, cases[i].domain);
		_cleanup_(verdict_putp) struct verdict *verdict = NULL;
		assert_int_equal(
			profile_sign(PROFILE_LEAF, &subject, issuing, key, &leaf, &place->error),
			0);
		assert_int_equal(verify_chain(trust, leaf, chain, VERIFY_PEER_IS_CLIENT, now,
					      &verdict, NULL, &place->error),
				 cases[i].result);
	}
	sk_X509_free(chain);
}

static void test_journal(void **state)
{
	struct place *place = *state;
	struct ca_request ask = request(place);
	_cleanup_(list_done) struct list list = {0};
	_cleanup_(list_done) struct list first = {.stop = 1};
	_cleanup_(X509_freep) X509 *leaf = NULL;
	char serial[SERIAL_TEXT_MAX];

	assert_int_equal(record_walk(ca_journal(place->open), &(struct record_filter){0}, collect,
				     &list, &place->error),
			 0);
	assert_int_equal(list.count, 0);
	assert_int_equal(ca_issue(place->open, &ask, &place->error), 0);
	ask.identity = "SPIFFE://CORP.example/laptop/bob";
	clock_set_wall(clock_wall() -
		       DAY_S); // the order is that of issuing, whatever the clock says
	assert_int_equal(ca_issue(place->open, &ask, &place->error), 0);
	assert_int_equal(pem_read_certificate(place->certificate, &leaf, &place->error), 0);
	assert_int_equal(record_walk(ca_journal(place->open), &(struct record_filter){0}, collect,
				     &list, &place->error),
			 0);
	assert_int_equal(list.count, 2);
	assert_string_equal(list.serials[0], certificate_serial(leaf, serial));
	assert_string_equal(list.identities[0], "spiffe://corp.example/laptop/bob");
	assert_string_equal(list.identities[1], ALICE);
	assert_int_equal(record_walk(ca_journal(place->open), &(struct record_filter){0}, collect,
				     &first, &place->error),
			 -EINTR);
	assert_int_equal(first.count, 1);
}

#define test(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_init_files),	       test(test_init_refusals),
		test(test_long_domain),	       test(test_open_refusals),
		test(test_profile_by_openssl), test(test_lifetimes_of_cas),
		test(test_name_constraint),    test(test_journal),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
