// SPDX-License-Identifier: Apache-2.0
// A selection callback that answers NOACK lets a handshake go on without a protocol, and one is not even called when the client
// offers none. Why ours answers with an alert (pki/tls.c), and why tls_check() asks what was selected.

#include <string.h>

#include "platform/platform.h"

static int calls;

static int answer(SSL *ssl, const unsigned char **ret, unsigned char *size,
		  const unsigned char *offered, unsigned offered_size, void *data)
{
	(void)ssl, (void)ret, (void)size, (void)offered, (void)offered_size;
	calls++;
	return *(int *)data;
}

static int handshake(SSL_CTX *client_context, SSL_CTX *server_context, const char *offer)
{
	SSL *client, *server;
	const unsigned char *name;
	unsigned size;

	platform_pair(client_context, server_context, &client, &server);
	if (offer)
		SSL_set_alpn_protos(client, (const unsigned char *)offer, (unsigned)strlen(offer));
	int done = platform_join(client, server);
	SSL_get0_alpn_selected(server, &name, &size);
	expect(size == 0);
	return done;
}

int main(void)
{
	struct identity ca = platform_ca("ca", NULL);
	SSL_CTX *client = platform_context(NULL), *server = platform_context(&ca);
	int say = SSL_TLSEXT_ERR_NOACK;

	SSL_CTX_set_alpn_select_cb(server, answer, &say);
	expect(handshake(client, server, "\x02h2") && calls == 1);
	say = SSL_TLSEXT_ERR_ALERT_FATAL;
	expect(!handshake(client, server, "\x02h2") && calls == 2);
	expect(handshake(client, server, NULL) && calls == 2);
	return 0;
}
