// SPDX-License-Identifier: Apache-2.0

#include "daemon/config_value.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "daemon/config.h"
#include "daemon/config_push.h"
#include "daemon/config_read.h"
#include "daemon/setting.h"
#include "pki/identity.h"
#include "pki/key_uri.h"
#include "pki/pins.h"

#define URL_MAX 1024u // bytes

void config_value_fault(struct config_reader *reader, const struct setting *setting,
			const config_setting_t *at)
{
	char found[CONFIG_FOUND_MAX], allowed[SETTING_ALLOWED_MAX];
	error_expected(config_fault(reader->errors, at, "found %s",
				    config_found_text(at, found, sizeof(found))),
		       "%s", setting_allowed(setting, allowed, sizeof(allowed)));
}

// `reason` may be NULL or empty.
void config_value_fault_element(struct config_reader *reader, const struct setting *setting,
				const config_setting_t *at, const char *reason)
{
	char found[CONFIG_FOUND_MAX], allowed[SETTING_ALLOWED_MAX];
	struct error *error = config_fault(reader->errors, at, "found %s%s%s",
					   config_found_text(at, found, sizeof(found)),
					   reason && *reason ? ": " : "", reason ? reason : "");
	if (setting_is_array(setting))
		setting_allowed_element(setting, allowed, sizeof(allowed));
	else
		setting_allowed(setting, allowed, sizeof(allowed));
	error_expected(error, "%s", allowed);
}

static char *copy_text(struct config_reader *reader, const char *text)
{
	char *copy = strdup(text);
	if (!copy)
		reader->out_of_memory = true;
	return copy;
}

void config_value_integer(struct config_reader *reader, const struct setting *setting,
			  const config_setting_t *at, unsigned *field)
{
	int type = config_setting_type(at);
	if (type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64) {
		config_value_fault(reader, setting, at);
		return;
	}
	long long value = config_setting_get_int64(at);
	// libconfig keeps 0x80000000 and above as negative numbers.
	if (type == CONFIG_TYPE_INT && config_setting_get_format(at) == CONFIG_FORMAT_HEX)
		value = (uint32_t)value;
	if (value < setting->min || value > setting->max)
		config_value_fault(reader, setting, at);
	else
		*field = (unsigned)value;
}

void config_value_boolean(struct config_reader *reader, const struct setting *setting,
			  const config_setting_t *at, bool *field)
{
	if (config_setting_type(at) != CONFIG_TYPE_BOOL)
		config_value_fault(reader, setting, at);
	else
		*field = config_setting_get_bool(at);
}

static void read_path(struct config_reader *reader, const struct setting *setting,
		      const config_setting_t *at, char **field)
{
	const char *text = config_setting_get_string(at), *from = config_source_of(at)->path;
	const char *slash = strrchr(from, '/');
	char path[PATH_MAX];
	if (!*text) {
		config_value_fault_element(reader, setting, at, NULL);
		return;
	}
	bool whole = *text == '/' || (setting->type == SETTING_PLACE && key_uri_is(text));
	int directory = whole || !slash ? 0 : (int)(slash - from + 1);
	if (snprintf(path, sizeof(path), "%.*s%s", directory, from, text) >= (int)sizeof(path))
		config_value_fault_element(reader, setting, at, "the path is too long");
	else
		*field = copy_text(reader, path);
}

static void read_name(struct config_reader *reader, const struct setting *setting,
		      const config_setting_t *at, char **field)
{
	const char *text = config_setting_get_string(at);
	size_t length = strlen(text);
	bool good = length >= (size_t)setting->min && length <= (size_t)setting->max &&
		    strcmp(text, ".") != 0 && strcmp(text, "..") != 0;
	for (const char *c = text; *c; c++)
		good &= isgraph((unsigned char)*c) && !strchr("/:%", *c);
	if (good)
		*field = copy_text(reader, text);
	else
		config_value_fault_element(reader, setting, at, NULL);
}

static void read_identity(struct config_reader *reader, const struct setting *setting,
			  const config_setting_t *at, char **field)
{
	const char *text = config_setting_get_string(at);
	struct error error = {0};
	int r = identity_parse(text, strlen(text), field, &error);
	if (r == -ENOMEM)
		reader->out_of_memory = true;
	else if (r < 0)
		config_value_fault_element(reader, setting, at, error.what);
}

