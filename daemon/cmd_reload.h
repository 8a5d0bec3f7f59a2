// SPDX-License-Identifier: Apache-2.0
// Another configuration, in three ways: at once, to look at first, or for a trial.
#pragma once

#define CMD_RELOAD_OPTIONS                                                                       \
	"  --plan             say what it would change, and change nothing\n"                    \
	"  --confirm SECONDS  take it back by itself unless \"mutun confirm\" follows in time\n" \
	"  --json             answer in JSON\n"

int cmd_reload(int argc, char **argv);
int cmd_confirm(int argc, char **argv);
