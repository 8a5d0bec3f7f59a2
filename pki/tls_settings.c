// SPDX-License-Identifier: Apache-2.0

#include "pki/tls_settings.h"

#include "pki/certificate.h"
#include "pki/credential.h"

#define SECURITY_LEVEL \
	2 // 112 bits; RSA 2048 has no more. Kinds of keys are judged by pki/algorithm.h
#define CIPHERSUITES	 "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"
#define GROUPS_CLASSICAL "X25519:P-256"
// "*" sends a key share for both, so that a peer without the hybrid needs no second round; "?" skips what is not built in.
#define GROUPS_HYBRID "?*X25519MLKEM768:*X25519:P-256"
#define OPENSSL_3_5   0x30500000ul
#define SIGALGS                                           \
	"ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ed25519:" \
	"RSA-PSS+SHA256:RSA-PSS+SHA384:RSA-PSS+SHA512:RSA+SHA256:RSA+SHA384:RSA+SHA512"
// A certificate's DER, its length and its extensions (RFC 8446, 4.4.2), with a little room for those.
#define CERT_LIST_MAX (CHAIN_LENGTH_MAX * (CERTIFICATE_MAX + 64L))

static bool set_protocol(SSL_CTX *ssl, int least)
{
	SSL_CTX_set_security_level(ssl, SECURITY_LEVEL);
	SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION |
					 SSL_OP_NO_RENEGOTIATION | SSL_OP_CLEANSE_PLAINTEXT);
#ifdef SSL_OP_NO_RX_CERTIFICATE_COMPRESSION // since OpenSSL 3.2
	SSL_CTX_set_options(ssl, SSL_OP_NO_TX_CERTIFICATE_COMPRESSION |
					 SSL_OP_NO_RX_CERTIFICATE_COMPRESSION);
#endif
	SSL_CTX_set_mode(ssl, SSL_MODE_NO_AUTO_CHAIN | SSL_MODE_RELEASE_BUFFERS |
				      SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_max_cert_list(ssl, CERT_LIST_MAX);
	return SSL_CTX_set_min_proto_version(ssl, least) &&
	       SSL_CTX_set_max_proto_version(ssl, TLS1_3_VERSION) &&
	       SSL_CTX_set_ciphersuites(ssl, CIPHERSUITES) &&
	       SSL_CTX_set1_sigalgs_list(ssl, SIGALGS) &&
	       // SSL_OP_NO_TICKET alone still sends two tickets in TLS 1.3.
	       SSL_CTX_set_num_tickets(ssl, 0) && SSL_CTX_set_max_early_data(ssl, 0) &&
	       SSL_CTX_set_recv_max_early_data(ssl, 0);
}

static bool set_groups(SSL_CTX *ssl)
{
	if (OpenSSL_version_num() >= OPENSSL_3_5 && SSL_CTX_set1_groups_list(ssl, GROUPS_HYBRID))
		return true;
	return SSL_CTX_set1_groups_list(ssl, GROUPS_CLASSICAL) == 1;
}

bool tls_settings_protocol(SSL_CTX *ssl, int least)
{
	return set_protocol(ssl, least) && set_groups(ssl);
}

bool tls_settings_credential(SSL_CTX *ssl, const struct credential *credential)
{
	return SSL_CTX_use_certificate(ssl, credential_leaf(credential)) == 1 &&
	       SSL_CTX_use_PrivateKey(ssl, credential_key(credential)) == 1 &&
	       SSL_CTX_set1_chain(ssl, credential_chain(credential)) == 1 &&
	       SSL_CTX_check_private_key(ssl) == 1;
}
