// SPDX-License-Identifier: Apache-2.0
// A client whose certificate has expired is refused on a full handshake and let in with its ticket, and gets a fresh ticket. Why
// nothing of ours is ever resumed (pki/tls_settings.c, tls_check()).

#include <time.h>

#include "platform/platform.h"

static SSL_SESSION *kept;

static int keep(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	SSL_SESSION_free(kept);
	kept = session;
	return 1;
}

static int handshake(SSL_CTX *client_context, SSL_CTX *server_context, SSL_SESSION *with)
{
	SSL *client, *server;

	platform_pair(client_context, server_context, &client, &server);
	if (with)
		SSL_set_session(client, with);
	int done = platform_join(client, server);
	expect(!done || SSL_session_reused(server) == (with != NULL));
	// Else the session counts as a bad one, for it was not closed.
	SSL_set_shutdown(client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(client);
	SSL_free(server);
	return done;
}

int main(void)
{
	struct identity ca = platform_ca("ca", NULL);
	struct identity leaf = platform_issue(&ca, "server", &(struct extensions){0}, 7200);
	struct identity alice = platform_issue(&ca, "alice", &(struct extensions){0}, 3600);
	SSL_CTX *client = platform_context(&alice), *server = platform_context(&leaf);

	SSL_CTX_set_session_cache_mode(client, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(client, keep);
	SSL_CTX_set_session_id_context(server, (const unsigned char *)"x", 1);
	SSL_CTX_set_verify(server, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	X509_STORE_add_cert(SSL_CTX_get_cert_store(server), ca.certificate);
	expect(handshake(client, server, NULL) && kept);
	// An hour and a half later, for the one who judges.
	X509_VERIFY_PARAM_set_time(SSL_CTX_get0_param(server), time(NULL) + 5400);
	expect(!handshake(client, server, NULL));
	SSL_SESSION *ticket = kept;
	kept = NULL;
	expect(handshake(client, server, ticket));
	expect(kept); // a fresh one
	return 0;
}
