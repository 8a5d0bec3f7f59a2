// SPDX-License-Identifier: Apache-2.0
// mutund: the daemon.

#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/log.h"
#include "daemon/config.h"
#include "daemon/engine.h"
#include "daemon/setting.h"

#define LARGE_BLOCK (1 << 20) // bytes

static const char usage[] =
	"Usage: mutund [--config FILE]\n"
	"       mutund --check FILE\n"
	"\n"
	"  -c, --config FILE  configuration, default " CONFIG_PATH "\n"
	"      --check FILE   say everything that is wrong with it, and exit\n"
	"      --manual       print mutun.conf(5) from the table of settings\n"
	"      --version, --help\n"
	"\n"
	"SIGHUP reloads, SIGTERM stops. See mutund(8), mutun.conf(5), mutun(1).\n";

static void print_errors(const struct config_errors *errors, const char *before)
{
	char text[ERROR_TEXT_MAX];
	for (size_t i = 0; i < config_errors_count(errors); i++)
		fprintf(stderr, "%s%s\n", before,
			error_text(config_errors_at(errors, i), text, sizeof(text)));
}

static int check(const char *path)
{
	_cleanup_(config_putp) struct config *config = NULL;
	_cleanup_(config_errors_freep) struct config_errors *errors = NULL;
	if (config_load(path, &config, &errors) < 0) {
		print_errors(errors, "");
		return 1;
	}
	print_errors(config->warnings, "warning: ");
	printf("%s: ok\n", path);
	return 0;
}

// A gateway has a descriptor per session, and keys never go into a core file.
static void set_limits(void)
{
	struct rlimit files;
	struct rlimit none = {0};
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	setrlimit(RLIMIT_CORE, &none);
	umask(S_IRWXG | S_IRWXO);
	// Large blocks (revocation lists, in files and as tables) go back to the kernel when they are freed. By itself, malloc() would
	// keep those that come after the first.
	mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK);
}

static int serve(const char *path)
{
	struct config *config = NULL;
	_cleanup_(engine_freep) struct engine *engine = NULL;
	_cleanup_(config_errors_freep) struct config_errors *errors = NULL;
	char text[ERROR_TEXT_MAX];
	struct error error;
	set_limits();
	if (config_load(path, &config, &errors) < 0) {
		print_errors(errors, "");
		return 1;
	}
	if (engine_new(path, config, &engine, &error) < 0) {
		log_error("%s", error_text(&error, text, sizeof(text)));
		return 1;
	}
	int r = engine_run(engine);
	if (r < 0)
		log_error("the event loop failed: %s", strerror(-r));
	return r < 0;
}

int main(int argc, char **argv)
{
	enum { CHECK = 256, MANUAL, VERSION, HELP };
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"check", required_argument, NULL, CHECK},
		{"manual", no_argument, NULL, MANUAL},
		{"manual", no_argument, NULL, MANUAL},
		{"version", no_argument, NULL, VERSION},
		{"help", no_argument, NULL, HELP},
		{NULL, 0, NULL, 0},
	};
	const char *path = CONFIG_PATH;
	for (int option; (option = getopt_long(argc, argv, "c:", options, NULL)) != -1;) {
		switch (option) {
		case 'c':
			path = optarg;
			break;
		case CHECK:
			return check(optarg);
		case MANUAL:
			setting_manual(stdout);
			return 0;
		case VERSION:
			puts("mutund " MUTUN_VERSION);
			return 0;
		case HELP:
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (optind < argc) {
		fputs(usage, stderr);
		return 2;
	}
	return serve(path);
}
