// SPDX-License-Identifier: Apache-2.0
// TCP sockets as connections want them: non-blocking, closed on exec, without Nagle's delay, with keepalive, and ended by
// the kernel when what was sent is not acknowledged for 10 s (RFC 5482).
#pragma once

#include <stdint.h>

#include "base/addr.h"

// A socket that is on its way to `endpoint`; writable when it has arrived or failed (SO_ERROR). `mark` (0: none): SO_MARK.
// Returns the descriptor or -errno.
int stream_dial(const struct endpoint *endpoint, uint32_t mark);
// Makes an accepted descriptor such a socket. `ret_peer` gets the far end, AF_UNSPEC where that is not IP. 0 or -errno.
int stream_take(int fd, struct endpoint *ret_peer);
