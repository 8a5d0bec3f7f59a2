// SPDX-License-Identifier: Apache-2.0
// What a policy says, as one number: SHA-256 over its rules with all names resolved. Names, places and comments do not count, the
// order of rules does.
#pragma once

#include "tun/rule.h"

#define POLICY_DIGEST_SIZE 65 // hexadecimal digits and a NUL

// -ENOMEM.
int policy_digest(const struct rules *rules, char ret[POLICY_DIGEST_SIZE]);
