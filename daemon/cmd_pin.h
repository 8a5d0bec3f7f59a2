// SPDX-License-Identifier: Apache-2.0
// `mutun pin`: the pins of what is in a file, for node.pins.
#pragma once

#define CMD_PIN_OPTIONS                                                                     \
	"  FILE               PEM: certificates, requests, public or private keys, in any " \
	"order\n"                                                                           \
	"  --json             answer in JSON\n"

int cmd_pin(int argc, char **argv);
