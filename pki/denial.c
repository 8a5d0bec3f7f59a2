// SPDX-License-Identifier: Apache-2.0

#include "pki/denial.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/hex.h"
#include "pki/denial_signer.h"

#define FIELDS_MAX 8
#define NUMBER_MAX 19 // decimal digits

static const struct {
	const char *name;
	enum denial_reason reason;
} reasons[] = {
	{"unspecified", DENIAL_UNSPECIFIED},
	{"keyCompromise", DENIAL_KEY_COMPROMISE},
	{"cACompromise", DENIAL_CA_COMPROMISE},
	{"affiliationChanged", DENIAL_AFFILIATION_CHANGED},
	{"superseded", DENIAL_SUPERSEDED},
	{"cessationOfOperation", DENIAL_CESSATION_OF_OPERATION},
	{"privilegeWithdrawn", DENIAL_PRIVILEGE_WITHDRAWN},
};
#define REASONS (sizeof(reasons) / sizeof(reasons[0]))

// A part of the line.
struct field {
	const char *text;
	size_t size;
};

const char *denial_reason_name(enum denial_reason reason)
{
	for (size_t i = 0; i < REASONS; i++)
		if (reasons[i].reason == reason)
			return reasons[i].name;
	return reasons[0].name;
}

static int find_reason(const char *name, size_t size, enum denial_reason *ret)
{
	for (size_t i = 0; i < REASONS; i++) {
		if (strlen(reasons[i].name) != size || memcmp(reasons[i].name, name, size) != 0)
			continue;
		*ret = reasons[i].reason;
		return 0;
	}
	return -EINVAL;
}

int denial_reason_parse(const char *name, enum denial_reason *ret)
{
	return find_reason(name, strlen(name), ret);
}

size_t denial_name_serial(const uint8_t issuer_key[SPKI_HASH_SIZE], const uint8_t *serial,
			  size_t size, uint8_t ret[DENIAL_NAME_MAX])
{
	ret[0] = DENIAL_SERIAL;
	memcpy(ret + 1, issuer_key, SPKI_HASH_SIZE);
	memcpy(ret + 1 + SPKI_HASH_SIZE, serial, size);
	return 1 + SPKI_HASH_SIZE + size;
}

size_t denial_name_key(const uint8_t key[SPKI_HASH_SIZE], uint8_t ret[DENIAL_NAME_MAX])
{
	ret[0] = DENIAL_KEY;
	memcpy(ret + 1, key, SPKI_HASH_SIZE);
	return 1 + SPKI_HASH_SIZE;
}

size_t denial_name_identity(const char *identity, uint8_t ret[DENIAL_NAME_MAX])
{
	size_t size = strlen(identity);

	if (size > IDENTITY_MAX)
		return 0;
	ret[0] = DENIAL_IDENTITY;
	memcpy(ret + 1, identity, size); // NOLINT(bugprone-not-null-terminated-result)
	return 1 + size;
}

// Exactly one space between fields. Returns their number, 0: too many, or an empty one.
static size_t split(const char *text, size_t size, struct field fields[FIELDS_MAX])
{
	const char *end = text + size;
	size_t count = 0;

	while (text <= end) {
		const char *space = memchr(text, ' ', (size_t)(end - text));
		const char *stop = space ? space : end;
		if (count == FIELDS_MAX || stop == text)
			return 0;
		fields[count++] = (struct field){text, (size_t)(stop - text)};
		text = stop + 1;
	}
	return count;
}

static bool is(const struct field *field, const char *word)
{
	return field->size == strlen(word) && memcmp(field->text, word, field->size) == 0;
}

static int read_number(const struct field *field, uint64_t *ret)
{
	uint64_t value = 0;

	if (field->size > NUMBER_MAX || (field->text[0] == '0' && field->size > 1))
		return -EINVAL;
	for (size_t i = 0; i < field->size; i++) {
		if (field->text[i] < '0' || field->text[i] > '9')
			return -EINVAL;
		value = value * 10 + (uint64_t)(field->text[i] - '0');
	}
	if (value > INT64_MAX)
		return -EINVAL;
	*ret = value;
	return 0;
}

static int read_time(const struct field *field, time_t *ret)
{
	uint64_t value;
	int r = read_number(field, &value);

	if (r == 0)
		*ret = (time_t)value;
	return r;
}

// In lower case only: as what was signed.
static int read_hex(const struct field *field, uint8_t *ret, size_t min, size_t max,
		    size_t *ret_size)
{
	size_t size = field->size / 2;

	if (size < min || size > max)
		return -EINVAL;
	for (size_t i = 0; i < field->size; i++)
		if (isupper((unsigned char)field->text[i]))
			return -EINVAL;
	int r = hex_parse(field->text, field->size, ret, size);
	if (r == 0)
		*ret_size = size;
	return r;
}

static int read_name(const struct field *fields, enum denial_kind kind,
		     uint8_t name[DENIAL_NAME_MAX], size_t *ret_size)
{
	uint8_t key[SPKI_HASH_SIZE], serial[SERIAL_MAX];
	_cleanup_(freep) char *identity = NULL;
	size_t size;

	if (kind == DENIAL_IDENTITY) {
		// The canonical text only: what is compared is what was signed.
		if (identity_parse(fields[0].text, fields[0].size, &identity, NULL) < 0 ||
		    !is(&fields[0], identity))
			return -EINVAL;
		*ret_size = denial_name_identity(identity, name);
		return *ret_size ? 0 : -EINVAL;
	}
	if (read_hex(&fields[0], key, SPKI_HASH_SIZE, SPKI_HASH_SIZE, &size) < 0)
		return -EINVAL;
	if (kind == DENIAL_KEY) {
		*ret_size = denial_name_key(key, name);
		return 0;
	}
	if (read_hex(&fields[1], serial, 1, SERIAL_MAX, &size) < 0 || serial[0] == 0)
		return -EINVAL;
	*ret_size = denial_name_serial(key, serial, size, name);
	return 0;
}

