// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <openssl/evp.h>

#include "tun/anchor.h"
#include "unit/context_fixture.h"

static void hash_of(const struct fixture *ca, uint8_t ret[ANCHOR_SIZE])
{
	unsigned size = ANCHOR_SIZE;
	assert_int_equal(X509_digest(ca->certificate, EVP_sha256(), ret, &size), 1);
}

static void test_both(void **unused)
{
	_cleanup_(fixture_freep) struct fixture *root = fixture_root("root");
	_cleanup_(fixture_freep) struct fixture *other = fixture_root("other");
	_cleanup_(fixture_freep) struct fixture *leaf = fixture_leaf(root, FIXTURE_ALICE);
	_cleanup_(tls_context_putp) struct tls_context *context =
		fixture_context(TLS_CLIENT, leaf, root);
	struct message_anchors anchors = {0};
	uint8_t hash[ANCHOR_SIZE];

	(void)unused;
	assert_non_null(context);
	anchor_declare(context, &anchors);
	assert_int_equal(anchors.count, 1);
	hash_of(root, hash);
	assert_memory_equal(anchors.hashes[0], hash, ANCHOR_SIZE);
	assert_false(anchor_is_news(context, FIXTURE_GATEWAY, &anchors));

	hash_of(other, anchors.hashes[1]);
	anchors.count = 2;
	assert_true(anchor_is_news(context, FIXTURE_GATEWAY, &anchors));
	// What another trust domain has in its own trust is none of our business.
	assert_false(anchor_is_news(context, "spiffe://partner.example/gateway/one", &anchors));
	anchors.count = 0;
	assert_false(anchor_is_news(context, FIXTURE_GATEWAY, &anchors));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_both)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
