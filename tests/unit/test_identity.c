// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "pki/identity.h"

static void parses_what_is_right(void **state)
{
	static const struct {
		const char *text, *canonical;
	} cases[] = {
		{"spiffe://corp.example/laptop/alice", "spiffe://corp.example/laptop/alice"},
		{"SPIFFE://Corp.Example/Laptop/Alice", "spiffe://corp.example/Laptop/Alice"},
		{"spiffe://a/b", "spiffe://a/b"},
		{"spiffe://1-2_3.x/A-b_c.d/...", "spiffe://1-2_3.x/A-b_c.d/..."},
		{"spiffe://a/.b/b.", "spiffe://a/.b/b."},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_(freep) char *identity = NULL;
		assert_int_equal(
			identity_parse(cases[i].text, strlen(cases[i].text), &identity, NULL), 0);
		assert_string_equal(identity, cases[i].canonical);
	}
}

static void refuses_what_is_wrong(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{"", "it does not begin with spiffe://"},
		{"spiffe:/", "it does not begin with spiffe://"},
		{"spiffe:///a", "the trust domain is missing"},
		{"spiffe://", "the trust domain is missing"},
		{"spiffe://a", "the path is missing"},
		{"spiffe://a/", "the path is missing"},
		{"spiffe://a//", "the path has an empty segment"},
		{"spiffe://a/b/", "the path ends in a slash"},
		{"spiffe://a//b", "the path has an empty segment"},
		{"spiffe://a/./b", "the path has a \".\" or \"..\" segment"},
		{"spiffe://a/b/..", "the path has a \".\" or \"..\" segment"},
		{"spiffe://a:1/b", "it has a port"},
		{"spiffe://u@a/b", "it has a user name"},
		{"spiffe://u:p@a/b", "it has a user name"},
		{"spiffe://a/b@c", "it has a user name"},
		{"spiffe://a?b/c", "it has a query"},
		{"spiffe://a/b#c", "it has a fragment"},
		{"spiffe://a/%62", "it has percent-encoding"},
		{"spiffe://[::1]/b", "it has a character that is not allowed"},
		{"spiffe://a\\b/c", "it has a character that is not allowed"},
		{"spiffe://a/b c", "it has a character that is not allowed"},
		{" spiffe://a/b", "it does not begin with spiffe://"},
		{"spiffe://a/b\n", "it has a character that is not allowed"},
		{"spiffe://a/*", "it has a wildcard"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *identity = NULL;
		struct error error = {0};
		assert_int_equal(
			identity_parse(cases[i].text, strlen(cases[i].text), &identity, &error),
			-EINVAL);
		assert_null(identity);
		assert_non_null(strstr(error.what, cases[i].why));
		assert_int_equal(
			identity_parse(cases[i].text, strlen(cases[i].text), &identity, NULL),
			-EINVAL);
	}
}

static void refuses_a_nul(void **state)
{
	static const char text[] = "spiffe://a/b\0c", end[] = "spiffe://a/b";
	char *identity = NULL;
	struct error error = {0};

	(void)state;
	assert_int_equal(identity_parse(text, sizeof(text) - 1, &identity, &error), -EINVAL);
	assert_non_null(strstr(error.what, "it has an embedded NUL"));
	assert_int_equal(identity_parse(end, sizeof(end), &identity, &error), -EINVAL);
}

static void holds_its_limits(void **state)
{
	char text[IDENTITY_MAX + 2] = "spiffe://";
	struct error error = {0};

	(void)state;
	memset(text + 9, 'a', sizeof(text) - 9);
	text[9 + IDENTITY_DOMAIN_MAX] = '/';
	_cleanup_(freep) char *longest = NULL;
	char *identity = NULL;
	assert_int_equal(identity_parse(text, IDENTITY_MAX, &longest, NULL), 0);
	assert_int_equal(identity_parse(text, IDENTITY_MAX + 1, &identity, &error), -EINVAL);
	assert_non_null(strstr(error.what, "it is longer than 2048 bytes"));
	text[9 + IDENTITY_DOMAIN_MAX] = 'a';
	text[10 + IDENTITY_DOMAIN_MAX] = '/';
	assert_int_equal(identity_parse(text, IDENTITY_MAX, &identity, &error), -EINVAL);
	assert_non_null(strstr(error.what, "the trust domain is longer than 255 bytes"));
}

