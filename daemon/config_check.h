// SPDX-License-Identifier: Apache-2.0
// What no setting can be judged by alone. Only for the files config*.c.
#pragma once

struct config_reader;

// After config_read_sources(): adds errors about settings that do not go together.
void config_check(struct config_reader *reader);
