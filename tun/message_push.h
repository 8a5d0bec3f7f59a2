// SPDX-License-Identifier: Apache-2.0
// What READY and CONFIG say beyond addresses and routes: whom the client asks for names, and how fast its session may be
// (PROTOCOL.md, 3). All of it may be left out. Only for message.h and those who fill it.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>

#include "base/addr.h"
#include "base/domain.h"

struct fields;

#define MESSAGE_DNS_SERVERS_MAX 8u
#define MESSAGE_DNS_DOMAINS_MAX 16u
#define MESSAGE_RATE_MAX	(UINT64_C(1) << 40) // bits per second

struct message_push {
	struct addr servers[MESSAGE_DNS_SERVERS_MAX];
	unsigned server_count;
	char domains[MESSAGE_DNS_DOMAINS_MAX]
		    [DOMAIN_TEXT_MAX]; // in lower case or not, without a final dot
	unsigned domain_count;
	uint64_t rate; // bits per second in each direction, which the gateway enforces; 0: no limit
};

// For message_encode() and message_decode(). False: out of memory.
bool message_push_encode(const struct message_push *push, json_t *object);
void message_push_decode(struct fields *fields, struct message_push *ret);
