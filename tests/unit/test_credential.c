// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>
#include <openssl/pem.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/error.h"
#include "pki/credential.h"
#include "pki/tls.h"
#include "unit/pki_fixture.h"

#define ALICE "spiffe://corp.example/laptop/alice"
#define DAY   INT64_C(86400)

static struct fixture *root, *issuing, *leaf;
static char *directory, *crt, *key;

static int set_up(void **state)
{
	(void)state;
	root = fixture_root("root");
	issuing = fixture_intermediate(root, "issuing", "corp.example", 0);
	leaf = fixture_leaf(issuing, ALICE);
	directory = fixture_directory();
	crt = fixture_path(directory, "node.crt");
	key = fixture_path(directory, "node.key");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(crt);
	free(key);
	fixture_directory_free(directory);
	fixture_free(leaf);
	fixture_free(issuing);
	fixture_free(root);
	return 0;
}

static int write_good(void **state)
{
	(void)state;
	fixture_write_certificate(leaf, true, crt);
	fixture_write_key(leaf, key);
	return 0;
}

static int load_at(const char *crt_path, const char *key_path, time_t now, struct error *error)
{
	struct credential *credential = NULL;
	int r = credential_load(tls_library(), crt_path, key_path, now, &credential, error);

	assert_int_equal(r == 0, credential != NULL);
	if (r < 0 && error)
		assert_int_equal(error->code, -r);
	credential_put(credential);
	return r;
}

static int load(struct error *error)
{
	return load_at(crt, key, clock_wall(), error);
}

static void append(const char *to, const char *from)
{
	_cleanup_(freep) char *text = NULL;
	size_t size;
	FILE *file = fopen(to, "ae");

	assert_int_equal(file_read(from, 1 << 20, &text, &size), 0);
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
}

static void loads_a_good_set(void **state)
{
	struct credential *credential = NULL;
	time_t now = clock_wall();

	(void)state;
	assert_int_equal(credential_load(tls_library(), crt, key, now, &credential, NULL), 0);
	assert_string_equal(credential_identity(credential), ALICE);
	assert_int_equal(X509_cmp(credential_leaf(credential), leaf->certificate), 0);
	assert_int_equal(sk_X509_num(credential_chain(credential)), 1);
	assert_int_equal(EVP_PKEY_eq(credential_key(credential), leaf->key), 1);
	assert_true(credential_not_before(credential) < now);
	assert_true(credential_not_after(credential) > now + DAY - 3600);
	assert_ptr_equal(credential_get(credential), credential);
	assert_null(credential_put(credential));
	assert_string_equal(credential_identity(credential), ALICE);
	credential_put(credential);
	assert_null(credential_put(NULL));
}

// By a store of OpenSSL's own; what a provider offers goes the same way.
static void loads_a_key_by_its_uri(void **state)
{
	_cleanup_(fixture_freep) struct fixture *other = fixture_leaf(issuing, ALICE);
	_cleanup_(freep) char *uri = NULL;
	struct error error = {0};

	(void)state;
	assert_true(asprintf(&uri, "file:%s", key) > 0);
	assert_int_equal(load_at(crt, uri, clock_wall(), &error), 0);
	assert_int_equal(load_at(crt, "file:/nowhere?pin-value=1234", clock_wall(), &error),
			 -EINVAL);
	assert_string_equal(error.where, "file:/nowhere"); // nobody reads the PIN in the log
	fixture_write_key(other, key);
	assert_int_equal(load_at(crt, uri, clock_wall(), &error), -EKEYREJECTED);
	assert_string_equal(error.where, uri);
}

static void loads_one_file_with_both(void **state)
{
	_cleanup_(freep) char *both = fixture_path(directory, "both.pem");
	_cleanup_(freep) char *swapped = fixture_path(directory, "swapped.pem");

	(void)state;
	fixture_write_text(both, "a comment\n");
	append(both, crt);
	append(both, key);
	assert_int_equal(load_at(both, both, clock_wall(), NULL), 0);
	fixture_write_text(swapped, "");
	append(swapped, key);
	append(swapped, crt);
	assert_int_equal(load_at(swapped, swapped, clock_wall(), NULL), 0);
}

static void loads_every_kind_of_key(void **state)
{
	static const char *const kinds[] = {"P-384", "P-521", "Ed25519", "RSA-2048"};

	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct fixture_options options = {.uris = {ALICE}, .key = kinds[i]};
		_cleanup_(fixture_freep) struct fixture *other = fixture_issue(issuing, &options);
		fixture_write_certificate(other, true, crt);
		fixture_write_key(other, key);
		assert_int_equal(load(NULL), 0);
	}
}

