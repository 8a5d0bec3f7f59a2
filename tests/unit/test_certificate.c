// SPDX-License-Identifier: Apache-2.0
// The leaf rules are walked by test_verify.c and test_tls.c; here is what those do not reach.

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
#include <openssl/sha.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/error.h"
#include "pki/certificate.h"
#include "pki/tls.h"
#include "unit/pki_fixture.h"

#define ALICE "spiffe://corp.example/laptop/alice"

static struct fixture *root;

static int set_up(void **state)
{
	(void)state;
	root = fixture_root("root");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	root = fixture_free(root);
	return 0;
}

static void returns_the_identity(void **state)
{
	_cleanup_(fixture_freep) struct fixture *leaf =
		fixture_leaf(root, "Spiffe://CORP.example/laptop/alice");
	_cleanup_(freep) char *identity = NULL;
	_cleanup_(freep) char *again = NULL;

	(void)state;
	assert_int_equal(certificate_check_leaf(leaf->certificate, NULL, &identity, NULL), 0);
	assert_string_equal(identity, ALICE);
	assert_int_equal(certificate_identity(leaf->certificate, &again, NULL), 0);
	assert_string_equal(again, ALICE);
}

static void tells_the_lifetime(void **state)
{
	time_t now = clock_wall(), not_before, not_after;
	struct fixture_options options = {.uris = {ALICE},
					  .not_before_s = -5,
					  // Past 2050, where the times change their form.
					  .not_after_s = INT64_C(40) * 365 * 86400};

	(void)state;
	clock_set_wall(now);
	_cleanup_(fixture_freep) struct fixture *leaf = fixture_issue(root, &options);
	clock_set_wall(0);
	assert_int_equal(certificate_lifetime(leaf->certificate, &not_before, &not_after), 0);
	assert_int_equal(not_before, now - 5);
	assert_int_equal(not_after, now + options.not_after_s);
	assert_true(
		ASN1_TIME_set_string(X509_getm_notAfter(leaf->certificate), "20301231235959+0100"));
	assert_int_equal(certificate_lifetime(leaf->certificate, &not_before, &not_after), -EINVAL);
}

static void hashes_the_whole_key_info(void **state)
{
	_cleanup_(fixture_freep) struct fixture *leaf = fixture_leaf(root, ALICE);
	unsigned char *der = NULL;
	int size = i2d_PUBKEY(leaf->key, &der);
	uint8_t expected[32], hash[SPKI_HASH_SIZE];

	(void)state;
	assert_true(size > 0);
	SHA256(der, (size_t)size, expected);
	OPENSSL_free(der);
	assert_int_equal(certificate_spki_hash(leaf->certificate, hash), 0);
	assert_memory_equal(hash, expected, sizeof(hash));
}

static void writes_serials(void **state)
{
	static const struct {
		uint8_t bytes[24];
		size_t size;
		const char *text;
	} cases[] = {
		{{0x0f}, 1, "0f"},
		{{0xde, 0xad, 0xbe, 0xef}, 4, "deadbeef"},
		{{1, 2, 3}, 20, "0102030000000000000000000000000000000000"},
		{{1, 2, 3}, 24, "0102030000000000000000000000000000000000.."},
	};
	char text[SERIAL_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture_options options = {
			.uris = {ALICE}, .serial = cases[i].bytes, .serial_size = cases[i].size};
		_cleanup_(fixture_freep) struct fixture *leaf = fixture_issue(root, &options);
		assert_string_equal(certificate_serial(leaf->certificate, text), cases[i].text);
	}
}

static void cuts_names_to_fit(void **state)
{
	char text[8];

	(void)state;
	certificate_name(X509_get_subject_name(root->certificate), text, sizeof(text));
	assert_string_equal(text, "CN=root");
	certificate_name(X509_get_subject_name(root->certificate), text, 4);
	assert_string_equal(text, "CN=");
}

