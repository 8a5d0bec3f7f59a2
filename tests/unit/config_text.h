// SPDX-License-Identifier: Apache-2.0
// What the tests of configurations share: texts, and a look at their errors. Needs cmocka.h before it.
#pragma once

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "daemon/config.h"

// Line 1, line 2, and a beginning of line 3 that needs "};" after it.
#define NODE	"node: { certificate = \"n.crt\"; key = \"n.key\"; trust = \"/t.crt\"; };\n"
#define LINK	"links = ( { name = \"hq\"; to = [\"a:1\"]; identity = \"spiffe://d/g\"; } );\n"
#define GATEWAY "gateway: { listen = [\"0.0.0.0:443\"]; pools = [\"10.90.0.0/16\"];\n"

#define SITE(identity, network) \
	"{ identity = \"spiffe://d/" identity "\"; networks = [\"" network "\"]; }\n"
#define CLIENT(identity, address) \
	"{ identity = \"spiffe://d/" identity "\"; addresses = [\"" address "\"]; }\n"

struct wrong {
	const char *text;
	const char *where, *what, *expected, *remedy; // parts of what must be there; NULL: nothing
};

static inline void check_part(const char *text, const char *part, const char *input)
{
	if (!part ? *text == '\0' : strstr(text, part) != NULL)
		return;
	fail_msg("%s\nfound:  \"%s\"\nshould: \"%s\"", input, text, part ? part : "");
}

// Each text has just one error.
static inline void check_wrong(const struct wrong *wrong, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		_cleanup_(config_errors_freep) struct config_errors *errors = NULL;
		struct config *config = NULL;
		char text[ERROR_TEXT_MAX];
		int r = config_parse(wrong[i].text, "/etc/m.conf", &config, &errors);
		if (r != -EINVAL)
			fail_msg("no error in:\n%s", wrong[i].text);
		assert_null(config);
		for (size_t j = 1; j < config_errors_count(errors); j++)
			print_message("%s\n",
				      error_text(config_errors_at(errors, j), text, sizeof(text)));
		const struct error *error = config_errors_at(errors, 0);
		if (config_errors_count(errors) != 1)
			fail_msg("%zu errors in:\n%s, first %s", config_errors_count(errors),
				 wrong[i].text, error_text(error, text, sizeof(text)));
		assert_int_equal(error->code, EINVAL);
		assert_string_equal(error->where, wrong[i].where);
		check_part(error->what, wrong[i].what, wrong[i].text);
		check_part(error->expected, wrong[i].expected, wrong[i].text);
		check_part(error->remedy, wrong[i].remedy, wrong[i].text);
	}
}
#define CHECK_WRONG(wrong) check_wrong(wrong, sizeof(wrong) / sizeof((wrong)[0]))

static inline struct config *parse(const char *text)
{
	struct config *config = NULL;
	struct config_errors *errors = NULL;
	char reason[ERROR_TEXT_MAX];
	int r = config_parse(text, "/etc/m.conf", &config, &errors);
	for (size_t i = 0; errors && i < config_errors_count(errors); i++)
		print_message("%s\n",
			      error_text(config_errors_at(errors, i), reason, sizeof(reason)));
	assert_int_equal(r, 0);
	assert_non_null(config);
	assert_null(errors);
	return config;
}
