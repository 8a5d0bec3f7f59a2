// SPDX-License-Identifier: Apache-2.0
// What is up on this node. Returns the exit code of the tool.
#pragma once

int cmd_status(int argc, char **argv);
