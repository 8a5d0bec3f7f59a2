// SPDX-License-Identifier: Apache-2.0

#include "daemon/config_push.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/domain.h"
#include "base/error.h"
#include "daemon/config_named.h"
#include "daemon/config_read.h"
#include "daemon/config_value.h"
#include "daemon/setting.h"
#include "pki/identity.h"

#define RATE_MIN UINT64_C(64000)
#define RATE_MAX UINT64_C(1000000000000)

static void put_text(struct config_reader *reader, const char *text, char **field)
{
	*field = strdup(text);
	if (!*field)
		reader->out_of_memory = true;
}

// Whether there is such a group is known when the policy has been read.
static void read_who(struct config_reader *reader, const struct setting *setting,
		     const config_setting_t *at, char **field)
{
	const char *text = config_setting_get_string(at);
	struct error error = {0};
	if (config_named_is(text) || identity_pattern_check(text, &error) == 0)
		put_text(reader, text, field);
	else
		config_value_fault_element(reader, setting, at, error.what);
}

static void read_domain_name(struct config_reader *reader, const struct setting *setting,
			     const config_setting_t *at, char **field)
{
	const char *text = config_setting_get_string(at);
	if (domain_is_name(text))
		put_text(reader, text, field);
	else
		config_value_fault_element(reader, setting, at, NULL);
}

// "50 Mbit/s". Units are decimal, as of all rates.
static void read_rate(struct config_reader *reader, const struct setting *setting,
		      const config_setting_t *at, uint64_t *field)
{
	static const struct {
		const char *name;
		uint64_t factor;
	} units[] = {{"kbit/s", 1000}, {"Mbit/s", 1000000}, {"Gbit/s", 1000000000}};
	const char *text = config_setting_get_string(at);
	char *unit;
	errno = 0;
	uint64_t number = isdigit((unsigned char)*text) ? strtoull(text, &unit, 10) : 0;
	for (size_t i = 0; number && errno == 0 && i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(unit + strspn(unit, " "), units[i].name) != 0)
			continue;
		if (number < RATE_MAX / units[i].factor + 1 &&
		    number * units[i].factor >= RATE_MIN) {
			*field = number * units[i].factor;
			return;
		}
	}
	config_value_fault_element(reader, setting, at, NULL);
}

void config_push_value(struct config_reader *reader, const struct setting *setting,
		       const config_setting_t *at, void *field)
{
	if (setting->type == SETTING_WHO)
		read_who(reader, setting, at, field);
	else if (setting->type == SETTING_NAMES)
		read_domain_name(reader, setting, at, field);
	else
		read_rate(reader, setting, at, field);
}
