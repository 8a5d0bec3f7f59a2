// SPDX-License-Identifier: Apache-2.0
// mutun policy check, explain, diff.
#pragma once

#define CMD_POLICY_CHECK_OPTIONS                                                      \
	"  FILE               a configuration, or a file with nothing but a policy\n" \
	"  --json             answer in JSON\n"
#define CMD_POLICY_EXPLAIN_OPTIONS                                                                \
	"  SERVICE            tcp/443, udp/53, icmp ...\n"                                        \
	"  --from WHO         identity or address that begins; this node if not given\n"          \
	"  --to WHO           identity or address that is reached; ADDR:PORT with --proto\n"      \
	"  --proto NAME, --port N   instead of SERVICE; tcp if only the port is said\n"           \
	"  --unit TEXT, --issuer NAME, --hardware   what the certificate of --from says, where\n" \
	"                     it is not connected\n"                                              \
	"  --at TIME          as if it were then, \"2026-12-01 10:00\"\n"                         \
	"  --inbound          what a node with links lets in\n"                                   \
	"  --file FILE        ask this file, not the running daemon\n"                            \
	"  --json             answer in JSON\n"
#define CMD_POLICY_DIFF_OPTIONS                                                     \
	"  OLD, NEW           configurations, or files with nothing but a policy\n" \
	"  --at TIME          as if it were then, \"2026-12-01 10:00\"\n"           \
	"  --json             answer in JSON\n"

int cmd_policy_check(int argc, char **argv);
int cmd_policy_explain(int argc, char **argv);
int cmd_policy_diff(int argc, char **argv);
