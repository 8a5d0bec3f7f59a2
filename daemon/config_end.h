// SPDX-License-Identifier: Apache-2.0
// Which addresses a peer would have by a configuration.
#pragma once

struct addr;
struct config;
struct policy_end;

// Whether an address is one of the node's own in the tunnel. What a link brings, a configuration does not say: MAYBE, where it leads the
// address nowhere else.
enum config_own { CONFIG_OWN_NO, CONFIG_OWN_YES, CONFIG_OWN_MAYBE };
enum config_own config_end_own(const struct config *config, const struct addr *addr);

// Completes an end that has an identity: fixed addresses, those of a site behind it, or the first that a pool gives away. What is known
// already stays.
void config_end_addresses(const struct config *config, struct policy_end *end);
