// SPDX-License-Identifier: Apache-2.0
// The text of a token. One that is accepted names a server by a pattern, and is written again as something that means the same.

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "pki/identity.h"
#include "pki/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(const struct token *token)
{
	struct token again;
	char *text = token_text(token);

	if (!text || token_parse(text, &again, NULL) < 0 ||
	    strcmp(again.server, token->server) != 0 ||
	    memcmp(again.root, token->root, sizeof(again.root)) != 0 ||
	    memcmp(again.secret, token->secret, sizeof(again.secret)) != 0)
		abort();
	token_done(&again);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error error = {0};
	struct token token;
	char *text = strndup((const char *)data, size);

	if (!text)
		return 0;
	if (token_parse(text, &token, &error) == 0) {
		if (identity_pattern_check(token.server, NULL) < 0)
			abort();
		check_again(&token);
		token_done(&token);
	} else if (error.what[0] == '\0') {
		abort();
	}
	free(text);
	return 0;
}
