// SPDX-License-Identifier: Apache-2.0
// A CA that is open, in "ca" below a directory of the test's own, and the places of one certificate.
#pragma once

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>
#include <openssl/x509v3.h>

#include "base/clock.h"
#include "base/error.h"
#include "pki/ca.h"
#include "pki/certificate.h"
#include "pki/record.h"
#include "pki/tls.h"
#include "pki/trust.h"
#include "unit/pki_fixture.h"

#define DOMAIN	"corp.example"
#define ALICE	"spiffe://corp.example/laptop/alice"
#define HOUR_S	3600
#define DAY_S	86400
#define ENTRIES 64

DEFINE_CLEANUP(X509 *, X509_free);
DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free);

// A CA in "ca" below a directory of its own, and the places of one certificate.
struct place {
	char *directory, *ca, *trust, *certificate, *key;
	struct ca *open;
	struct error error;
};

static inline int setup(void **state)
{
	struct place *place = calloc(1, sizeof(*place));
	assert_non_null(place);
	place->directory = fixture_directory();
	place->ca = fixture_path(place->directory, "ca");
	place->trust = fixture_path(place->ca, "trust.crt");
	place->certificate = fixture_path(place->directory, "node.crt");
	place->key = fixture_path(place->directory, "node.key");
	assert_int_equal(ca_init(place->ca, DOMAIN, &place->error), 0);
	assert_int_equal(ca_open(place->ca, &place->open, &place->error), 0);
	*state = place;
	return 0;
}

static inline int teardown(void **state)
{
	struct place *place = *state;
	clock_set_wall(0);
	ca_close(place->open);
	fixture_directory_free(place->ca);
	fixture_directory_free(place->directory);
	free(place->trust);
	free(place->certificate);
	free(place->key);
	free(place);
	return 0;
}

static inline struct ca_request request(const struct place *place)
{
	return (struct ca_request){.identity = ALICE,
				   .lifetime_s = DAY_S,
				   .not_before_s = -300,
				   .certificate_path = place->certificate,
				   .key_path = place->key};
}

static inline unsigned mode_of(const char *path)
{
	struct stat info;
	assert_int_equal(stat(path, &info), 0);
	return info.st_mode & 07777;
}

static inline void expect_what(const struct error *error, const char *what)
{
	if (!strstr(error->what, what))
		fail_msg("\"%s\" does not say \"%s\"", error->what, what);
}

static inline struct trust *trust_of(const struct place *place, const char *domain)
{
	struct trust_source source = {.domain = domain, .path = place->trust};
	struct trust *trust = NULL;

	assert_int_equal(trust_load(tls_library(), &source, 1, clock_wall(), &trust, NULL), 0);
	return trust;
}

struct list {
	char *serials[ENTRIES];
	char *identities[ENTRIES];
	size_t count, stop;
};

static inline void list_done(struct list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->serials[i]);
		free(list->identities[i]);
	}
}

static inline int collect(const struct record *entry, void *data)
{
	struct list *list = data;

	assert_true(list->count < ENTRIES);
	list->serials[list->count] = strdup(entry->serial);
	list->identities[list->count++] = strdup(entry->identity);
	return list->count == list->stop ? -EINTR : 0;
}
