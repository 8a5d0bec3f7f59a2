// SPDX-License-Identifier: Apache-2.0

#include "tun/message_push.h"

#include <string.h>

#include "tun/field.h"

static json_t *new_servers(const struct message_push *push)
{
	json_t *array = json_array();
	char text[ADDR_TEXT_MAX];
	for (unsigned i = 0; i < push->server_count; i++)
		if (json_array_append_new(array, json_string(addr_text(&push->servers[i], text))) <
		    0) {
			json_decref(array);
			return NULL;
		}
	return array;
}

static json_t *new_domains(const struct message_push *push)
{
	json_t *array = json_array();
	for (unsigned i = 0; i < push->domain_count; i++)
		if (json_array_append_new(array, json_string(push->domains[i])) < 0) {
			json_decref(array);
			return NULL;
		}
	return array;
}

bool message_push_encode(const struct message_push *push, json_t *object)
{
	bool good = push->server_count == 0 ||
		    json_object_set_new(object, "dns_servers", new_servers(push)) == 0;
	good &= push->domain_count == 0 ||
		json_object_set_new(object, "dns_domains", new_domains(push)) == 0;
	return good &
	       (push->rate == 0 || json_object_set_new(object, "bandwidth",
						       json_integer((json_int_t)push->rate)) == 0);
}

static void decode_servers(struct fields *fields, struct message_push *ret)
{
	const json_t *array = field_array(fields, "dns_servers", MESSAGE_DNS_SERVERS_MAX);
	size_t i;
	json_t *value;
	json_array_foreach (array, i, value) {
		const char *text = json_string_value(value);
		struct addr *server = &ret->servers[ret->server_count];
		if (!text || addr_parse(text, server) < 0 || !addr_assignable(server)) {
			field_fault(fields, "dns_servers", "has a malformed element",
				    "addresses of hosts such as 10.1.2.53");
			return;
		}
		ret->server_count++;
	}
}

static void decode_domains(struct fields *fields, struct message_push *ret)
{
	const json_t *array = field_array(fields, "dns_domains", MESSAGE_DNS_DOMAINS_MAX);
	size_t i;
	json_t *value;
	json_array_foreach (array, i, value) {
		const char *text = json_string_value(value);
		if (!text || !domain_is_name(text)) {
			field_fault(fields, "dns_domains", "has a malformed element",
				    "names such as corp.example");
			return;
		}
		memcpy(ret->domains[ret->domain_count++], text, strlen(text) + 1);
	}
}

void message_push_decode(struct fields *fields, struct message_push *ret)
{
	if (field_present(fields, "dns_servers"))
		decode_servers(fields, ret);
	if (field_present(fields, "dns_domains"))
		decode_domains(fields, ret);
	if (field_present(fields, "bandwidth"))
		ret->rate =
			(uint64_t)field_integer(fields, "bandwidth", 1, (int64_t)MESSAGE_RATE_MAX);
}
