// SPDX-License-Identifier: Apache-2.0
// The files of a device that `mutun join` writes: what can be found out about them before the token is used up, and their order
// afterwards, so that a node that reads them at any moment, or a tool that is killed, finds a set that works.
#pragma once

#include <stdbool.h>
#include <time.h>
#include <openssl/x509.h>

struct error;
struct obtained;

struct join_files {
	char *certificate; // with the key
	char *trust, *new_trust;
	char *pending; // key and request, until all is done
	char *state, *config;
	X509 *before; // the certificate that was there; NULL: none
};

// What a configuration says that was there before.
enum join_config {
	JOIN_CONFIG_WRITTEN,
	JOIN_CONFIG_FITS,   // it names these files
	JOIN_CONFIG_OTHERS, // it names others
	JOIN_CONFIG_BROKEN,
};

struct join_link {
	const char *server;   // "HOST:PORT"
	const char *identity; // pattern, for its certificate
};

// Makes the directories that are missing, and sees that files can be written. `state` and `config` are copied. The paths must
// not hold what means something to libconfig.
int join_files_begin(const char *state, const char *config, struct join_files *ret,
		     struct error *error);
void join_files_done(struct join_files *files); // removes what is half done, but not `pending`

// `new_trust` and the certificate take the places of what was there.
int join_files_install(const struct join_files *files, const struct obtained *obtained,
		       struct error *error);
// Writes a configuration with one link where there is none yet.
int join_files_configure(const struct join_files *files, const struct join_link *link,
			 enum join_config *ret, struct error *error);
