// SPDX-License-Identifier: Apache-2.0

#include "base/domain.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

#define LABEL_MAX 63u

static bool is_label(const char *text, size_t length)
{
	if (length == 0 || length > LABEL_MAX || text[0] == '-' || text[length - 1] == '-')
		return false;
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)text[i];
		if (c > 0x7f || (!isalnum(c) && c != '-' && c != '_'))
			return false;
	}
	return true;
}

bool domain_is_name(const char *text)
{
	if (strnlen(text, DOMAIN_TEXT_MAX) == DOMAIN_TEXT_MAX)
		return false;
	for (;;) {
		size_t length = strcspn(text, ".");
		if (!is_label(text, length))
			return false;
		if (text[length] == '\0')
			return true;
		text += length + 1;
	}
}
