// SPDX-License-Identifier: Apache-2.0
// mutun trace: what becomes of the next packets, and why.
#pragma once

#define CMD_TRACE_OPTIONS                                                               \
	"  --from WHO         packets of this identity, pattern or network, and what\n" \
	"                     comes back to it\n"                                       \
	"  --to WHO           packets to it, and what it answers\n"                     \
	"  --port N           to this port (ICMP: type * 256 + code)\n"                 \
	"  --proto NAME       of this protocol: tcp, udp, icmp, ... or a number\n"      \
	"  --count N          end after so many packets; 10 if not given\n"             \
	"  --for SECONDS      end after so long; 60 if not given\n"                     \
	"  --json             answer in JSON, an object a line\n"

int cmd_trace(int argc, char **argv);
