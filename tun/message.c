// SPDX-License-Identifier: Apache-2.0

#include "tun/message.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "pki/staple.h"
#include "tun/field.h"
#include "tun/message_bye.h"

#define CIPHERS_MAX 32u // names in HELLO, with those that we do not know

static const char *const message_names[] = {
	[MESSAGE_HELLO] = "HELLO",	 [MESSAGE_READY] = "READY",   [MESSAGE_CONFIG] = "CONFIG",
	[MESSAGE_REAUTH] = "REAUTH",	 [MESSAGE_PING] = "PING",     [MESSAGE_PONG] = "PONG",
	[MESSAGE_BYE] = "BYE",		 [MESSAGE_DENY] = "DENY",     [MESSAGE_REFUSAL] = "REFUSAL",
	[MESSAGE_QUESTION] = "QUESTION", [MESSAGE_ANSWER] = "ANSWER",
};
static const char *const cipher_names[] = {
	[CIPHER_AES_256_GCM] = "aes-256-gcm",
	[CIPHER_CHACHA20_POLY1305] = "chacha20-poly1305",
};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int find_name(const char *const *names, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return (int)i;
	return -EINVAL;
}

const char *message_name(enum message_type type)
{
	return message_names[type];
}

const char *cipher_name(enum cipher cipher)
{
	return cipher_names[cipher];
}

int cipher_parse(const char *name, enum cipher *ret)
{
	int found = find_name(cipher_names, COUNT(cipher_names), name);
	if (found < 0)
		return found;
	*ret = (enum cipher)found;
	return 0;
}

// Encoding. json_object_set_new() fails on a NULL value; the writers gather what failed and go on.

static bool put_integer(json_t *object, const char *member, int64_t value)
{
	return json_object_set_new(object, member, json_integer(value)) == 0;
}

static bool put_text(json_t *object, const char *member, const char *text)
{
	return json_object_set_new(object, member, field_new_text(text, MESSAGE_TEXT_MAX)) == 0;
}

static bool put_session(json_t *object, const uint8_t *session)
{
	return json_object_set_new(object, "session", field_new_hex(session, SESSION_ID_SIZE)) == 0;
}

static bool put_prefixes(json_t *object, const char *member, const struct prefix *prefixes,
			 size_t count)
{
	return json_object_set_new(object, member, field_new_prefixes(prefixes, count)) == 0;
}

static bool put_ciphers(json_t *object, const struct message_hello *hello)
{
	json_t *array = json_array();
	bool good = json_object_set_new(object, "ciphers", array) == 0;
	for (unsigned i = 0; good && i < hello->cipher_count; i++)
		good = json_array_append_new(array, json_string(cipher_name(hello->ciphers[i]))) ==
		       0;
	return good;
}

static bool put_anchors(json_t *object, const struct message_anchors *anchors)
{
	return anchors->count == 0 ||
	       json_object_set_new(object, "anchors",
				   field_new_hashes(anchors->hashes, anchors->count)) == 0;
}

static bool put_staple(json_t *object, const struct message_staple *staple)
{
	return !staple->der || json_object_set_new(object, "staple",
						   field_new_bytes(staple->der, staple->size)) == 0;
}

static bool put_answers(json_t *object, bool answers)
{
	return !answers || json_object_set_new(object, "answers", json_true()) == 0;
}

static bool encode_hello(const struct message_hello *hello, json_t *object)
{
	bool good = put_integer(object, "protocol", hello->protocol);
	good &= put_text(object, "software", hello->software);
	good &= put_text(object, "host", hello->host);
	good &= !hello->resume || put_session(object, hello->session);
	good &= put_integer(object, "index", hello->index);
	good &= put_ciphers(object, hello);
	good &= put_integer(object, "lanes", hello->lanes);
	good &= put_integer(object, "mtu", hello->mtu);
	good &= put_anchors(object, &hello->anchors);
	good &= put_staple(object, &hello->staple);
	good &= put_answers(object, hello->answers);
	return good & message_denials_encode(&hello->denials, object);
}

