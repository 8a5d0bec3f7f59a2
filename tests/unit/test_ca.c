// SPDX-License-Identifier: Apache-2.0

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
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
#include "base/clock.h"
#include "base/error.h"
#include "pki/ca.h"
#include "pki/certificate.h"
#include "pki/credential.h"
#include "pki/pem.h"
#include "pki/profile.h"
#include "pki/record.h"
#include "pki/tls.h"
#include "pki/trust.h"
#include "pki/verify.h"
#include "unit/pki_fixture.h"

#define DOMAIN	"corp.example"
#define ALICE	"spiffe://corp.example/laptop/alice"
#define HOUR_S	3600
#define DAY_S	86400
#define ENTRIES 64

DEFINE_CLEANUP(X509 *, X509_free);
DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free);

// A CA in "ca" below a directory of its own, and the places of one certificate.
struct place {
	char *directory, *ca, *trust, *certificate, *key;
	struct ca *open;
	struct error error;
};

static int setup(void **state)
{
	struct place *place = calloc(1, sizeof(*place));
	assert_non_null(place);
	place->directory = fixture_directory();
	place->ca = fixture_path(place->directory, "ca");
	place->trust = fixture_path(place->ca, "trust.crt");
	place->certificate = fixture_path(place->directory, "node.crt");
	place->key = fixture_path(place->directory, "node.key");
	assert_int_equal(ca_init(place->ca, DOMAIN, &place->error), 0);
	assert_int_equal(ca_open(place->ca, &place->open, &place->error), 0);
	*state = place;
	return 0;
}

static int teardown(void **state)
{
	struct place *place = *state;
	clock_set_wall(0);
	ca_close(place->open);
	fixture_directory_free(place->ca);
	fixture_directory_free(place->directory);
	free(place->trust);
	free(place->certificate);
	free(place->key);
	free(place);
	return 0;
}

static struct ca_request request(const struct place *place)
{
	return (struct ca_request){.identity = ALICE,
				   .lifetime_s = DAY_S,
				   .not_before_s = -300,
				   .certificate_path = place->certificate,
				   .key_path = place->key};
}

static unsigned mode_of(const char *path)
{
	struct stat info;
	assert_int_equal(stat(path, &info), 0);
	return info.st_mode & 07777;
}

static void expect_what(const struct error *error, const char *what)
{
	if (!strstr(error->what, what))
		fail_msg("\"%s\" does not say \"%s\"", error->what, what);
}

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

static struct trust *trust_of(const struct place *place, const char *domain)
{
	struct trust_source source = {.domain = domain, .path = place->trust};
	struct trust *trust = NULL;

	assert_int_equal(trust_load(tls_library(), &source, 1, clock_wall(), &trust, NULL), 0);
	return trust;
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

struct list {
	char *serials[ENTRIES];
	char *identities[ENTRIES];
	size_t count, stop;
};

static void list_done(struct list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->serials[i]);
		free(list->identities[i]);
	}
}

static int collect(const struct record *entry, void *data)
{
	struct list *list = data;

	assert_true(list->count < ENTRIES);
	list->serials[list->count] = strdup(entry->serial);
	list->identities[list->count++] = strdup(entry->identity);
	return list->count == list->stop ? -EINTR : 0;
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
		test(test_init_files),
		test(test_init_refusals),
		test(test_long_domain),
		test(test_open_refusals),
		test(test_issue_is_accepted),
		test(test_profile_by_openssl),
		test(test_lifetimes_of_cas),
		test(test_name_constraint),
		test(test_request_refusals),
		test(test_output_refusals),
		test(test_never_beyond_issuer),
		test(test_start_to_come),
		test(test_reuse_key),
		test(test_reuse_of_weak_key),
		test(test_journal),
		test(test_failed_write),
		test(test_killed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
