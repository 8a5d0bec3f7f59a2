// SPDX-License-Identifier: Apache-2.0

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "pki/certificate.h"
#include "pki/est.h"
#include "unit/pki_fixture.h"

#define ALICE "spiffe://corp.example/laptop/alice"

static void expect_decoded(const char *text, int code, const void *bytes, size_t size)
{
	uint8_t *decoded = NULL;
	size_t decoded_size = 0;

	assert_int_equal(est_decode(text, strlen(text), &decoded, &decoded_size), code);
	if (code == 0) {
		assert_int_equal(decoded_size, size);
		assert_memory_equal(decoded, bytes, size);
	}
	free(decoded);
}

static void decodes_in_any_lines(void **state)
{
	(void)state;
	expect_decoded("Zm9vYmFy", 0, "foobar", 6);
	expect_decoded("Zm9v\r\nYmFy\r\n", 0, "foobar", 6);
	expect_decoded("\n Z m\t9vY\nmFy", 0, "foobar", 6);
	expect_decoded("Zg==", 0, "f", 1);
	expect_decoded("Zm8=\n", 0, "fo", 2);
	expect_decoded("+/+/", 0, "\xfb\xff\xbf", 3);
}

static void refuses_what_is_not_base64(void **state)
{
	static const char *const texts[] = {
		"",	    "\n",     "Z",	  "Zg",	  "Zg=",      "Zg===", "=Zg=",
		"Zg==Zg==", "Zm9v-_", "Zm9v!A==", "====", "Zm9v\x80", "Z=g="};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		expect_decoded(texts[i], -EINVAL, NULL, 0);
}

static void bounds_what_it_decodes(void **state)
{
	_cleanup_(freep) char *text = malloc(EST_BODY_MAX + 1);
	uint8_t *decoded = NULL;
	size_t size;

	(void)state;
	assert_non_null(text);
	memset(text, 'A', EST_BODY_MAX + 1);
	assert_int_equal(est_decode(text, EST_BODY_MAX + 1, &decoded, &size), -EFBIG);
	assert_int_equal(est_decode(text, EST_BODY_MAX, &decoded, &size), 0);
	assert_int_equal(size, EST_BODY_MAX / 4 * 3);
	free(decoded);
}

static void encodes_and_decodes_every_length(void **state)
{
	uint8_t data[200];

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 37 + 11);
	for (size_t size = 1; size < sizeof(data); size++) {
		for (unsigned lines = 0; lines < 2; lines++) {
			_cleanup_(freep) char *text = est_encode(data, size, lines);
			assert_non_null(text);
			expect_decoded(text, 0, data, size);
			// 64 characters to a line, and an end to the last.
			size_t longest = strcspn(text, "\n");
			assert_true(lines ? longest <= 64 && text[strlen(text) - 1] == '\n'
					  : longest == strlen(text));
		}
	}
}

static void carries_certificates(void **state)
{
	_cleanup_(fixture_freep) struct fixture *root = fixture_root("root");
	_cleanup_(fixture_freep) struct fixture *issuing =
		fixture_intermediate(root, "issuing", "corp.example", 0);
	_cleanup_(fixture_freep) struct fixture *leaf = fixture_leaf(issuing, ALICE);
	_cleanup_(certificates_freep) STACK_OF(X509) *read = NULL;
	_cleanup_(freep) char *text = NULL;
	STACK_OF(X509) *stack = sk_X509_new_null();

	(void)state;
	sk_X509_push(stack, leaf->certificate);
	sk_X509_push(stack, issuing->certificate);
	assert_int_equal(est_write_certs(stack, &text), 0);
	assert_null(strchr(text, '\n'));
	assert_int_equal(est_read_certs(text, strlen(text), &read, NULL), 0);
	assert_int_equal(sk_X509_num(read), 2);
	assert_int_equal(X509_cmp(sk_X509_value(read, 0), leaf->certificate), 0);
	assert_int_equal(X509_cmp(sk_X509_value(read, 1), issuing->certificate), 0);
	sk_X509_free(stack);
}

static void expect_unread(const char *text, size_t size, const char *what)
{
	struct error error = {0};
	STACK_OF(X509) *read = NULL;

	assert_int_equal(est_read_certs(text, size, &read, &error), -EINVAL);
	if (!strstr(error.what, what))
		fail_msg("\"%s\" does not say \"%s\"", error.what, what);
}

static void refuses_answers_without_certificates(void **state)
{
	_cleanup_(fixture_freep) struct fixture *root = fixture_root("root");
	_cleanup_(freep) char *none = NULL, *many = NULL, *whole = NULL;
	_cleanup_(freep) uint8_t *der = NULL;
	STACK_OF(X509) *stack = sk_X509_new_null();
	size_t size;

	(void)state;
	assert_int_equal(est_write_certs(stack, &none), 0);
	expect_unread(none, strlen(none), "0 certificates");
	expect_unread("", 0, "not base64");
	expect_unread("<html>", 6, "not base64");
	expect_unread("Zm9vYmFy", 8, "no certificates (PKCS#7)");
	sk_X509_push(stack, root->certificate);
	assert_int_equal(est_write_certs(stack, &whole), 0);
	assert_int_equal(est_decode(whole, strlen(whole), &der, &size), 0);
	for (size_t cut = 1; cut < size; cut += 11) {
		_cleanup_(freep) char *part = est_encode(der, cut, false);
		expect_unread(part, strlen(part), "no certificates (PKCS#7)");
	}
	for (int i = 0; i < EST_CERTS_MAX; i++)
		sk_X509_push(stack, root->certificate);
	assert_int_equal(est_write_certs(stack, &many), 0);
	expect_unread(many, strlen(many), "17 certificates");
	sk_X509_free(stack);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decodes_in_any_lines),
		cmocka_unit_test(refuses_what_is_not_base64),
		cmocka_unit_test(bounds_what_it_decodes),
		cmocka_unit_test(encodes_and_decodes_every_length),
		cmocka_unit_test(carries_certificates),
		cmocka_unit_test(refuses_answers_without_certificates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