static void leaves_the_root_out(void **state)
{
	_cleanup_(freep) char *path = fixture_path(directory, "root.crt");
	struct credential *credential = NULL;

	(void)state;
	fixture_write_certificate(root, false, path);
	append(crt, path);
	assert_int_equal(credential_load(tls_library(), crt, key, clock_wall(), &credential, NULL),
			 0);
	assert_int_equal(sk_X509_num(credential_chain(credential)), 1);
	credential_put(credential);
}

static void names_the_file_that_is_missing(void **state)
{
	struct error error = {0};

	(void)state;
	assert_int_equal(load_at("/nonexistent/node.crt", key, clock_wall(), &error), -ENOENT);
	assert_string_equal(error.where, "/nonexistent/node.crt");
	assert_string_equal(error.what, "certificate cannot be read: No such file or directory");
	assert_int_equal(load_at(crt, "/nonexistent/node.key", clock_wall(), &error), -ENOENT);
	assert_string_equal(error.where, "/nonexistent/node.key");
}

static void refuses_what_is_no_pem(void **state)
{
	struct error error = {0};

	(void)state;
	fixture_write_text(crt, "");
	assert_int_equal(load(&error), -EINVAL);
	assert_string_equal(error.what, "no PEM text in it");
	fixture_write_certificate(leaf, true, crt);
	fixture_write_text(key, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
	assert_int_equal(load(&error), -EINVAL);
	assert_string_equal(error.what, "no private key that can be read");
	assert_string_equal(error.where, key);
	// Half of a file that is being written.
	fixture_write_text(key, "-----BEGIN PRIVATE KEY-----\nMIGHAgEA");
	assert_int_equal(load(&error), -EINVAL);
}

static void refuses_an_encrypted_key(void **state)
{
	struct error error = {0};
	FILE *file = fopen(key, "we");

	(void)state;
	assert_non_null(file);
	assert_true(PEM_write_PKCS8PrivateKey(file, leaf->key, EVP_aes_256_cbc(), "word", 4, NULL,
					      NULL));
	fclose(file);
	assert_int_equal(load(&error), -EINVAL);
	assert_string_equal(error.what, "private key is encrypted");
}

static void refuses_a_foreign_key(void **state)
{
	_cleanup_(fixture_freep) struct fixture *other = fixture_leaf(issuing, ALICE);
	struct fixture_options options = {.uris = {ALICE}, .key = "RSA-2048"};
	_cleanup_(fixture_freep) struct fixture *rsa = fixture_issue(issuing, &options);
	struct error error = {0};

	(void)state;
	fixture_write_key(other, key);
	assert_int_equal(load(&error), -EKEYREJECTED);
	assert_string_equal(error.what, "private key does not belong to the certificate of " ALICE);
	fixture_write_key(rsa, key);
	assert_int_equal(load(NULL), -EKEYREJECTED);
}

static void refuses_a_broken_order(void **state)
{
	_cleanup_(fixture_freep) struct fixture *other =
		fixture_intermediate(root, "issuing", "corp.example", 0);
	_cleanup_(freep) char *path = fixture_path(directory, "other.crt");
	struct error error = {0};

	(void)state;
	fixture_write_certificate(leaf, false, crt);
	fixture_write_certificate(other, false, path);
	append(crt, path);
	assert_int_equal(load(&error), -EINVAL);
	assert_string_equal(error.what, "certificate 2 does not sign certificate 1");
	// The intermediate first.
	fixture_write_certificate(issuing, false, crt);
	fixture_write_certificate(leaf, false, path);
	append(crt, path);
	assert_int_equal(load(&error), -EINVAL);
	assert_string_equal(error.what, "certificate has no subject alternative name");
	assert_non_null(strstr(error.remedy, "must begin with this node's own certificate"));
}

// Without key identifiers only the signature tells two CAs of one name apart.
static void refuses_a_namesake_issuer(void **state)
{
	struct fixture_options options = {.uris = {ALICE}, .no_key_identifiers = true};
	_cleanup_(fixture_freep) struct fixture *low = fixture_issue(issuing, &options);
	_cleanup_(fixture_freep) struct fixture *other =
		fixture_intermediate(root, "issuing", "corp.example", 0);
	_cleanup_(freep) char *path = fixture_path(directory, "other.crt");
	struct error error = {0};

	(void)state;
	fixture_write_certificate(low, false, crt);
	fixture_write_key(low, key);
	fixture_write_certificate(other, false, path);
	append(crt, path);
	assert_int_equal(load(&error), -EINVAL);
	assert_string_equal(error.what, "certificate 2 does not sign certificate 1");
}

static void refuses_a_long_chain(void **state)
{
	struct fixture *stairs[4];
	const struct fixture *above = root;
	struct error error = {0};

	(void)state;
	for (size_t i = 0; i < 4; i++)
		above = stairs[i] = fixture_intermediate(above, "stair", NULL, -1);
	struct fixture *low = fixture_leaf(stairs[3], ALICE);
	fixture_write_certificate(low, true, crt);
	assert_int_equal(load(&error), -EINVAL);
	assert_string_equal(error.what, "5 certificates, and peers accept at most 4");
	fixture_free(low);
	for (size_t i = 0; i < 4; i++)
		fixture_free(stairs[i]);
}

static void refuses_by_the_leaf_rules(void **state)
{
	struct fixture_options options = {.uris = {ALICE}, .key_usage = "digitalSignature"};
	_cleanup_(fixture_freep) struct fixture *other = fixture_issue(issuing, &options);
	struct error error = {0};

	(void)state;
	fixture_write_certificate(other, true, crt);
	assert_int_equal(load(&error), -EINVAL);
	assert_string_equal(error.what,
			    "certificate of " ALICE " has a keyUsage that is not critical");
	assert_string_equal(error.where, crt);
}

static void refuses_by_the_clock(void **state)
{
	struct error error = {0};
	time_t now = clock_wall();

	(void)state;
	assert_int_equal(load_at(crt, key, now + 4 * DAY, &error), -EKEYEXPIRED);
	assert_non_null(strstr(error.what, "certificate of " ALICE));
	assert_non_null(strstr(error.what, "expired 3 days ago"));
	assert_int_equal(load_at(crt, key, now + 4 * DAY, NULL), -EKEYEXPIRED);
	assert_int_equal(load_at(crt, key, now - 3630, &error), -EAGAIN);
	assert_string_equal(error.what, "certificate of " ALICE " is not valid for another 55 min");
	assert_int_equal(load_at(crt, key, now - 3600, NULL), -EAGAIN);
}

// A leaf that outlives its issuer ends with it.
static void ends_with_the_shortest_certificate(void **state)
{
	struct fixture_options options = {
		.uris = {ALICE}, .not_before_s = -60, .not_after_s = 3650 * DAY};
	_cleanup_(fixture_freep) struct fixture *other = fixture_issue(issuing, &options);
	struct credential *credential = NULL;
	time_t now = clock_wall();

	(void)state;
	fixture_write_certificate(other, true, crt);
	fixture_write_key(other, key);
	assert_int_equal(credential_load(tls_library(), crt, key, now, &credential, NULL), 0);
	assert_true(credential_not_after(credential) < now + 91 * DAY);
	credential_put(credential);
	assert_int_equal(load_at(crt, key, now + 100 * DAY, NULL), -EKEYEXPIRED);
}

static void has_a_fingerprint_of_the_whole_set(void **state)
{
	_cleanup_(fixture_freep) struct fixture *other = fixture_leaf(issuing, ALICE);
	struct credential *loaded[3] = {NULL};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		if (i == 2) {
			fixture_write_certificate(other, true, crt);
			fixture_write_key(other, key);
		}
		assert_int_equal(
			credential_load(tls_library(), crt, key, clock_wall(), &loaded[i], NULL),
			0);
	}
	assert_memory_equal(credential_fingerprint(loaded[0]), credential_fingerprint(loaded[1]),
			    32);
	assert_memory_not_equal(credential_fingerprint(loaded[0]),
				credential_fingerprint(loaded[2]), 32);
	for (size_t i = 0; i < 3; i++)
		credential_put(loaded[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(loads_a_good_set, write_good),
		cmocka_unit_test_setup(loads_a_key_by_its_uri, write_good),
		cmocka_unit_test_setup(loads_one_file_with_both, write_good),
		cmocka_unit_test_setup(loads_every_kind_of_key, write_good),
		cmocka_unit_test_setup(leaves_the_root_out, write_good),
		cmocka_unit_test_setup(names_the_file_that_is_missing, write_good),
		cmocka_unit_test_setup(refuses_what_is_no_pem, write_good),
		cmocka_unit_test_setup(refuses_an_encrypted_key, write_good),
		cmocka_unit_test_setup(refuses_a_foreign_key, write_good),
		cmocka_unit_test_setup(refuses_a_broken_order, write_good),
		cmocka_unit_test_setup(refuses_a_namesake_issuer, write_good),
		cmocka_unit_test_setup(refuses_a_long_chain, write_good),
		cmocka_unit_test_setup(refuses_by_the_leaf_rules, write_good),
		cmocka_unit_test_setup(refuses_by_the_clock, write_good),
		cmocka_unit_test_setup(ends_with_the_shortest_certificate, write_good),
		cmocka_unit_test_setup(has_a_fingerprint_of_the_whole_set, write_good),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
