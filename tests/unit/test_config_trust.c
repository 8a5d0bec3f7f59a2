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
#include "base/error.h"
#include "daemon/config.h"
#include "daemon/config_report.h"
#include "daemon/config_trust.h"
#include "pki/mapping.h"
#include "unit/config_text.h"

#define HEAD "node: { certificate = \"/a\"; key = \"/b\"; trust = \"/c\";\n"
#define TAIL " };\n" LINK
#define ONE  "\"sha256/d6qzRu9zOECb90Uez27xWltNsj0e1Md7GkYYkVoZWmM=\""
#define SAME "\"77aab346ef7338409bf7451ecf6ef15a5b4db23d1ed4c77b1a4618915a195a63\""
#define TWO  "\"sha256/LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=\""

static void says_what_is_wrong(void **state)
{
	static const struct wrong wrong[] = {
		{HEAD "pins = ( { identity = \"spiffe://c.example/x\"; keys = [ " ONE
		      " ]; } );" TAIL,
		 "/etc/m.conf:2: node.pins[0].keys", "found 1 elements",
		 "an array of 2 to 16 strings, each a pin such as", NULL},
		{HEAD "pins = (\n{ identity = \"spiffe://c.example/x\"; keys = [ " ONE ", " SAME
		      " ]; } );" TAIL,
		 "/etc/m.conf:3: node.pins[0]", "the keys are all the same",
		 "at least two different ones", "mutun pin FILE"},
		{HEAD "pins = ( { identity = \"spiffe://c.example/x\"; keys = [ " ONE
		      ",\n\"sha256/abc\" ]; } );" TAIL,
		 "/etc/m.conf:3: node.pins[0].keys[1]", "found the string \"sha256/abc\"",
		 "a pin such as", NULL},
		{HEAD "pins = ( { keys = [ " ONE ", " TWO " ]; } );" TAIL,
		 "/etc/m.conf:2: node.pins[0]", "\"identity\" is missing", "an identity pattern",
		 NULL},
		{HEAD "responder = \"ftp://a/\";" TAIL, "/etc/m.conf:2: node.responder",
		 "found the string \"ftp://a/\"", "a URL such as \"http://ocsp", NULL},
		{HEAD "responder = \"http://\";" TAIL, "/etc/m.conf:2: node.responder",
		 "found the string \"http://\"", "a URL such as", NULL},
		{HEAD "staple = \"a\";\nresponder = \"http://a/\";" TAIL,
		 "/etc/m.conf:3: node.responder", "node.staple is set, too",
		 "either a file or a responder", NULL},
		{HEAD "names = ( { identity = \"spiffe://c.example/x\"; } );" TAIL,
		 "/etc/m.conf:2: node.names[0]", "the rule has no name",
		 "either \"dns\" or \"email\"", NULL},
		{HEAD "names = ( { dns = \"a.example\"; email = \"a@b.example\"; identity = "
		      "\"spiffe://c.example/x\"; } );" TAIL,
		 "/etc/m.conf:2: node.names[0]", "the rule has two names",
		 "either \"dns\" or \"email\"", NULL},
		{HEAD
		 "names = ( { dns = \"*.a.example\"; identity = \"spiffe://c.example/x\"; } );" TAIL,
		 "/etc/m.conf:2: node.names[0]", "the identity does not use $1", NULL, NULL},
		{HEAD "names = ( { dns = \"*.a.example\"; } );" TAIL,
		 "/etc/m.conf:2: node.names[0]", "\"identity\" is missing",
		 "a string of 1 to 2048 characters", NULL},
		{HEAD
		 "federation = ( { domain = \"p.example\"; trust = \"/p\"; names = (\n"
		 "{ email = \"*@p.example\"; identity = \"spiffe://p.example/$1\"; },\n"
		 "{ email = \"*@q.example\"; identity = \"spiffe://q.example/$1\"; } ); } );" TAIL,
		 "/etc/m.conf:4: node.federation[0].names[1]",
		 "the identity is not of the trust domain p.example", NULL, NULL},
		{HEAD
		 "federation = ( { domain = \"p.example\"; trust = \"/p\"; names = (\n"
		 "{ mail = \"*@p.example\"; identity = \"spiffe://p.example/$1\"; dns = \"*.y\"; } "
		 "); } );" TAIL,
		 "/etc/m.conf:3: node.federation[0].names[0].mail", "unknown setting", NULL,
		 "did you mean"},
	};
	(void)state;
	CHECK_WRONG(wrong);
}

static void knows_what_is_the_same(void **state)
{
	static const char *const texts[] = {
		HEAD TAIL,
		HEAD "pins = ( { identity = \"spiffe://c.example/x\"; keys = [ " ONE ", " TWO
		     " ]; } );" TAIL,
		HEAD "pins = ( { identity = \"spiffe://c.example/x\"; keys = [ " TWO ", " ONE
		     " ]; } );" TAIL,
		HEAD "pins = ( { identity = \"spiffe://c.example/*\"; keys = [ " ONE ", " TWO
		     " ]; } );" TAIL,
		HEAD
		"names = ( { dns = \"*.a.example\"; identity = \"spiffe://c.example/$1\"; } );" TAIL,
		HEAD
		"names = ( { email = \"*@a.example\"; identity = \"spiffe://c.example/$1\"; } );" TAIL,
		HEAD "federation = ( { domain = \"p.example\"; trust = \"/p\"; } );" TAIL,
		HEAD
		"federation = ( { domain = \"p.example\"; trust = \"/p\"; require_staple = true; } );" TAIL,
		HEAD "require_staple = true;" TAIL,
		HEAD "federation = ( { domain = \"p.example\"; trust = \"/p\"; names = ( { email = "
		     "\"*@p.example\"; identity = \"spiffe://p.example/$1\"; } ); } );" TAIL,
	};
	enum { COUNT = sizeof(texts) / sizeof(texts[0]) };

	(void)state;
	for (int i = 0; i < COUNT; i++)
		for (int j = 0; j < COUNT; j++) {
			_cleanup_(config_putp) struct config *a = parse(texts[i]);
			_cleanup_(config_putp) struct config *b = parse(texts[j]);
			assert_int_equal(config_trust_same(&a->node, &b->node), i == j);
		}
}

static void makes_rules_for_this_node(void **state)
{
	_cleanup_(config_putp) struct config *none = parse(HEAD TAIL);
	_cleanup_(config_putp) struct config *one = parse(
		HEAD
		"names = ( { dns = \"*.a.example\"; identity = \"spiffe://c.example/$1\"; } );" TAIL);
	_cleanup_(mapping_freep) struct mapping *mapping = NULL;

	(void)state;
	assert_int_equal(config_trust_mapping(&none->node, &mapping), 0);
	assert_null(mapping);
	assert_int_equal(config_trust_mapping(&one->node, &mapping), 0);
	assert_non_null(mapping);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_what_is_wrong),
		cmocka_unit_test(knows_what_is_the_same),
		cmocka_unit_test(makes_rules_for_this_node),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
