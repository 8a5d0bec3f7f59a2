// SPDX-License-Identifier: Apache-2.0
// A TLS 1.3 client has finished its handshake before the server has judged its certificate; the refusal comes with the first
// read. Why nothing happens on a client before READY (tun/PROTOCOL.md).

#include <openssl/err.h>

#include "platform/platform.h"

int main(void)
{
	struct identity ca = platform_ca("ca", NULL), other = platform_ca("other", NULL);
	struct identity leaf = platform_issue(&ca, "server", &(struct extensions){0}, 3600);
	struct identity alice = platform_issue(&other, "alice", &(struct extensions){0}, 3600);
	SSL_CTX *server_context = platform_context(&leaf);
	SSL *client, *server;
	char byte;

	SSL_CTX_set_verify(server_context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	X509_STORE_add_cert(SSL_CTX_get_cert_store(server_context), ca.certificate);
	platform_pair(platform_context(&alice), server_context, &client, &server);
	SSL_do_handshake(client);
	SSL_do_handshake(server);
	expect(SSL_do_handshake(client) == 1 && SSL_write(client, "x", 1) == 1);
	ERR_clear_error();
	expect(SSL_do_handshake(server) < 0);
	ERR_clear_error();
	expect(SSL_read(client, &byte, 1) <= 0);
	expect(ERR_GET_REASON(ERR_peek_error()) == SSL_R_TLSV1_ALERT_UNKNOWN_CA);
	return 0;
}