static bool encode_ready(const struct message_ready *ready, json_t *object)
{
	bool good = put_session(object, ready->session);
	good &= json_object_set_new(object, "resumed", json_boolean(ready->resumed)) == 0;
	good &= put_integer(object, "index", ready->index);
	good &= put_integer(object, "epoch", ready->epoch);
	good &= put_text(object, "cipher", cipher_name(ready->cipher));
	good &= put_integer(object, "lanes", ready->lanes);
	good &= put_integer(object, "mtu", ready->mtu);
	good &= put_prefixes(object, "addresses", ready->addresses, ready->address_count);
	good &= put_prefixes(object, "routes", ready->routes, ready->route_count);
	good &= put_integer(object, "keepalive_s", ready->keepalive_s);
	good &= put_integer(object, "udp_port", ready->udp_port);
	good &= put_integer(object, "time", ready->time);
	good &= put_integer(object, "expires", ready->expires);
	good &= put_anchors(object, &ready->anchors);
	good &= put_answers(object, ready->answers);
	good &= message_push_encode(&ready->push, object);
	return good & message_denials_encode(&ready->denials, object);
}

static bool encode_config(const struct message_config *config, json_t *object)
{
	bool good = put_prefixes(object, "addresses", config->addresses, config->address_count);
	good &= put_prefixes(object, "routes", config->routes, config->route_count);
	good &= message_push_encode(&config->push, object);
	return good & put_integer(object, "mtu", config->mtu);
}

static bool encode_members(const struct message *message, json_t *object)
{
	switch (message->type) {
	case MESSAGE_HELLO:
		return encode_hello(&message->hello, object);
	case MESSAGE_READY:
		return encode_ready(&message->ready, object);
	case MESSAGE_CONFIG:
		return encode_config(&message->config, object);
	case MESSAGE_REAUTH:
		return put_integer(object, "within_s", message->reauth.within_s) &&
		       put_text(object, "reason", message->reauth.reason);
	case MESSAGE_PING:
	case MESSAGE_PONG:
		return put_integer(object, "token", (int64_t)message->ping.token);
	case MESSAGE_BYE:
		return message_bye_encode(&message->bye, object);
	case MESSAGE_DENY:
		return message_deny_encode(&message->deny, object);
	case MESSAGE_REFUSAL:
		return message_refusal_encode(&message->refusal, object);
	case MESSAGE_QUESTION:
		return message_question_encode(&message->question, object);
	case MESSAGE_ANSWER:
		return message_answer_encode(&message->answer, object);
	}
	return false;
}

static unsigned route_count(const struct message *message)
{
	if (message->type == MESSAGE_READY)
		return message->ready.route_count;
	return message->type == MESSAGE_CONFIG ? message->config.route_count : 0;
}

int message_encode(const struct message *message, struct buffer *ret)
{
	json_auto_t *object = json_object();
	if (route_count(message) > MESSAGE_ROUTES_MAX)
		return -ENOBUFS;
	if (!object || !put_text(object, "type", message_name(message->type)) ||
	    !encode_members(message, object))
		return -ENOMEM;
	_cleanup_(freep) char *text = json_dumps(object, JSON_COMPACT);
	if (!text)
		return -ENOMEM;
	size_t size = strlen(text);
	return size > MESSAGE_SIZE_MAX ? -ENOBUFS : buffer_put(ret, text, size);
}

// Decoding

static uint32_t read_u32(struct fields *fields, const char *member, uint32_t min)
{
	return (uint32_t)field_integer(fields, member, min, UINT32_MAX);
}

static unsigned read_unsigned(struct fields *fields, const char *member, unsigned min, unsigned max)
{
	return (unsigned)field_integer(fields, member, min, max);
}

