// SPDX-License-Identifier: Apache-2.0

#include "tun/message_refusal.h"

#include "tun/field.h"

static json_t *new_refusal(const struct refusal *refusal)
{
	json_t *object = json_object();
	bool good = json_object_set_new(object, "from", field_new_addr(&refusal->from)) == 0;
	good &= json_object_set_new(object, "to", field_new_addr(&refusal->to)) == 0;
	good &= json_object_set_new(object, "protocol", json_integer(refusal->protocol)) == 0;
	good &= json_object_set_new(object, "port", json_integer(refusal->port)) == 0;
	good &= json_object_set_new(object, "rule",
				    field_new_text(refusal->rule, sizeof(refusal->rule))) == 0;
	good &= json_object_set_new(object, "place",
				    field_new_text(refusal->place, sizeof(refusal->place))) == 0;
	good &= json_object_set_new(object, "count", json_integer((json_int_t)refusal->count)) == 0;
	if (good)
		return object;
	json_decref(object);
	return NULL;
}

bool message_refusal_encode(const struct message_refusal *refusal, json_t *object)
{
	json_t *array = json_array();
	bool good = json_object_set_new(object, "refusals", array) == 0;
	for (unsigned i = 0; good && i < refusal->count; i++)
		good = json_array_append_new(array, new_refusal(&refusal->list[i])) == 0;
	return good && json_object_set_new(object, "others",
					   json_integer((json_int_t)refusal->others)) == 0;
}

static void read_refusal(struct fields *fields, struct refusal *ret)
{
	field_addr(fields, "from", &ret->from);
	field_addr(fields, "to", &ret->to);
	ret->protocol = (uint8_t)field_integer(fields, "protocol", 0, UINT8_MAX);
	ret->port = (uint16_t)field_integer(fields, "port", 0, UINT16_MAX);
	field_text(fields, "rule", ret->rule, sizeof(ret->rule));
	field_text(fields, "place", ret->place, sizeof(ret->place));
	ret->count = (uint64_t)field_integer(fields, "count", 1, INT64_MAX);
}

void message_refusal_decode(struct fields *fields, struct message_refusal *ret)
{
	size_t i;
	json_t *value;
	const json_t *array = field_array(fields, "refusals", MESSAGE_REFUSALS_MAX);
	if (array && json_array_size(array) == 0)
		field_fault(fields, "refusals", "is empty", "at least one");
	json_array_foreach (array, i, value) {
		struct fields inner = fields_over(value, "refusals", fields->error);
		if (!json_is_object(value)) {
			field_fault(fields, "refusals", "has an element that is no object",
				    "objects");
			return;
		}
		read_refusal(&inner, &ret->list[ret->count++]);
		if (inner.result < 0) {
			fields->result = inner.result;
			return;
		}
	}
	ret->others = (uint64_t)field_integer(fields, "others", 0, INT64_MAX);
}
