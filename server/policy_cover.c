// SPDX-License-Identifier: Apache-2.0

#include "server/policy_cover.h"

#include <string.h>

#include "pki/identity.h"

static bool same_or_any(const char *wide, const char *narrow)
{
	return !wide || (narrow && strcmp(wide, narrow) == 0);
}

bool policy_peer_covers(const struct rule_peer *wide, const struct rule_peer *narrow)
{
	return (!wide->hardware || narrow->hardware) && same_or_any(wide->issuer, narrow->issuer) &&
	       same_or_any(wide->unit, narrow->unit) &&
	       (!wide->identity ||
		(narrow->identity && identity_pattern_covers(wide->identity, narrow->identity)));
}

bool policy_group_covers(const struct rule_group *wide, const struct rule_group *narrow)
{
	for (unsigned i = 0; i < narrow->peer_count; i++) {
		bool covered = false;
		for (unsigned j = 0; !covered && j < wide->peer_count; j++)
			covered = policy_peer_covers(&wide->peers[j], &narrow->peers[i]);
		if (!covered)
			return false;
	}
	return narrow->peer_count > 0;
}

bool policy_net_covers(const struct rule_net *wide, const struct rule_net *narrow)
{
	for (unsigned i = 0; i < narrow->prefix_count; i++) {
		bool covered = false;
		for (unsigned j = 0; !covered && j < wide->prefix_count; j++)
			covered = prefix_covers(&wide->prefixes[j], &narrow->prefixes[i]);
		if (!covered)
			return false;
	}
	return narrow->prefix_count > 0;
}

static bool has_protocol(const struct rule_service *service, uint8_t protocol)
{
	return service->protocols[0] == protocol ||
	       (service->protocols[1] && service->protocols[1] == protocol);
}

bool policy_service_covers(const struct rule_service *wide, const struct rule_service *narrow)
{
	if (wide->any_protocol || narrow->any_protocol)
		return wide->any_protocol;
	return has_protocol(wide, narrow->protocols[0]) &&
	       (!narrow->protocols[1] || has_protocol(wide, narrow->protocols[1])) &&
	       wide->first <= narrow->first && narrow->last <= wide->last;
}

bool policy_services_cover(const struct rule *wide, const struct rule *narrow)
{
	for (unsigned i = 0; i < narrow->service_count; i++) {
		bool covered = false;
		for (unsigned j = 0; !covered && j < wide->service_count; j++)
			covered = policy_service_covers(&wide->services[j], &narrow->services[i]);
		if (!covered)
			return false;
	}
	return narrow->service_count > 0;
}

static bool hours_cover(const struct rule_hours *wide, const struct rule_hours *narrow)
{
	return (wide->days & narrow->days) == narrow->days && wide->from_min == narrow->from_min &&
	       wide->to_min == narrow->to_min;
}

bool policy_times_cover(const struct rule *wide, const struct rule *narrow)
{
	if (wide->expires && (!narrow->expires || narrow->expires > wide->expires))
		return false;
	if (wide->hour_count == 0)
		return true;
	if (narrow->hour_count == 0 || narrow->zone != wide->zone)
		return false;
	for (unsigned i = 0; i < narrow->hour_count; i++) {
		bool covered = false;
		for (unsigned j = 0; !covered && j < wide->hour_count; j++)
			covered = hours_cover(&wide->hours[j], &narrow->hours[i]);
		if (!covered)
			return false;
	}
	return true;
}
