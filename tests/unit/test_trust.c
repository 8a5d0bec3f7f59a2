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

#include "base/buffer.h"
#include "base/clock.h"
#include "base/error.h"
#include "pki/tls.h"
#include "pki/trust.h"
#include "unit/pki_fixture.h"

#define DAY INT64_C(86400)

static struct fixture *root, *next, *leaf;
static char *directory, *root_path, *next_path, *both_path, *turned_path, *leaf_path;

static void join(const char *to, const char *first, const char *second)
{
	_cleanup_(freep) char *a = NULL;
	_cleanup_(freep) char *b = NULL;
	_cleanup_(freep) char *text = NULL;
	size_t size;

	assert_int_equal(file_read(first, 1 << 20, &a, &size), 0);
	assert_int_equal(file_read(second, 1 << 20, &b, &size), 0);
	assert_true(asprintf(&text, "%s%s", a, b) > 0);
	fixture_write_text(to, text);
}

static int set_up(void **state)
{
	(void)state;
	root = fixture_root("root");
	next = fixture_root("next root");
	leaf = fixture_leaf(root, "spiffe://corp.example/a");
	directory = fixture_directory();
	root_path = fixture_path(directory, "root.crt");
	next_path = fixture_path(directory, "next.crt");
	both_path = fixture_path(directory, "both.crt");
	turned_path = fixture_path(directory, "turned.crt");
	leaf_path = fixture_path(directory, "leaf.crt");
	fixture_write_certificate(root, false, root_path);
	fixture_write_certificate(next, false, next_path);
	fixture_write_certificate(leaf, false, leaf_path);
	join(both_path, root_path, next_path);
	join(turned_path, next_path, root_path);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(root_path);
	free(next_path);
	free(both_path);
	free(turned_path);
	free(leaf_path);
	fixture_directory_free(directory);
	fixture_free(leaf);
	fixture_free(next);
	fixture_free(root);
	return 0;
}

static struct trust *load(const struct trust_source *sources, size_t count)
{
	struct trust *trust = NULL;

	assert_int_equal(trust_load(tls_library(), sources, count, clock_wall(), &trust, NULL), 0);
	return trust;
}

static int refuse(const char *domain, const char *path, time_t now, struct error *error)
{
	struct trust_source source = {.domain = domain, .path = path};
	struct trust *trust = NULL;
	int r = trust_load(tls_library(), &source, 1, now, &trust, error);

	assert_null(trust);
	return r;
}

static void keeps_domains_apart(void **state)
{
	struct trust_source sources[] = {{.domain = "partner.example", .path = next_path},
					 {.domain = "corp.example", .path = root_path}};
	_cleanup_(trust_putp) struct trust *trust = load(sources, 2);
	char text[64];

	(void)state;
	assert_int_equal(trust_count(trust), 2);
	X509_STORE *corp = trust_store(trust, "corp.example/x", 12);
	X509_STORE *partner = trust_store(trust, "partner.example", 15);
	assert_non_null(corp);
	assert_non_null(partner);
	assert_ptr_not_equal(corp, partner);
	assert_null(trust_store(trust, "corp.exampl", 11));
	assert_null(trust_store(trust, "corp.example.org", 16));
	assert_null(trust_store(trust, "", 0));
	assert_int_equal(trust_domain_count(trust, "corp.example", 12), 1);
	assert_int_equal(trust_domain_count(trust, "x", 1), 0);
	assert_string_equal(trust_domains(trust, text, sizeof(text)),
			    "corp.example, partner.example");
	assert_string_equal(trust_domains(trust, text, 8), "corp.ex");
	assert_ptr_equal(trust_library(trust), tls_library());
	assert_ptr_equal(trust_get(trust), trust);
	assert_null(trust_put(trust));
	assert_null(trust_put(NULL));
}

static void adds_up_sources_of_one_domain(void **state)
{
	struct trust_source sources[] = {{.domain = "corp.example", .path = root_path},
					 {.domain = "corp.example", .path = next_path},
					 {.domain = "corp.example", .path = root_path}};
	_cleanup_(trust_putp) struct trust *trust = load(sources, 3);

	(void)state;
	assert_int_equal(trust_count(trust), 2);
	assert_int_equal(trust_domain_count(trust, "corp.example", 12), 2);
}

