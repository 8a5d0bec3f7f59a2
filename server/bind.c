// SPDX-License-Identifier: Apache-2.0

#include "server/bind.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <netinet/in.h>

#include "base/cleanup.h"
#include "base/error.h"

#define BACKLOG 4096

static int set_flag(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value));
}

int bind_tcp(const struct endpoint *endpoint, uint32_t mark, bool share, int *ret_fd)
{
	struct sockaddr_storage address;
	int family = endpoint->addr.family;
	socklen_t size = endpoint_to_sockaddr(endpoint, family, &address);

	if (size == 0)
		return -EAFNOSUPPORT;
	_cleanup_(closep) int fd =
		socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	if (fd < 0)
		return -errno;
	if (set_flag(fd, SOL_SOCKET, SO_REUSEADDR, 1) < 0 ||
	    (family == AF_INET6 && set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) < 0) ||
	    (mark && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0) ||
	    (share && !bind_share(fd, true)) || bind(fd, (struct sockaddr *)&address, size) < 0 ||
	    listen(fd, BACKLOG) < 0)
		return -errno;
	*ret_fd = take_fd(&fd);
	return 0;
}

bool bind_share(int fd, bool share)
{
	return set_flag(fd, SOL_SOCKET, SO_REUSEPORT, share) == 0;
}

int bind_error(const struct endpoint *endpoint, int code, struct error *error)
{
	char text[ENDPOINT_TEXT_MAX];

	error_set(error, code, "cannot listen on %s: %s", endpoint_text(endpoint, text),
		  strerror(code));
	if (code == EADDRINUSE)
		error_remedy(error,
			     "stop the program that listens there, or change gateway.listen");
	else if (code == EADDRNOTAVAIL)
		error_remedy(error, "no interface of this host has the address");
	else if (code == EACCES || code == EPERM)
		error_remedy(error, "the daemon needs CAP_NET_BIND_SERVICE for ports below 1024");
	return -code;
}