static void knows_a_ca(void **state)
{
	_cleanup_(fixture_freep) struct fixture *leaf = fixture_leaf(root, ALICE);
	struct fixture_options no_usage = {
		.subject = "plain", .basic_constraints = "CA:TRUE", .key_usage = ""};
	struct fixture_options no_sign = {.subject = "no sign",
					  .basic_constraints = "critical,CA:TRUE",
					  .key_usage = "critical,cRLSign"};
	struct fixture_options weak = {.subject = "weak",
				       .key = "RSA-1024",
				       .basic_constraints = "critical,CA:TRUE",
				       .key_usage = "critical,keyCertSign"};
	struct fixture_options old = {.subject = "old",
				      .digest = "SHA1",
				      .basic_constraints = "critical,CA:TRUE",
				      .key_usage = "critical,keyCertSign"};
	_cleanup_(fixture_freep) struct fixture *plain = fixture_issue(NULL, &no_usage);
	_cleanup_(fixture_freep) struct fixture *signless = fixture_issue(NULL, &no_sign);
	_cleanup_(fixture_freep) struct fixture *short_key = fixture_issue(NULL, &weak);
	_cleanup_(fixture_freep) struct fixture *sha1 = fixture_issue(NULL, &old);
	struct error error = {0};

	(void)state;
	assert_int_equal(certificate_check_ca(root->certificate, NULL), 0);
	assert_int_equal(certificate_check_ca(plain->certificate, NULL), 0);
	assert_int_equal(certificate_check_ca(leaf->certificate, &error), -EINVAL);
	assert_string_equal(error.what, "certificate \"CN=test\" is not a CA certificate");
	assert_int_equal(certificate_check_ca(signless->certificate, &error), -EINVAL);
	assert_string_equal(error.what, "certificate \"CN=no sign\" has no key usage keyCertSign");
	assert_int_equal(certificate_check_ca(short_key->certificate, &error), -EINVAL);
	assert_string_equal(error.what, "certificate \"CN=weak\" has an RSA key of 1024 bits");
	// A root's own signature says nothing.
	assert_int_equal(certificate_check_ca(sha1->certificate, NULL), 0);
	assert_int_equal(certificate_check_intermediate(sha1->certificate, &error), -EINVAL);
	assert_string_equal(error.what, "certificate \"CN=old\" is signed with ecdsa-with-SHA1");
}

static int read_text(const char *text, int *ret_count, struct error *error)
{
	STACK_OF(X509) *stack = NULL;
	int r = certificate_read_pem(tls_library(), text, strlen(text), &stack, error);

	if (r == 0)
		*ret_count = sk_X509_num(stack);
	sk_X509_pop_free(stack, X509_free);
	return r;
}

static char *pem_of(const struct fixture *fixture)
{
	_cleanup_(fixture_directory_freep) char *directory = fixture_directory();
	_cleanup_(freep) char *path = fixture_path(directory, "a.pem");
	char *text = NULL;
	size_t size;

	fixture_write_certificate(fixture, false, path);
	assert_int_equal(file_read(path, 1 << 20, &text, &size), 0);
	return text;
}

static void reads_pem(void **state)
{
	static const char other[] = "-----BEGIN SOMETHING-----\nAAAA\n-----END SOMETHING-----\n";
	_cleanup_(freep) char *one = pem_of(root);
	_cleanup_(freep) char *text = NULL;
	struct error error = {0};
	int count = 0;

	(void)state;
	assert_true(asprintf(&text, "hello\n%s\n%sgarbage\n%s", one, other, one) > 0);
	assert_int_equal(read_text(text, &count, NULL), 0);
	assert_int_equal(count, 2);
	assert_int_equal(read_text("", &count, &error), -EINVAL);
	assert_string_equal(error.what, "no PEM text in it");
	assert_int_equal(read_text(other, &count, &error), -EINVAL);
	assert_string_equal(error.what, "no certificate in it, but other PEM text");
	free(take(text));
	assert_true(asprintf(&text, "%s%.*s", one, (int)strlen(one) / 2, one) > 0);
	assert_int_equal(read_text(text, &count, &error), -EINVAL);
	assert_string_equal(error.what, "PEM block 2 cannot be read");
	assert_int_equal(read_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
				   &count, &error),
			 -EINVAL);
	assert_string_equal(error.what, "PEM block 1 cannot be read");
}

static void refuses_bytes_after_the_certificate(void **state)
{
	unsigned char *der = NULL, *at, *text;
	int size = i2d_X509(root->certificate, NULL);
	BIO *bio = BIO_new(BIO_s_mem());
	struct error error = {0};
	STACK_OF(X509) *stack = NULL;

	(void)state;
	assert_true(size > 0);
	at = der = calloc(1, (size_t)size + 1);
	i2d_X509(root->certificate, &at);
	assert_true(PEM_write_bio(bio, "CERTIFICATE", "", der, size + 1));
	long length = BIO_get_mem_data(bio, &text);
	assert_int_equal(
		certificate_read_pem(tls_library(), (char *)text, (size_t)length, &stack, &error),
		-EINVAL);
	assert_string_equal(error.what, "PEM block 1 cannot be read");
	BIO_free(bio);
	free(der);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(returns_the_identity),
		cmocka_unit_test(tells_the_lifetime),
		cmocka_unit_test(hashes_the_whole_key_info),
		cmocka_unit_test(writes_serials),
		cmocka_unit_test(cuts_names_to_fit),
		cmocka_unit_test(knows_a_ca),
		cmocka_unit_test(reads_pem),
		cmocka_unit_test(refuses_bytes_after_the_certificate),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
