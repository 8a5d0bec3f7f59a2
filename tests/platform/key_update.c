// SPDX-License-Identifier: Apache-2.0
// A KeyUpdate does not change what the exporter gives. Why data keys are renewed by a new handshake (tun/PROTOCOL.md).

#include <string.h>

#include "platform/platform.h"

static void export(SSL *ssl, unsigned char secret[32])
{
	expect(SSL_export_keying_material(ssl, secret, 32, "EXPORTER-x", 10, NULL, 0, 0) == 1);
}

int main(void)
{
	struct identity ca = platform_ca("ca", NULL);
	unsigned char before[32], after[32], other[32];
	SSL *client, *server;

	platform_pair(platform_context(NULL), platform_context(&ca), &client, &server);
	expect(platform_join(client, server));
	export(client, before);
	expect(SSL_key_update(client, SSL_KEY_UPDATE_REQUESTED) == 1 &&
	       SSL_write(client, "x", 1) == 1);
	expect(platform_join(client, server));
	export(client, after);
	export(server, other);
	expect(memcmp(before, after, 32) == 0 && memcmp(before, other, 32) == 0);
	return 0;
}
