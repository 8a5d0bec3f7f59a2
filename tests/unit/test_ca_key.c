// SPDX-License-Identifier: Apache-2.0
// Kinds of keys, encrypted keys, keys that a URI names.

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include <openssl/x509.h>

#include "pki/certificate.h"
#include "pki/key_uri.h"
#include "pki/passphrase.h"
#include "pki/pem.h"
#include "unit/ca_fixture.h"

#define SECRET "correct horse battery staple"

DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free);

static void test_kinds(void **state)
{
	static const char *const names[] = {"p256", "p384", "rsa3072", "ed25519"};
	static const char *const signatures[] = {"ecdsa-with-SHA256", "ecdsa-with-SHA384",
						 "RSA-SHA256", "ED25519"};
	struct place *place = *state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct ca_options options = {.domain = DOMAIN};
		expect_done(place, profile_key_parse(names[i], &options.key, &place->error));
		expect_done(place, ca_make(place->ca, &options, &place->error));
		_cleanup_(ca_closep) struct ca *ca = open_ca(place);
		assert_string_equal(OBJ_nid2sn(X509_get_signature_nid(ca_certificate(ca))),
				    signatures[i]);
		expect_done(place, issue(place, ca, ALICE, "alice", DAY_S));
		expect_done(place, judge(place, in(place, "ca/trust.crt"), "alice"));
		fixture_directory_free(strdup(place->ca));
	}
	struct ca_options options = {.domain = DOMAIN};
	assert_int_equal(profile_key_parse("rsa1024", &options.key, &place->error), -EINVAL);
	assert_non_null(strstr(place->error.expected, "ed25519"));
}

static char *write_secret(struct place *place, const char *name, const char *text, unsigned mode)
{
	char *path = in(place, name);
	assert_int_equal(file_write(path, text, strlen(text), mode), 0);
	return path;
}

static void expect_head(struct place *place, const char *name, const char *head)
{
	_cleanup_(freep) char *text = NULL;
	size_t size;
	assert_int_equal(file_read(in(place, name), 1 << 20, &text, &size), 0);
	if (strncmp(text, head, strlen(head)) != 0)
		fail_msg("%s begins with %.40s", name, text);
}

static void make_locked(struct place *place)
{
	struct ca_options options = {.domain = DOMAIN,
				     .passphrase_path =
					     write_secret(place, "secret", SECRET "\n", 0600)};
	expect_done(place, ca_make(place->ca, &options, &place->error));
}

static void test_locked(void **state)
{
	struct place *place = *state;
	make_locked(place);
	expect_head(place, "ca/issuing.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----");
	expect_head(place, "ca/root.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----");

	// Everything but signing goes without the passphrase.
	_cleanup_(ca_closep) struct ca *ca = open_ca(place);
	assert_null(ca_key(ca));
	assert_int_equal(issue(place, ca, ALICE, "alice", DAY_S), -ENOKEY);
	expect_what(&place->error, "encrypted");
	assert_non_null(strstr(place->error.remedy, "--passphrase-file"));
	assert_int_equal(access(in(place, "alice.key"), F_OK), -1);

	assert_int_equal(ca_unlock(ca, write_secret(place, "open", SECRET, 0644), &place->error),
			 -EPERM);
	assert_int_equal(
		ca_unlock(ca, write_secret(place, "wrong", "swordfish", 0600), &place->error),
		-EKEYREJECTED);
	expect_what(&place->error, "does not open");
	assert_int_equal(ca_unlock(ca, write_secret(place, "empty", "\n", 0600), &place->error),
			 -EINVAL);
	assert_int_equal(ca_unlock(ca, in(place, "missing"), &place->error), -ENOENT);
	assert_null(ca_key(ca));
	expect_done(place, ca_unlock(ca, in(place, "secret"), &place->error));
	expect_done(place, issue(place, ca, ALICE, "alice", DAY_S));
	expect_done(place, judge(place, in(place, "ca/trust.crt"), "alice"));
}

