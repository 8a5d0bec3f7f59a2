// SPDX-License-Identifier: Apache-2.0

#include "unit/ca_place_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "pki/ca.h"
#include "pki/ca_enrol.h"
#include "pki/certificate.h"
#include "pki/journal.h"
#include "pki/profile.h"
#include "pki/request.h"
#include "pki/tls.h"
#include "pki/token.h"
#include "pki/trust.h"
#include "unit/pki_fixture.h"

int ca_place_set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));
	_cleanup_(freep) char *trust = NULL;

	clock_set_wall(time(NULL));
	place->directory = fixture_directory();
	place->path = fixture_path(place->directory, "ca");
	trust = fixture_path(place->path, "trust.crt");
	assert_int_equal(ca_init(place->path, DOMAIN, &place->error), 0);
	assert_int_equal(ca_open(place->path, &place->ca, &place->error), 0);
	struct trust_source source = {.domain = DOMAIN, .path = trust};
	assert_int_equal(trust_load(tls_library(), &source, 1, clock_wall(), &place->trust, NULL),
			 0);
	*state = place;
	return 0;
}

int ca_place_tear_down(void **state)
{
	struct place *place = *state;

	clock_set_wall(0);
	trust_put(place->trust);
	ca_close(place->ca);
	fixture_directory_free(place->path);
	fixture_directory_free(place->directory);
	free(place);
	return 0;
}

// A token for `identity`, whose password is then in `place`.
void new_token(struct place *place, const char *identity)
{
	struct token token = {.secret = {++place->secrets}};
	struct token_record record = {.identity = (char *)identity,
				      .created = clock_wall(),
				      .expires = clock_wall() + HOUR_S,
				      .lifetime_s = DAY_S};

	assert_int_equal(token_add(ca_journal(place->ca), token.secret, &record, NULL), 0);
	token_password(&token, place->password);
}

struct asked ask(const char *identity, const char *dns)
{
	struct asked asked = {0};

	assert_int_equal(profile_key(&asked.key, NULL), 0);
	assert_int_equal(request_make(asked.key, identity, dns, &asked.der, &asked.size, NULL), 0);
	return asked;
}

void asked_done(struct asked *asked)
{
	EVP_PKEY_free(asked->key);
	free(asked->der);
}

int enrol(struct place *place, const struct asked *asked, X509 **ret)
{
	place->error = (struct error){0};
	return ca_enrol(place->ca, place->password, asked->der, asked->size, ret, &place->error);
}

void expect_what(const struct place *place, const char *what)
{
	if (!strstr(place->error.what, what))
		fail_msg("\"%s\" does not say \"%s\"", place->error.what, what);
}

void expect_refused(struct place *place, const struct asked *asked, int code, const char *what)
{
	X509 *certificate = NULL;

	assert_int_equal(enrol(place, asked, &certificate), code);
	assert_null(certificate);
	expect_what(place, what);
}

void expect_identity(const X509 *certificate, const char *identity)
{
	_cleanup_(freep) char *found = NULL;

	assert_int_equal(certificate_identity(certificate, &found, NULL), 0);
	assert_string_equal(found, identity);
}

int64_t lifetime_of(const X509 *certificate)
{
	time_t from, to;

	assert_int_equal(certificate_lifetime(certificate, &from, &to), 0);
	return to - from;
}

unsigned issued(struct place *place)
{
	unsigned count = 0;
	time_t when = 1;

	while (when && journal_issued(ca_journal(place->ca), ALICE, count + 1, &when, NULL) == 0)
		count += when != 0;
	return count;
}
