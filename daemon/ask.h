// SPDX-License-Identifier: Apache-2.0
// Asks the running daemon over its control socket (daemon/control.h).
#pragma once

#include <jansson.h>

struct error;

#define ASK_SOCKET "/run/mutun/mutund.sock"

// The socket to ask (`mutun --socket`), borrowed until the process ends; else it is MUTUN_SOCKET in the environment, else ASK_SOCKET.
void ask_set_socket(const char *path);

// Takes the request. 0 and the result (a new reference); -ECONNREFUSED: no daemon there; -EREMOTEIO: it said no, and why.
int ask(json_t *request, json_t **ret, struct error *error);
