// SPDX-License-Identifier: Apache-2.0
// What is kept for peers of a gateway, beside what another gateway pushes to it.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tun/route.h"
#include "tun/session.h"
#include "unit/addr_fixture.h"

static struct session site, other, upstream = {.initiator = true};

static struct session *look_up(const struct routes *routes, const char *text)
{
	struct addr addr = addr_from(text);
	return route_lookup(routes, &addr);
}

static void push(struct routes *routes, const char *text)
{
	struct prefix prefix = prefix_from(text);
	assert_int_equal(routes_add(routes, &prefix, 1, &upstream), 0);
}

static void grant(struct routes *routes, struct session *session, const char *text)
{
	struct prefix prefix = prefix_from(text);
	struct route_list list = {.prefixes = &prefix, .count = 1};
	assert_int_equal(routes_set(routes, session, &list, 1), 0);
}

static void keep(struct routes *routes, const char *text, const char *more)
{
	struct prefix prefixes[] = {prefix_from(text), prefix_from(more)};
	assert_int_equal(routes_keep(routes, prefixes, 2), 0);
}

static void leads_no_gateway_to_who_is_away(void **state)
{
	_cleanup_(routes_freep) struct routes *routes = routes_new();
	struct prefix network = prefix_from("10.30.0.0/16");
	(void)state;
	push(routes, "0.0.0.0/0");
	assert_ptr_equal(look_up(routes, "10.30.0.1"), &upstream);
	keep(routes, "10.30.0.0/16", "10.90.0.0/16");
	assert_null(look_up(routes, "10.30.0.1"));
	assert_null(look_up(routes, "10.90.7.7"));
	assert_ptr_equal(look_up(routes, "10.31.0.1"), &upstream);
	assert_null(routes_owner(routes, &network));
	assert_int_equal(routes_count(routes), 1);
	// One that comes has what is its, and the others have not.
	grant(routes, &site, "10.30.0.0/16");
	grant(routes, &other, "10.90.0.2/32");
	assert_ptr_equal(look_up(routes, "10.30.0.1"), &site);
	assert_ptr_equal(look_up(routes, "10.90.0.2"), &other);
	assert_null(look_up(routes, "10.90.0.3"));
	routes_remove(routes, &site, NULL, 0);
	assert_null(look_up(routes, "10.30.0.1"));
	assert_int_equal(routes_keep(routes, NULL, 0), 0);
	assert_ptr_equal(look_up(routes, "10.30.0.1"), &upstream);
}

// A route that comes after what is kept; and one that is within it, or equal, was let in on purpose.
static void leads_where_it_was_conceded(void **state)
{
	_cleanup_(routes_freep) struct routes *routes = routes_new();
	(void)state;
	keep(routes, "10.30.0.0/16", "10.40.0.0/16");
	push(routes, "10.0.0.0/8");
	assert_null(look_up(routes, "10.30.0.1"));
	assert_null(look_up(routes, "10.40.0.1"));
	push(routes, "10.30.4.0/24");
	push(routes, "10.40.0.0/16");
	assert_ptr_equal(look_up(routes, "10.30.4.1"), &upstream);
	assert_null(look_up(routes, "10.30.5.1"));
	assert_ptr_equal(look_up(routes, "10.40.0.1"), &upstream);
}

// A peer with a wider network is none to be kept from it: the longest of those that are there leads.
static void leads_to_a_wider_peer(void **state)
{
	_cleanup_(routes_freep) struct routes *routes = routes_new();
	(void)state;
	keep(routes, "10.30.0.0/16", "10.0.0.0/8");
	push(routes, "0.0.0.0/0");
	grant(routes, &other, "10.0.0.0/8");
	assert_ptr_equal(look_up(routes, "10.30.0.1"), &other);
	grant(routes, &site, "10.30.0.0/16");
	assert_ptr_equal(look_up(routes, "10.30.0.1"), &site);
	routes_remove(routes, &other, NULL, 0);
	routes_remove(routes, &site, NULL, 0);
	assert_null(look_up(routes, "10.30.0.1"));
	assert_null(look_up(routes, "10.31.0.1"));
	assert_ptr_equal(look_up(routes, "11.0.0.1"), &upstream);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(leads_no_gateway_to_who_is_away),
		cmocka_unit_test(leads_where_it_was_conceded),
		cmocka_unit_test(leads_to_a_wider_peer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
