// SPDX-License-Identifier: Apache-2.0
// One listening TCP socket.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"

struct error;

// A new socket that listens, non-blocking; IPv6 without IPv4. `mark` (0: none) is set on it (SO_MARK). `share`: beside sockets
// to which bind_share() was said, and shared itself then. 0 or -errno.
int bind_tcp(const struct endpoint *endpoint, uint32_t mark, bool share, int *ret_fd);
// Lets a socket of this user in that wants the same port, although this one stands in its way. False: it does not.
bool bind_share(int fd, bool share);
// Fills in what went wrong with an address. Returns -code.
int bind_error(const struct endpoint *endpoint, int code, struct error *error);