static void read_pattern(struct config_reader *reader, const struct setting *setting,
			 const config_setting_t *at, char **field)
{
	const char *text = config_setting_get_string(at);
	struct error error = {0};
	if (identity_pattern_check(text, &error) < 0)
		config_value_fault_element(reader, setting, at, error.what);
	else
		*field = copy_text(reader, text);
}

// A trust domain is right when an identity in it is.
static void read_domain(struct config_reader *reader, const struct setting *setting,
			const config_setting_t *at, char **field)
{
	const char *text = config_setting_get_string(at), *domain;
	char probe[sizeof("spiffe:///x") + IDENTITY_DOMAIN_MAX];
	_cleanup_(freep) char *identity = NULL;
	struct error error = {0};
	int length = snprintf(probe, sizeof(probe), "spiffe://%s/x", text);
	if (length >= (int)sizeof(probe) || strchr(text, '/') ||
	    identity_parse(probe, (size_t)length, &identity, &error) < 0) {
		config_value_fault_element(reader, setting, at, error.what);
		return;
	}
	size_t size = identity_domain(identity, &domain);
	*field = strndup(domain, size);
	if (!*field)
		reader->out_of_memory = true;
}

static void read_endpoint(struct config_reader *reader, const struct setting *setting,
			  const config_setting_t *at, struct endpoint *field)
{
	struct endpoint endpoint;
	if (endpoint_parse(config_setting_get_string(at), &endpoint) < 0)
		config_value_fault_element(reader, setting, at, NULL);
	else if (endpoint.port == 0)
		config_value_fault_element(reader, setting, at, "port 0");
	else
		*field = endpoint;
}

static void read_target(struct config_reader *reader, const struct setting *setting,
			const config_setting_t *at, struct config_target *field)
{
	char host[256];
	uint16_t port;
	if (hostport_parse(config_setting_get_string(at), host, sizeof(host), &port) < 0) {
		config_value_fault_element(reader, setting, at, NULL);
		return;
	}
	bool good = *host && host[0] != '-';
	for (const char *c = host; *c; c++)
		good &= isalnum((unsigned char)*c) || strchr(".-_:", *c);
	if (port == 0)
		config_value_fault_element(reader, setting, at, "port 0");
	else if (!good)
		config_value_fault_element(reader, setting, at, "that is no host name");
	else if ((field->host = copy_text(reader, host)))
		field->port = port;
}

// A prefix with host bits set is most often a wish that is easy to guess.
static bool prefix_guess(const char *text, struct prefix *ret)
{
	char host[ADDR_TEXT_MAX];
	const char *slash = strchr(text, '/');
	if (!slash || (size_t)(slash - text) >= sizeof(host))
		return false;
	snprintf(host, sizeof(host), "%.*s", (int)(slash - text), text);
	struct prefix prefix = {.length = (uint8_t)strtoul(slash + 1, NULL, 10)};
	if (addr_parse(host, &prefix.addr) < 0)
		return false;
	*ret = prefix_masked(&prefix);
	return true;
}

static void read_prefix(struct config_reader *reader, const struct setting *setting,
			const config_setting_t *at, struct prefix *field)
{
	const char *text = config_setting_get_string(at);
	struct prefix right;
	char reason[PREFIX_TEXT_MAX + 64], right_text[PREFIX_TEXT_MAX];
	int r = prefix_parse(text, field);
	if (r == -EDOM && prefix_guess(text, &right)) {
		snprintf(reason, sizeof(reason), "it has host bits set; the prefix is \"%s\"",
			 prefix_text(&right, right_text));
		config_value_fault_element(reader, setting, at, reason);
	} else if (r < 0) {
		config_value_fault_element(reader, setting, at, NULL);
	}
}

static void read_address(struct config_reader *reader, const struct setting *setting,
			 const config_setting_t *at, struct prefix *field)
{
	struct addr addr;
	if (addr_parse(config_setting_get_string(at), &addr) < 0)
		config_value_fault_element(reader, setting, at, NULL);
	else if (!addr_assignable(&addr))
		config_value_fault_element(reader, setting, at, "no peer can have this address");
	else
		*field = prefix_of(&addr);
}

static void read_level(struct config_reader *reader, const struct setting *setting,
		       const config_setting_t *at, enum log_level *field)
{
	if (log_level_parse(config_setting_get_string(at), field) < 0)
		config_value_fault_element(reader, setting, at, NULL);
}

