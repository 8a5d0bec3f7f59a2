// SPDX-License-Identifier: Apache-2.0

#include "tun/target.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>

static const struct {
	const char *name;
	uint8_t number;
} protocols[] = {
	{"tcp", IPPROTO_TCP},	{"udp", IPPROTO_UDP},	    {"icmp", IPPROTO_ICMP},
	{"sctp", IPPROTO_SCTP}, {"icmpv6", IPPROTO_ICMPV6}, {"esp", IPPROTO_ESP},
	{"gre", IPPROTO_GRE},	{"ah", IPPROTO_AH},
};
#define PROTOCOLS (sizeof(protocols) / sizeof(protocols[0]))

const char *target_protocol_text(uint8_t protocol, char *text)
{
	snprintf(text, TARGET_TEXT_MAX, "proto/%u", protocol);
	for (size_t i = 0; i < PROTOCOLS; i++)
		if (protocols[i].number == protocol)
			snprintf(text, TARGET_TEXT_MAX, "%s", protocols[i].name);
	return text;
}

int target_protocol_parse(const char *text, uint8_t *ret)
{
	const char *digits = strncmp(text, "proto/", 6) == 0 ? text + 6 : text;
	char *end;
	for (size_t i = 0; i < PROTOCOLS; i++) {
		if (strcmp(text, protocols[i].name) != 0)
			continue;
		*ret = protocols[i].number;
		return 0;
	}
	unsigned long number = strtoul(digits, &end, 10);
	if (digits[0] < '0' || digits[0] > '9' || *end || number > UINT8_MAX)
		return -EINVAL;
	*ret = (uint8_t)number;
	return 0;
}

const char *target_text(uint8_t protocol, const struct addr *addr, uint16_t port, char *text)
{
	char name[TARGET_TEXT_MAX], where[ENDPOINT_TEXT_MAX];
	struct endpoint endpoint = {.addr = *addr, .port = port};
	target_protocol_text(protocol, name);
	addr_text(addr, where);
	if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6)
		snprintf(text, TARGET_TEXT_MAX, "%.15s/%u/%u %.50s", name, port >> 8, port & 0xff,
			 where);
	else if (port)
		snprintf(text, TARGET_TEXT_MAX, "%.15s %.60s", name,
			 endpoint_text(&endpoint, where));
	else
		snprintf(text, TARGET_TEXT_MAX, "%.15s %.50s", name, where);
	return text;
}
