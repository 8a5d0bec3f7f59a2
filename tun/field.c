// SPDX-License-Identifier: Apache-2.0

#include "tun/field.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/evp.h>

#include "base/addr.h"
#include "base/base64.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/hex.h"

#define HEX_MAX 32u // bytes

struct fields fields_over(const json_t *object, const char *name, struct error *error)
{
	return (struct fields){.object = object, .name = name, .error = error};
}

void field_fault(struct fields *fields, const char *member, const char *what, const char *expected)
{
	if (fields->result < 0)
		return;
	fields->result = -EPROTO;
	error_set(fields->error, EPROTO, "%s.%s %s", fields->name, member, what);
	error_expected(fields->error, "%s", expected);
}

bool field_present(const struct fields *fields, const char *member)
{
	return json_object_get(fields->object, member) != NULL;
}

// NULL once there is a fault.
static const json_t *find(struct fields *fields, const char *member, const char *expected)
{
	const json_t *value = json_object_get(fields->object, member);
	if (!value)
		field_fault(fields, member, "is missing", expected);
	return fields->result < 0 ? NULL : value;
}

int64_t field_integer(struct fields *fields, const char *member, int64_t min, int64_t max)
{
	char expected[80];
	char what[40] = "is not an integer";
	snprintf(expected, sizeof(expected), "an integer from %" PRId64 " to %" PRId64, min, max);
	const json_t *value = find(fields, member, expected);
	if (!value)
		return 0;
	int64_t number = json_integer_value(value);
	if (json_is_integer(value) && number >= min && number <= max)
		return number;
	if (json_is_integer(value))
		snprintf(what, sizeof(what), "is %" PRId64, number);
	field_fault(fields, member, what, expected);
	return 0;
}

bool field_bool(struct fields *fields, const char *member)
{
	const json_t *value = find(fields, member, "true or false");
	if (value && !json_is_boolean(value))
		field_fault(fields, member, "is not a boolean", "true or false");
	return json_is_true(value);
}

