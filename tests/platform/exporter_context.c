// SPDX-License-Identifier: Apache-2.0
// In TLS 1.3 an empty context exports the same as none (RFC 8446, 7.5): a context must hold something to tell two uses apart.

#include <string.h>

#include "platform/platform.h"

int main(void)
{
	struct identity ca = platform_ca("ca", NULL);
	unsigned char none[32], empty[32], some[32];
	SSL *client, *server;

	platform_pair(platform_context(NULL), platform_context(&ca), &client, &server);
	expect(platform_join(client, server));
	SSL_export_keying_material(client, none, 32, "EXPORTER-x", 10, NULL, 0, 0);
	SSL_export_keying_material(client, empty, 32, "EXPORTER-x", 10, (unsigned char *)"", 0, 1);
	SSL_export_keying_material(client, some, 32, "EXPORTER-x", 10, (unsigned char *)"a", 1, 1);
	expect(memcmp(none, empty, 32) == 0);
	expect(memcmp(none, some, 32) != 0);
	return 0;
}
