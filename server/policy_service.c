// SPDX-License-Identifier: Apache-2.0

#include "server/policy_service.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <netinet/in.h>

#include "base/error.h"
#include "tun/rule.h"

#define SHOWN_MAX 80

enum detail { DETAIL_NONE, DETAIL_PORTS, DETAIL_MESSAGE };

// Protocols that have a name.
static const struct known {
	const char *name;
	uint8_t protocols[2];
	enum detail detail;
} known[] = {
	{"tcp", {IPPROTO_TCP}, DETAIL_PORTS},
	{"udp", {IPPROTO_UDP}, DETAIL_PORTS},
	{"sctp", {IPPROTO_SCTP}, DETAIL_PORTS},
	{"icmp", {IPPROTO_ICMP, IPPROTO_ICMPV6}, DETAIL_MESSAGE},
	{"icmpv6", {IPPROTO_ICMPV6}, DETAIL_MESSAGE},
	{"esp", {IPPROTO_ESP}, DETAIL_NONE},
	{"ah", {IPPROTO_AH}, DETAIL_NONE},
	{"gre", {IPPROTO_GRE}, DETAIL_NONE},
};
#define KNOWN (sizeof(known) / sizeof(known[0]))

// ICMP messages by name (RFC 792, RFC 4443): the type, and the code where it is part of the meaning.
static const struct {
	const char *name;
	int type, code;	  // of ICMP; -1: none, all
	int type6, code6; // of ICMPv6
} messages[] = {
	{"echo-request", 8, -1, 128, -1},	   {"echo-reply", 0, -1, 129, -1},
	{"destination-unreachable", 3, -1, 1, -1}, {"packet-too-big", 3, 4, 2, -1},
	{"time-exceeded", 11, -1, 3, -1},	   {"parameter-problem", 12, -1, 4, -1},
};
#define MESSAGES (sizeof(messages) / sizeof(messages[0]))

static int refuse(const char *text, const char *why, struct error *error)
{
	error_set(error, EINVAL, "\"%.*s\" is no service%s%s", SHOWN_MAX, text, *why ? ": " : "",
		  why);
	return error_expected(error, "\"any\", \"tcp/443\", \"udp/5000-5100\", \"icmp\", "
				     "\"icmp/echo-request\", \"icmp/3/4\", \"esp\", \"proto/47\"");
}

// Digits up to `max`; moves on. False: something else.
static bool take_number(const char **at, unsigned max, unsigned *ret)
{
	unsigned value = 0;
	const char *c = *at;
	for (; *c >= '0' && *c <= '9'; c++) {
		value = value * 10 + (unsigned)(*c - '0');
		if (value > max)
			return false;
	}
	if (c == *at || (**at == '0' && c > *at + 1))
		return false;
	*at = c;
	*ret = value;
	return true;
}

static int parse_ports(const char *text, const char *at, struct rule_service *ret,
		       struct error *error)
{
	unsigned first, last;
	if (!take_number(&at, UINT16_MAX, &first))
		return refuse(text, "a port is a number from 0 to 65535", error);
	last = first;
	if (*at == '-' && (at++, !take_number(&at, UINT16_MAX, &last)))
		return refuse(text, "a port is a number from 0 to 65535", error);
	if (*at)
		return refuse(text, "", error);
	if (last < first)
		return refuse(text, "the range ends before it begins", error);
	ret->first = (uint16_t)first;
	ret->last = (uint16_t)last;
	return 1;
}

static struct rule_service icmp_service(uint8_t protocol, int type, int code)
{
	return (struct rule_service){
		.protocols = {protocol},
		.first = (uint16_t)(type << 8 | (code < 0 ? 0 : code)),
		.last = (uint16_t)(type << 8 | (code < 0 ? 255 : code)),
	};
}

static int parse_message(const char *text, const char *at, bool both,
			 struct rule_service ret[POLICY_SERVICE_PARTS], struct error *error)
{
	unsigned type, code = 0;
	bool coded = false;
	for (size_t i = 0; i < MESSAGES; i++) {
		int count = 0;
		if (strcmp(messages[i].name, at) != 0)
			continue;
		if (both)
			ret[count++] =
				icmp_service(IPPROTO_ICMP, messages[i].type, messages[i].code);
		ret[count++] = icmp_service(IPPROTO_ICMPV6, messages[i].type6, messages[i].code6);
		return count;
	}
	if (!take_number(&at, UINT8_MAX, &type))
		return refuse(text, "a message is a name such as echo-request, or a number", error);
	bool more = *at == '/';
	if (more) {
		at++;
		coded = take_number(&at, UINT8_MAX, &code);
	}
	if (*at || more != coded)
		return refuse(text, "type and code are numbers from 0 to 255", error);
	ret[0] = icmp_service(both ? IPPROTO_ICMP : IPPROTO_ICMPV6, (int)type,
			      coded ? (int)code : -1);
	return 1;
}

