// SPDX-License-Identifier: Apache-2.0
// Services as people write them, "tcp/443", "udp/5000-5100", "icmp/echo-request", and as the filter compares them.
#pragma once

#include "tun/rule.h"

struct error;

#define POLICY_SERVICE_PARTS	2  // "icmp/echo-request" is one of ICMP and one of ICMPv6
#define POLICY_SERVICE_TEXT_MAX 32 // of policy_service_text()

// Parses "any", "tcp", "tcp/443", "tcp/8000-8100" (udp, sctp likewise), "icmp" (both), "icmp/NAME" (both), "icmp/TYPE",
// "icmp/TYPE/CODE", "icmpv6" likewise, "esp", "ah", "gre", "proto/NUMBER". Returns how many of `ret` are written, or -EINVAL.
int policy_service_parse(const char *text, struct rule_service ret[POLICY_SERVICE_PARTS],
			 struct error *error);
// The shortest text that policy_service_parse() takes for it. Returns `text`.
const char *policy_service_text(const struct rule_service *service,
				char text[POLICY_SERVICE_TEXT_MAX]);
