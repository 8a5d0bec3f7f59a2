// SPDX-License-Identifier: Apache-2.0

#include "client/greeting.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tun/connection.h"
#include "tun/dataplane.h"
#include "tun/session.h"

void greeting_hello(const struct session *session, unsigned lanes, unsigned mtu,
		    struct message *ret)
{
	*ret = (struct message){.type = MESSAGE_HELLO};
	struct message_hello *hello = &ret->hello;
	hello->protocol = MESSAGE_PROTOCOL;
	snprintf(hello->software, sizeof(hello->software), "mutun %s", MUTUN_VERSION);
	if (gethostname(hello->host, sizeof(hello->host) - 1) < 0 || hello->host[0] == '\0')
		snprintf(hello->host, sizeof(hello->host), "unknown");
	hello->resume = session_newest_epoch(session) > 0;
	memcpy(hello->session, session->id, SESSION_ID_SIZE);
	hello->index = session->index;
	hello->ciphers[0] = CIPHER_AES_256_GCM;
	hello->ciphers[1] = CIPHER_CHACHA20_POLY1305;
	hello->cipher_count = 2;
	hello->lanes = lanes;
	hello->mtu = mtu;
	hello->answers = true;
}

static struct datagram_peer udp_peer(const struct connection *connection, uint16_t port)
{
	struct datagram_peer peer = {.remote = connection_peer(connection)};
	bool ipv4 = peer.remote.addr.family == AF_INET;
	peer.remote.port = port;
	peer.slot = (uint8_t)(ipv4 ? DATAPLANE_DIAL_4 : DATAPLANE_DIAL_6);
	return peer;
}

int greeting_ready(struct session *session, struct connection *connection,
		   const struct message_ready *ready, unsigned mtu, const char *reason,
		   uint64_t now)
{
	struct session_keys keys = {
		.epoch = ready->epoch,
		.cipher = ready->cipher,
		.remote_index = ready->index,
		.peer_lanes = ready->lanes,
		.mtu = ready->mtu < mtu ? ready->mtu : mtu,
		.reason = reason,
	};
	if (!ready->resumed)
		session_restart(session, ready->session, ready->keepalive_s);
	struct datagram_peer peer = udp_peer(connection, ready->udp_port);
	session_set_known_address(session, &peer.remote.addr);
	int r = session_install(session, connection_channel(connection), &keys, now);
	if (r == 0)
		session_set_path(session, &peer);
	return r;
}
