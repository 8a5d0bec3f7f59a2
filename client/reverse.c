// SPDX-License-Identifier: Apache-2.0

#include "client/reverse.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#define SETTINGS "/proc/sys/net/ipv4/conf"
#define STRICT	 1

// 0 where it cannot be read: no check.
static int setting_of(const char *interface)
{
	char path[sizeof(SETTINGS) + 300];
	snprintf(path, sizeof(path), "%s/%s/rp_filter", SETTINGS, interface);
	FILE *file = fopen(path, "re");
	if (!file)
		return 0;
	int digit = fgetc(file);
	fclose(file);
	return digit >= '0' && digit <= '2' ? digit - '0' : 0;
}

bool reverse_is_strict(void)
{
	int all = setting_of("all");
	bool strict = all == STRICT;
	DIR *directory = all > STRICT ? NULL : opendir(SETTINGS);
	const struct dirent *entry;
	while (!strict && directory && (entry = readdir(directory)))
		strict = entry->d_name[0] != '.' && strcmp(entry->d_name, "default") != 0 &&
			 setting_of(entry->d_name) == STRICT;
	if (directory)
		closedir(directory);
	return strict;
}
