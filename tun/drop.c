// SPDX-License-Identifier: Apache-2.0

#include "tun/packet.h"

static const char *const drop_names[] = {
	[DROP_NONE] = "none",
	[DROP_SHORT] = "short",
	[DROP_TYPE] = "type",
	[DROP_INDEX] = "index",
	[DROP_EPOCH] = "epoch",
	[DROP_LANE] = "lane",
	[DROP_REPLAY] = "replay",
	[DROP_TAG] = "tag",
	[DROP_LIMIT] = "limit",
	[DROP_MALFORMED] = "malformed",
	[DROP_ADDRESS] = "address",
	[DROP_MULTICAST] = "multicast",
	[DROP_OPTIONS] = "options",
	[DROP_EXTENSION] = "extension",
	[DROP_PROTOCOL] = "protocol",
	[DROP_QUOTE] = "quote",
	[DROP_FRAGMENT] = "fragment",
	[DROP_OVERLAP] = "overlap",
	[DROP_SOURCE] = "source",
	[DROP_ROUTE] = "route",
	[DROP_CONGESTION] = "congestion",
	[DROP_KEYS] = "keys",
	[DROP_PATH] = "path",
	[DROP_SIZE] = "size",
	[DROP_SEND] = "send",
	[DROP_DEVICE] = "device",
	[DROP_QUEUE] = "queue",
	[DROP_POLICY] = "policy",
	[DROP_FLOWS] = "flows",
	[DROP_STATE] = "state",
	[DROP_TTL] = "ttl",
	[DROP_RATE] = "rate",
	[DROP_CHANNEL] = "channel",
};
static_assert(sizeof(drop_names) / sizeof(drop_names[0]) == DROP_LAST + 1, "a name for each");

const char *drop_name(enum drop drop)
{
	return drop_names[drop];
}
