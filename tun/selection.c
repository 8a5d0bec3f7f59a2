// SPDX-License-Identifier: Apache-2.0

#include "tun/selection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "pki/identity.h"
#include "tun/target.h"

static int parse_side(const json_t *request, const char *member, struct selection_side *ret,
		      struct error *error)
{
	const char *text = json_string_value(json_object_get(request, member));
	if (!text)
		return 0;
	if (prefix_parse(text, &ret->prefix) == 0)
		return 0;
	ret->prefix = (struct prefix){0};
	if (identity_pattern_check(text, NULL) < 0) {
		error_set(error, EINVAL, "\"%.256s\" is neither an identity nor an address", text);
		error_where(error, "--%s", member);
		return error_expected(error,
				      "\"spiffe://corp.example/laptop/*\" or \"10.20.0.0/16\"");
	}
	ret->identity = strdup(text);
	return ret->identity ? 0 : error_set(error, ENOMEM, "out of memory");
}

int selection_parse(const json_t *request, struct selection *ret, struct error *error)
{
	const json_t *port = json_object_get(request, "port");
	const char *protocol = json_string_value(json_object_get(request, "protocol"));
	*ret = (struct selection){0};
	int r = parse_side(request, "from", &ret->from, error);
	if (r == 0)
		r = parse_side(request, "to", &ret->to, error);
	if (r < 0)
		return r;
	ret->has_port = json_is_integer(port);
	ret->port = (uint16_t)json_integer_value(port);
	ret->has_protocol = protocol;
	if (protocol && target_protocol_parse(protocol, &ret->protocol) < 0) {
		error_set(error, EINVAL, "\"%.64s\" is no protocol", protocol);
		return error_expected(error, "\"tcp\", \"udp\", \"icmp\" ..., or a number");
	}
	return 0;
}

void selection_done(struct selection *selection)
{
	free(selection->from.identity);
	free(selection->to.identity);
	selection->from.identity = selection->to.identity = NULL;
}

static bool side_matches(const struct selection_side *side, const struct addr *addr,
			 const char *identity)
{
	if (side->identity && (!identity || !identity_match(side->identity, identity)))
		return false;
	return side->prefix.addr.family == AF_UNSPEC || prefix_contains(&side->prefix, addr);
}

bool selection_matches(const struct selection *selection, const struct flow_key *key,
		       uint16_t service, const char *from, const char *to)
{
	return side_matches(&selection->from, &key->from, from) &&
	       side_matches(&selection->to, &key->to, to) &&
	       (!selection->has_port || selection->port == service) &&
	       (!selection->has_protocol || selection->protocol == key->protocol);
}
