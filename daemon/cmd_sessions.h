// SPDX-License-Identifier: Apache-2.0
// Tables of the running daemon that may be long. Each returns the exit code of the tool.
#pragma once

int cmd_sessions(int argc, char **argv);
int cmd_routes(int argc, char **argv);