static void has_a_fingerprint_of_what_it_holds(void **state)
{
	struct trust_source both = {.domain = "corp.example", .path = both_path};
	struct trust_source turned = {.domain = "corp.example", .path = turned_path};
	struct trust_source one = {.domain = "corp.example", .path = root_path};
	struct trust_source other = {.domain = "other.example", .path = both_path};
	struct trust_source split[] = {{.domain = "corp.example", .path = root_path},
				       {.domain = "corp.example", .path = next_path}};
	_cleanup_(trust_putp) struct trust *a = load(&both, 1);
	_cleanup_(trust_putp) struct trust *b = load(&turned, 1);
	_cleanup_(trust_putp) struct trust *c = load(split, 2);
	_cleanup_(trust_putp) struct trust *d = load(&one, 1);
	_cleanup_(trust_putp) struct trust *e = load(&other, 1);

	(void)state;
	assert_memory_equal(trust_fingerprint(a), trust_fingerprint(b), 32);
	assert_memory_equal(trust_fingerprint(a), trust_fingerprint(c), 32);
	assert_memory_not_equal(trust_fingerprint(a), trust_fingerprint(d), 32);
	assert_memory_not_equal(trust_fingerprint(a), trust_fingerprint(e), 32);
}

static void refuses_bad_bundles(void **state)
{
	_cleanup_(freep) char *mixed = fixture_path(directory, "mixed.crt");
	_cleanup_(freep) char *empty = fixture_path(directory, "empty.crt");
	struct error error = {0};
	time_t now = clock_wall();

	(void)state;
	join(mixed, root_path, leaf_path);
	assert_int_equal(refuse("corp.example", mixed, now, &error), -EINVAL);
	assert_string_equal(error.what, "certificate \"CN=test\" is not a CA certificate");
	assert_string_equal(error.where, mixed);
	fixture_write_text(empty, "");
	assert_int_equal(refuse("corp.example", empty, now, &error), -EINVAL);
	assert_string_equal(error.what, "no PEM text in it");
	assert_string_equal(error.where, empty);
	assert_int_equal(refuse("corp.example", "/nonexistent/ca.crt", now, &error), -ENOENT);
	assert_string_equal(error.where, "/nonexistent/ca.crt");
	assert_string_equal(error.what, "trust bundle cannot be read: No such file or directory");
	assert_int_equal(refuse("corp.example", "/nonexistent/ca.crt", now, NULL), -ENOENT);
	assert_int_equal(refuse("Corp.example", root_path, now, &error), -EINVAL);
	assert_string_equal(error.what,
			    "\"Corp.example\" is not a trust domain: it must be in lower case");
	struct trust *trust = NULL;
	assert_int_equal(trust_load(tls_library(), NULL, 0, now, &trust, NULL), -EINVAL);
}

static void refuses_a_bundle_that_has_expired(void **state)
{
	struct fixture_options options = {.subject = "old root",
					  .basic_constraints = "critical,CA:TRUE",
					  .key_usage = "critical,keyCertSign",
					  .extended_key_usage = "",
					  .not_before_s = -9 * DAY,
					  .not_after_s = -DAY};
	_cleanup_(fixture_freep) struct fixture *old = fixture_issue(NULL, &options);
	_cleanup_(freep) char *old_path = fixture_path(directory, "old.crt");
	_cleanup_(freep) char *mixed = fixture_path(directory, "rollover.crt");
	struct trust_source source = {.domain = "corp.example", .path = mixed};
	struct error error = {0};

	(void)state;
	fixture_write_certificate(old, false, old_path);
	assert_int_equal(refuse("corp.example", old_path, clock_wall(), &error), -EINVAL);
	assert_non_null(strstr(error.what, "all 1 CA certificates have expired, the last on 20"));
	// One that is good keeps the bundle good.
	join(mixed, old_path, root_path);
	_cleanup_(trust_putp) struct trust *trust = load(&source, 1);
	assert_int_equal(trust_count(trust), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_domains_apart),
		cmocka_unit_test(adds_up_sources_of_one_domain),
		cmocka_unit_test(has_a_fingerprint_of_what_it_holds),
		cmocka_unit_test(refuses_bad_bundles),
		cmocka_unit_test(refuses_a_bundle_that_has_expired),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
