// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "daemon/setting.h"

static void test_find(void **state)
{
	(void)state;
	const struct setting *setting;
	for (size_t i = 0; (setting = setting_at(i)); i++)
		assert_ptr_equal(setting_find(setting->path), setting);
	assert_null(setting_find("gateway.pool"));
	assert_null(setting_find(""));
	assert_null(setting_at(1000));
}

// What the parser takes for granted.
static void test_table(void **state)
{
	(void)state;
	const struct setting *setting;
	for (size_t i = 0; (setting = setting_at(i)); i++) {
		bool several = setting->type == SETTING_LIST || setting_is_array(setting);
		assert_true(setting->help && setting->help[strlen(setting->help) - 1] == '.');
		assert_int_equal(several, setting->size != 0);
		assert_false(setting->required && setting->fallback);
		assert_true(setting->min <= setting->max);
		// A setting that cannot be reloaded is compared as one value in a group of the top.
		if (!setting->reloadable)
			assert_false(several || strstr(setting->path, "[]"));
		if (setting->fallback && setting->type == SETTING_INTEGER) {
			int64_t value = strtoll(setting->fallback, NULL, 0);
			assert_true(value >= setting->min && value <= setting->max);
		}
		// What is no text has to say what it is without it; a path, a pattern, a URL, a domain, a rate or words may be missing.
		bool text = setting->type == SETTING_PATH || setting->type == SETTING_PATTERN ||
			    setting->type == SETTING_URL || setting->type == SETTING_PLAIN_URL ||
			    setting->type == SETTING_DOMAIN || setting->type == SETTING_TEXT ||
			    setting->type == SETTING_RATE || setting->type == SETTING_MOMENT ||
			    setting->type == SETTING_ZONE;
		// Unset, a rule refuses as the policy does.
		bool unset = strstr(setting->path, "[].reject");
		if (several || setting->required || setting->type == SETTING_GROUP ||
		    setting_is_named(setting) || unset)
			assert_null(setting->fallback);
		else if (!text)
			assert_non_null(setting->fallback);
	}
}

static void test_within(void **state)
{
	(void)state;
	assert_true(setting_within(setting_find("links"), ""));
	assert_false(setting_within(setting_find("links[].to"), ""));
	assert_true(setting_within(setting_find("links[].to"), "links[]."));
	assert_true(setting_within(setting_find("gateway.sites"), "gateway."));
	assert_false(setting_within(setting_find("gateway.sites[].identity"), "gateway."));
	assert_true(setting_within(setting_find("gateway.sites[].identity"), "gateway.sites[]."));
}

static void test_nearest(void **state)
{
	static const struct {
		const char *path, *nearest;
	} cases[] = {
		{"gateway.pool", "gateway.pools"},
		{"gateway.keep_alive", "gateway.keepalive"},
		{"gatway", "gateway"},
		{"link", "links"},
		{"links[].idenity", "links[].identity"},
		{"links[].tp", "links[].to"},
		{"interface.nmae", "interface.name"},
		{"gateway.mtu", "interface.mtu"},
		{"pools", "gateway.pools"},
		{"gateway.frobnicate", NULL},
		{"x", NULL},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct setting *nearest = setting_nearest(cases[i].path);
		if (!cases[i].nearest) {
			assert_null(nearest);
			continue;
		}
		assert_non_null(nearest);
		assert_string_equal(nearest->path, cases[i].nearest);
	}
	char name[300];
	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_null(setting_nearest(name));
}

static void test_allowed(void **state)
{
	static const struct {
		const char *path, *allowed;
	} cases[] = {
		{"interface.mtu", "an integer from 1280 to 65000"},
		{"log.level", "one of \"error\", \"warning\", \"info\", \"debug\""},
		{"gateway", "a group { ... }"},
		{"links", "a list of at most 64 groups ( { ... }, ... )"},
		{"gateway.pools",
		 "an array of 1 to 16 strings, each a prefix such as \"10.90.0.0/16\" "
		 "or \"fd90::/64\""},
		{"interface.name",
		 "a name of 1 to 15 characters without white space, '/', ':' and '%'"},
	};
	char text[SETTING_ALLOWED_MAX];
	const struct setting *setting;
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(
			setting_allowed(setting_find(cases[i].path), text, sizeof(text)),
			cases[i].allowed);
	assert_string_equal(
		setting_allowed_element(setting_find("gateway.routes"), text, sizeof(text)),
		"a prefix such as \"10.90.0.0/16\" or \"fd90::/64\"");
	for (size_t i = 0; (setting = setting_at(i)); i++)
		assert_true(strlen(setting_allowed(setting, text, sizeof(text))) <
			    sizeof(text) - 1);
}

static char *print_manual(void)
{
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);
	assert_non_null(file);
	setting_manual(file);
	fclose(file);
	return text;
}

static void test_manual(void **state)
{
	(void)state;
	_cleanup_(freep) char *text = print_manual();
	const struct setting *setting;
	assert_ptr_equal(strstr(text, ".\\\" SPDX"), text);
	for (size_t i = 0; (setting = setting_at(i)); i++)
		assert_non_null(strstr(text, setting->path));
	assert_non_null(strstr(
		text, ".TP\n\\fBinterface.mtu\\fR\n"
		      "an integer from 1280 to 65000; default 1420; a change needs a restart\n"));
}

// The page in the tree is what the table says today: "mutund --manual" writes it anew.
static void test_manual_page(void **state)
{
	(void)state;
	_cleanup_(freep) char *text = print_manual();
	_cleanup_(freep) char *page = calloc(1, strlen(text) + 2);
	FILE *file = fopen(PACKAGING "/man/mutun.conf.5", "r");
	assert_non_null(file);
	assert_non_null(page);
	assert_int_equal(fread(page, 1, strlen(text) + 1, file), strlen(text));
	fclose(file);
	assert_string_equal(page, text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),	    cmocka_unit_test(test_table),
		cmocka_unit_test(test_within),	    cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_allowed),	    cmocka_unit_test(test_manual),
		cmocka_unit_test(test_manual_page),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
