// SPDX-License-Identifier: Apache-2.0
// OpenSSL's codes as sentences for people: of path validation (X509_V_ERR_..., RFC 5280, 6.1) and of handshakes (the error
// queue, and the alerts of RFC 8446, 6.2).
#pragma once

#include <stddef.h>
#include <time.h>
#include <openssl/x509_vfy.h>

struct error;

// What the sentence needs beside the code.
struct reason_context {
	const char *identity; // of the leaf
	const char *domain;   // its trust domain, no NUL after it
	size_t domain_length;
	size_t ca_count; // CA certificates that this node has for it
	time_t now;
};

// Why X509_verify_cert() refused. Returns -EACCES.
int reason_path(const X509_STORE_CTX *store, const struct reason_context *context,
		struct error *error);
// What one entry of OpenSSL's queue, as ERR_get_error() returns it, says of a handshake. -EACCES: the peer's
// certificate was refused; -EKEYREJECTED: the peer refused ours; -EPROTO: something else went wrong. 0 when the entry says nothing to people; `error` is untouched then.
int reason_handshake(unsigned long entry, struct error *error);
