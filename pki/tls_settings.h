// SPDX-License-Identifier: Apache-2.0
// The one place that sets TLS options, for contexts of our own and for those of a library that speaks HTTP for us.
#pragma once

#include <stdbool.h>
#include <openssl/ssl.h>

struct credential;

// TLS 1.3, or down to `least`; ciphersuites, groups, signatures, no tickets, no early data, no compression, no renegotiation.
bool tls_settings_protocol(SSL_CTX *ssl, int least);
// Our certificate, its chain, its key.
bool tls_settings_credential(SSL_CTX *ssl, const struct credential *credential);
