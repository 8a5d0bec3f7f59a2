// SPDX-License-Identifier: Apache-2.0

#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

int addr_parse(const char *text, struct addr *ret)
{
	struct addr addr = {0};
	if (inet_pton(AF_INET, text, addr.bytes) == 1)
		addr.family = AF_INET;
	else if (inet_pton(AF_INET6, text, addr.bytes) == 1)
		addr.family = AF_INET6;
	else
		return -EINVAL;
	*ret = addr;
	return 0;
}

// A decimal number without sign, space or leading zero, at most `max`.
static int parse_number(const char *text, unsigned max, unsigned *ret)
{
	unsigned value = 0;
	if (text[0] == '\0' || (text[0] == '0' && text[1] != '\0'))
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		value = value * 10 + (unsigned)(*text - '0');
		if (value > max)
			return -EINVAL;
	}
	*ret = value;
	return 0;
}

static int copy_part(const char *from, size_t size, char *to, size_t to_size)
{
	if (size >= to_size)
		return -EINVAL;
	memcpy(to, from, size);
	to[size] = '\0';
	return 0;
}

int prefix_parse(const char *text, struct prefix *ret)
{
	char head[ADDR_TEXT_MAX];
	struct prefix prefix;
	unsigned length;
	const char *slash = strchr(text, '/');
	size_t size = slash ? (size_t)(slash - text) : strlen(text);
	if (copy_part(text, size, head, sizeof(head)) < 0 || addr_parse(head, &prefix.addr) < 0)
		return -EINVAL;
	length = ADDR_BITS(&prefix.addr);
	if (slash && parse_number(slash + 1, length, &length) < 0)
		return -EINVAL;
	prefix.length = (uint8_t)length;
	struct prefix masked = prefix_masked(&prefix);
	if (!addr_equal(&masked.addr, &prefix.addr))
		return -EDOM;
	*ret = prefix;
	return 0;
}

int hostport_parse(const char *text, char *host, size_t host_size, uint16_t *ret_port)
{
	const char *start = text;
	const char *end;
	const char *colon;
	unsigned port;
	if (text[0] == '[') {
		start = text + 1;
		end = strchr(start, ']');
		if (!end || end[1] != ':')
			return -EINVAL;
		colon = end + 1;
	} else {
		colon = end = strrchr(text, ':');
		if (!colon || strchr(text, ':') != colon)
			return -EINVAL;
	}
	if (end == start || parse_number(colon + 1, 65535, &port) < 0 ||
	    copy_part(start, (size_t)(end - start), host, host_size) < 0)
		return -EINVAL;
	*ret_port = (uint16_t)port;
	return 0;
}

int endpoint_parse(const char *text, struct endpoint *ret)
{
	char host[ADDR_TEXT_MAX];
	struct endpoint endpoint = {0};
	if (hostport_parse(text, host, sizeof(host), &endpoint.port) < 0 ||
	    addr_parse(host, &endpoint.addr) < 0)
		return -EINVAL;
	if ((text[0] == '[') != (endpoint.addr.family == AF_INET6))
		return -EINVAL;
	*ret = endpoint;
	return 0;
}

const char *addr_text(const struct addr *addr, char *text)
{
	if (addr->family == AF_UNSPEC || !inet_ntop(addr->family, addr->bytes, text, ADDR_TEXT_MAX))
		snprintf(text, ADDR_TEXT_MAX, "none");
	return text;
}

const char *prefix_text(const struct prefix *prefix, char *text)
{
	addr_text(&prefix->addr, text);
	size_t n = strlen(text);
	snprintf(text + n, PREFIX_TEXT_MAX - n, "/%u", prefix->length);
	return text;
}

