// SPDX-License-Identifier: Apache-2.0

#include "tun/datagram.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/ip.h>
#include <netinet/udp.h>

#include "base/cleanup.h"

#define SOCKET_BUFFER (4 << 20)
#define SEND_WAIT_MS  20
#define REFUSALS_MAX  3u // of runs for no known reason, before a way gets single datagrams

int datagram_in_init(struct datagram_in *in)
{
	memset(in, 0, sizeof(*in));
	in->data = aligned_alloc(64, (size_t)DATAGRAM_STRIDE * DATAGRAM_BATCH);
	return in->data ? 0 : -ENOMEM;
}

void datagram_in_done(struct datagram_in *in)
{
	free(in->data);
	in->data = NULL;
}

int datagram_out_init(struct datagram_out *out)
{
	memset(out, 0, sizeof(*out));
	out->data = aligned_alloc(64, DATAGRAM_OUT_SIZE);
	return out->data ? 0 : -ENOMEM;
}

void datagram_out_done(struct datagram_out *out)
{
	free(out->data);
	out->data = NULL;
}

uint8_t *datagram_room(const struct datagram_out *out, size_t size)
{
	if (out->count == DATAGRAM_BATCH || size > DATAGRAM_OUT_SIZE - out->used)
		return NULL;
	return out->data + out->used;
}

static bool same_peer(const struct datagram_peer *a, const struct datagram_peer *b)
{
	return a->slot == b->slot && a->session == b->session &&
	       endpoint_equal(&a->remote, &b->remote) && addr_equal(&a->local, &b->local);
}

static bool continues(const struct datagram_run *run, const struct datagram_peer *peer, uint8_t ecn,
		      size_t size)
{
	return !run->closed && size <= run->segment && run->count < DATAGRAM_RUN_MAX &&
	       run->size + size <= DATAGRAM_RUN_SIZE && run->ecn == ecn &&
	       same_peer(&run->peer, peer);
}

void datagram_add(struct datagram_out *out, const struct datagram_peer *peer,
		  struct datagram_way *way, uint8_t ecn, size_t size)
{
	struct datagram_run *run = out->count ? &out->runs[out->count - 1] : NULL;
	if (run && continues(run, peer, ecn, size)) {
		run->size += size;
		run->count++;
		run->closed = size < run->segment;
	} else {
		bool singly = way && atomic_load_explicit(&way->singly, memory_order_relaxed);
		out->runs[out->count++] = (struct datagram_run){
			.peer = *peer,
			.way = way,
			.ecn = ecn,
			.offset = out->used,
			.size = size,
			.segment = size,
			.count = 1,
			.closed = singly || !out->segmentation,
		};
	}
	out->used += size;
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
		if (r == 0)
			r = set_option(fd, IPPROTO_IP, IP_RECVTOS, 1);
		return r < 0 ? r : set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
	}
	r = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (r == 0)
		r = set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	if (r == 0)
		r = set_option(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
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

bool datagram_can_segment(int fd)
{
	int size;
	socklen_t length = sizeof(size);
	return getsockopt(fd, SOL_UDP, UDP_SEGMENT, &size, &length) == 0;
}

bool datagram_enable_joining(int fd)
{
	return set_option(fd, SOL_UDP, UDP_GRO, 1) == 0;
}

static struct addr addr_from(uint8_t family, const void *bytes, size_t size)
{
	struct addr addr = {.family = family};
	memcpy(addr.bytes, bytes, size);
	return addr;
}

static void read_ip(const struct cmsghdr *c, struct datagram_in *in, unsigned i)
{
	struct in_pktinfo info;
	if (c->cmsg_type == IP_PKTINFO) {
		memcpy(&info, CMSG_DATA(c), sizeof(info));
		in->peers[i].local = addr_from(AF_INET, &info.ipi_addr, 4);
	} else if (c->cmsg_type == IP_TOS) {
		in->ecn[i] = *CMSG_DATA(c) & IPTOS_ECN_MASK;
	}
}

static void read_ipv6(const struct cmsghdr *c, struct datagram_in *in, unsigned i)
{
	struct in6_pktinfo info;
	int class;
	if (c->cmsg_type == IPV6_PKTINFO) {
		memcpy(&info, CMSG_DATA(c), sizeof(info));
		in->peers[i].local = addr_from(AF_INET6, &info.ipi6_addr, 16);
	} else if (c->cmsg_type == IPV6_TCLASS) {
		memcpy(&class, CMSG_DATA(c), sizeof(class));
		in->ecn[i] = (uint8_t) class & IPTOS_ECN_MASK;
	}
}

static void read_udp(const struct cmsghdr *c, struct datagram_in *in, unsigned i)
{
	int segment;
	memcpy(&segment, CMSG_DATA(c), sizeof(segment));
	if (c->cmsg_type == UDP_GRO && segment > 0)
		in->segments[i] = (size_t)segment;
}

static void read_control(struct msghdr *header, struct datagram_in *in, unsigned i)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
		if (c->cmsg_level == IPPROTO_IP)
			read_ip(c, in, i);
		else if (c->cmsg_level == IPPROTO_IPV6)
			read_ipv6(c, in, i);
		else if (c->cmsg_level == SOL_UDP)
			read_udp(c, in, i);
	}
}

