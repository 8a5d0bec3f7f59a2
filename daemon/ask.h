// SPDX-License-Identifier: Apache-2.0
// Asks the running daemon over its control socket (daemon/control.h).
#pragma once

#include <stdbool.h>
#include <jansson.h>

struct error;

#define ASK_SOCKET "/run/mutun/mutund.sock"

// The socket to ask (`mutun --socket`), borrowed until the process ends; else it is MUTUN_SOCKET in the environment, else ASK_SOCKET.
void ask_set_socket(const char *path);

// How long the daemon may take until it answers, 15 s unless this is said.
void ask_set_patience(unsigned seconds);

// Takes the request. 0 and the result (a new reference); -ECONNREFUSED: no daemon there; -EREMOTEIO: it said no, and why.
int ask(json_t *request, json_t **ret, struct error *error);
// The same for an answer that goes on (daemon/feed.h): calls `each` for every line (borrowed) until it is complete, or `each` returns false.
// `for_s`: at most so long, 0: for ever. -EIO as well where mutund stops before it is complete.
int ask_feed(json_t *request, unsigned for_s, bool (*each)(const json_t *line, void *data),
	     void *data, struct error *error);
// Whether this line of an answer that goes on says that some were lost; then stderr says how many.
bool ask_lost(const json_t *line);
// Says why not. Returns an exit code of the tool: COMMAND_NO_DAEMON or COMMAND_REFUSED.
int ask_failed(const struct error *error);

// Members of an answer, "" or 0 where there is none.
const char *ask_text(const json_t *object, const char *member);
const char *ask_word(const json_t *object, const char *member); // "-" where there is none
json_int_t ask_number(const json_t *object, const char *member);
// A list of texts, with spaces between them. Those that there is no room for are left out. Returns `text`.
const char *ask_list(const json_t *object, const char *member, char *text, size_t size);
// "12.3 MiB". Returns `text`.
const char *ask_bytes(json_int_t bytes, char *text, size_t size);
