// SPDX-License-Identifier: Apache-2.0

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <openssl/ec.h>
#include <openssl/x509v3.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "pki/request.h"
#include "pki/tls.h"

#define ALICE "spiffe://corp.example/laptop/alice"

DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free);
DEFINE_CLEANUP(X509_REQ *, X509_REQ_free);

static EVP_PKEY *new_key(const char *kind)
{
	EVP_PKEY *key = strcmp(kind, "ED25519") == 0
				? EVP_PKEY_Q_keygen(tls_library(), NULL, "ED25519")
			: strcmp(kind, "RSA") == 0
				? EVP_PKEY_Q_keygen(tls_library(), NULL, "RSA", (size_t)2048)
			: strcmp(kind, "RSA-1024") == 0
				? EVP_PKEY_Q_keygen(tls_library(), NULL, "RSA", (size_t)1024)
				: EVP_PKEY_Q_keygen(tls_library(), NULL, "EC", kind);
	assert_non_null(key);
	return key;
}

// A request as another tool would make it: `names` in the form of x509v3_config(5), signed with `signer`. Returns new DER.
static uint8_t *foreign(EVP_PKEY *key, EVP_PKEY *signer, const char *names, size_t *ret_size)
{
	_cleanup_(X509_REQ_freep) X509_REQ *request = X509_REQ_new_ex(tls_library(), NULL);
	unsigned char *der = NULL;
	X509V3_CTX context;

	assert_int_equal(X509_REQ_set_version(request, X509_REQ_VERSION_1), 1);
	X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(request), "CN", MBSTRING_UTF8,
				   (const unsigned char *)"root", -1, -1, 0);
	assert_int_equal(X509_REQ_set_pubkey(request, key), 1);
	if (names) {
		STACK_OF(X509_EXTENSION) *all = sk_X509_EXTENSION_new_null();
		X509V3_set_ctx(&context, NULL, NULL, request, NULL, 0);
		X509V3_set_ctx_nodb(&context);
		X509_EXTENSION *extension =
			X509V3_EXT_nconf_nid(NULL, &context, NID_subject_alt_name, names);
		assert_non_null(extension);
		sk_X509_EXTENSION_push(all, extension);
		assert_int_equal(X509_REQ_add_extensions(request, all), 1);
		sk_X509_EXTENSION_pop_free(all, X509_EXTENSION_free);
	}
	assert_true(X509_REQ_sign(request, signer, EVP_sha256()) > 0);
	int size = i2d_X509_REQ(request, &der);
	assert_true(size > 0);
	uint8_t *copy = malloc((size_t)size);
	assert_non_null(copy);
	memcpy(copy, der, (size_t)size);
	OPENSSL_free(der);
	*ret_size = (size_t)size;
	return copy;
}

static void expect_refused(const uint8_t *der, size_t size, const char *what)
{
	struct error error = {0};
	struct request request;

	assert_int_equal(request_read(der, size, &request, &error), -EINVAL);
	if (!strstr(error.what, what))
		fail_msg("\"%s\" does not say \"%s\"", error.what, what);
}

static void reads_what_it_made(void **state)
{
	static const char *const kinds[] = {"P-256", "P-384", "P-521", "ED25519", "RSA"};

	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = new_key(kinds[i]);
		_cleanup_(freep) uint8_t *der = NULL;
		struct request request;
		size_t size;
		assert_int_equal(request_make(key, ALICE, "alice.corp.example", &der, &size, NULL),
				 0);
		assert_int_equal(request_read(der, size, &request, NULL), 0);
		assert_int_equal(EVP_PKEY_eq(request.key, key), 1);
		assert_string_equal(request.identity, ALICE);
		assert_string_equal(request.dns, "alice.corp.example");
		request_done(&request);
	}
}

