// SPDX-License-Identifier: Apache-2.0

#include "tun/message_question.h"

#include "tun/field.h"

bool message_question_encode(const struct message_question *question, json_t *object)
{
	return json_object_set_new(object, "number", json_integer(question->number)) == 0 &&
	       json_object_set_new(object, "from", field_new_addr(&question->from)) == 0 &&
	       json_object_set_new(object, "to", field_new_addr(&question->to)) == 0 &&
	       json_object_set_new(object, "protocol", json_integer(question->protocol)) == 0 &&
	       json_object_set_new(object, "port", json_integer(question->port)) == 0;
}

static bool put_text(json_t *object, const char *member, const char *text, size_t size)
{
	return json_object_set_new(object, member, field_new_text(text, size)) == 0;
}

bool message_answer_encode(const struct message_answer *answer, json_t *object)
{
	return json_object_set_new(object, "number", json_integer(answer->number)) == 0 &&
	       json_object_set_new(object, "allow", json_boolean(answer->allow)) == 0 &&
	       put_text(object, "rule", answer->rule, sizeof(answer->rule)) &&
	       put_text(object, "place", answer->place, sizeof(answer->place)) &&
	       put_text(object, "why", answer->why, sizeof(answer->why));
}

void message_question_decode(struct fields *fields, struct message_question *ret)
{
	ret->number = (uint32_t)field_integer(fields, "number", 1, UINT32_MAX);
	field_addr(fields, "from", &ret->from);
	field_addr(fields, "to", &ret->to);
	if (fields->result == 0 && ret->from.family != ret->to.family)
		field_fault(fields, "to", "is not of the family of \"from\"", "two of one family");
	ret->protocol = (uint8_t)field_integer(fields, "protocol", 0, UINT8_MAX);
	ret->port = (uint16_t)field_integer(fields, "port", 0, UINT16_MAX);
}

void message_answer_decode(struct fields *fields, struct message_answer *ret)
{
	ret->number = (uint32_t)field_integer(fields, "number", 1, UINT32_MAX);
	ret->allow = field_bool(fields, "allow");
	field_text(fields, "rule", ret->rule, sizeof(ret->rule));
	field_text(fields, "place", ret->place, sizeof(ret->place));
	field_text(fields, "why", ret->why, sizeof(ret->why));
}
