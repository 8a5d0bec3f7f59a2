// SPDX-License-Identifier: Apache-2.0
// Whose address space is what: pools, networks of sites, fixed addresses, and what is translated. Only for the files config*.c.
#pragma once

struct config_reader;

void config_space_check(struct config_reader *reader);
