// SPDX-License-Identifier: Apache-2.0

#include "tun/datagram.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/ip.h>

#include "base/cleanup.h"

#define SOCKET_BUFFER (4 << 20)
#define SEND_WAIT_MS  20

int datagram_batch_init(struct datagram_batch *batch, size_t size)
{
	memset(batch, 0, sizeof(*batch));
	batch->stride = (size + 63) & ~(size_t)63;
	batch->data = aligned_alloc(64, batch->stride * DATAGRAM_BATCH);
	return batch->data ? 0 : -ENOMEM;
}

void datagram_batch_done(struct datagram_batch *batch)
{
	free(batch->data);
	batch->data = NULL;
}

// The FORCE forms pass the host's limit but need CAP_NET_ADMIN.
static void set_buffer(int fd, int force, int option)
{
	int size = SOCKET_BUFFER;
	if (setsockopt(fd, SOL_SOCKET, force, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, option, &size, sizeof(size));
}

static int set_option(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int set_options(int fd, int family, bool shared, uint32_t mark)
{
	int r = 0;
	if (shared)
		r = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (r == 0 && mark)
		r = set_option(fd, SOL_SOCKET, SO_MARK, (int)mark);
	if (r < 0)
		return r;
	if (family == AF_INET) {
		r = set_option(fd, IPPROTO_IP, IP_PKTINFO, 1);
		return r < 0 ? r : set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
	}
	r = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (r == 0)
		r = set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	return r < 0 ? r : set_option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
}

int datagram_open(const struct endpoint *endpoint, bool shared, uint32_t mark)
{
	struct sockaddr_storage name;
	int family = endpoint->addr.family;
	_cleanup_(closep) int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	int r = set_options(fd, family, shared, mark);
	if (r < 0)
		return r;
	set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF);
	set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF);
	socklen_t size = endpoint_to_sockaddr(endpoint, family, &name);
	if (bind(fd, (struct sockaddr *)&name, size) < 0)
		return -errno;
	return take_fd(&fd);
}

uint16_t datagram_port(int fd)
{
	struct sockaddr_storage name;
	struct endpoint endpoint;
	socklen_t size = sizeof(name);
	if (getsockname(fd, (struct sockaddr *)&name, &size) < 0 ||
	    endpoint_from_sockaddr(&name, &endpoint) < 0)
		return 0;
	return endpoint.port;
}

static void read_local(struct msghdr *header, struct addr *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;
			memcpy(&info, CMSG_DATA(c), sizeof(info));
			ret->family = AF_INET;
			memcpy(ret->bytes, &info.ipi_addr, 4);
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;
			memcpy(&info, CMSG_DATA(c), sizeof(info));
			ret->family = AF_INET6;
			memcpy(ret->bytes, &info.ipi6_addr, 16);
		}
	}
}

int datagram_receive(int fd, uint8_t slot, struct datagram_batch *batch)
{
	for (unsigned i = 0; i < DATAGRAM_BATCH; i++) {
		batch->vectors[i] = (struct iovec){batch->data + i * batch->stride, batch->stride};
		batch->messages[i].msg_hdr = (struct msghdr){
			.msg_name = &batch->names[i],
			.msg_namelen = sizeof(batch->names[i]),
			.msg_iov = &batch->vectors[i],
			.msg_iovlen = 1,
			.msg_control = batch->control[i],
			.msg_controllen = DATAGRAM_CONTROL,
		};
	}
	batch->count = 0;
	int n = recvmmsg(fd, batch->messages, DATAGRAM_BATCH, MSG_DONTWAIT, NULL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n; i++) {
		struct datagram_peer *peer = &batch->peers[i];
		struct msghdr *header = &batch->messages[i].msg_hdr;
		batch->sizes[i] = header->msg_flags & MSG_TRUNC ? 0 : batch->messages[i].msg_len;
		peer->slot = slot;
		read_local(header, &peer->local);
		if (endpoint_from_sockaddr(&batch->names[i], &peer->remote) < 0)
			batch->sizes[i] = 0;
	}
	batch->count = (unsigned)n;
	return n;
}

static size_t write_local(const struct addr *local, uint8_t *control)
{
	struct msghdr header = {.msg_control = control, .msg_controllen = DATAGRAM_CONTROL};
	struct cmsghdr *c = CMSG_FIRSTHDR(&header);
	if (local->family == AF_UNSPEC)
		return 0;
	memset(control, 0, DATAGRAM_CONTROL);
	if (local->family == AF_INET) {
		struct in_pktinfo info = {0};
		memcpy(&info.ipi_spec_dst, local->bytes, 4);
		*c = (struct cmsghdr){CMSG_LEN(sizeof(info)), IPPROTO_IP, IP_PKTINFO};
		memcpy(CMSG_DATA(c), &info, sizeof(info));
		return CMSG_SPACE(sizeof(info));
	}
	struct in6_pktinfo info = {0};
	memcpy(&info.ipi6_addr, local->bytes, 16);
	*c = (struct cmsghdr){CMSG_LEN(sizeof(info)), IPPROTO_IPV6, IPV6_PKTINFO};
	memcpy(CMSG_DATA(c), &info, sizeof(info));
	return CMSG_SPACE(sizeof(info));
}

static void prepare(struct datagram_batch *batch, unsigned i)
{
	const struct datagram_peer *peer = &batch->peers[i];
	socklen_t size =
		endpoint_to_sockaddr(&peer->remote, peer->remote.addr.family, &batch->names[i]);
	size_t control = write_local(&peer->local, batch->control[i]);
	batch->vectors[i] = (struct iovec){batch->data + i * batch->stride, batch->sizes[i]};
	batch->messages[i].msg_hdr = (struct msghdr){
		.msg_name = &batch->names[i],
		.msg_namelen = size,
		.msg_iov = &batch->vectors[i],
		.msg_iovlen = 1,
		.msg_control = control ? batch->control[i] : NULL,
		.msg_controllen = control,
	};
}

// The address that the peer wrote to may be gone from this host: then the kernel chooses another, once.
static bool send_from_any(int fd, struct datagram_batch *batch, unsigned i)
{
	struct msghdr *header = &batch->messages[i].msg_hdr;
	if (!header->msg_control)
		return false;
	header->msg_control = NULL;
	header->msg_controllen = 0;
	return sendmsg(fd, header, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

unsigned datagram_send(int fd, struct datagram_batch *batch, unsigned from, unsigned to)
{
	unsigned refused = 0;
	bool waited = false;
	for (unsigned i = from; i < to; i++)
		prepare(batch, i);
	while (from < to) {
		int n = sendmmsg(fd, batch->messages + from, to - from,
				 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0) {
			from += (unsigned)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN && !waited) {
			// A full send buffer is back-pressure for the TUN queue, not a reason to drop.
			struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
			poll(&poll_fd, 1, SEND_WAIT_MS);
			waited = true;
			continue;
		}
		if (!send_from_any(fd, batch, from))
			refused++;
		from++;
	}
	return refused;
}