// Bytes of the well-formed character (RFC 3629, 4) at `text`, which ends in NUL; 0 when there is none, or when it is a
// control character (C0, DEL, C1).
static size_t character_size(const char *text)
{
	static const uint32_t least[] = {0, 0x20, 0xa0, 0x800, 0x10000};
	uint8_t first = (uint8_t)text[0];
	size_t size = 1;
	uint32_t code = first;
	if ((first & 0xe0) == 0xc0)
		size = 2, code = first & 0x1f;
	else if ((first & 0xf0) == 0xe0)
		size = 3, code = first & 0x0f;
	else if ((first & 0xf8) == 0xf0)
		size = 4, code = first & 0x07;
	else if (first >= 0x7f)
		return 0;
	for (size_t i = 1; i < size; i++) {
		if (((uint8_t)text[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | ((uint8_t)text[i] & 0x3f);
	}
	bool surrogate = code >= 0xd800 && code < 0xe000;
	return code < least[size] || code > 0x10ffff || surrogate ? 0 : size;
}

void field_text(struct fields *fields, const char *member, char *ret, size_t size)
{
	static const char expected[] = "a short text without control characters";
	const json_t *value = find(fields, member, expected);
	ret[0] = '\0';
	if (!value)
		return;
	const char *text = json_string_value(value);
	if (!text) {
		field_fault(fields, member, "is not a string", expected);
		return;
	}
	if (json_string_length(value) >= size) {
		field_fault(fields, member, "is too long", expected);
		return;
	}
	for (const char *c = text; *c; c += character_size(c)) {
		if (character_size(c) > 0)
			continue;
		field_fault(fields, member, "has a control character", expected);
		return;
	}
	memcpy(ret, text, json_string_length(value) + 1);
}

const char *field_word(struct fields *fields, const char *member)
{
	const json_t *value = find(fields, member, "a string");
	if (value && !json_is_string(value))
		field_fault(fields, member, "is not a string", "a string");
	return json_string_value(value);
}

void field_addr(struct fields *fields, const char *member, struct addr *ret)
{
	const char *text = field_word(fields, member);
	*ret = (struct addr){0};
	if (text && addr_parse(text, ret) < 0)
		field_fault(fields, member, "is malformed", "an IP address");
}

void field_hex(struct fields *fields, const char *member, uint8_t *ret, size_t size)
{
	char expected[40];
	const char *text = field_word(fields, member);
	memset(ret, 0, size);
	if (!text)
		return;
	snprintf(expected, sizeof(expected), "%zu hex digits", 2 * size);
	if (hex_parse(text, strlen(text), ret, size) < 0)
		field_fault(fields, member, "is malformed", expected);
}

uint8_t *field_bytes(struct fields *fields, const char *member, size_t max, size_t *ret_size)
{
	const char *text = field_word(fields, member);
	size_t length = text ? strlen(text) : 0;
	char expected[64];
	if (!text)
		return NULL;
	snprintf(expected, sizeof(expected), "1 to %zu bytes in base64", max);
	uint8_t *bytes = length > 0 && length <= (max + 2) / 3 * 4
				 ? base64_parse(text, length, ret_size)
				 : NULL;
	if (!bytes)
		field_fault(fields, member, "is malformed or too long", expected);
	return bytes;
}

const json_t *field_array(struct fields *fields, const char *member, size_t max)
{
	char expected[48];
	snprintf(expected, sizeof(expected), "an array of at most %zu", max);
	const json_t *value = find(fields, member, expected);
	if (!value)
		return NULL;
	if (json_is_array(value) && json_array_size(value) <= max)
		return value;
	field_fault(fields, member, json_is_array(value) ? "has too many elements" : "is no array",
		    expected);
	return NULL;
}

unsigned field_hashes(struct fields *fields, const char *member, uint8_t (*ret)[FIELD_HASH_SIZE],
		      size_t max)
{
	const json_t *array = field_array(fields, member, max);
	unsigned count = 0;
	size_t i;
	json_t *value;
	json_array_foreach (array, i, value) {
		const char *text = json_string_value(value);
		if (!text || hex_parse(text, strlen(text), ret[count], FIELD_HASH_SIZE) < 0) {
			field_fault(fields, member, "has a malformed element",
				    "hashes of 64 hex digits");
			return 0;
		}
		count++;
	}
	return count;
}

// As prefix_parse(), but the length must be there, and with `hosts` host bits may be set.
static int parse_prefix(const char *text, bool hosts, struct prefix *ret)
{
	char head[ADDR_TEXT_MAX], zero[PREFIX_TEXT_MAX];
	struct prefix prefix;
	struct addr addr;
	const char *slash = strchr(text, '/');
	if (!slash)
		return -EINVAL;
	if (!hosts)
		return prefix_parse(text, ret);
	if (snprintf(head, sizeof(head), "%.*s", (int)(slash - text), text) >= (int)sizeof(head) ||
	    addr_parse(head, &addr) < 0)
		return -EINVAL;
	const char *none = addr.family == AF_INET ? "0.0.0.0" : "::";
	if (snprintf(zero, sizeof(zero), "%s%s", none, slash) >= (int)sizeof(zero) ||
	    prefix_parse(zero, &prefix) < 0)
		return -EINVAL;
	*ret = (struct prefix){.addr = addr, .length = prefix.length};
	return 0;
}

unsigned field_prefixes(struct fields *fields, const char *member, bool hosts, struct prefix *ret,
			size_t max)
{
	const json_t *array = field_array(fields, member, max);
	unsigned count = 0;
	size_t i;
	json_t *value;
	json_array_foreach (array, i, value) {
		const char *text = json_string_value(value);
		if (!text || parse_prefix(text, hosts, &ret[count]) < 0) {
			field_fault(fields, member, "has a malformed element",
				    hosts ? "addresses such as 10.1.2.3/24"
					  : "networks such as 10.1.2.0/24");
			return 0;
		}
		count++;
	}
	return count;
}

json_t *field_new_text(const char *text, size_t size)
{
	char *clean = strndup(text, size - 1);
	for (char *c = clean; c && *c;) {
		size_t step = character_size(c);
		if (step == 0)
			*c = '?';
		c += step ? step : 1;
	}
	json_t *value = json_string(clean);
	free(clean);
	return value;
}

json_t *field_new_addr(const struct addr *addr)
{
	char text[ADDR_TEXT_MAX];
	return json_string(addr_text(addr, text));
}

json_t *field_new_bytes(const uint8_t *data, size_t size)
{
	_cleanup_(freep) char *text = malloc(BASE64_TEXT_MAX(size));

	return text ? json_string(base64_text(data, size, text)) : NULL;
}

json_t *field_new_hex(const uint8_t *data, size_t size)
{
	char text[HEX_TEXT_MAX(HEX_MAX)];
	return json_string(hex_text(data, size < HEX_MAX ? size : HEX_MAX, text));
}

json_t *field_new_hashes(const uint8_t (*hashes)[FIELD_HASH_SIZE], size_t count)
{
	json_auto_t *array = json_array();
	for (size_t i = 0; array && i < count; i++)
		if (json_array_append_new(array, field_new_hex(hashes[i], FIELD_HASH_SIZE)) < 0)
			return NULL;
	return json_incref(array);
}

json_t *field_new_prefixes(const struct prefix *prefixes, size_t count)
{
	char text[PREFIX_TEXT_MAX];
	json_auto_t *array = json_array();
	for (size_t i = 0; array && i < count; i++)
		if (json_array_append_new(array, json_string(prefix_text(&prefixes[i], text))) < 0)
			return NULL;
	return json_incref(array);
}
