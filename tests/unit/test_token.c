// SPDX-License-Identifier: Apache-2.0

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/error.h"
#include "pki/journal.h"
#include "pki/token.h"
#include "unit/pki_fixture.h"

#define GATEWAYS "spiffe://corp.example/gateway/*"
#define ALICE	 "spiffe://corp.example/laptop/alice"
#define NOW	 1800000000
#define HOUR_S	 3600

static const uint8_t secret[TOKEN_SECRET_SIZE] = "0123456789abcdef";
static const uint8_t request[TOKEN_DIGEST_SIZE] = "one request", other[TOKEN_DIGEST_SIZE] = "other";

static struct token token_of(const char *server)
{
	struct token token = {.server = strdup(server)};

	memset(token.root, 0xa5, sizeof(token.root));
	memcpy(token.secret, secret, sizeof(secret));
	return token;
}

static void parses_what_it_wrote(void **state)
{
	// Of all lengths modulo 3, for the padding that is left out.
	static const char *const servers[] = {GATEWAYS, "spiffe://corp.example/a/bb",
					      "spiffe://corp.example/a/b"};

	(void)state;
	for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++) {
		struct token token = token_of(servers[i]), again;
		char *text = token_text(&token);
		assert_non_null(text);
		assert_int_equal(strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					      "0123456789-_"),
				 strlen(text));
		assert_int_equal(token_parse(text, &again, NULL), 0);
		assert_string_equal(again.server, token.server);
		assert_memory_equal(again.root, token.root, sizeof(token.root));
		assert_memory_equal(again.secret, token.secret, sizeof(token.secret));
		token_done(&again);
		token_done(&token);
		free(text);
	}
}

static void refuses_other_text(void **state)
{
	struct token token = token_of(GATEWAYS), again;
	char *whole = token_text(&token);
	char text[2048];
	struct error error = {0};

	(void)state;
	for (size_t cut = 0; cut < strlen(whole); cut++) {
		snprintf(text, sizeof(text), "%.*s", (int)cut, whole);
		// The last character may be cut where what is left is still a pattern; never the root or the secret.
		if (token_parse(text, &again, &error) == 0) {
			assert_true(cut > strlen(whole) - 20);
			token_done(&again);
		}
	}
	snprintf(text, sizeof(text), "%s=", whole);
	assert_int_equal(token_parse(text, &again, &error), -EINVAL);
	snprintf(text, sizeof(text), "%s!", whole);
	assert_int_equal(token_parse(text, &again, &error), -EINVAL);
	memset(text, 'A', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	memcpy(text, "mutun-", 6);
	assert_int_equal(token_parse(text, &again, &error), -EINVAL);
	assert_int_equal(token_parse("", &again, &error), -EINVAL);
	snprintf(text, sizeof(text), "mutun-%s", whole);
	assert_int_equal(token_parse(text, &again, &error), -EINVAL);
	token_done(&token);
	free(whole);
}

static void names_a_format_that_is_newer(void **state)
{
	struct token token = token_of(GATEWAYS), again;
	struct error error = {0};
	char *text = token_text(&token);

	(void)state;
	text[6] = 'A';
	text[7] = 'q'; // the first byte is 2 now
	assert_int_equal(token_parse(text, &again, &error), -EINVAL);
	assert_non_null(strstr(error.what, "format 2"));
	token_done(&token);
	free(text);
}

static void refuses_a_server_that_is_no_pattern(void **state)
{
	static const char *const servers[] = {"https://corp.example", "x", "spiffe://corp.example",
					      "spiffe://corp.example/a\"b"};
	struct error error = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++) {
		struct token token = token_of(servers[i]), again;
		char *text = token_text(&token);
		assert_int_equal(token_parse(text, &again, &error), -EINVAL);
		token_done(&token);
		free(text);
	}
}

static void bounds_the_server(void **state)
{
	char server[600];
	struct token token = {.server = server};

	(void)state;
	memset(server, 'a', sizeof(server));
	server[512] = '\0';
	char *text = token_text(&token);
	assert_non_null(text);
	free(text);
	server[512] = 'a';
	server[513] = '\0';
	assert_null(token_text(&token));
}

// --- what the CA knows of them

struct place {
	char *directory, *path;
	struct journal *journal;
	char password[TOKEN_PASSWORD_MAX];
	struct token_record record;
};

static int set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));
	struct token token = token_of(GATEWAYS);

	place->directory = fixture_directory();
	place->path = fixture_path(place->directory, "journal.db");
	assert_int_equal(journal_create(place->path, NULL), 0);
	assert_int_equal(journal_open(place->path, &place->journal, NULL), 0);
	token_password(&token, place->password);
	token_done(&token);
	place->record = (struct token_record){.identity = strdup(ALICE),
					      .created = NOW,
					      .expires = NOW + HOUR_S,
					      .lifetime_s = 24 * HOUR_S};
	assert_int_equal(token_add(place->journal, secret, &place->record, NULL), 0);
	*state = place;
	return 0;
}

static int tear_down(void **state)
{
	struct place *place = *state;

	journal_close(place->journal);
	token_record_done(&place->record);
	fixture_directory_free(place->directory);
	free(place->path);
	free(place);
	return 0;
}

