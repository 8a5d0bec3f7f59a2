// SPDX-License-Identifier: Apache-2.0
// What fixtures need to be true: else the process ends and says which line it was.
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <openssl/err.h>

#define must(condition)                                                                 \
	do {                                                                            \
		if (!(condition)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			ERR_print_errors_fp(stderr);                                    \
			abort();                                                        \
		}                                                                       \
	} while (0)
