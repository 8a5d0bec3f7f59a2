// SPDX-License-Identifier: Apache-2.0

#include "daemon/config_policy_check.h"

#include <errno.h>

#include "base/clock.h"
#include "base/error.h"
#include "daemon/config.h"
#include "daemon/config_names.h"
#include "daemon/config_policy_links.h"
#include "daemon/config_read.h"
#include "daemon/config_space.h"
#include "server/policy_lint.h"
#include "server/policy_trial.h"
#include "tun/rule.h"

struct check {
	struct config_reader *reader;
	const struct config_names *names;
};

void config_policy_check_side(struct config_reader *reader, const config_setting_t *array,
			      const struct rule_side *side)
{
	if (side->any && (side->group_count || side->net_count))
		error_remedy(config_fault(reader->errors, array,
					  "\"any\" makes the other words pointless"),
			     "remove \"any\", or the others");
}

static const config_setting_t *finding_at(const struct check *check, const struct finding *finding)
{
	if (finding->place == FINDING_GROUP)
		return config_names_group_place(check->names, finding->position);
	if (finding->place == FINDING_NET)
		return config_names_net_place(check->names, finding->position);
	const char *path = finding->program == FILTER_RULES ? "policy.rules" : "policy.inbound";
	const config_setting_t *rule = config_read_place(check->reader, path, finding->position);
	const config_setting_t *part =
		rule && finding->part ? config_setting_get_member(rule, finding->part) : NULL;
	return part ? part : rule;
}

static bool is_used_elsewhere(const struct check *check, const struct finding *finding)
{
	const struct config *config = check->reader->config;
	return finding->unused && finding->place == FINDING_GROUP &&
	       config_space_uses(config, config->policy.model->groups[finding->position].name);
}

static void on_finding(const struct finding *finding, const struct error *error, void *data)
{
	const struct check *check = data;
	const config_setting_t *at = finding_at(check, finding);
	if (!at || is_used_elsewhere(check, finding)) // `at`: what holds by itself
		return;
	struct config_errors *list =
		finding->refused ? check->reader->errors : check->reader->warnings;
	error_remedy(config_fault(list, at, "%s", error->what), "%s", error->remedy);
}

static void on_failure(unsigned test, const struct error *error, void *data)
{
	const struct check *check = data;
	const config_setting_t *at = config_read_place(check->reader, "policy.tests", test);
	error_remedy(config_fault(check->reader->errors, at, "%s", error->what), "%s",
		     error->remedy);
}

// Tests of a policy that is wrong would say nothing.
static void run_tests(struct check *check)
{
	const struct config_policy *policy = &check->reader->config->policy;
	unsigned failed;
	struct error error = {0};
	int r = policy->trial_count == 0
			? 0
			: policy_trial(policy->model, policy->trials, policy->trial_count,
				       clock_wall(), on_failure, check, &failed, &error);
	if (r == -ENOMEM)
		check->reader->out_of_memory = true;
	else if (r < 0)
		config_fault_line(check->reader->errors, check->reader->sources[0], 0, "%s",
				  error.what);
}

void config_policy_check(struct config_reader *reader, const struct config_names *names)
{
	struct check check = {.reader = reader, .names = names};
	// Half a policy would be blamed for what its other half says.
	if (config_errors_count(reader->errors) > 0)
		return;
	if (policy_lint(reader->config->policy.model, clock_wall(), on_finding, &check) < 0) {
		reader->out_of_memory = true;
		return;
	}
	config_policy_links(reader);
	if (config_errors_count(reader->errors) == 0)
		run_tests(&check);
}
