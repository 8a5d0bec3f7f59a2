// SPDX-License-Identifier: Apache-2.0
// A CA in "ca" below a directory of the test's own.
#pragma once

#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/error.h"
#include "pki/ca.h"
#include "pki/credential.h"
#include "pki/tls.h"
#include "pki/trust.h"
#include "pki/verify.h"
#include "unit/pki_fixture.h"

#define DOMAIN "corp.example"
#define ALICE  "spiffe://corp.example/laptop/alice"
#define DAY_S  86400

struct place {
	char *directory;
	char ca[80];
	char path[4][128]; // of in()
	unsigned next;
	struct error error;
};

// "DIRECTORY/NAME", good until it is asked three times more.
static inline char *in(struct place *place, const char *name)
{
	char *path = place->path[place->next++ % 4];
	snprintf(path, sizeof(place->path[0]), "%s/%s", place->directory, name);
	return path;
}

static inline int place_setup(void **state)
{
	struct place *place = calloc(1, sizeof(*place));
	assert_non_null(place);
	place->directory = fixture_directory();
	snprintf(place->ca, sizeof(place->ca), "%s/ca", place->directory);
	*state = place;
	return 0;
}

static inline int place_teardown(void **state)
{
	struct place *place = *state;
	clock_set_wall(0);
	if (access(place->ca, F_OK) == 0)
		fixture_directory_free(strdup(place->ca));
	fixture_directory_free(place->directory);
	free(place);
	return 0;
}

static inline void expect_what(const struct error *error, const char *what)
{
	if (!strstr(error->what, what))
		fail_msg("\"%s\" does not say \"%s\"", error->what, what);
}

static inline void expect_done(const struct place *place, int r)
{
	char text[ERROR_TEXT_MAX];
	if (r < 0)
		fail_msg("%s", error_text(&place->error, text, sizeof(text)));
}

static inline struct ca *open_ca(struct place *place)
{
	struct ca *ca = NULL;
	expect_done(place, ca_open(place->ca, &ca, &place->error));
	return ca;
}

// NAME.crt and NAME.key for `identity`.
static inline int issue(struct place *place, struct ca *ca, const char *identity, const char *name,
			int64_t lifetime_s)
{
	char certificate[128], key[128];
	snprintf(certificate, sizeof(certificate), "%s/%s.crt", place->directory, name);
	snprintf(key, sizeof(key), "%s/%s.key", place->directory, name);
	struct ca_request request = {.identity = identity,
				     .lifetime_s = lifetime_s,
				     .not_before_s = -300,
				     .certificate_path = certificate,
				     .key_path = key};
	return ca_issue(ca, &request, &place->error);
}

// How a node that trusts what is in the file at `trust` judges the chain in NAME.crt. -EACCES: it does not believe it.
static inline int judge(struct place *place, const char *trust, const char *name)
{
	char certificate[128], key[128];
	_cleanup_(trust_putp) struct trust *trusted = NULL;
	_cleanup_(credential_putp) struct credential *credential = NULL;
	struct trust_source source = {.domain = DOMAIN, .path = trust};
	int r = 0;
	snprintf(certificate, sizeof(certificate), "%s/%s.crt", place->directory, name);
	snprintf(key, sizeof(key), "%s/%s.key", place->directory, name);
	expect_done(place,
		    trust_load(tls_library(), &source, 1, clock_wall(), &trusted, &place->error));
	expect_done(place, credential_load(tls_library(), certificate, key, clock_wall(),
					   &credential, &place->error));
	for (int role = VERIFY_PEER_IS_CLIENT; r == 0 && role <= VERIFY_PEER_IS_SERVER; role++) {
		_cleanup_(verdict_putp) struct verdict *verdict = NULL;
		r = verify_chain(trusted, credential_leaf(credential), credential_chain(credential),
				 (enum verify_role)role, clock_wall(), &verdict, NULL,
				 &place->error);
	}
	return r;
}
