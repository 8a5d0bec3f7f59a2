// SPDX-License-Identifier: Apache-2.0

#include "daemon/cmd_renew.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "daemon/arguments.h"
#include "daemon/ask.h"
#include "daemon/command.h"

#define LOOK_US	  100000
#define PROVEN_MS 5000u	  // a gateway that is not there does not make the command wait for ever
#define WITHIN_MS 180000u // an EST server that does not answer is given up before

static int print(const json_t *status, bool json)
{
	const json_t *renewal = json_object_get(status, "renewal");
	const char *from = json_string_value(json_object_get(renewal, "from"));

	if (json)
		arguments_print(status);
	else
		printf("%s%s%s\n", json_string_value(json_object_get(renewal, "words")),
		       from ? "\nfrom " : "", from ? from : "");
	return COMMAND_DONE;
}

// `patient`: not before the links have shown the new certificate to their gateways.
static bool is_over(const json_t *renewal, json_int_t attempt, bool patient)
{
	return json_integer_value(json_object_get(renewal, "attempts")) >= attempt &&
	       !json_is_true(json_object_get(renewal, "busy")) &&
	       !(patient && json_is_true(json_object_get(renewal, "proving")));
}

static int outcome(const json_t *status, bool json, struct error *error)
{
	const json_t *renewal = json_object_get(status, "renewal");
	const char *words = json_string_value(json_object_get(renewal, "words"));

	if (json_integer_value(json_object_get(renewal, "failures")) == 0 &&
	    !json_is_true(json_object_get(renewal, "held")))
		return print(status, json);
	error_set(error, EREMOTEIO, "%s", words);
	return json ? (arguments_print(status), COMMAND_REFUSED) : arguments_refused(error);
}

static int renew_now(bool json, struct error *error)
{
	_cleanup_(json_decrefp) json_t *begun = NULL;
	uint64_t end = clock_ms() + WITHIN_MS;
	uint64_t patient_end = UINT64_MAX; // known when the certificate is there

	if (ask(json_pack("{s:s}", "command", "renew"), &begun, error) < 0)
		return ask_failed(error);
	json_int_t attempt = json_integer_value(json_object_get(begun, "attempt"));
	while (clock_ms() < end) {
		_cleanup_(json_decrefp) json_t *status = NULL;
		if (ask(json_pack("{s:s}", "command", "renewal"), &status, error) < 0)
			return ask_failed(error);
		const json_t *renewal = json_object_get(status, "renewal");
		uint64_t now = clock_ms();
		if (patient_end == UINT64_MAX && is_over(renewal, attempt, false))
			patient_end = now + PROVEN_MS;
		if (is_over(renewal, attempt, now < patient_end))
			return outcome(status, json, error);
		usleep(LOOK_US);
	}
	error_set(error, ETIMEDOUT, "no outcome within %u s", WITHIN_MS / 1000);
	error_remedy(error, "see what comes of it with: mutun renew");
	return ask_failed(error);
}

int cmd_renew(int argc, char **argv)
{
	static const struct option options[] = {
		{"now", no_argument, NULL, 'W'}, {"json", no_argument, NULL, 'j'}, {0}};
	_cleanup_(json_decrefp) json_t *status = NULL;
	struct arguments arguments;
	struct error error = {0};

	int r = arguments_read(argc, argv, options, 0, &arguments);
	if (r)
		return r;
	if (arguments.now)
		return renew_now(arguments.json, &error);
	if (ask(json_pack("{s:s}", "command", "renewal"), &status, &error) < 0)
		return ask_failed(&error);
	return print(status, arguments.json);
}
