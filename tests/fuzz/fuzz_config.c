// SPDX-License-Identifier: Apache-2.0
// Any text as a configuration: errors or a configuration, and no third outcome.

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "daemon/config.h"
#include "daemon/config_report.h"
#include "daemon/setting.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// libconfig 1.5 loses the token at which a syntax error was found; that is once per failed reload, and not ours to mend.
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libconfig";
}

static void check_errors(const struct config_errors *errors)
{
	char text[ERROR_TEXT_MAX];
	size_t count = config_errors_count(errors);
	if (count == 0 || count > CONFIG_ERRORS_MAX + 1)
		abort();
	for (size_t i = 0; i < count; i++) {
		const struct error *error = config_errors_at(errors, i);
		if (!error->code || !error->what[0] || !error_text(error, text, sizeof(text))[0])
			abort();
	}
}

static void check_config(const struct config *config)
{
	struct error error;
	if (!config->node.certificate || !config->node.state || !config->interface.name ||
	    (!config->gateway.enabled && !config->link_count))
		abort();
	for (unsigned i = 0; i < config->gateway.peer_count; i++)
		if (!config->gateway.peers[i].identity)
			abort();
	for (unsigned i = 0; i < config->link_count; i++)
		if (!config->links[i].name || !config->links[i].to_count)
			abort();
	if (config_reloadable(config, config, &error) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(config_putp) struct config *config = NULL;
	_cleanup_(config_errors_freep) struct config_errors *errors = NULL;
	_cleanup_(freep) char *text = malloc(size + 1);
	if (!text)
		return 0;
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	if (config_parse(text, "/etc/mutun/fuzz.conf", &config, &errors) == 0)
		check_config(config);
	else if (errors)
		check_errors(errors);
	else
		abort();
	return 0;
}
