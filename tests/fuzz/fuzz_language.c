// SPDX-License-Identifier: Apache-2.0
// Any text as a policy: what is taken can be made into a filter, judged by it as rule by rule, and differs from nothing in just what it
// allows.

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/addr.h"
#include "daemon/config.h"
#include "server/policy.h"
#include "server/policy_diff.h"
#include "server/policy_explain.h"
#include "tun/rule.h"

#define NOW	  1800000000
#define RULES_MAX 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// As in fuzz_config.c.
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libconfig";
}

static void ask(const struct rules *rules, struct filter *filter, const struct policy_diff *diff,
		const char *from_text, const char *to_text)
{
	static const struct filter_peer peer = {.identity = "spiffe://d/ab"};
	struct addr from, to;
	struct policy_explanation explanation;
	struct filter_verdict fast;
	if (addr_parse(from_text, &from) < 0 || addr_parse(to_text, &to) < 0)
		abort();
	const struct rule_question question = {
		.from = {&peer, &from}, .to = {NULL, &to}, .protocol = 6, .port = 22};
	const struct filter_question same = {
		.from = {filter_class_of(filter, &peer), &from},
		.to = {NULL, &to},
		.protocol = 6,
		.port = 22,
	};
	filter_judge(filter, &same, &fast);
	if (policy_explain(rules, NOW, &question, &explanation) < 0)
		return;
	struct filter_verdict slow = explanation.verdict;
	if (slow.allow != fast.allow || slow.rule != fast.rule)
		abort();
	if (!policy_diff_cut(diff) && policy_diff_at(diff, &question) != (slow.allow ? 1 : 0))
		abort();
}

static void check(const struct rules *rules)
{
	static const struct rules none;
	_cleanup_(filter_freep) struct filter *filter = NULL;
	_cleanup_(policy_diff_freep) struct policy_diff *diff = NULL;
	if (rules->rule_count > RULES_MAX || policy_compile(rules, NOW, &filter, NULL) < 0 ||
	    policy_diff_new(&none, rules, FILTER_RULES, NOW, NULL, &diff) < 0)
		return;
	ask(rules, filter, diff, "10.0.0.1", "10.20.0.5");
	ask(rules, filter, diff, "fd00::1", "fd00::2");
	policy_next_change(rules, NOW);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char around[] =
		"node: { certificate = \"c\"; key = \"k\"; trust = \"t\"; };\n"
		"gateway: { listen = [ \"0.0.0.0:443\" ]; pools = [ \"10.90.0.0/16\" ]; };\n";
	_cleanup_(config_putp) struct config *config = NULL;
	_cleanup_(config_errors_freep) struct config_errors *errors = NULL;
	_cleanup_(freep) char *text = malloc(sizeof(around) + size);
	if (!text)
		return 0;
	memcpy(text, around, sizeof(around) - 1);
	if (size)
		memcpy(text + sizeof(around) - 1, data, size);
	text[sizeof(around) - 1 + size] = '\0';
	if (config_parse(text, "/etc/mutun/fuzz.conf", &config, &errors) == 0)
		check(config->policy.model);
	return 0;
}
