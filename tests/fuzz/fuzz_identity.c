// SPDX-License-Identifier: Apache-2.0
// Text to identity and to pattern. An accepted identity is canonical, is a pattern of its own, and matches itself.

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "pki/identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_identity(const uint8_t *data, size_t size)
{
	char *identity = NULL, *again = NULL;
	struct error error = {0};

	if (identity_parse(data, size, &identity, &error) < 0) {
		if (error.what[0] == '\0')
			abort();
		return;
	}
	if (identity_parse(identity, strlen(identity), &again, NULL) < 0 ||
	    strcmp(identity, again) != 0 || strlen(identity) != size ||
	    identity_pattern_check(identity, NULL) < 0 || !identity_match(identity, identity))
		abort();
	free(again);
	free(identity);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error error = {0};

	check_identity(data, size);
	char *pattern = strndup((const char *)data, size);
	if (!pattern)
		return 0;
	if (identity_pattern_check(pattern, &error) == 0)
		identity_match(pattern, "spiffe://corp.example/aa/ab-ba/aaaaaaab");
	else if (error.what[0] == '\0')
		abort();
	free(pattern);
	return 0;
}
