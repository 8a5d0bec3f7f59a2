// SPDX-License-Identifier: Apache-2.0
// `mutun renew`: when the running daemon renews its certificate; with --now it does so, and the command waits for what comes of it.
#pragma once

#define CMD_RENEW_OPTIONS                                                \
	"  --now              renew at once, and wait for the outcome\n" \
	"  --json             answer in JSON\n"

int cmd_renew(int argc, char **argv);
