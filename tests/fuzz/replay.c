// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target over its corpus without libFuzzer, so that every input ever found stays a test.

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	if (!file)
		return -1;
	uint8_t *data = malloc(1 << 20);
	size_t size = data ? fread(data, 1, 1 << 20, file) : 0;
	fclose(file);
	// A copy of the exact size lets AddressSanitizer see a read past the end.
	uint8_t *exact = malloc(size ? size : 1);
	if (data && exact) {
		memcpy(exact, data, size);
		LLVMFuzzerTestOneInput(exact, size);
	}
	free(exact);
	free(data);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned count = 0;
	for (int i = 1; i < argc; i++) {
		DIR *dir = opendir(argv[i]);
		if (!dir) {
			fprintf(stderr, "%s: no such corpus\n", argv[i]);
			return 1;
		}
		for (struct dirent *entry; (entry = readdir(dir));) {
			char path[4096];
			snprintf(path, sizeof(path), "%s/%s", argv[i], entry->d_name);
			if (entry->d_name[0] != '.' && replay_file(path) == 0)
				count++;
		}
		closedir(dir);
	}
	printf("%u inputs replayed\n", count);
	return count == 0;
}
