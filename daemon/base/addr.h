// SPDX-License-Identifier: Apache-2.0
// IP addresses, prefixes and endpoints: parse, print, compare. Values, never allocated.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <netinet/in.h>

struct addr {
	uint8_t family;	   // AF_INET, AF_INET6, or AF_UNSPEC for none
	uint8_t bytes[16]; // network order; an IPv4 address in the first four, the rest zero
};

struct prefix {
	struct addr addr; // host bits zero, except where a header says otherwise
	uint8_t length;	  // 0-32 or 0-128
};

struct endpoint {
	struct addr addr;
	uint16_t port;	// host order
	uint32_t scope; // interface index of a link-local IPv6 address, else 0
};

#define ADDR_TEXT_MAX	  48
#define PREFIX_TEXT_MAX	  52
#define ENDPOINT_TEXT_MAX 64
#define ADDR_BITS(addr)	  ((addr)->family == AF_INET ? 32u : 128u)
#define ADDR_BYTES(addr)  ((addr)->family == AF_INET ? 4u : 16u)

// "10.1.2.3", "fd00::1". No names, no zone. -EINVAL.
int addr_parse(const char *text, struct addr *ret);
// "10.1.0.0/16". A missing length is the full one. Host bits set: -EDOM. Anything else: -EINVAL.
int prefix_parse(const char *text, struct prefix *ret);
// "10.1.2.3:443", "[fd00::1]:443". -EINVAL.
int endpoint_parse(const char *text, struct endpoint *ret);
// "name:443", "[fd00::1]:443": splits without resolving. `host` gets the name without brackets. -EINVAL.
int hostport_parse(const char *text, char *host, size_t host_size, uint16_t *ret_port);

// Each returns `text`, which must have room for the matching ..._TEXT_MAX.
const char *addr_text(const struct addr *addr, char *text);
const char *prefix_text(const struct prefix *prefix, char *text);
const char *endpoint_text(const struct endpoint *endpoint, char *text);

bool addr_equal(const struct addr *a, const struct addr *b);
bool prefix_equal(const struct prefix *a, const struct prefix *b);
// An order: by family, address, length; a prefix stands behind those that hold it.
int prefix_compare(const struct prefix *a, const struct prefix *b);
bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);
// Whether `prefix` holds the address (families must be equal), or the whole of `inner`.
bool prefix_contains(const struct prefix *prefix, const struct addr *addr);
bool prefix_covers(const struct prefix *prefix, const struct prefix *inner);
// The prefix with its host bits cleared.
struct prefix prefix_masked(const struct prefix *prefix);
struct prefix prefix_of(const struct addr *addr); // full length
// Address + n; false past the end of the address space.
bool addr_add(const struct addr *addr, uint64_t n, struct addr *ret);

// Whether a node may own the address inside a tunnel: unicast, not zero, loopback, link-local, broadcast, v4-mapped.
bool addr_assignable(const struct addr *addr);
// Whether a route into a tunnel may lead there: not wholly within those. The default routes are.
bool prefix_routable(const struct prefix *prefix);

// IPv4-mapped IPv6 socket addresses become plain IPv4 endpoints. -EAFNOSUPPORT for other families.
int endpoint_from_sockaddr(const struct sockaddr_storage *from, struct endpoint *ret);
// For a socket of `family`: an IPv4 endpoint on an AF_INET6 socket is written mapped. Returns the length, 0 if impossible.
socklen_t endpoint_to_sockaddr(const struct endpoint *endpoint, int family,
			       struct sockaddr_storage *ret);
