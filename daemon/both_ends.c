// SPDX-License-Identifier: Apache-2.0

#include "daemon/both_ends.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/addr.h"
#include "base/error.h"
#include "daemon/ask.h"
#include "daemon/inspect.h"
#include "server/policy_service.h"
#include "tun/rule.h"

static bool on_line(const json_t *line, void *data)
{
	if (!ask_lost(line))
		json_array_append(data, (json_t *)line);
	return true;
}

// One that stands for the service: of ICMP as a whole a ping.
static int choose(const char *service, bool six, uint8_t *ret_protocol, unsigned *ret_port,
		  struct error *error)
{
	struct rule_service parts[POLICY_SERVICE_PARTS];
	int count = policy_service_parse(service, parts, error);
	if (count < 0)
		return count;
	const struct rule_service *part = &parts[six ? count - 1 : 0];
	*ret_protocol = part->protocols[six && part->protocols[1]];
	*ret_port = part->first;
	if (part->first == 0 && part->last == UINT16_MAX && *ret_protocol == IPPROTO_ICMP)
		*ret_port = 8 << 8;
	if (part->first == 0 && part->last == UINT16_MAX && *ret_protocol == IPPROTO_ICMPV6)
		*ret_port = 128 << 8;
	return 0;
}

json_t *both_ends_ask(const struct both_ends *question, struct error *error)
{
	struct addr to;
	char protocol[8];
	uint8_t number;
	unsigned port;
	if (addr_parse(question->to, &to) < 0) {
		error_set(error, EINVAL, "\"%.64s\" is no address", question->to);
		return NULL;
	}
	if (choose(question->service, to.family == AF_INET6, &number, &port, error) < 0)
		return NULL;
	snprintf(protocol, sizeof(protocol), "%u", number);
	json_t *ends = json_array();
	int r = ask_feed(json_pack("{s:s,s:s*,s:s,s:s,s:i}", "command", "explain", "from",
				   question->from, "to", question->to, "protocol", protocol, "port",
				   (int)port),
			 0, on_line, ends, error);
	if (r == 0)
		return ends;
	json_decref(ends);
	return NULL;
}

static void print_end(const json_t *end)
{
	const char *failure = ask_text(end, "error");
	char rule[512];
	printf("at %s: ", ask_text(end, "end"));
	if (*failure) {
		printf("not known: %s\n", failure);
		return;
	}
	printf("%s", json_is_true(json_object_get(end, "allow")) ? "passes" : "REFUSED");
	if (*ask_text(end, "place"))
		printf(" by rule %s", inspect_rule(end, rule, sizeof(rule)));
	printf(": %s\n", ask_text(end, "why"));
}

void both_ends_print(const json_t *ends, bool here)
{
	size_t i;
	json_t *end;
	json_array_foreach (ends, i, end)
		if (here || strcmp(ask_text(end, "end"), "here") != 0)
			print_end(end);
}

bool both_ends_allow(const json_t *ends)
{
	size_t i;
	json_t *end;
	json_array_foreach (ends, i, end)
		if (json_is_false(json_object_get(end, "allow")))
			return false;
	return true;
}
