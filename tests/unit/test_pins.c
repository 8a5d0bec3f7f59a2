// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "pki/certificate.h"
#include "pki/pins.h"
#include "pki/revocation.h"
#include "pki/tls.h"
#include "pki/trust.h"
#include "pki/verify.h"
#include "unit/pki_fixture.h"

#define GATEWAY "spiffe://corp.example/gateway/hq"

DEFINE_CLEANUP(STACK_OF(X509) *, sk_X509_free);

static void reads_what_it_writes(void **state)
{
	// RFC 7469, 2.1.5.
	static const char first[] = "sha256/d6qzRu9zOECb90Uez27xWltNsj0e1Md7GkYYkVoZWmM=";
	static const char *const bad[] = {
		"",
		"sha256/",
		"sha256/d6qzRu9zOECb90Uez27xWltNsj0e1Md7GkYYkVoZWmM",
		"sha256/d6qzRu9zOECb90Uez27xWltNsj0e1Md7GkYYkVoZWmN=", // bits behind the end
		"sha256/d6qzRu9zOECb90Uez27xWltNsj0e1Md7GkYYkVoZW===",
		"sha256/d6qzRu9zOECb90Uez27xWltNsj0e1Md7GkYYk-oZWmM=",
		"sha256/d6qzRu9zOECb90Uez27xWltNsj0e1Md7GkYYkVoZWmMAAAA=",
		"sha1/d6qzRu9zOECb90Uez27xWltNsj0e1Md7GkYYkVoZWmM=",
		"77aab346ef7338409bf7451ecf6ef15a5b4db23d1ed4c77b1a461891 5a195a63",
		"77aab346ef7338409bf7451ecf6ef15a5b4db23d1ed4c77b1a4618915a195a6",
		"77aab346ef7338409bf7451ecf6ef15a5b4db23d1ed4c77b1a4618915a195a6g",
	};
	struct pin_key key, again;
	char text[PINS_TEXT_MAX], hex[2 * SPKI_HASH_SIZE + 1];

	(void)state;
	assert_int_equal(pins_parse(first, &key), 0);
	assert_string_equal(pins_text(key.hash, text), first);
	for (unsigned i = 0; i < SPKI_HASH_SIZE; i++)
		snprintf(hex + 2 * (size_t)i, 3, i % 2 ? "%02X" : "%02x", key.hash[i]);
	assert_int_equal(pins_parse(hex, &again), 0);
	assert_memory_equal(&key, &again, sizeof(key));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(pins_parse(bad[i], &again), -EINVAL);
}

static void counts_different_keys(void **state)
{
	struct pin_key keys[] = {{{1}}, {{1}}, {{2}}, {{1}}};

	(void)state;
	assert_int_equal(pins_distinct(keys, 0), 0);
	assert_int_equal(pins_distinct(keys, 2), 1);
	assert_int_equal(pins_distinct(keys, 4), 2);
}

// A root, an issuing CA, a gateway's leaf.
struct ladder {
	struct fixture *root, *issuing, *leaf;
	char *directory, *path;
};

static struct ladder ladder_new(void)
{
	struct ladder ladder = {.root = fixture_root("root"), .directory = fixture_directory()};

	ladder.issuing = fixture_intermediate(ladder.root, "issuing", "corp.example", 0);
	ladder.leaf = fixture_leaf(ladder.issuing, GATEWAY);
	ladder.path = fixture_path(ladder.directory, "trust.crt");
	fixture_write_certificate(ladder.root, false, ladder.path);
	return ladder;
}

static void ladder_done(struct ladder *ladder)
{
	fixture_free(ladder->leaf);
	fixture_free(ladder->issuing);
	fixture_free(ladder->root);
	free(ladder->path);
	fixture_directory_free(ladder->directory);
}

static struct pin_key key_of(const struct fixture *fixture)
{
	struct pin_key key;

	assert_int_equal(certificate_spki_hash(fixture->certificate, key.hash), 0);
	return key;
}

static struct trust *load(const struct ladder *ladder, const struct pin *pins, size_t count)
{
	struct trust_source source = {
		.domain = "corp.example", .path = ladder->path, .pins = pins, .pin_count = count};
	struct trust *trust = NULL;

	assert_int_equal(trust_load(tls_library(), &source, 1, clock_wall(), &trust, NULL), 0);
	return trust;
}

static int judge(const struct ladder *ladder, struct trust *trust, struct verdict **ret,
		 struct error *error)
{
	_cleanup_(sk_X509_freep) STACK_OF(X509) *chain = fixture_chain(ladder->leaf);
	int code = -1;
	int r = verify_chain(trust, ladder->leaf->certificate, chain, VERIFY_PEER_IS_SERVER,
			     clock_wall(), ret, &code, error);

	assert_int_equal(code, r == 0 ? X509_V_OK : X509_V_ERR_CERT_REJECTED);
	return r;
}

