// SPDX-License-Identifier: Apache-2.0

#include "daemon/config_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "daemon/config.h"
#include "daemon/config_read.h"
#include "daemon/config_space.h"
#include "daemon/config_trust.h"
#include "pki/key_uri.h"

// The kernel's own tables: default, main, local (linux/rtnetlink.h).
#define TABLE_RESERVED_MIN 253u
#define TABLE_RESERVED_MAX 255u

static void check_interface(struct config_reader *reader)
{
	static const char *const taken[] = {"lo", "all", "default"};
	const struct config_interface *interface = &reader->config->interface;
	const config_setting_t *at = config_read_place(reader, "interface.name", 0);
	for (size_t i = 0; at && i < sizeof(taken) / sizeof(taken[0]); i++)
		if (interface->name && strcmp(interface->name, taken[i]) == 0)
			error_expected(config_fault(reader->errors, at,
						    "\"%s\" belongs to the kernel", taken[i]),
				       "another name such as \"mutun0\"");
	at = config_read_place(reader, "interface.table", 0);
	if (at && interface->table >= TABLE_RESERVED_MIN && interface->table <= TABLE_RESERVED_MAX)
		error_expected(config_fault(reader->errors, at, "table %u belongs to the host",
					    interface->table),
			       "a number other than %u to %u", TABLE_RESERVED_MIN,
			       TABLE_RESERVED_MAX);
}

static void check_control(struct config_reader *reader)
{
	const char *path = reader->config->control_socket;
	const config_setting_t *at = config_read_place(reader, "control.socket", 0);
	size_t most = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
	if (at && path && strlen(path) > most)
		error_expected(config_fault(reader->errors, at,
					    "the path of the socket has %zu characters",
					    strlen(path)),
			       "at most %zu", most);
}

static void check_links(struct config_reader *reader)
{
	const struct config *config = reader->config;
	for (unsigned i = 0; i < config->link_count; i++) {
		const char *name = config->links[i].name;
		if (!name)
			continue;
		const config_setting_t *at = config_read_place(reader, "links", i);
		// What the gateway role itself adds to the host goes by this name.
		if (strcmp(name, "gateway") == 0)
			error_expected(config_fault(reader->errors, at,
						    "the name \"gateway\" is reserved"),
				       "another name");
		for (unsigned j = 0; j < i; j++) {
			if (!config->links[j].name || strcmp(config->links[j].name, name) != 0)
				continue;
			config_fault_twice(reader->errors, at, name,
					   config_read_place(reader, "links", j),
					   "a different name for every link");
			break;
		}
	}
}

static void check_federation(struct config_reader *reader)
{
	const struct config_node *node = &reader->config->node;
	for (unsigned i = 0; i < node->federation_count; i++) {
		const char *domain = node->federation[i].domain;
		for (unsigned j = 0; domain && j < i; j++) {
			const char *other = node->federation[j].domain;
			if (!other || strcmp(other, domain) != 0)
				continue;
			config_fault_twice(reader->errors,
					   config_read_place(reader, "node.federation", i), domain,
					   config_read_place(reader, "node.federation", j),
					   "each trust domain once");
			break;
		}
	}
}

static void check_listen(struct config_reader *reader)
{
	const struct config_gateway *gateway = &reader->config->gateway;
	char text[ENDPOINT_TEXT_MAX];
	for (unsigned i = 0; i < gateway->listen_count; i++) {
		const struct endpoint *listen = &gateway->listen[i];
		for (unsigned j = 0; listen->port && j < i; j++) {
			if (!endpoint_equal(listen, &gateway->listen[j]))
				continue;
			config_fault_twice(reader->errors,
					   config_read_place(reader, "gateway.listen", i),
					   endpoint_text(listen, text),
					   config_read_place(reader, "gateway.listen", j),
					   "each endpoint once");
			break;
		}
	}
}

// Whether something is set, be it right or wrong.
static bool anything_to_do(const struct config_reader *reader)
{
	for (unsigned i = 0; i < reader->source_count; i++) {
		const config_setting_t *links = config_read_find(reader->sources[i], "links");
		if (links && (!config_setting_is_list(links) || config_setting_length(links) > 0))
			return true;
	}
	return reader->config->gateway.enabled;
}

static void check_lists(struct config_reader *reader)
{
	const struct config_revocation *revocation = &reader->config->revocation;
	for (unsigned i = 0; i < revocation->list_count; i++) {
		const struct config_list *list = &revocation->lists[i];
		const config_setting_t *at = config_read_place(reader, "revocation.lists", i);
		if (!config_setting_is_group(at))
			continue;
		if (!config_setting_get_member(at, "file") == !config_setting_get_member(at, "url"))
			error_expected(
				config_fault(reader->errors, at, "a list comes from one place"),
				"either \"file\" or \"url\"");
		if (list->refresh_min_s > list->refresh_max_s)
			error_expected(config_fault(reader->errors, at,
						    "refresh_min is %u, refresh_max %u",
						    list->refresh_min_s, list->refresh_max_s),
				       "no less than refresh_min");
	}
}

// A renewal makes a new key, and writes it.
static void check_renewal(struct config_reader *reader)
{
	const struct config *config = reader->config;
	if (!config->renewal.url || !config->node.key || !key_uri_is(config->node.key))
		return;
	for (unsigned i = 0; i < reader->source_count; i++) {
		const config_setting_t *at = config_read_find(reader->sources[i], "renewal.url");
		if (at)
			error_remedy(config_fault(reader->errors, at,
						  "node.key is no file, which "
						  "a renewal would write"),
				     "leave renewal.url away: whoever keeps the key renews the "
				     "certificate");
	}
}

void config_check(struct config_reader *reader)
{
	check_renewal(reader);
	check_interface(reader);
	check_control(reader);
	check_federation(reader);
	config_trust_check(reader);
	check_links(reader);
	check_lists(reader);
	check_listen(reader);
	config_space_check(reader);
	if (!anything_to_do(reader) && !reader->broken && !reader->only_policy)
		error_remedy(config_fault_line(reader->errors, reader->sources[0], 0,
					       "nothing to do: neither \"gateway\" nor \"links\" "
					       "is set"),
			     "add a group \"gateway\" or a list \"links\"");
}
