// SPDX-License-Identifier: Apache-2.0
// What is done to live sessions. Each returns the exit code of the tool.
#pragma once

int cmd_reauth(int argc, char **argv);
int cmd_disconnect(int argc, char **argv);
