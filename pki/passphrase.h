// SPDX-License-Identifier: Apache-2.0
// The passphrase of a CA's keys, from a file: never from a terminal or the command line.
#pragma once

#include <stdbool.h>

struct error;

#define PASSPHRASE_MAX 1024u
#define PASSPHRASE_CREDENTIAL \
	"ca-passphrase" // name of the file in $CREDENTIALS_DIRECTORY (systemd.exec(5))

struct passphrase {
	char text[PASSPHRASE_MAX + 1];
};

// The first line of the file at `path`, which only its owner may read; where `path` is NULL, of systemd's credential.
//   -ENOKEY  `path` is NULL and there is no credential      -EPERM  others may read it      -EINVAL  empty, or too long
int passphrase_read(const char *path, struct passphrase *ret, struct error *error);
void passphrase_done(struct passphrase *passphrase); // wipes it

// A pem_password_cb for OpenSSL, whose `data` is a struct passphrase_asked: what we have, or failure. The terminal is not ours to read.
struct passphrase_asked {
	const struct passphrase *passphrase; // NULL: none
	bool asked;			     // set when OpenSSL wanted one
};
int passphrase_give(char *buffer, int size, int writing, void *data);
