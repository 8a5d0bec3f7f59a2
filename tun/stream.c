// SPDX-License-Identifier: Apache-2.0

#include "tun/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/cleanup.h"

// What waits in here cannot be dropped any more, and delays all that comes later.
#define NOT_SENT_LOW	32768
#define USER_TIMEOUT_MS 10000

// Best effort: none of these can fail on a TCP socket. No SO_KEEPALIVE: together with TCP_USER_TIMEOUT the first probe that gets
// lost ends the connection. Both ends ask for signs of life themselves.
static void set_options(int fd)
{
	static const struct {
		int level, name, value;
	} options[] = {
		{IPPROTO_TCP, TCP_NODELAY, 1},
		{IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS},
		{IPPROTO_TCP, TCP_NOTSENT_LOWAT, NOT_SENT_LOW},
	};
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		setsockopt(fd, options[i].level, options[i].name, &options[i].value,
			   sizeof(options[i].value));
}

int stream_dial(const struct endpoint *endpoint, uint32_t mark)
{
	struct sockaddr_storage address;
	socklen_t size = endpoint_to_sockaddr(endpoint, endpoint->addr.family, &address);
	if (size == 0)
		return -EAFNOSUPPORT;
	_cleanup_(closep) int fd = socket(endpoint->addr.family,
					  SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	if (fd < 0)
		return -errno;
	if (mark && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0)
		return -errno;
	set_options(fd);
	if (connect(fd, (struct sockaddr *)&address, size) < 0 && errno != EINPROGRESS)
		return -errno;
	return take_fd(&fd);
}

int stream_take(int fd, struct endpoint *ret_peer)
{
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);
	struct endpoint peer = {0};
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ||
	    getpeername(fd, (struct sockaddr *)&address, &size) < 0)
		return -errno;
	if (endpoint_from_sockaddr(&address, &peer) < 0)
		peer = (struct endpoint){0};
	set_options(fd);
	*ret_peer = peer;
	return 0;
}