// The fields from the fourth on.
static int read_rest(const struct field *fields, size_t count, struct denial *entry,
		     uint8_t name[DENIAL_NAME_MAX], size_t *ret_size)
{
	static const struct {
		const char *word;
		size_t words; // that name what is denied
	} kinds[] = {
		[DENIAL_SERIAL] = {"serial", 2},
		[DENIAL_KEY] = {"key", 1},
		[DENIAL_IDENTITY] = {"identity", 1},
	};
	unsigned kind = DENIAL_SERIAL;

	while (kind <= DENIAL_IDENTITY && !is(&fields[0], kinds[kind].word))
		kind++;
	if (kind > DENIAL_IDENTITY || count != 1 + kinds[kind].words + (entry->allow ? 0 : 2) ||
	    (entry->allow && kind == DENIAL_SERIAL))
		return -EINVAL;
	entry->kind = (enum denial_kind)kind;
	int r = read_name(fields + 1, entry->kind, name, ret_size);
	if (r < 0 || entry->allow)
		return r;
	fields += 1 + kinds[kind].words;
	if (read_time(&fields[0], &entry->until) < 0 ||
	    (kind == DENIAL_IDENTITY && entry->until != 0))
		return -EINVAL;
	return find_reason(fields[1].text, fields[1].size, &entry->reason);
}

static int read_line(const char *text, size_t size, struct denial *entry,
		     uint8_t name[DENIAL_NAME_MAX], size_t *ret_size)
{
	struct field fields[FIELDS_MAX];
	size_t count = size <= DENIAL_TEXT_MAX ? split(text, size, fields) : 0;

	if (count < 5 || read_number(&fields[0], &entry->number) < 0 || entry->number == 0 ||
	    read_time(&fields[1], &entry->time) < 0)
		return -EINVAL;
	entry->allow = is(&fields[2], "allow");
	if (!entry->allow && !is(&fields[2], "deny"))
		return -EINVAL;
	return read_rest(fields + 3, count - 3, entry, name, ret_size);
}

int denial_parse(const char *text, size_t size, struct denial **ret, struct error *error)
{
	struct denial read = {0};
	uint8_t name[DENIAL_NAME_MAX];
	size_t name_size;

	if (read_line(text, size, &read, name, &name_size) < 0)
		return error_set(error, EINVAL, "\"%.*s\" is no entry of a list of denials",
				 (int)(size < 120 ? size : 120), text);
	struct denial *denial = malloc(sizeof(*denial) + name_size + size);
	if (!denial)
		return error_set(error, ENOMEM, "out of memory");
	*denial = read;
	uint8_t *behind = (uint8_t *)(denial + 1);
	denial->name = memcpy(behind, name, name_size);
	denial->name_size = name_size;
	denial->text = memcpy(behind + name_size, text, size);
	denial->text_size = size;
	atomic_init(&denial->references, 1);
	*ret = denial;
	return 0;
}

struct denial *denial_get(struct denial *denial)
{
	atomic_fetch_add_explicit(&denial->references, 1, memory_order_relaxed);
	return denial;
}

struct denial *denial_put(struct denial *denial)
{
	if (!denial || atomic_fetch_sub_explicit(&denial->references, 1, memory_order_acq_rel) != 1)
		return NULL;
	denial_signer_put(denial->signer);
	free(denial->signature);
	free(denial);
	return NULL;
}

const char *denial_subject(const struct denial *denial, char text[DENIAL_SUBJECT_MAX])
{
	char key[2 * SPKI_HASH_SIZE + 1], serial[SERIAL_TEXT_MAX] = "";
	const uint8_t *body = denial->name + 1;

	switch (denial->kind) {
	case DENIAL_SERIAL:
		hex_text(body + SPKI_HASH_SIZE, denial->name_size - 1 - SPKI_HASH_SIZE, serial);
		snprintf(text, DENIAL_SUBJECT_MAX, "certificate %s", serial);
		break;
	case DENIAL_KEY:
		hex_text(body, SPKI_HASH_SIZE, key);
		snprintf(text, DENIAL_SUBJECT_MAX, "key %s", key);
		break;
	case DENIAL_IDENTITY:
		snprintf(text, DENIAL_SUBJECT_MAX, "%.*s", (int)(denial->name_size - 1),
			 (const char *)body);
		break;
	}
	return text;
}

int denial_entries_push(struct denial_entries *entries, struct denial *entry)
{
	if (entries->count == entries->capacity) {
		size_t capacity = entries->capacity ? entries->capacity * 2 : 64;
		struct denial **list =
			reallocarray(entries->list, capacity, sizeof(struct denial *));
		if (!list)
			return -ENOMEM;
		entries->list = list;
		entries->capacity = capacity;
	}
	entries->list[entries->count++] = entry;
	return 0;
}

void denial_entries_done(struct denial_entries *entries)
{
	for (size_t i = 0; i < entries->count; i++)
		denial_put(entries->list[i]);
	free(entries->list);
}
