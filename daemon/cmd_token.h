// SPDX-License-Identifier: Apache-2.0
// The commands of `mutun` that make, list and revoke enrolment tokens on the CA. Each returns the exit code of the tool.
#pragma once

#define CMD_TOKEN_CA "/var/lib/mutun/ca" // where the CA is unless DIR is said
#define CMD_TOKEN_OPTIONS                                                                        \
	"  DIR                the CA; " CMD_TOKEN_CA " by default\n"                             \
	"  --identity ID      who the device will be: a SPIFFE ID, or its path in the trust\n"   \
	"                     domain; with a pattern (laptop/*) the device says which one\n"     \
	"  --ttl TIME         how long it can be used: 90s, 15m, 1h, 7d; 1h by default\n"        \
	"  --server HOST:PORT the gateway that enrols; this machine's name and 443 by default\n" \
	"  --gateway PATTERN  identity of that gateway; gateway/* by default\n"                  \
	"  --days N, --hours N, --seconds N\n"                                                   \
	"                     lifetime of the certificates; 24 hours by default\n"               \
	"  --json             answer in JSON\n"
#define CMD_TOKEN_LIST_OPTIONS                                       \
	"  DIR                the CA; " CMD_TOKEN_CA " by default\n" \
	"  --json             answer in JSON\n"

int cmd_token(int argc, char **argv);
int cmd_token_list(int argc, char **argv);
int cmd_token_revoke(int argc, char **argv);