static void knows_the_trust_domain(void **state)
{
	const char *domain;

	(void)state;
	assert_int_equal(identity_domain("spiffe://corp.example/a/b", &domain), 12);
	assert_memory_equal(domain, "corp.example", 12);
	assert_true(identity_same_domain("spiffe://a.b/c", "spiffe://a.b/d/e"));
	assert_false(identity_same_domain("spiffe://a.b/c", "spiffe://a.bc/c"));
	assert_false(identity_same_domain("spiffe://a.bc/c", "spiffe://a.b/c"));
	assert_int_equal(identity_domain_check("corp.example", NULL), 0);
	assert_int_equal(identity_domain_check("Corp.example", NULL), -EINVAL);
	assert_int_equal(identity_domain_check("", NULL), -EINVAL);
	assert_int_equal(identity_domain_check("a/b", NULL), -EINVAL);
	assert_int_equal(identity_domain_check("spiffe://a", NULL), -EINVAL);
}

static void checks_patterns(void **state)
{
	static const char *const good[] = {
		"spiffe://a/b",	   "spiffe://a/*",     "spiffe://a/**",	   "spiffe://a/*/b",
		"spiffe://a/b/**", "spiffe://a/eng-*", "spiffe://a/*-*/c", "spiffe://a/*x*/**"};
	static const char *const bad[] = {"",
					  "*",
					  "spiffe://*/b",
					  "spiffe://*.a/b",
					  "spiffe://a",
					  "spiffe://a/",
					  "spiffe://a/**/b",
					  "spiffe://a/b**",
					  "spiffe://a/***",
					  "spiffe://a//*",
					  "spiffe://a/../*",
					  "spiffe://a/[ab]",
					  "spiffe://a/b?",
					  "SPIFFE://a/b",
					  "spiffe://A/b"};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(identity_pattern_check(good[i], NULL), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct error error = {0};
		assert_int_equal(identity_pattern_check(bad[i], &error), -EINVAL);
		assert_non_null(strstr(error.what, "is not an identity pattern: "));
	}
}

