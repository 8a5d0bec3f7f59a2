// SPDX-License-Identifier: Apache-2.0
// Words of a policy for peers, against the links of the node: "inbound" knows who is at the other end of a link, and nobody else, and
// "rules" everybody but him.
#pragma once

struct config_reader;

// Warns of words that match nothing for that reason.
void config_policy_links(struct config_reader *reader);