const char *endpoint_text(const struct endpoint *endpoint, char *text)
{
	char addr[ADDR_TEXT_MAX];
	bool ipv6 = endpoint->addr.family == AF_INET6;
	snprintf(text, ENDPOINT_TEXT_MAX, "%s%s%s:%u", ipv6 ? "[" : "",
		 addr_text(&endpoint->addr, addr), ipv6 ? "]" : "", endpoint->port);
	return text;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool prefix_equal(const struct prefix *a, const struct prefix *b)
{
	return a->length == b->length && addr_equal(&a->addr, &b->addr);
}

int prefix_compare(const struct prefix *a, const struct prefix *b)
{
	int order = (int)a->addr.family - (int)b->addr.family;
	if (order == 0)
		order = memcmp(a->addr.bytes, b->addr.bytes, sizeof(a->addr.bytes));
	return order ? order : (int)a->length - (int)b->length;
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	return a->port == b->port && a->scope == b->scope && addr_equal(&a->addr, &b->addr);
}

struct prefix prefix_masked(const struct prefix *prefix)
{
	struct prefix masked = *prefix;
	unsigned whole = prefix->length / 8;
	if (whole < sizeof(masked.addr.bytes)) {
		masked.addr.bytes[whole] &= (uint8_t)(0xff00u >> (prefix->length % 8));
		memset(masked.addr.bytes + whole + 1, 0, sizeof(masked.addr.bytes) - whole - 1);
	}
	return masked;
}

struct prefix prefix_of(const struct addr *addr)
{
	return (struct prefix){.addr = *addr, .length = (uint8_t)ADDR_BITS(addr)};
}

bool prefix_contains(const struct prefix *prefix, const struct addr *addr)
{
	struct prefix other = {.addr = *addr, .length = prefix->length};
	if (prefix->addr.family != addr->family)
		return false;
	struct prefix a = prefix_masked(&other);
	struct prefix b = prefix_masked(prefix);
	return addr_equal(&a.addr, &b.addr);
}

bool prefix_covers(const struct prefix *prefix, const struct prefix *inner)
{
	return inner->length >= prefix->length && prefix_contains(prefix, &inner->addr);
}

bool addr_add(const struct addr *addr, uint64_t n, struct addr *ret)
{
	struct addr sum = *addr;
	uint64_t left = n;
	unsigned carry = 0;
	for (unsigned i = ADDR_BYTES(addr); i-- > 0; left >>= 8) {
		carry += sum.bytes[i] + (unsigned)(left & 0xff);
		sum.bytes[i] = (uint8_t)carry;
		carry >>= 8;
	}
	if (carry || left)
		return false;
	*ret = sum;
	return true;
}

// RFC 6890: this network, loopback, link-local, multicast and reserved; the same for IPv6, with IPv4-mapped.
static const struct prefix special[] = {
	{{AF_INET, {0}}, 8},
	{{AF_INET, {127}}, 8},
	{{AF_INET, {169, 254}}, 16},
	{{AF_INET, {224}}, 3},
	{{AF_INET6, {0}}, 127},
	{{AF_INET6, {[10] = 0xff, [11] = 0xff}}, 96},
	{{AF_INET6, {0xfe, 0x80}}, 10},
	{{AF_INET6, {0xff}}, 8},
};

bool prefix_routable(const struct prefix *prefix)
{
	for (unsigned i = 0; i < sizeof(special) / sizeof(special[0]); i++)
		if (prefix_covers(&special[i], prefix))
			return false;
	return prefix->addr.family != AF_UNSPEC;
}

bool addr_assignable(const struct addr *addr)
{
	struct prefix prefix = prefix_of(addr);
	return addr->family != AF_UNSPEC && prefix_routable(&prefix);
}

int endpoint_from_sockaddr(const struct sockaddr_storage *from, struct endpoint *ret)
{
	struct endpoint endpoint = {0};
	if (from->ss_family == AF_INET) {
		struct sockaddr_in in;
		memcpy(&in, from, sizeof(in));
		endpoint.addr.family = AF_INET;
		memcpy(endpoint.addr.bytes, &in.sin_addr, 4);
		endpoint.port = ntohs(in.sin_port);
	} else if (from->ss_family == AF_INET6) {
		struct sockaddr_in6 in6;
		memcpy(&in6, from, sizeof(in6));
		bool mapped = IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr);
		endpoint.addr.family = mapped ? AF_INET : AF_INET6;
		memcpy(endpoint.addr.bytes, in6.sin6_addr.s6_addr + (mapped ? 12 : 0),
		       mapped ? 4 : 16);
		endpoint.port = ntohs(in6.sin6_port);
		endpoint.scope = mapped ? 0 : in6.sin6_scope_id;
	} else {
		return -EAFNOSUPPORT;
	}
	*ret = endpoint;
	return 0;
}

socklen_t endpoint_to_sockaddr(const struct endpoint *endpoint, int family,
			       struct sockaddr_storage *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (family == AF_INET && endpoint->addr.family == AF_INET) {
		struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(endpoint->port)};
		memcpy(&in.sin_addr, endpoint->addr.bytes, 4);
		memcpy(ret, &in, sizeof(in));
		return sizeof(in);
	}
	if (family != AF_INET6 || endpoint->addr.family == AF_UNSPEC)
		return 0;
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(endpoint->port)};
	if (endpoint->addr.family == AF_INET) {
		in6.sin6_addr.s6_addr[10] = in6.sin6_addr.s6_addr[11] = 0xff;
		memcpy(in6.sin6_addr.s6_addr + 12, endpoint->addr.bytes, 4);
	} else {
		memcpy(&in6.sin6_addr, endpoint->addr.bytes, 16);
		in6.sin6_scope_id = endpoint->scope;
	}
	memcpy(ret, &in6, sizeof(in6));
	return sizeof(in6);
}
