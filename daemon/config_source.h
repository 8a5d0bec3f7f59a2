// SPDX-License-Identifier: Apache-2.0
// One file of a configuration, as libconfig sees it. Only for the files config*.c.
#pragma once

#include <stddef.h>
#include <libconfig.h>

struct config_errors;

#define CONFIG_FILE_MAX (16u << 20) // bytes of one file

struct config_source {
	config_t tree; // empty where the file could not be parsed
	char *path;
	unsigned order; // among the files of one load
};

// Copies the path. NULL: out of memory.
struct config_source *config_source_new(const char *path, unsigned order);
struct config_source *config_source_free(struct config_source *source); // takes NULL, returns NULL
// Reads the file at `source->path`. On failure the reason is among the errors, the tree is empty, and -EINVAL or -ENOMEM is
// returned.
int config_source_read(struct config_source *source, struct config_errors *errors);
// The same with a text of `size` bytes and a NUL behind them.
int config_source_parse(struct config_source *source, const char *text, size_t size,
			struct config_errors *errors);
