// SPDX-License-Identifier: Apache-2.0
// SSL_OP_NO_TICKET still sends two tickets in TLS 1.3; only SSL_CTX_set_num_tickets(0) sends none (pki/tls_settings.c).

#include "platform/platform.h"

static int tickets;

static int count(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	(void)session;
	tickets++;
	return 0;
}

static int handshake(SSL_CTX *client_context, SSL_CTX *server_context)
{
	SSL *client, *server;

	tickets = 0;
	platform_pair(client_context, server_context, &client, &server);
	expect(platform_join(client, server));
	SSL_free(client);
	SSL_free(server);
	return tickets;
}

int main(void)
{
	struct identity ca = platform_ca("ca", NULL);
	struct identity leaf = platform_issue(&ca, "leaf", &(struct extensions){0}, 3600);
	SSL_CTX *client = platform_context(NULL), *server = platform_context(&leaf);

	SSL_CTX_set_session_cache_mode(client, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(client, count);
	expect(handshake(client, server) == 2);
	SSL_CTX_set_options(server, SSL_OP_NO_TICKET);
	expect(handshake(client, server) == 2);
	SSL_CTX_set_num_tickets(server, 0);
	expect(handshake(client, server) == 0);
	return 0;
}
