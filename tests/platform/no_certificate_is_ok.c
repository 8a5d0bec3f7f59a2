// SPDX-License-Identifier: Apache-2.0
// SSL_get_verify_result() is X509_V_OK when there was no certificate to verify. Why tls_check() asks for the verdict, too.

#include "platform/platform.h"

int main(void)
{
	struct identity ca = platform_ca("ca", NULL);
	SSL_CTX *server_context = platform_context(&ca);
	SSL *client, *server;

	SSL_CTX_set_verify(server_context, SSL_VERIFY_PEER, NULL);
	platform_pair(platform_context(NULL), server_context, &client, &server);
	expect(platform_join(client, server));
	expect(!SSL_get0_peer_certificate(server));
	expect(SSL_get_verify_result(server) == X509_V_OK);
	return 0;
}
