// SPDX-License-Identifier: Apache-2.0
// From 3.5 on X25519MLKEM768 is there, and SSL_CTRL_GET_NEGOTIATED_GROUP tells it by its number on the wire, for it has no NID
// (tls_group() in pki/tls.c). Before, a list that names it is refused as a whole.

#include "platform/platform.h"

int main(void)
{
	struct identity ca = platform_ca("ca", NULL);
	SSL_CTX *client_context = platform_context(NULL), *server_context = platform_context(&ca);
	int there = OpenSSL_version_num() >= 0x30500000ul;
	SSL *client, *server;

	expect(SSL_CTX_set1_groups_list(client_context, "X25519MLKEM768:X25519") == there);
	platform_pair(client_context, server_context, &client, &server);
	expect(platform_join(client, server));
	long group = SSL_ctrl(server, SSL_CTRL_GET_NEGOTIATED_GROUP, 0, NULL);
	expect(group == (there ? (long)(TLSEXT_nid_unknown | 0x11ec) : (long)NID_X25519));
	return 0;
}
