// SPDX-License-Identifier: Apache-2.0
// What the commands of `mutun` about certificates have in common: options, words, and how they say what came of it.
#pragma once

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

struct error;

#define ARGUMENTS_WORDS_MAX 2
#define ARGUMENTS_FROM_MAX  32

// What the options of all of them say; borrowed from argv.
struct arguments {
	const char *words[ARGUMENTS_WORDS_MAX];	       // NULL: not there
	const char *domain, *identity, *dns, *out;     // D, i, n, o
	const char *server, *gateway, *state, *config; // S, g, w, c
	const char *serial, *reason;		       // N, R
	int64_t lifetime_s;			       // d, h, s: 0: not said
	int64_t ttl_s;				       // t, 0: not said
	int64_t not_before_s;			       // b
	const char *csr, *by;			       // C, y
	const char *key, *uri, *passphrase_file;       // k, u, p
	const char *root_key;			       // K
	const char *from[ARGUMENTS_FROM_MAX];	       // F, each time one
	unsigned from_count;
	const char *to, *protocol, *port;	    // T, P, O
	const char *unit, *issuer, *at, *file;	    // U, I, A, L
	bool hardware, inbound;			    // H, B
	bool reuse_key, no_start, json, valid, now; // r, x, j, v, W
	bool force, plan;			    // f, E
	int64_t confirm_s;			    // Z, 0: not said
};

// Reads options, whose letters stand above, and at most `words` words. COMMAND_DONE or, said already, COMMAND_USAGE.
int arguments_read(int argc, char **argv, const struct option *options, int words,
		   struct arguments *arguments);
// Whether there is a first word: the directory of a CA. As above.
int arguments_need_directory(const char *command, const struct arguments *arguments);
// Says what was not understood. Returns COMMAND_USAGE.
int arguments_usage(const char *command, const char *what, const char *which);
// Says why it cannot be. Returns COMMAND_REFUSED.
int arguments_refused(const struct error *error);
void arguments_print(const json_t *result);
// An identity without a scheme is a path in the trust domain. New; NULL: out of memory.
char *arguments_identity(const char *domain, const char *text);
// "HOST", "HOST:PORT" or "[ADDRESS]:PORT", with port 443 where none is said, into "HOST:PORT" or "[ADDRESS]:PORT" (new).
// -EINVAL: anything else. No character of it means anything to a shell, a URL or libconfig.
int arguments_server(const char *text, char **ret, struct error *error);
