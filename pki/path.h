// SPDX-License-Identifier: Apache-2.0
// The path from a leaf up to a CA certificate of the bundle: RFC 5280, 6.1 by X509_verify_cert(), with the parameters that all
// of mutun uses, and what OpenSSL does not ask of intermediates. Apart from pki/verify.h, whose rules for leaves and names come
// first, so that test material of others, which knows nothing of SPIFFE, can be put through it.
#pragma once

#include <openssl/x509_vfy.h>

struct error;
struct reason_context;

#define PATH_INTERMEDIATES_MAX 3

// `store` is initialised with anchors, leaf and what the peer sent; `purpose` is X509_PURPOSE_SSL_CLIENT or _SERVER, what the
// leaf is used for. The time is `context->now`. 0, and the path is X509_STORE_CTX_get0_chain(), leaf first; or -EACCES, a
// sentence, and in `code` the X509_V_ERR_ that tells a TLS peer best.
int path_check(X509_STORE_CTX *store, const struct reason_context *context, int purpose, int *code,
	       struct error *error);
