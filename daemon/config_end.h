// SPDX-License-Identifier: Apache-2.0
// Which addresses a peer would have by a configuration.
#pragma once

struct config;
struct policy_end;

// Completes an end that has an identity: fixed addresses, those of a site behind it, or the first that a pool gives away. What is known
// already stays.
void config_end_addresses(const struct config *config, struct policy_end *end);
