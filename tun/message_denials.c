// SPDX-License-Identifier: Apache-2.0

#include "tun/message_denials.h"

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "pki/denial_signer.h"
#include "tun/field.h"

// --- writing

static bool put_list(const struct message_list *list, json_t *object)
{
	return json_object_set_new(object, "domain", json_string(list->domain)) == 0 &&
	       json_object_set_new(object, "number", json_integer((json_int_t)list->number)) == 0 &&
	       json_object_set_new(object, "head", field_new_hex(list->head, sizeof(list->head))) ==
		       0;
}

bool message_denials_encode(const struct message_denials *denials, json_t *object)
{
	json_t *array = denials->said ? json_array() : NULL;
	if (!denials->said)
		return true;
	bool good = json_object_set_new(object, "denials", array) == 0;
	for (unsigned i = 0; good && i < denials->count; i++) {
		json_t *list = json_object();
		good = json_array_append_new(array, list) == 0 &&
		       put_list(&denials->lists[i], list);
	}
	return good;
}

static json_t *new_lines(const char *text)
{
	json_t *array = json_array();
	while (array && *text) {
		size_t size = strcspn(text, "\n");
		if (json_array_append_new(array, json_stringn(text, size)) < 0) {
			json_decref(array);
			return NULL;
		}
		text += size + (text[size] == '\n');
	}
	return array;
}

bool message_deny_encode(const struct message_deny *deny, json_t *object)
{
	if (!deny->entries)
		return put_list(&deny->list, object);
	return json_object_set_new(object, "domain", json_string(deny->list.domain)) == 0 &&
	       json_object_set_new(object, "entries", new_lines(deny->entries)) == 0 &&
	       json_object_set_new(object, "signature", json_string(deny->signature)) == 0 &&
	       json_object_set_new(object, "signer", json_string(deny->signer)) == 0 &&
	       json_object_set_new(object, "more", json_boolean(deny->more)) == 0;
}

// --- reading

static void read_domain(struct fields *fields, char ret[IDENTITY_DOMAIN_MAX + 1])
{
	field_text(fields, "domain", ret, IDENTITY_DOMAIN_MAX + 1);
	if (fields->result == 0 && identity_domain_check(ret, NULL) < 0)
		field_fault(fields, "domain", "is no trust domain", "a name such as corp.example");
}

static void read_list(struct fields *fields, struct message_list *ret)
{
	read_domain(fields, ret->domain);
	ret->number = (uint64_t)field_integer(fields, "number", 0, INT64_MAX);
	field_hex(fields, "head", ret->head, sizeof(ret->head));
}

void message_denials_decode(struct fields *fields, struct message_denials *ret)
{
	size_t i;
	json_t *value;
	ret->said = field_present(fields, "denials");
	const json_t *array = ret->said ? field_array(fields, "denials", DENIAL_STORE_MAX) : NULL;
	json_array_foreach (array, i, value) {
		struct fields inner = fields_over(value, "denials", fields->error);
		if (!json_is_object(value)) {
			field_fault(fields, "denials", "has an element that is no object",
				    "objects");
			return;
		}
		read_list(&inner, &ret->lists[ret->count]);
		if (inner.result < 0 && fields->result == 0)
			fields->result = inner.result;
		ret->count++;
	}
}

// What entries consist of, and nothing that JSON writes in more than one byte.
static bool is_plain(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (text[i] < ' ' || text[i] > '~' || text[i] == '"' || text[i] == '\\')
			return false;
	return size > 0;
}

static bool put_line(struct buffer *buffer, const json_t *value)
{
	const char *text = json_string_value(value);
	size_t size = json_string_length(value);
	return text && size <= DENIAL_TEXT_MAX && is_plain(text, size) &&
	       buffer_put(buffer, text, size) == 0 && buffer_put(buffer, "\n", 1) == 0;
}

static char *read_entries(struct fields *fields)
{
	const json_t *array = field_array(fields, "entries", MESSAGE_ENTRIES_MAX);
	struct buffer buffer;
	bool good = json_array_size(array) > 0;
	size_t i;
	json_t *value;
	buffer_init(&buffer, MESSAGE_DENY_MAX, false);
	json_array_foreach (array, i, value)
		good = good && put_line(&buffer, value);
	char *text = good ? strndup((const char *)buffer_head(&buffer), buffer.size) : NULL;
	buffer_done(&buffer);
	if (!text)
		field_fault(fields, "entries", "are none, or not lines of text", "lines of a list");
	return text;
}

static char *read_word(struct fields *fields, const char *member, size_t max)
{
	const char *word = field_word(fields, member);
	bool good = word && strlen(word) <= max && is_plain(word, strlen(word));
	char *copy = good ? strdup(word) : NULL;
	if (!copy)
		field_fault(fields, member, "is empty or too long", "base64");
	return copy;
}

void message_deny_decode(struct fields *fields, struct message_deny *ret)
{
	if (!field_present(fields, "entries")) {
		read_list(fields, &ret->list);
		return;
	}
	read_domain(fields, ret->list.domain);
	ret->entries = read_entries(fields);
	ret->signature = read_word(fields, "signature", DENIAL_SIGNATURE_MAX);
	ret->signer = read_word(fields, "signer", DENIAL_SIGNER_TEXT_MAX);
	ret->more = field_bool(fields, "more");
}

void message_deny_done(struct message_deny *deny)
{
	free(take(deny->entries));
	free(take(deny->signature));
	free(take(deny->signer));
}
