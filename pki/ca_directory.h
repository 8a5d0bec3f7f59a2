// SPDX-License-Identifier: Apache-2.0
// The files in a CA's directory, and what must hold of them and of the places that certificates are written to.
#pragma once

#include <stdbool.h>

struct error;

// The first in the order in which they are made: without a journal, a CA was never finished.
enum ca_file {
	CA_ROOT_KEY,
	CA_ROOT_CERTIFICATE,
	CA_ISSUING_KEY,
	CA_ISSUING_CERTIFICATE,
	CA_TRUST,
	CA_JOURNAL,
	CA_ISSUING_URI, // instead of its key: where that is
	// What a change of issuer is made ready with.
	CA_NEXT_ROOT_KEY,
	CA_NEXT_ROOT_CERTIFICATE,
	CA_NEXT_ISSUING_KEY,
	CA_NEXT_ISSUING_URI,
	CA_NEXT_ISSUING_CERTIFICATE,
	CA_DENIALS // from the first revocation on
};
#define CA_FILES (CA_DENIALS + 1)

// "DIRECTORY/root.key", new; NULL: out of memory.
char *ca_directory_path(const char *directory, enum ca_file file);

// Makes the directory, mode 0700, or takes an empty one that not everybody may write to. -errno.
int ca_directory_make(const char *directory, bool *ret_made, struct error *error);

// -EPERM when anybody but the owner may read or write a private key.
int ca_directory_check_secret(const char *path, struct error *error);

// Whether a file may be written at `path`: in a directory that exists and is writable, and not over a file of the CA.
int ca_directory_check_output(const char *directory, const char *path, struct error *error);

// What follows is for changes of issuer. What is not there is passed over: each may be done again after an interruption. The
// directory is written to the disk before they return. -errno.
// `from` takes the place of `to`.
int ca_directory_move(const char *directory, enum ca_file from, enum ca_file to,
		      struct error *error);
// The file of this generation stays under a name with its number ("issuing.1.key"), too. One that is there already stays.
int ca_directory_keep(const char *directory, enum ca_file file, unsigned generation,
		      struct error *error);
int ca_directory_remove(const char *directory, enum ca_file file, struct error *error);
bool ca_directory_has(const char *directory, enum ca_file file);
