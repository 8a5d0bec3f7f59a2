// SPDX-License-Identifier: Apache-2.0
// mutun flows: what passes now, what begins, what is refused.
#pragma once

#define CMD_FLOWS_OPTIONS                                                                     \
	"  --from WHO         flows that this identity, pattern or network began\n"           \
	"  --to WHO           flows to it\n"                                                  \
	"  --port N           to this port (ICMP: type * 256 + code)\n"                       \
	"  --proto NAME       of this protocol: tcp, udp, icmp, ... or a number\n"            \
	"  --denied           what was refused lately, or (with --follow) is refused\n"       \
	"  --follow           what begins and what is refused from now on\n"                  \
	"  --for SECONDS      end after so long (with --follow)\n"                            \
	"  --limit N          rows of the table, 1000 if not given; the others are counted\n" \
	"  --json             answer in JSON; with --follow an object a line\n"

int cmd_flows(int argc, char **argv);