static void decode_ciphers(struct fields *fields, struct message_hello *ret)
{
	const json_t *array = field_array(fields, "ciphers", CIPHERS_MAX);
	bool seen[CIPHER_COUNT] = {false};
	size_t i;
	json_t *value;
	json_array_foreach (array, i, value) {
		const char *name = json_string_value(value);
		enum cipher cipher;
		if (!name) {
			field_fault(fields, "ciphers", "has an element that is not a string",
				    "names of ciphers");
			return;
		}
		if (cipher_parse(name, &cipher) < 0)
			continue; // of a newer node
		if (seen[cipher]) {
			field_fault(fields, "ciphers", "names one twice", "each cipher once");
			return;
		}
		seen[cipher] = true;
		ret->ciphers[ret->cipher_count++] = cipher;
	}
	if (ret->cipher_count == 0)
		field_fault(fields, "ciphers", "names none that is known here",
			    "aes-256-gcm or chacha20-poly1305");
}

static void decode_anchors(struct fields *fields, struct message_anchors *ret)
{
	if (field_present(fields, "anchors"))
		ret->count = field_hashes(fields, "anchors", ret->hashes, MESSAGE_ANCHORS_MAX);
}

static void decode_staple(struct fields *fields, struct message_staple *ret)
{
	if (field_present(fields, "staple"))
		ret->der = field_bytes(fields, "staple", STAPLE_MAX, &ret->size);
}

static bool decode_answers(struct fields *fields)
{
	return field_present(fields, "answers") && field_bool(fields, "answers");
}

static void decode_hello(struct fields *fields, struct message_hello *ret)
{
	ret->protocol = read_unsigned(fields, "protocol", 1, UINT16_MAX);
	field_text(fields, "software", ret->software, sizeof(ret->software));
	field_text(fields, "host", ret->host, sizeof(ret->host));
	ret->resume = field_present(fields, "session");
	if (ret->resume)
		field_hex(fields, "session", ret->session, sizeof(ret->session));
	ret->index = read_u32(fields, "index", 1);
	decode_ciphers(fields, ret);
	ret->lanes = read_unsigned(fields, "lanes", 1, MESSAGE_LANES_MAX);
	ret->mtu = read_unsigned(fields, "mtu", MESSAGE_MTU_MIN, MESSAGE_MTU_MAX);
	decode_anchors(fields, &ret->anchors);
	decode_staple(fields, &ret->staple);
	ret->answers = decode_answers(fields);
	message_denials_decode(fields, &ret->denials);
}

// Allocates only as much as the array has.
static struct prefix *decode_routes(struct fields *fields, unsigned *ret_count)
{
	const json_t *array = field_array(fields, "routes", MESSAGE_ROUTES_MAX);
	*ret_count = 0;
	if (json_array_size(array) == 0)
		return NULL;
	struct prefix *routes = calloc(json_array_size(array), sizeof(*routes));
	if (!routes) {
		field_fault(fields, "routes", "does not fit into memory", "");
		return NULL;
	}
	*ret_count = field_prefixes(fields, "routes", false, routes, MESSAGE_ROUTES_MAX);
	return routes;
}

static enum cipher decode_cipher(struct fields *fields)
{
	const char *name = field_word(fields, "cipher");
	enum cipher cipher = CIPHER_AES_256_GCM;
	if (name && cipher_parse(name, &cipher) < 0)
		field_fault(fields, "cipher", "is not known here",
			    "aes-256-gcm or chacha20-poly1305");
	return cipher;
}

static void decode_ready(struct fields *fields, struct message_ready *ret)
{
	field_hex(fields, "session", ret->session, sizeof(ret->session));
	ret->resumed = field_bool(fields, "resumed");
	ret->index = read_u32(fields, "index", 1);
	ret->epoch = read_u32(fields, "epoch", 1);
	ret->cipher = decode_cipher(fields);
	ret->lanes = read_unsigned(fields, "lanes", 1, MESSAGE_LANES_MAX);
	ret->mtu = read_unsigned(fields, "mtu", MESSAGE_MTU_MIN, MESSAGE_MTU_MAX);
	ret->address_count =
		field_prefixes(fields, "addresses", true, ret->addresses, MESSAGE_ADDRESSES_MAX);
	ret->routes = decode_routes(fields, &ret->route_count);
	ret->keepalive_s = read_unsigned(fields, "keepalive_s", 1, 3600);
	ret->udp_port = (uint16_t)read_unsigned(fields, "udp_port", 1, UINT16_MAX);
	ret->time = field_integer(fields, "time", 0, INT64_MAX);
	ret->expires = field_integer(fields, "expires", 0, INT64_MAX);
	decode_anchors(fields, &ret->anchors);
	ret->answers = decode_answers(fields);
	message_denials_decode(fields, &ret->denials);
	message_push_decode(fields, &ret->push);
}