static void expect_find(const struct place *place, const uint8_t *digest, time_t now, int code,
			const char *what)
{
	struct token_record record;
	struct error error = {0};

	assert_int_equal(token_find(place->journal, place->password, digest, now, &record, &error),
			 code);
	if (code == 0)
		token_record_done(&record);
	else if (!strstr(error.what, what))
		fail_msg("\"%s\" does not say \"%s\"", error.what, what);
}

static void finds_one_by_its_secret(void **state)
{
	struct place *place = *state;
	struct token_record record;

	assert_int_equal(token_find(place->journal, place->password, request, NOW, &record, NULL),
			 0);
	assert_string_equal(record.id, place->record.id);
	assert_string_equal(record.identity, ALICE);
	assert_int_equal(record.lifetime_s, 24 * HOUR_S);
	assert_null(record.serial);
	token_record_done(&record);
	place->password[0] ^= 1;
	expect_find(place, request, NOW, -EACCES, "no such token");
	place->password[0] = '\0';
	expect_find(place, request, NOW, -EACCES, "no such token");
}

static void keeps_no_secret(void **state)
{
	struct place *place = *state;
	char bytes[65536];
	FILE *file = fopen(place->path, "re");
	size_t size = fread(bytes, 1, sizeof(bytes), file);

	fclose(file);
	assert_null(memmem(bytes, size, secret, sizeof(secret)));
	assert_null(memmem(bytes, size, place->password, strlen(place->password)));
}

static void expires(void **state)
{
	struct place *place = *state;

	expect_find(place, request, NOW + HOUR_S - 1, 0, NULL);
	expect_find(place, request, NOW + HOUR_S, -EACCES, "has expired");
}

static void is_used_up(void **state)
{
	struct place *place = *state;
	struct token_record record;

	assert_int_equal(token_burn(place->journal, place->record.id, "12ab", request,
				    NOW + HOUR_S - 1, NULL),
			 0);
	// Once more for the same request, also when it has expired in between; never for another.
	assert_int_equal(token_find(place->journal, place->password, request,
				    NOW + HOUR_S - 1 + TOKEN_REDELIVER_S, &record, NULL),
			 0);
	assert_string_equal(record.serial, "12ab");
	token_record_done(&record);
	expect_find(place, other, NOW + HOUR_S - 1, -EACCES, "has been used");
	expect_find(place, request, NOW + HOUR_S + TOKEN_REDELIVER_S, -EACCES, "has been used");
}

static void can_be_revoked(void **state)
{
	struct place *place = *state;
	struct error error = {0};

	assert_int_equal(token_revoke(place->journal, place->record.id, NOW, &error), 0);
	expect_find(place, request, NOW, -EACCES, "was revoked");
	assert_int_equal(token_revoke(place->journal, place->record.id, NOW, &error), -EALREADY);
	assert_int_equal(token_revoke(place->journal, "0000", NOW, &error), -ENOENT);
}

static void cannot_be_revoked_when_used(void **state)
{
	struct place *place = *state;

	assert_int_equal(token_burn(place->journal, place->record.id, "12ab", request, NOW, NULL),
			 0);
	assert_int_equal(token_revoke(place->journal, place->record.id, NOW, NULL), -EALREADY);
}

static int collect(const struct token_record *record, void *data)
{
	char *text = data;

	strcat(text, record->identity);
	strcat(text, record->used ? " used;" : record->revoked ? " revoked;" : " open;");
	return 0;
}

static void lists_the_newest_first(void **state)
{
	struct place *place = *state;
	struct token_record second = place->record, third = place->record;
	uint8_t another[TOKEN_SECRET_SIZE] = "x", last[TOKEN_SECRET_SIZE] = "y";
	char text[512] = "";

	second.identity = (char *)"spiffe://corp.example/laptop/*";
	third.identity = (char *)"spiffe://corp.example/site/berlin";
	assert_int_equal(token_add(place->journal, another, &second, NULL), 0);
	assert_int_equal(token_add(place->journal, last, &third, NULL), 0);
	assert_string_not_equal(second.id, third.id);
	assert_int_equal(token_revoke(place->journal, second.id, NOW, NULL), 0);
	assert_int_equal(token_burn(place->journal, place->record.id, "12ab", request, NOW, NULL),
			 0);
	assert_int_equal(token_walk(place->journal, collect, text, NULL), 0);
	assert_string_equal(text, "spiffe://corp.example/site/berlin open;"
				  "spiffe://corp.example/laptop/* revoked;" ALICE " used;");
}

// The same secret twice would be one token for two.
static void refuses_a_secret_twice(void **state)
{
	struct place *place = *state;
	struct token_record again = place->record;

	assert_int_not_equal(token_add(place->journal, secret, &again, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_what_it_wrote),
		cmocka_unit_test(refuses_other_text),
		cmocka_unit_test(names_a_format_that_is_newer),
		cmocka_unit_test(refuses_a_server_that_is_no_pattern),
		cmocka_unit_test(bounds_the_server),
		cmocka_unit_test_setup_teardown(finds_one_by_its_secret, set_up, tear_down),
		cmocka_unit_test_setup_teardown(keeps_no_secret, set_up, tear_down),
		cmocka_unit_test_setup_teardown(expires, set_up, tear_down),
		cmocka_unit_test_setup_teardown(is_used_up, set_up, tear_down),
		cmocka_unit_test_setup_teardown(can_be_revoked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(cannot_be_revoked_when_used, set_up, tear_down),
		cmocka_unit_test_setup_teardown(lists_the_newest_first, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refuses_a_secret_twice, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