static void any_certificate_of_the_chain_will_do(void **state)
{
	_cleanup_(ladder_done) struct ladder ladder = ladder_new();
	const struct fixture *pinned[] = {ladder.leaf, ladder.issuing, ladder.root};

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct pin_key keys[] = {{{0xbb}}, key_of(pinned[i])};
		struct pin pin = {GATEWAY, keys, 2};
		_cleanup_(trust_putp) struct trust *trust = load(&ladder, &pin, 1);
		_cleanup_(verdict_putp) struct verdict *verdict = NULL;
		assert_int_equal(judge(&ladder, trust, &verdict, NULL), 0);
	}
}

static void refuses_other_keys_with_a_sentence(void **state)
{
	_cleanup_(ladder_done) struct ladder ladder = ladder_new();
	struct pin_key keys[] = {{{0xaa}}, {{0xbb}}}, own = key_of(ladder.leaf);
	struct pin pin = {"spiffe://corp.example/gateway/*", keys, 2};
	_cleanup_(trust_putp) struct trust *trust = load(&ladder, &pin, 1);
	struct verdict *none = NULL;
	struct error error = {0};
	char text[PINS_TEXT_MAX], what[384];

	(void)state;
	assert_int_equal(judge(&ladder, trust, &none, &error), -EACCES);
	snprintf(what, sizeof(what),
		 "certificate of " GATEWAY
		 " has a key that is not pinned (%s), nor is one above it",
		 pins_text(own.hash, text));
	assert_string_equal(error.what, what);
	assert_string_equal(error.expected,
			    "one of the 2 keys for spiffe://corp.example/gateway/*");
	assert_int_equal(judge(&ladder, trust, &none, NULL), -EACCES);
	assert_null(none);
}

static void concerns_nobody_else(void **state)
{
	_cleanup_(ladder_done) struct ladder ladder = ladder_new();
	struct pin_key keys[] = {{{0xaa}}, {{0xbb}}};
	struct pin pins[] = {{"spiffe://corp.example/laptop/**", keys, 2},
			     {"spiffe://partner.example/gateway/*", keys, 2}};
	_cleanup_(trust_putp) struct trust *trust = load(&ladder, pins, 2);
	_cleanup_(verdict_putp) struct verdict *verdict = NULL;

	(void)state;
	assert_int_equal(judge(&ladder, trust, &verdict, NULL), 0);
}

// An entry for many cannot loosen the one for a single identity, nor the other way round.
static void every_entry_must_be_met(void **state)
{
	_cleanup_(ladder_done) struct ladder ladder = ladder_new();
	struct pin_key good[] = {key_of(ladder.issuing), {{0xbb}}}, bad[] = {{{0xaa}}, {{0xbb}}};
	struct pin pins[] = {{"spiffe://corp.example/**", good, 2}, {GATEWAY, bad, 2}};
	_cleanup_(trust_putp) struct trust *both = load(&ladder, pins, 2);
	_cleanup_(trust_putp) struct trust *one = load(&ladder, pins, 1);
	_cleanup_(verdict_putp) struct verdict *verdict = NULL;
	struct verdict *none = NULL;

	(void)state;
	assert_int_equal(judge(&ladder, one, &verdict, NULL), 0);
	assert_int_equal(judge(&ladder, both, &none, NULL), -EACCES);
}

static void judges_live_sessions_too(void **state)
{
	_cleanup_(ladder_done) struct ladder ladder = ladder_new();
	struct pin_key keys[] = {{{0xaa}}, {{0xbb}}};
	struct pin pin = {GATEWAY, keys, 2};
	_cleanup_(trust_putp) struct trust *before = load(&ladder, NULL, 0);
	_cleanup_(trust_putp) struct trust *after = load(&ladder, &pin, 1);
	_cleanup_(trust_putp) struct trust *revised = NULL;
	_cleanup_(verdict_putp) struct verdict *verdict = NULL;
	struct verdict *none = NULL;
	struct error error = {0};

	(void)state;
	assert_int_equal(judge(&ladder, before, &verdict, NULL), 0);
	assert_int_equal(verify_again(after, verdict, clock_wall(), &none, &error), -EACCES);
	assert_non_null(strstr(error.what, "is not pinned"));
	assert_int_equal(trust_revise(after, NULL, &revised), 0);
	assert_int_equal(verify_again(revised, verdict, clock_wall(), &none, NULL), -EACCES);
	assert_memory_not_equal(trust_fingerprint(before), trust_fingerprint(after), 32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_it_writes),
		cmocka_unit_test(counts_different_keys),
		cmocka_unit_test(any_certificate_of_the_chain_will_do),
		cmocka_unit_test(refuses_other_keys_with_a_sentence),
		cmocka_unit_test(concerns_nobody_else),
		cmocka_unit_test(every_entry_must_be_met),
		cmocka_unit_test(judges_live_sessions_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