static void decode_config(struct fields *fields, struct message_config *ret)
{
	ret->address_count =
		field_prefixes(fields, "addresses", true, ret->addresses, MESSAGE_ADDRESSES_MAX);
	ret->routes = decode_routes(fields, &ret->route_count);
	ret->mtu = read_unsigned(fields, "mtu", MESSAGE_MTU_MIN, MESSAGE_MTU_MAX);
	message_push_decode(fields, &ret->push);
}

static void decode_members(struct fields *fields, struct message *ret)
{
	switch (ret->type) {
	case MESSAGE_HELLO:
		decode_hello(fields, &ret->hello);
		break;
	case MESSAGE_READY:
		decode_ready(fields, &ret->ready);
		break;
	case MESSAGE_CONFIG:
		decode_config(fields, &ret->config);
		break;
	case MESSAGE_REAUTH:
		ret->reauth.within_s = read_unsigned(fields, "within_s", 0, 3600);
		field_text(fields, "reason", ret->reauth.reason, sizeof(ret->reauth.reason));
		break;
	case MESSAGE_PING:
	case MESSAGE_PONG:
		ret->ping.token = (uint64_t)field_integer(fields, "token", 0, INT64_MAX);
		break;
	case MESSAGE_BYE:
		message_bye_decode(fields, &ret->bye);
		break;
	case MESSAGE_DENY:
		message_deny_decode(fields, &ret->deny);
		break;
	case MESSAGE_REFUSAL:
		message_refusal_decode(fields, &ret->refusal);
		break;
	case MESSAGE_QUESTION:
		message_question_decode(fields, &ret->question);
		break;
	case MESSAGE_ANSWER:
		message_answer_decode(fields, &ret->answer);
		break;
	}
}

int message_decode(const void *data, size_t size, struct message *ret, struct error *error)
{
	struct message message = {0};
	json_error_t fault;
	if (size > MESSAGE_SIZE_MAX)
		return error_set(error, EPROTO, "a message of %zu bytes is too long", size);
	json_auto_t *object = json_loadb(data, size, JSON_REJECT_DUPLICATES, &fault);
	if (!object)
		return error_set(error, EPROTO, "a message is not valid JSON: %s (byte %d)",
				 fault.text, fault.position);
	const char *name = json_string_value(json_object_get(object, "type"));
	if (!name)
		return error_set(error, EPROTO, "a message is no JSON object with a type");
	int type = find_name(message_names, COUNT(message_names), name);
	if (type < 0)
		return error_set(error, EPROTO, "unknown message \"%.32s\"", name);
	message.type = (enum message_type)type;
	struct fields fields = fields_over(object, name, error);
	decode_members(&fields, &message);
	if (fields.result < 0) {
		message_done(&message);
		return fields.result;
	}
	*ret = message;
	return 0;
}

static void routes_done(struct prefix **routes, unsigned *count)
{
	free(take(*routes));
	*count = 0;
}

static void staple_done(struct message_staple *staple)
{
	free(take(staple->der));
	staple->size = 0;
}

void message_done(struct message *message)
{
	if (message->type == MESSAGE_HELLO)
		staple_done(&message->hello.staple);
	if (message->type == MESSAGE_READY)
		routes_done(&message->ready.routes, &message->ready.route_count);
	if (message->type == MESSAGE_CONFIG)
		routes_done(&message->config.routes, &message->config.route_count);
	if (message->type == MESSAGE_DENY)
		message_deny_done(&message->deny);
}
