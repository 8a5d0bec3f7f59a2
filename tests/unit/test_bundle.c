// SPDX-License-Identifier: Apache-2.0

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <openssl/pem.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/error.h"
#include "pki/bundle.h"
#include "pki/certificate.h"
#include "pki/credential.h"
#include "pki/tls.h"
#include "unit/pki_fixture.h"

static struct fixture *ours, *theirs, *cross, *issuing, *leaf; // `cross`: theirs, signed by ours
static struct credential *credential;
static char *directory, *path;

static int set_up(void **state)
{
	(void)state;
	ours = fixture_root("root");
	theirs = fixture_root("other root");
	cross = fixture_issue(ours,
			      &(struct fixture_options){.subject = "other root",
							.same_key = theirs,
							.basic_constraints = "critical,CA:TRUE",
							.key_usage = "critical,keyCertSign,cRLSign",
							.extended_key_usage = ""});
	issuing = fixture_intermediate(ours, "issuing", "corp.example", 0);
	leaf = fixture_leaf(issuing, "spiffe://corp.example/laptop/alice");
	credential = fixture_credential(leaf);
	directory = fixture_directory();
	path = fixture_path(directory, "trust.crt");
	fixture_write_certificate(ours, false, path);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(path);
	fixture_directory_free(directory);
	credential_put(credential);
	fixture_free(leaf);
	fixture_free(issuing);
	fixture_free(cross);
	fixture_free(theirs);
	fixture_free(ours);
	return 0;
}

static int update(STACK_OF(X509) * offered, bool *ret_changed, struct error *error)
{
	int r = bundle_update(path, offered, credential, clock_wall(), ret_changed, error);

	sk_X509_free(offered);
	return r;
}

static STACK_OF(X509) * offer(const struct fixture *a, const struct fixture *b)
{
	STACK_OF(X509) *stack = sk_X509_new_null();

	if (a)
		sk_X509_push(stack, a->certificate);
	if (b)
		sk_X509_push(stack, b->certificate);
	return stack;
}

static STACK_OF(X509) * offer_vouched(const struct fixture *a, const struct fixture *b)
{
	STACK_OF(X509) *stack = offer(a, b);

	sk_X509_push(stack, cross->certificate);
	return stack;
}

// The number of certificates in the file.
static int in_file(void)
{
	_cleanup_(freep) char *text = NULL;
	STACK_OF(X509) *stack = NULL;
	size_t size;

	assert_int_equal(file_read(path, 1u << 20, &text, &size), 0);
	assert_int_equal(certificate_read_pem(tls_library(), text, size, &stack, NULL), 0);
	int count = sk_X509_num(stack);
	sk_X509_pop_free(stack, X509_free);
	return count;
}

static void takes_over_what_is_new(void **state)
{
	struct error error = {0};
	bool changed;

	(void)state;
	assert_int_equal(update(offer(issuing, ours), &changed, &error), 0);
	assert_false(changed); // intermediates do not count
	assert_int_equal(update(offer_vouched(ours, theirs), &changed, &error), 0);
	assert_true(changed);
	assert_int_equal(in_file(), 2);
	assert_int_equal(update(offer(theirs, ours), &changed, &error), 0);
	assert_false(changed); // nor does the order
	assert_int_equal(update(offer(ours, NULL), &changed, &error), 0);
	assert_true(changed);
	assert_int_equal(in_file(), 1);
}

static void refuses_what_is_of_no_use(void **state)
{
	_cleanup_(fixture_freep) struct fixture *no_ca = fixture_issue(
		NULL, &(struct fixture_options){.uris = {"spiffe://corp.example/laptop/eve"}});
	const struct {
		const struct fixture *a, *b;
		const char *words;
	} cases[] = {
		{NULL, NULL, "no root certificate"},	  {issuing, leaf, "no root certificate"},
		{theirs, NULL, "no present root signed"}, {ours, theirs, "no present root signed"},
		{ours, no_ca, "no present root signed"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct error error = {0};
		bool changed = true;
		assert_int_equal(update(offer(cases[i].a, cases[i].b), &changed, &error), -EBADMSG);
		assert_false(changed);
		assert_non_null(strstr(error.what, cases[i].words));
		assert_int_equal(in_file(), 1);
	}
}

// What would leave our own certificate without its root, although the old one vouches for the new.
static void keeps_what_it_needs(void **state)
{
	struct error error = {0};
	bool changed = true;

	(void)state;
	assert_int_equal(update(offer_vouched(theirs, NULL), &changed, &error), -EBADMSG);
	assert_false(changed);
	assert_non_null(strstr(error.what, "unknown CA"));
	assert_int_equal(in_file(), 1);
}

static void keeps_revocation_lists(void **state)
{
	static const char list[] = "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n";
	_cleanup_(freep) char *before = NULL;
	_cleanup_(freep) char *after = NULL;
	_cleanup_(freep) char *both = NULL;
	struct error error = {0};
	size_t size;
	bool changed;

	(void)state;
	assert_int_equal(file_read(path, 1u << 20, &before, &size), 0);
	assert_true(asprintf(&both, "%s%s", list, before) > 0);
	fixture_write_text(path, both);
	assert_int_equal(update(offer_vouched(ours, theirs), &changed, &error), 0);
	assert_true(changed);
	assert_int_equal(file_read(path, 1u << 20, &after, &size), 0);
	assert_non_null(strstr(after, list));
	assert_int_equal(in_file(), 2);
}

static void says_that_there_is_no_file(void **state)
{
	struct error error = {0};
	STACK_OF(X509) *offered = offer(ours, NULL);
	bool changed;

	(void)state;
	assert_int_equal(bundle_update("/nonexistent/trust.crt", offered, credential, clock_wall(),
				       &changed, &error),
			 -ENOENT);
	sk_X509_free(offered);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(takes_over_what_is_new, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refuses_what_is_of_no_use, set_up, tear_down),
		cmocka_unit_test_setup_teardown(keeps_what_it_needs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(keeps_revocation_lists, set_up, tear_down),
		cmocka_unit_test_setup_teardown(says_that_there_is_no_file, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