static void matches_whole_segments(void **state)
{
	static const struct {
		const char *pattern, *identity;
		bool match;
	} cases[] = {
		{"spiffe://a/b", "spiffe://a/b", true},
		{"spiffe://a/b", "spiffe://a/bc", false},
		{"spiffe://a/bc", "spiffe://a/b", false},
		{"spiffe://a/b", "spiffe://a/b/c", false},
		{"spiffe://a/b/c", "spiffe://a/b", false},
		{"spiffe://a/b", "spiffe://a/B", false},
		{"spiffe://a/b", "spiffe://c/b", false},
		{"spiffe://a.b/c", "spiffe://axb/c", false},
		{"spiffe://a/*", "spiffe://a/b", true},
		{"spiffe://a/*", "spiffe://a/b/c", false},
		{"spiffe://a/*/c", "spiffe://a/b/c", true},
		{"spiffe://a/*/c", "spiffe://a/c", false},
		{"spiffe://a/**", "spiffe://a/b", true},
		{"spiffe://a/**", "spiffe://a/b/c/d", true},
		{"spiffe://a/b/**", "spiffe://a/b", false},
		{"spiffe://a/b/**", "spiffe://a/b/c", true},
		{"spiffe://a/b/**", "spiffe://a/bc/d", false},
		{"spiffe://a/eng-*", "spiffe://a/eng-7", true},
		{"spiffe://a/eng-*", "spiffe://a/eng-", true},
		{"spiffe://a/eng-*", "spiffe://a/eng-7/x", false},
		{"spiffe://a/eng-*", "spiffe://a/eng", false},
		{"spiffe://a/*-x-*", "spiffe://a/a-x-x-b", true},
		{"spiffe://a/*ab", "spiffe://a/aab", true},
		{"spiffe://a/*ab", "spiffe://a/aba", false},
		{"spiffe://a/*/x*/**", "spiffe://a/q/xy/z", true},
		{"spiffe://a/*a*a*a*a*a*b", "spiffe://a/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (identity_match(cases[i].pattern, cases[i].identity) != cases[i].match)
			print_error("%s and %s\n", cases[i].pattern, cases[i].identity);
		assert_int_equal(identity_match(cases[i].pattern, cases[i].identity),
				 cases[i].match);
	}
}

static void covers_patterns(void **state)
{
	static const struct {
		const char *wide, *narrow;
		bool covers;
	} cases[] = {
		{"spiffe://d/a", "spiffe://d/a", true},
		{"spiffe://d/a", "spiffe://d/b", false},
		{"spiffe://d/*", "spiffe://d/a", true},
		{"spiffe://d/*", "spiffe://d/eng-*", true},
		{"spiffe://d/eng-*", "spiffe://d/*", false},
		{"spiffe://d/eng-*", "spiffe://d/eng-a*b", true},
		{"spiffe://d/*-x", "spiffe://d/eng-*", false},
		{"spiffe://d/*", "spiffe://d/*/a", false},
		{"spiffe://d/*", "spiffe://d/**", false},
		{"spiffe://d/**", "spiffe://d/*", true},
		{"spiffe://d/**", "spiffe://d/**", true},
		{"spiffe://d/**", "spiffe://d/a/**", true},
		{"spiffe://d/a/**", "spiffe://d/a", false},
		{"spiffe://d/a/**", "spiffe://d/**", false},
		{"spiffe://d/*/b", "spiffe://d/a*/b", true},
		{"spiffe://d/**", "spiffe://e/a", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		if (identity_pattern_covers(cases[i].wide, cases[i].narrow) != cases[i].covers)
			fail_msg("%s, %s", cases[i].wide, cases[i].narrow);
}

static void finds_patterns_that_meet(void **state)
{
	static const struct {
		const char *a, *b;
		bool meet;
	} cases[] = {
		{"spiffe://d/a", "spiffe://d/a", true},
		{"spiffe://d/a", "spiffe://d/b", false},
		{"spiffe://d/a", "spiffe://e/a", false},
		{"spiffe://d/a", "spiffe://d/a/b", false},
		{"spiffe://d/*", "spiffe://d/a", true},
		{"spiffe://d/*", "spiffe://d/a/b", false},
		{"spiffe://d/**", "spiffe://d/a/b", true},
		{"spiffe://d/a/**", "spiffe://d/a", false},
		{"spiffe://d/a/**", "spiffe://d/*/b", true},
		{"spiffe://d/a/**", "spiffe://d/b/**", false},
		{"spiffe://d/laptop/*", "spiffe://d/*/eng-1", true},
		{"spiffe://d/eng-*", "spiffe://d/*-1", true},
		{"spiffe://d/eng-*", "spiffe://d/ext-*", false},
		{"spiffe://d/*ab", "spiffe://d/*b", true},
		{"spiffe://d/*ab", "spiffe://d/*cb", false},
		{"spiffe://d/a*b*c", "spiffe://d/ab*c", true},
		{"spiffe://d/a*b*c", "spiffe://d/a*d", false},
		{"spiffe://d/ab*", "spiffe://d/a", false},
		{"spiffe://d/*aa*", "spiffe://d/a*a", true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		if (identity_patterns_meet(cases[i].a, cases[i].b) != cases[i].meet ||
		    identity_patterns_meet(cases[i].b, cases[i].a) != cases[i].meet)
			fail_msg("%s, %s", cases[i].a, cases[i].b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_what_is_right),
		cmocka_unit_test(refuses_what_is_wrong),
		cmocka_unit_test(refuses_a_nul),
		cmocka_unit_test(holds_its_limits),
		cmocka_unit_test(knows_the_trust_domain),
		cmocka_unit_test(checks_patterns),
		cmocka_unit_test(matches_whole_segments),
		cmocka_unit_test(covers_patterns),
		cmocka_unit_test(finds_patterns_that_meet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
