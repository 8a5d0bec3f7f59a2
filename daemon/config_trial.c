// SPDX-License-Identifier: Apache-2.0

#include "daemon/config_trial.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/arena.h"
#include "base/error.h"
#include "daemon/config.h"
#include "daemon/config_end.h"
#include "daemon/config_named.h"
#include "daemon/config_names.h"
#include "daemon/config_policy.h"
#include "daemon/config_read.h"
#include "daemon/config_value.h"
#include "daemon/setting.h"
#include "pki/identity.h"
#include "server/policy_trial.h"
#include "server/when.h"

void config_trial_free_written(struct config_test *tests, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct config_test *test = &tests[i];
		for (unsigned j = 0; j < test->allow_count; j++)
			free(test->allow[j]);
		for (unsigned j = 0; j < test->deny_count; j++)
			free(test->deny[j]);
		free(test->allow);
		free(test->deny);
		free(test->name);
		free(test->from);
		free(test->to);
		free(test->unit);
		free(test->issuer);
		free(test->at);
	}
	free(tests);
}

time_t config_trial_moment(struct config_reader *reader, const config_setting_t *at,
			   const struct zone *zone, bool days)
{
	static const struct setting setting = {.type = SETTING_MOMENT};
	const char *text = config_setting_get_string(at);
	time_t moment = 0;
	int r = when_moment(text, zone, &moment);
	if (r == 0 && !days && !strpbrk(text, " T"))
		config_value_fault_element(reader, &setting, at, "the time of the day is missing");
	else if (r == 0 && moment > 0)
		return moment;
	else
		config_value_fault_element(reader, &setting, at,
					   r == -EDOM ? "there is no such day or time" : NULL);
	return 0;
}

static const char *keep(struct config_reader *reader, const char *text)
{
	const char *copy = text ? arena_text(reader->config->policy.arena, text) : NULL;
	reader->out_of_memory |= text && !copy;
	return copy;
}

static void read_end(struct config_reader *reader, const config_setting_t *at, const char *text,
		     struct policy_end *ret)
{
	static const struct setting setting = {.type = SETTING_SUBJECT};
	_cleanup_(freep) char *identity = NULL;
	struct error error = {0};
	struct addr addr;
	if (!text)
		return;
	if (addr_parse(text, &addr) == 0) {
		*(addr.family == AF_INET ? &ret->v4 : &ret->v6) = addr;
	} else if (identity_parse(text, strlen(text), &identity, &error) < 0) {
		config_value_fault_element(reader, &setting, at,
					   strncmp(text, "spiffe:", 7) == 0 ? error.what : NULL);
	} else {
		ret->identity = keep(reader, identity);
		if (ret->identity)
			config_end_addresses(reader->config, ret);
	}
}

static void read_test(struct config_reader *reader, struct config_names *names,
		      const config_setting_t *at, const struct config_test *written,
		      struct policy_test *ret)
{
	struct arena *arena = reader->config->policy.arena;
	const config_setting_t *allow = config_setting_get_member(at, "allow");
	const config_setting_t *deny = config_setting_get_member(at, "deny");
	struct policy_test test = {
		.name = keep(reader, written->name),
		.place = config_policy_place(reader, at),
		.program = written->inbound ? FILTER_INBOUND : FILTER_RULES,
		.unit = keep(reader, written->unit),
		.issuer = written->issuer ? config_named_issuer(arena, written->issuer) : NULL,
		.hardware = written->hardware,
	};
	read_end(reader, config_setting_get_member(at, "from"), written->from, &test.from);
	read_end(reader, config_setting_get_member(at, "to"), written->to, &test.to);
	if (!allow && !deny)
		error_expected(config_fault(reader->errors, at, "this test asks for nothing"),
			       "\"allow\", \"deny\", or both");
	reader->out_of_memory |= written->issuer && !test.issuer;
	if (!test.from.identity && (test.unit || test.issuer || test.hardware))
		error_expected(config_fault(reader->errors, at, "an address has no certificate"),
			       "an identity in \"from\", or no \"unit\", \"issuer\", \"hardware\"");
	test.allow = config_names_services(names, allow, &test.allow_count);
	test.deny = config_names_services(names, deny, &test.deny_count);
	if (written->at)
		test.at = config_trial_moment(reader, config_setting_get_member(at, "at"), NULL,
					      false);
	*ret = test;
}

void config_trial_read(struct config_reader *reader, struct config_names *names)
{
	struct config_policy *policy = &reader->config->policy;
	struct policy_test *tests =
		arena_alloc(policy->arena, policy->test_count + 1, sizeof(*tests));
	for (unsigned i = 0; tests && i < policy->test_count; i++) {
		const config_setting_t *at = config_read_place(reader, "policy.tests", i);
		if (config_setting_is_group(at))
			read_test(reader, names, at, &policy->tests[i], &tests[i]);
	}
	reader->out_of_memory |= !tests;
	policy->trials = tests;
	policy->trial_count = tests ? policy->test_count : 0;
}
