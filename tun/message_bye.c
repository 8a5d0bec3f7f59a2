// SPDX-License-Identifier: Apache-2.0

#include "tun/message_bye.h"

#include <errno.h>
#include <string.h>

#include "tun/field.h"
#include "tun/message.h"

static const char *const bye_names[] = {
	[BYE_SHUTDOWN] = "shutdown",   [BYE_RENEWED] = "renewed",
	[BYE_REPLACED] = "replaced",   [BYE_DISCONNECTED] = "disconnected",
	[BYE_REFUSED] = "refused",     [BYE_EXPIRED] = "expired",
	[BYE_UNTRUSTED] = "untrusted", [BYE_FULL] = "full",
	[BYE_PROTOCOL] = "protocol",   [BYE_DEAD] = "dead",
	[BYE_KEYS] = "keys",	       [BYE_REVOKED] = "revoked",
};

const char *bye_name(enum bye_code code)
{
	return bye_names[code];
}

static int find_code(const char *name)
{
	for (size_t i = 0; i < sizeof(bye_names) / sizeof(bye_names[0]); i++)
		if (strcmp(bye_names[i], name) == 0)
			return (int)i;
	return -EINVAL;
}

bool message_bye_encode(const struct message_bye *bye, json_t *object)
{
	bool good = json_object_set_new(object, "code", json_string(bye_name(bye->code))) == 0;
	good &= json_object_set_new(object, "text", field_new_text(bye->text, sizeof(bye->text))) ==
		0;
	good &= bye->retry_after_s == 0 ||
		json_object_set_new(object, "retry_after_s", json_integer(bye->retry_after_s)) == 0;
	if (bye->sent_count == 0)
		return good;
	json_t *sent = json_array();
	good &= json_object_set_new(object, "sent", sent) == 0;
	for (unsigned i = 0; good && i < bye->sent_count; i++)
		good = json_array_append_new(sent, json_integer((int64_t)bye->sent[i])) == 0;
	return good;
}

static void decode_sent(struct fields *fields, struct message_bye *ret)
{
	const json_t *array = field_array(fields, "sent", MESSAGE_LANES_MAX);
	size_t i;
	json_t *value;
	json_array_foreach (array, i, value) {
		int64_t sent = json_integer_value(value);
		if (!json_is_integer(value) || sent < 0) {
			field_fault(fields, "sent", "has a malformed element", "counts of packets");
			return;
		}
		ret->sent[ret->sent_count++] = (uint64_t)sent;
	}
}

void message_bye_decode(struct fields *fields, struct message_bye *ret)
{
	const char *name = field_word(fields, "code");
	int code = name ? find_code(name) : 0;
	if (code < 0)
		field_fault(fields, "code", "is not known here", "\"shutdown\", \"refused\" ...");
	ret->code = code < 0 ? BYE_PROTOCOL : (enum bye_code)code;
	field_text(fields, "text", ret->text, sizeof(ret->text));
	if (field_present(fields, "retry_after_s"))
		ret->retry_after_s = (unsigned)field_integer(fields, "retry_after_s", 0, 86400);
	if (field_present(fields, "sent"))
		decode_sent(fields, ret);
}