static int parse_number(const char *text, const char *at, struct rule_service *ret,
			struct error *error)
{
	unsigned number;
	if (!take_number(&at, UINT8_MAX, &number) || *at)
		return refuse(text, "a protocol is a number from 0 to 255", error);
	ret->protocols[0] = (uint8_t)number;
	return 1;
}

static int parse_known(const char *text, const struct known *found, const char *detail,
		       struct rule_service ret[POLICY_SERVICE_PARTS], struct error *error)
{
	memcpy(ret->protocols, found->protocols, sizeof(ret->protocols));
	if (!detail)
		return 1;
	if (found->detail == DETAIL_PORTS)
		return parse_ports(text, detail, ret, error);
	if (found->detail == DETAIL_MESSAGE)
		return parse_message(text, detail, found->protocols[1] != 0, ret, error);
	return refuse(text, "this protocol has no ports", error);
}

int policy_service_parse(const char *text, struct rule_service ret[POLICY_SERVICE_PARTS],
			 struct error *error)
{
	struct rule_service parts[POLICY_SERVICE_PARTS] = {{.last = UINT16_MAX}};
	size_t size = strcspn(text, "/");
	const char *detail = text[size] ? text + size + 1 : NULL;
	int count = -EINVAL;
	size_t i = 0;
	while (i < KNOWN &&
	       (strlen(known[i].name) != size || memcmp(known[i].name, text, size) != 0))
		i++;
	if (i < KNOWN) {
		count = parse_known(text, &known[i], detail, parts, error);
	} else if (strcmp(text, "any") == 0) {
		parts[0].any_protocol = true;
		count = 1;
	} else if (strncmp(text, "proto/", 6) == 0) {
		count = parse_number(text, detail, parts, error);
	} else {
		refuse(text, "", error);
	}
	if (count > 0)
		memcpy(ret, parts, (size_t)count * sizeof(*parts));
	return count;
}

// "icmp/8", "icmp/3/4"; of what spans several types, from where to where.
static const char *message_text(const char *name, const struct rule_service *service,
				char text[POLICY_SERVICE_TEXT_MAX])
{
	unsigned type = service->first >> 8, code = service->first & 255;
	if (service->first == service->last)
		snprintf(text, POLICY_SERVICE_TEXT_MAX, "%s/%u/%u", name, type, code);
	else if (code == 0 && service->last == service->first + 255)
		snprintf(text, POLICY_SERVICE_TEXT_MAX, "%s/%u", name, type);
	else
		snprintf(text, POLICY_SERVICE_TEXT_MAX, "%s/%u/%u-%u/%u", name, type, code,
			 service->last >> 8, service->last & 255);
	return text;
}

const char *policy_service_text(const struct rule_service *service,
				char text[POLICY_SERVICE_TEXT_MAX])
{
	bool all = service->first == 0 && service->last == UINT16_MAX;
	// ICMP alone goes by the name of both where a message follows, and by number where none does.
	bool both = service->protocols[1] != 0, icmp = service->protocols[0] == IPPROTO_ICMP;
	const struct known *found = NULL;
	for (size_t i = 0; i < KNOWN; i++)
		if (known[i].protocols[0] == service->protocols[0] && (!icmp || both || !all))
			found = &known[i];
	if (service->any_protocol)
		snprintf(text, POLICY_SERVICE_TEXT_MAX, "any");
	else if (!found)
		snprintf(text, POLICY_SERVICE_TEXT_MAX, "proto/%u", service->protocols[0]);
	else if (all || found->detail == DETAIL_NONE)
		snprintf(text, POLICY_SERVICE_TEXT_MAX, "%s", found->name);
	else if (found->detail == DETAIL_MESSAGE)
		message_text(found->name, service, text);
	else if (service->first == service->last)
		snprintf(text, POLICY_SERVICE_TEXT_MAX, "%s/%u", found->name, service->first);
	else
		snprintf(text, POLICY_SERVICE_TEXT_MAX, "%s/%u-%u", found->name, service->first,
			 service->last);
	return text;
}
