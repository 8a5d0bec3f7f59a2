// SPDX-License-Identifier: Apache-2.0
// mutun explain: what both ends of a tunnel would make of a packet now.
#pragma once

#define CMD_EXPLAIN_OPTIONS                                                                  \
	"  --to ADDRESS       where the packet goes\n"                                       \
	"  --from WHO         who sends it: an identity that is connected, or an address;\n" \
	"                     this node if not given\n"                                      \
	"  --port N           the destination's port (ICMP: type * 256 + code)\n"            \
	"  --proto NAME       tcp if not given\n"                                            \
	"  --json             answer in JSON, an object a line\n"

int cmd_explain(int argc, char **argv);