static void test_credential_of_systemd(void **state)
{
	struct place *place = *state;
	struct ca *ca = NULL;
	make_locked(place);
	assert_int_equal(mkdir(in(place, "credentials"), 0700), 0);
	setenv("CREDENTIALS_DIRECTORY", in(place, "credentials"), 1);
	write_secret(place, "credentials/" PASSPHRASE_CREDENTIAL, SECRET, 0440);
	ca = open_ca(place);
	assert_non_null(ca_key(ca));
	expect_done(place, issue(place, ca, ALICE, "alice", DAY_S));
	ca_close(ca);
	write_secret(place, "credentials/" PASSPHRASE_CREDENTIAL, "swordfish", 0440);
	assert_int_equal(ca_open(place->ca, &ca, &place->error), -EKEYREJECTED);
	unsetenv("CREDENTIALS_DIRECTORY");
	fixture_directory_free(strdup(in(place, "credentials")));
}

// What openssl encrypts we read, whatever it made of the passphrase.
static void test_by_openssl(void **state)
{
	static const char *const ways[] = {"-scrypt", "-v2prf hmacWithSHA256 -iter 10000"};
	struct place *place = *state;
	struct passphrase passphrase = {.text = SECRET};
	char line[600];
	make_locked(place);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
		snprintf(line, sizeof(line),
			 "openssl pkcs8 -topk8 %s -in %s/issuing.key -out %s/other.key -passin "
			 "'pass:" SECRET "' -passout 'pass:" SECRET "' 2>&1",
			 ways[i], place->ca, place->directory);
		assert_int_equal(system(line), 0);
		expect_done(place, pem_read_locked_key(in(place, "other.key"), &passphrase, &key,
						       &place->error));
	}
}

static void test_uri(void **state)
{
	struct place *place = *state;
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	char uri[160];
	struct ca_options options = {.domain = DOMAIN, .issuing_uri = uri};

	expect_done(place, profile_key_of(PROFILE_P384, &key, &place->error));
	expect_done(place, pem_write_key(in(place, "token.key"), key, &place->error));
	snprintf(uri, sizeof(uri), "file:%s/token.key", place->directory);
	expect_done(place, ca_make(place->ca, &options, &place->error));
	assert_int_equal(access(in(place, "ca/issuing.key"), F_OK), -1);
	_cleanup_(ca_closep) struct ca *ca = open_ca(place);
	assert_null(ca_key(ca)); // asked for when it is needed
	expect_done(place, issue(place, ca, ALICE, "alice", DAY_S));
	expect_done(place, judge(place, in(place, "ca/trust.crt"), "alice"));
	assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(ca_certificate(ca)), key), 1);

	// Another key in its place is not taken.
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *other = NULL;
	expect_done(place, profile_key(&other, &place->error));
	expect_done(place, pem_write_key(in(place, "token.key"), other, &place->error));
	_cleanup_(ca_closep) struct ca *again = open_ca(place);
	assert_int_equal(ca_unlock(again, NULL, &place->error), -EKEYREJECTED);
}

static void test_uri_refusals(void **state)
{
	struct place *place = *state;
	struct passphrase right = {.text = SECRET}, wrong = {.text = "swordfish"};
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	char uri[160];

	assert_int_equal(key_uri_open("file:/nonexistent/key", NULL, &key, &place->error), -EINVAL);
	assert_string_equal(place->error.where, "file:/nonexistent/key");
	assert_int_equal(key_uri_open("nonsense:", NULL, &key, &place->error), -EINVAL);
	make_locked(place);
	snprintf(uri, sizeof(uri), "file:%s/issuing.key", place->ca);
	assert_int_equal(key_uri_open(uri, NULL, &key, &place->error), -ENOKEY);
	assert_int_equal(key_uri_open(uri, &wrong, &key, &place->error), -EINVAL);
	expect_done(place, key_uri_open(uri, &right, &key, &place->error));
	snprintf(uri, sizeof(uri), "file:%s/trust.crt", place->ca);
	EVP_PKEY_free(take(key));
	assert_int_equal(key_uri_open(uri, NULL, &key, &place->error), -EINVAL);
	if (access("/usr/lib/x86_64-linux-gnu/ossl-modules/pkcs11.so", F_OK) == 0)
		return;
	assert_int_equal(key_uri_open("pkcs11:token=ca", NULL, &key, &place->error), -EINVAL);
	assert_non_null(strstr(place->error.remedy, "pkcs11-provider"));
}

#define test(function) cmocka_unit_test_setup_teardown(function, place_setup, place_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_kinds),      test(test_locked), test(test_credential_of_systemd),
		test(test_by_openssl), test(test_uri),	  test(test_uri_refusals),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
