// SPDX-License-Identifier: Apache-2.0
// `mutun join`: makes a device a node, with a token from `mutun enrol-token`. Returns the exit code of the tool.
#pragma once

#define CMD_JOIN_OPTIONS                                                                        \
	"  SERVER:PORT        the gateway, as the token's owner said it\n"                      \
	"  TOKEN              or \"-\": it is read from standard input\n"                       \
	"  --identity ID      which one this device is, where the token is for a pattern\n"     \
	"  --state DIR        where certificate, key and trust go; /var/lib/mutun by default\n" \
	"  --config FILE      the configuration, written where there is none yet;\n"            \
	"                     /etc/mutun/mutun.conf by default\n"                               \
	"  --no-start         leave starting mutund to others\n"                                \
	"  --json             answer in JSON\n"

int cmd_join(int argc, char **argv);