int datagram_receive(int fd, uint8_t slot, struct datagram_in *in)
{
	struct datagram_call *call = &in->call;
	for (unsigned i = 0; i < DATAGRAM_BATCH; i++) {
		call->vectors[i] =
			(struct iovec){in->data + (size_t)i * DATAGRAM_STRIDE, DATAGRAM_STRIDE};
		call->messages[i].msg_hdr = (struct msghdr){
			.msg_name = &call->names[i],
			.msg_namelen = sizeof(call->names[i]),
			.msg_iov = &call->vectors[i],
			.msg_iovlen = 1,
			.msg_control = call->control[i],
			.msg_controllen = DATAGRAM_CONTROL,
		};
	}
	in->count = 0;
	int n = recvmmsg(fd, call->messages, DATAGRAM_BATCH, MSG_DONTWAIT, NULL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	for (unsigned i = 0; i < (unsigned)n; i++) {
		struct msghdr *header = &call->messages[i].msg_hdr;
		in->sizes[i] = header->msg_flags & MSG_TRUNC ? 0 : call->messages[i].msg_len;
		in->segments[i] = in->sizes[i];
		in->ecn[i] = 0;
		in->peers[i].slot = slot;
		in->peers[i].local.family = AF_UNSPEC;
		read_control(header, in, i);
		if (endpoint_from_sockaddr(&call->names[i], &in->peers[i].remote) < 0)
			in->sizes[i] = 0;
	}
	in->count = (unsigned)n;
	return n;
}

static size_t write_local(const struct addr *local, struct cmsghdr *c)
{
	if (local->family == AF_UNSPEC)
		return 0;
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

static size_t write_ecn(int family, uint8_t ecn, struct cmsghdr *c)
{
	int value = ecn;
	if (ecn == 0)
		return 0;
	*c = (struct cmsghdr){CMSG_LEN(sizeof(value)), IPPROTO_IP, IP_TOS};
	if (family == AF_INET6)
		*c = (struct cmsghdr){CMSG_LEN(sizeof(value)), IPPROTO_IPV6, IPV6_TCLASS};
	memcpy(CMSG_DATA(c), &value, sizeof(value));
	return CMSG_SPACE(sizeof(value));
}

static size_t write_segment(size_t segment, struct cmsghdr *c)
{
	uint16_t size = (uint16_t)segment;
	*c = (struct cmsghdr){CMSG_LEN(sizeof(size)), SOL_UDP, UDP_SEGMENT};
	memcpy(CMSG_DATA(c), &size, sizeof(size));
	return CMSG_SPACE(sizeof(size));
}

static void prepare(struct datagram_out *out, unsigned i, const struct datagram_run *run)
{
	struct datagram_call *call = &out->call;
	int family = run->peer.remote.addr.family;
	socklen_t size = endpoint_to_sockaddr(&run->peer.remote, family, &call->names[i]);
	uint8_t *bytes = call->control[i];
	size_t control = write_local(&run->peer.local, (struct cmsghdr *)bytes);
	control += write_ecn(family, run->ecn, (struct cmsghdr *)(bytes + control));
	// For a single datagram some kernels refuse it.
	if (run->count > 1)
		control += write_segment(run->segment, (struct cmsghdr *)(bytes + control));
	call->vectors[i] = (struct iovec){out->data + run->offset, run->size};
	call->messages[i].msg_hdr = (struct msghdr){
		.msg_name = &call->names[i],
		.msg_namelen = size,
		.msg_iov = &call->vectors[i],
		.msg_iovlen = 1,
		.msg_control = control ? call->control[i] : NULL,
		.msg_controllen = control,
	};
}

// A full send buffer is back-pressure for the TUN queue, not a reason to drop: wait for it, a little.
static ssize_t send_patiently(int fd, const struct msghdr *header)
{
	ssize_t n = sendmsg(fd, header, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n >= 0 || errno != EAGAIN)
		return n;
	struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
	poll(&poll_fd, 1, SEND_WAIT_MS);
	return sendmsg(fd, header, MSG_DONTWAIT | MSG_NOSIGNAL);
}

// One datagram; where the address that the peer wrote to is gone from this host, from any other.
static bool send_one(int fd, struct msghdr *header)
{
	if (send_patiently(fd, header) >= 0)
		return true;
	if (!header->msg_control || errno == EAGAIN)
		return false;
	header->msg_control = NULL;
	header->msg_controllen = 0;
	return sendmsg(fd, header, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

// A run that the kernel refused in one piece, piece by piece.
static unsigned send_pieces(int fd, struct datagram_out *out, unsigned i)
{
	const struct datagram_run *run = &out->runs[i];
	unsigned refused = 0;
	for (size_t at = 0; at < run->size; at += run->segment) {
		struct datagram_run piece = *run;
		piece.count = 1;
		piece.offset += at;
		piece.size = run->size - at < run->segment ? run->size - at : run->segment;
		prepare(out, i, &piece);
		refused += !send_one(fd, &out->call.messages[i].msg_hdr);
	}
	return refused;
}

// EIO: no checksum offload on this route, or it goes through xfrm. EINVAL: a limit that we do not know. EMSGSIZE says something of
// the path's MTU, and nothing of segmentation.
static void learn(struct datagram_way *way, int code)
{
	if (!way)
		return;
	unsigned times = code == EINVAL ? atomic_fetch_add(&way->refused, 1) + 1 : 0;
	if (code == EIO || times >= REFUSALS_MAX)
		atomic_store(&way->singly, true);
}

// The kernel refused run `i` with `code`.
static unsigned send_refused(int fd, struct datagram_out *out, unsigned i, int code)
{
	const struct datagram_run *run = &out->runs[i];
	struct msghdr *header = &out->call.messages[i].msg_hdr;
	if (run->count == 1)
		return !send_one(fd, header);
	if (code == EAGAIN && send_patiently(fd, header) >= 0)
		return 0;
	learn(run->way, code);
	return send_pieces(fd, out, i);
}

unsigned datagram_send(int fd, struct datagram_out *out, unsigned from, unsigned to)
{
	unsigned refused = 0;
	for (unsigned i = from; i < to; i++)
		prepare(out, i, &out->runs[i]);
	while (from < to) {
		int n = sendmmsg(fd, out->call.messages + from, to - from,
				 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0) {
			from += (unsigned)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		refused += send_refused(fd, out, from, errno);
		from++;
	}
	return refused;
}