// One of two words.
static void read_choice(struct config_reader *reader, const struct setting *setting,
			const config_setting_t *at, const char *yes, const char *no, bool *field)
{
	const char *text = config_setting_get_string(at);
	*field = strcmp(text, yes) == 0;
	if (!*field && strcmp(text, no) != 0)
		config_value_fault_element(reader, setting, at, NULL);
}

static void read_text(struct config_reader *reader, const struct setting *setting,
		      const config_setting_t *at, char **field)
{
	const char *text = config_setting_get_string(at);
	size_t size = strlen(text);
	if (size >= (size_t)setting->min && size <= (size_t)setting->max)
		*field = copy_text(reader, text);
	else
		config_value_fault_element(reader, setting, at, NULL);
}

static void read_key(struct config_reader *reader, const struct setting *setting,
		     const config_setting_t *at, struct pin_key *field)
{
	if (pins_parse(config_setting_get_string(at), field) < 0)
		config_value_fault_element(reader, setting, at, NULL);
}

static void read_url(struct config_reader *reader, const struct setting *setting,
		     const config_setting_t *at, char **field)
{
	static const char secure[] = "https://", open[] = "http://";
	const char *text = config_setting_get_string(at);
	size_t size = strlen(text), scheme = sizeof(secure) - 1;
	bool good = strncmp(text, secure, scheme) == 0;
	if (!good && setting->type == SETTING_PLAIN_URL) {
		scheme = sizeof(open) - 1;
		good = strncmp(text, open, scheme) == 0;
	}
	good &= size > scheme && size <= URL_MAX;
	for (const char *c = text; good && *c; c++)
		good = *c > ' ' && *c < 0x7f && !strchr("\"<>\\^`{|}@?#", *c);
	if (good)
		*field = copy_text(reader, text);
	else
		config_value_fault_element(reader, setting, at, NULL);
}

void config_value_text(struct config_reader *reader, const struct setting *setting,
		       const config_setting_t *at, void *field)
{
	if (config_setting_type(at) != CONFIG_TYPE_STRING) {
		config_value_fault_element(reader, setting, at, NULL);
		return;
	}
	switch (setting->type) {
	case SETTING_URL:
	case SETTING_PLAIN_URL:
		read_url(reader, setting, at, field);
		break;
	case SETTING_PATH:
	case SETTING_PLACE:
		read_path(reader, setting, at, field);
		break;
	case SETTING_ENDPOINTS:
		read_endpoint(reader, setting, at, field);
		break;
	case SETTING_TARGETS:
		read_target(reader, setting, at, field);
		break;
	case SETTING_PREFIXES:
	case SETTING_PREFIX:
		read_prefix(reader, setting, at, field);
		break;
	case SETTING_ADDRESSES:
		read_address(reader, setting, at, field);
		break;
	case SETTING_WHO:
	case SETTING_NAMES:
	case SETTING_RATE:
		config_push_value(reader, setting, at, field);
		break;
	case SETTING_PATTERNS:
	case SETTING_PATTERN:
		read_pattern(reader, setting, at, field);
		break;
	case SETTING_IDENTITY:
		read_identity(reader, setting, at, field);
		break;
	case SETTING_DOMAIN:
		read_domain(reader, setting, at, field);
		break;
	case SETTING_NAME:
		read_name(reader, setting, at, field);
		break;
	case SETTING_LEVEL:
		read_level(reader, setting, at, field);
		break;
	case SETTING_WORDS:
	case SETTING_SERVICES:
	case SETTING_HOURS:
	case SETTING_MOMENT:
	case SETTING_ZONE:
	case SETTING_SUBJECT:
		// What they mean is found once all names are known, by config_policy.c.
		*(char **)field = copy_text(reader, config_setting_get_string(at));
		break;
	case SETTING_REFUSAL:
		read_choice(reader, setting, at, "reject", "drop", field);
		break;
	case SETTING_TEXT:
		read_text(reader, setting, at, field);
		break;
	case SETTING_KEYS:
		read_key(reader, setting, at, field);
		break;
	case SETTING_MODE:
		read_choice(reader, setting, at, "hard", "soft", field);
		break;
	case SETTING_CRYPTO:
		read_choice(reader, setting, at, "openssl", "auto", field);
		break;
	case SETTING_GROUP:
	case SETTING_LIST:
	case SETTING_INTEGER:
	case SETTING_BOOLEAN:
	case SETTING_NAMED_PEERS:
	case SETTING_NAMED_PREFIXES:
	case SETTING_NAMED_ADDRESSES:
	case SETTING_NAMED_SERVICES:
		break;
	}
}
