// SPDX-License-Identifier: Apache-2.0
// Whose address it is by a configuration, and what a question about it hears of the rule that is for this node alone.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/error.h"
#include "daemon/config.h"
#include "daemon/config_end.h"
#include "daemon/report_explain.h"
#include "unit/addr_fixture.h"
#include "unit/config_text.h"

#define ROUTER                                                                                  \
	NODE LINK "gateway: { listen = [\"0.0.0.0:443\"]; pools = [\"10.90.0.0/16\"];\n"        \
		  "routes = [\"10.20.0.0/16\"];\n"                                              \
		  "profiles = ( { for = [\"spiffe://d/x\"]; pools = [\"10.91.0.0/16\"]; } );\n" \
		  "clients = (" CLIENT("c", "10.92.0.1") "); sites = (" SITE(                   \
			  "s", "10.30.0.0/16") "); };"

static void test_own_addresses(void **state)
{
	static const struct {
		const char *text, *addr;
		enum config_own own;
	} cases[] = {
		{ROUTER, "10.90.0.1", CONFIG_OWN_YES},
		{ROUTER, "10.91.0.1", CONFIG_OWN_YES},
		{ROUTER, "10.90.0.2", CONFIG_OWN_NO},
		{ROUTER, "10.91.7.7", CONFIG_OWN_NO},
		{ROUTER, "10.20.0.1", CONFIG_OWN_NO},
		{ROUTER, "10.92.0.1", CONFIG_OWN_NO},
		{ROUTER, "10.30.0.1", CONFIG_OWN_NO},
		{ROUTER, "10.99.0.1", CONFIG_OWN_MAYBE},
		{NODE LINK, "10.90.0.1", CONFIG_OWN_MAYBE},
		{NODE GATEWAY "};", "192.0.2.1", CONFIG_OWN_NO},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct config *config = parse(cases[i].text);
		struct addr addr = addr_from(cases[i].addr);
		assert_int_equal(config_end_own(config, &addr), cases[i].own);
		config_put(config);
	}
}

static json_t *explained(const struct config *config, const char *to)
{
	struct error error;
	json_t *request = json_pack("{s:s,s:s,s:s,s:b}", "from", "spiffe://d/gateway", "to", to,
				    "service", "icmp", "inbound", 1);
	json_t *answer = report_explain(config, NULL, request, &error);
	json_decref(request);
	assert_non_null(answer);
	return answer;
}

// Without inbound rules.
static void test_what_is_for_this_node_alone(void **state)
{
	static const struct {
		const char *to, *verdict;
		json_type own;
	} cases[] = {
		{"10.90.0.1", "allow", JSON_TRUE},
		{"10.30.0.1", "reject", JSON_FALSE},
		{"10.99.0.1", "allow", JSON_NULL},
	};
	struct config *config = parse(ROUTER);
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *answer = explained(config, cases[i].to);
		assert_string_equal(json_string_value(json_object_get(answer, "verdict")),
				    cases[i].verdict);
		assert_int_equal(json_typeof(json_object_get(answer, "to_own")), cases[i].own);
		json_decref(answer);
	}
	config_put(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_addresses),
		cmocka_unit_test(test_what_is_for_this_node_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