static void asks_for_no_name(void **state)
{
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = new_key("P-256");
	_cleanup_(freep) uint8_t *der = NULL;
	struct request request;
	size_t size;

	(void)state;
	assert_int_equal(request_make(key, NULL, NULL, &der, &size, NULL), 0);
	assert_int_equal(request_read(der, size, &request, NULL), 0);
	assert_null(request.identity);
	assert_null(request.dns);
	request_done(&request);
}

// The subject, which foreign tools fill with what they like, means nothing.
static void takes_foreign_requests(void **state)
{
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = new_key("P-256");
	struct request request;
	size_t size;

	(void)state;
	_cleanup_(freep) uint8_t *der = foreign(key, key, "URI:" ALICE ",DNS:a.example", &size);
	assert_int_equal(request_read(der, size, &request, NULL), 0);
	assert_string_equal(request.identity, ALICE);
	assert_string_equal(request.dns, "a.example");
	request_done(&request);
}

static void refuses_other_names(void **state)
{
	static const struct {
		const char *names, *what;
	} cases[] = {
		{"URI:" ALICE ",URI:spiffe://corp.example/laptop/bob", "several names of one kind"},
		{"DNS:a.example,DNS:b.example", "several names of one kind"},
		{"IP:10.0.0.1", "neither URI nor DNS"},
		{"URI:" ALICE ",email:alice@corp.example", "neither URI nor DNS"},
		{"URI:https://corp.example/", ""},
		{"URI:spiffe://corp.example/laptop/../gateway/one", ""},
		{"DNS:-a.example", ""},
		{"DNS:*.example", ""},
	};
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = new_key("P-256");

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t size;
		_cleanup_(freep) uint8_t *der = foreign(key, key, cases[i].names, &size);
		expect_refused(der, size, cases[i].what);
	}
}

static void refuses_what_is_not_signed_with_its_key(void **state)
{
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = new_key("P-256");
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *other = new_key("P-256");
	_cleanup_(freep) uint8_t *der = NULL;
	size_t size;

	(void)state;
	der = foreign(key, other, "URI:" ALICE, &size);
	expect_refused(der, size, "not signed with its own key");
	free(take(der));
	// One bit of the name, under a good signature.
	der = foreign(key, key, "URI:" ALICE, &size);
	uint8_t *name = memmem(der, size, "alice", 5);
	assert_non_null(name);
	name[0] ^= 1;
	expect_refused(der, size, "not signed with its own key");
}

static void refuses_keys_that_no_node_accepts(void **state)
{
	static const char *const kinds[] = {"secp256k1", "P-224", "RSA-1024"};

	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = new_key(kinds[i]);
		size_t size;
		_cleanup_(freep) uint8_t *der = foreign(key, key, NULL, &size);
		expect_refused(der, size, "the request has a");
	}
}

static void refuses_what_is_no_request(void **state)
{
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = new_key("P-256");
	_cleanup_(freep) uint8_t *der = NULL;
	_cleanup_(freep) uint8_t *large = calloc(1, REQUEST_MAX + 1);
	size_t size;

	(void)state;
	assert_non_null(large);
	assert_int_equal(request_make(key, ALICE, NULL, &der, &size, NULL), 0);
	expect_refused((const uint8_t *)"", 0, "not a certificate request");
	for (size_t cut = 1; cut < size; cut += 7) {
		// Of the exact size, so that AddressSanitizer sees a read past the end.
		_cleanup_(freep) uint8_t *part = malloc(cut);
		assert_non_null(part);
		memcpy(part, der, cut);
		expect_refused(part, cut, "not a certificate request");
	}
	memcpy(large, der, size);
	expect_refused(large, size + 1, "not a certificate request");
	expect_refused(large, REQUEST_MAX + 1, "not a certificate request");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_it_made),
		cmocka_unit_test(asks_for_no_name),
		cmocka_unit_test(takes_foreign_requests),
		cmocka_unit_test(refuses_other_names),
		cmocka_unit_test(refuses_what_is_not_signed_with_its_key),
		cmocka_unit_test(refuses_keys_that_no_node_accepts),
		cmocka_unit_test(refuses_what_is_no_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
