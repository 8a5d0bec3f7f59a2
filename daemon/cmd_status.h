// SPDX-License-Identifier: Apache-2.0
// The commands of `mutun` that talk to the running daemon. Each returns the exit code of the tool.
#pragma once

int cmd_status(int argc, char **argv);
int cmd_sessions(int argc, char **argv);
int cmd_routes(int argc, char **argv);
int cmd_reauth(int argc, char **argv);
int cmd_disconnect(int argc, char **argv);
