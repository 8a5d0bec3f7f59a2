// SPDX-License-Identifier: Apache-2.0
// The table of settings in parts, one a file. Groups stand before their members; that is also the order of the manual. `max` of
// arrays and lists bounds what one daemon holds and, for what is pushed to clients, what fits a control message. Only for the
// files setting*.c.
#pragma once

#include "daemon/setting.h"

struct setting_table {
	const struct setting *settings;
	size_t count;
};

extern const struct setting_table setting_node; // node, renewal
extern const struct setting_table setting_revocation;
extern const struct setting_table setting_tunnel;  // interface, offload
extern const struct setting_table setting_gateway; // gateway, but for:
extern const struct setting_table setting_profile; // gateway.dns, gateway.profiles
extern const struct setting_table setting_role;	   // links, log, control
extern const struct setting_table setting_policy;
extern const struct setting_table setting_audit;
