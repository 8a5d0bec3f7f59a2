// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/error.h"
#include "daemon/config.h"
#include "daemon/credentials.h"
#include "daemon/lists.h"
#include "pki/revocation.h"
#include "unit/crl_fixture.h"
#include "unit/pki_fixture.h"

#define DOMAIN	    "corp.example"
#define GATEWAY	    "spiffe://corp.example/gateway/one"
#define ALICE	    "spiffe://corp.example/laptop/alice"
#define PATIENCE_MS 20000u

static const uint8_t serial[] = {0x12, 0x34, 0x56, 0x78};

struct place {
	char *directory, *kept; // where lists are kept
	struct fixture *root;
	struct revocation_chain alice;
	struct config config;
	struct config_list list;
	sd_event *event;
	struct credentials *credentials;
	struct lists *lists;
};

static void on_changed(void *data)
{
	(void)data;
}

static void on_credentials(const char *reason, void *data)
{
	(void)reason;
	(void)data;
}

static void write_files(struct place *place)
{
	_cleanup_(fixture_freep) struct fixture *gateway = fixture_leaf(place->root, GATEWAY);
	struct crl_fixture_entry entry = {
		.serial = serial, .size = sizeof(serial), .reason = CRL_FIXTURE_NO_REASON};
	struct crl_fixture_options options = {.entries = &entry, .count = 1};
	size_t size;
	_cleanup_(freep) uint8_t *der = crl_fixture(place->root, &options, &size);

	fixture_write_certificate(gateway, false, place->config.node.certificate);
	fixture_write_key(gateway, place->config.node.key);
	fixture_write_certificate(place->root, false, place->config.node.trust);
	assert_int_equal(file_write(place->list.file, der, size, 0600), 0);
}

static void note_alice(struct place *place)
{
	struct fixture_options options = {
		.uris = {ALICE}, .serial = serial, .serial_size = sizeof(serial)};
	_cleanup_(fixture_freep) struct fixture *alice = fixture_issue(place->root, &options);
	STACK_OF(X509) *chain = sk_X509_new_null();

	sk_X509_push(chain, alice->certificate);
	sk_X509_push(chain, place->root->certificate);
	assert_int_equal(revocation_chain(chain, &place->alice), 0);
	sk_X509_free(chain);
}

static int set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));
	struct lists_tools tools = {.changed = on_changed};
	struct error error = {0};

	place->directory = fixture_directory();
	place->kept = fixture_path(place->directory, "lists");
	place->root = fixture_root("root");
	place->config.node.certificate = fixture_path(place->directory, "node.crt");
	place->config.node.key = fixture_path(place->directory, "node.key");
	place->config.node.trust = fixture_path(place->directory, "trust.crt");
	place->config.node.state = place->directory;
	place->list.file = fixture_path(place->directory, "root.crl");
	place->config.revocation.lists = &place->list;
	place->config.revocation.list_count = 1;
	write_files(place);
	note_alice(place);
	assert_true(sd_event_new(&place->event) >= 0);
	assert_int_equal(credentials_new(place->event, &place->config.node, on_credentials, NULL,
					 &place->credentials, &error),
			 0);
	tools.event = place->event;
	tools.credentials = place->credentials;
	assert_int_equal(lists_new(&tools, &place->config, &place->lists, &error), 0);
	*state = place;
	return 0;
}

static int tear_down(void **state)
{
	struct place *place = *state;

	lists_free(place->lists);
	credentials_free(place->credentials);
	sd_event_unref(place->event);
	fixture_free(place->root);
	fixture_directory_free(place->kept);
	free(place->config.node.certificate);
	free(place->config.node.key);
	free(place->config.node.trust);
	free(place->list.file);
	fixture_directory_free(place->directory);
	free(place);
	return 0;
}

static bool revoked(const struct place *place)
{
	_cleanup_(revocation_putp) struct revocation *revocation = revocation_new();
	struct error error;

	assert_non_null(revocation);
	assert_int_equal(lists_add_to(place->lists, revocation), 0);
	return revocation_check(revocation, ALICE, &place->alice, clock_wall(), &error) ==
	       -EKEYREVOKED;
}

// A reload that fails anywhere lets nobody in, not for a moment.
static void what_is_not_adopted_changes_nothing(void **state)
{
	struct place *place = *state;
	struct config_list strange = {.file = place->list.file, .issuer = (char *)"/nowhere/ca"};
	struct config none = place->config, broken = place->config;
	struct error error;

	none.revocation.list_count = 0;
	broken.revocation.lists = &strange;
	assert_true(revoked(place));
	assert_int_equal(lists_prepare(place->lists, &none, &error), 0);
	assert_true(revoked(place));
	assert_int_equal(lists_prepare(place->lists, &broken, &error), -ENOENT);
	assert_true(revoked(place));
	assert_int_equal(lists_prepare(place->lists, &place->config, &error), 0);
	assert_true(revoked(place));
	lists_adopt(place->lists, &place->config);
	assert_true(revoked(place));
}

static void what_is_adopted_counts(void **state)
{
	struct place *place = *state;
	struct config none = place->config;
	struct error error;
	uint64_t until = clock_ms() + PATIENCE_MS;

	none.revocation.list_count = 0;
	assert_int_equal(lists_prepare(place->lists, &none, &error), 0);
	lists_adopt(place->lists, &none);
	assert_false(revoked(place));
	assert_int_equal(lists_prepare(place->lists, &place->config, &error), 0);
	lists_adopt(place->lists, &place->config);
	while (!revoked(place) && clock_ms() < until)
		assert_true(sd_event_run(place->event, 100000) >= 0);
	assert_true(revoked(place));
}

// Only the issuer is named otherwise: who is revoked stays so, also before the list is read again.
static void another_issuer_forgets_nothing(void **state)
{
	struct place *place = *state;
	struct config_list list = place->list;
	struct config other = place->config;
	struct error error;

	list.issuer = place->config.node.trust;
	other.revocation.lists = &list;
	assert_int_equal(lists_prepare(place->lists, &other, &error), 0);
	lists_adopt(place->lists, &other);
	assert_true(revoked(place));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(what_is_not_adopted_changes_nothing),
		TEST(what_is_adopted_counts),
		TEST(another_issuer_forgets_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
