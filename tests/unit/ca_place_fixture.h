// SPDX-License-Identifier: Apache-2.0
// A CA in a directory of its own, and devices that want something of it.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <openssl/x509.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "pki/ca.h"
#include "pki/token.h"
#include "pki/trust.h"

#define DOMAIN	"corp.example"
#define ALICE	"spiffe://corp.example/laptop/alice"
#define BOB	"spiffe://corp.example/laptop/bob"
#define LAPTOPS "spiffe://corp.example/laptop/*"
#define HOUR_S	3600
#define DAY_S	86400

DEFINE_CLEANUP(X509 *, X509_free);
DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free);

struct place {
	char *directory, *path;
	struct ca *ca;
	struct trust *trust;
	uint8_t secrets; // the last one's first byte
	char password[TOKEN_PASSWORD_MAX];
	struct error error;
};

// A request and its key.
struct asked {
	EVP_PKEY *key;
	uint8_t *der;
	size_t size;
};

int ca_place_set_up(void **state);
int ca_place_tear_down(void **state);
// A token for `identity`, whose password is then in `place`.
void new_token(struct place *place, const char *identity);
struct asked ask(const char *identity, const char *dns);
void asked_done(struct asked *asked);
int enrol(struct place *place, const struct asked *asked, X509 **ret);
void expect_what(const struct place *place, const char *what);
void expect_refused(struct place *place, const struct asked *asked, int code, const char *what);
void expect_identity(const X509 *certificate, const char *identity);
int64_t lifetime_of(const X509 *certificate);
unsigned issued(struct place *place);
