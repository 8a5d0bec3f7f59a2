// SPDX-License-Identifier: Apache-2.0
// Lists in use. OpenSSL's own check of lists, which the daemon never uses, is the oracle here.

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <openssl/rand.h>
#include <openssl/x509_vfy.h>

#include "base/clock.h"
#include "base/error.h"
#include "pki/crl.h"
#include "pki/crl_list.h"
#include "pki/crl_slot.h"
#include "pki/revocation.h"
#include "pki/tls.h"
#include "pki/trust.h"
#include "pki/verify.h"
#include "unit/crl_fixture.h"
#include "unit/pki_fixture.h"

#define DOMAIN	"corp.example"
#define NAME	"spiffe://corp.example/laptop/alice"
#define DAY	INT64_C(86400)
#define SETS	300
#define LEAVES	6
#define SERIALS 12

static struct fixture *root, *issuing, *leaves[LEAVES];
static struct trust *trust;
static uint8_t serials[SERIALS][4];

static int set_up(void **state)
{
	(void)state;
	root = fixture_root("root");
	issuing = fixture_intermediate(root, "issuing", NULL, 0);
	for (unsigned i = 0; i < SERIALS; i++) {
		RAND_bytes(serials[i], 4);
		serials[i][0] = (uint8_t)(0x10 + i);
	}
	for (unsigned i = 0; i < LEAVES; i++) {
		struct fixture_options options = {
			.uris = {NAME}, .serial = serials[i], .serial_size = 4};
		leaves[i] = fixture_issue(issuing, &options);
	}
	trust = fixture_trust(DOMAIN, root);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	trust_put(trust);
	for (unsigned i = 0; i < LEAVES; i++)
		fixture_free(leaves[i]);
	fixture_free(issuing);
	fixture_free(root);
	return 0;
}

static struct crl *read_der(const uint8_t *der, size_t size, const struct fixture *issuer)
{
	STACK_OF(X509) *issuers = sk_X509_new_null();
	struct crl *crl = NULL;
	struct error error = {0};

	sk_X509_push(issuers, issuer->certificate);
	struct crl_scope scope = {trust, DOMAIN, issuers};
	if (crl_read(der, size, &scope, clock_wall(), &crl, &error) < 0)
		assert_string_not_equal(error.what, "");
	sk_X509_free(issuers);
	return crl;
}

static struct crl *list_of(const struct fixture *signer, const struct crl_fixture_options *options)
{
	size_t size;
	_cleanup_(freep) uint8_t *der = crl_fixture(signer, options, &size);

	return read_der(der, size, signer);
}

static struct crl_fixture_entry entry_of(const struct fixture *fixture)
{
	const ASN1_INTEGER *serial = X509_get0_serialNumber(fixture->certificate);

	return (struct crl_fixture_entry){.serial = ASN1_STRING_get0_data(serial),
					  .size = (size_t)ASN1_STRING_length(serial),
					  .reason = CRL_FIXTURE_NO_REASON};
}

static int ask(const struct revocation *revocation, const struct fixture *leaf, time_t now,
	       struct error *error)
{
	STACK_OF(X509) *chain = fixture_chain(leaf);
	struct revocation_chain links;
	const struct fixture *top = leaf;

	while (top->issuer)
		top = top->issuer;
	sk_X509_unshift(chain, leaf->certificate);
	sk_X509_push(chain, top->certificate);
	assert_int_equal(revocation_chain(chain, &links), 0);
	sk_X509_free(chain);
	*error = (struct error){0};
	int r = revocation_check(revocation, NAME, &links, now, error);
	assert_int_equal(error->code, -r);
	return r;
}

// --- against OpenSSL

struct set {
	uint8_t *der[2]; // of root and issuing; NULL: there is none
	size_t size[2];
};

static unsigned random_below(unsigned below)
{
	unsigned value;

	RAND_bytes((unsigned char *)&value, sizeof(value));
	return value % below;
}

static void make_list(struct set *set, unsigned which)
{
	const struct fixture *signer = which == 0 ? root : issuing;
	struct crl_fixture_entry entries[SERIALS];
	struct crl_fixture_options options = {.entries = entries, .this_s = -100, .next_s = DAY};
	static const unsigned reasons[] = {0, 1, 6, 8, CRL_FIXTURE_NO_REASON};

	for (unsigned i = 0; i < SERIALS; i++) {
		if (random_below(4) != 0)
			continue;
		entries[options.count] =
			which == 0 && i == 0
				? entry_of(issuing)
				: (struct crl_fixture_entry){.serial = serials[i], .size = 4};
		entries[options.count].reason = reasons[random_below(5)];
		entries[options.count++].negative = random_below(16) == 0;
	}
	unsigned twist = random_below(24);
	if (twist == 0)
		return;
	if (twist == 1)
		options.next_s = -50;
	if (twist == 2)
		options.extras[0] = "1.2.3.4=critical,ASN1:NULL";
	if (twist == 3 && options.count)
		entries[0].extension = "1.2.3.4=critical,ASN1:NULL";
	if (twist == 4)
		options.this_s = 5000;
	if (twist == 5)
		options.name = which == 0 ? issuing : root; // signed by the wrong key
	// Of a root OpenSSL takes such a list; here it is refused.
	if (twist == 6 && which == 1)
		options.extras[0] = "2.5.29.28=critical,DER:30038201ff"; // CA certificates only
	set->der[which] = crl_fixture(signer, &options, &set->size[which]);
	if (twist == 7)
		set->der[which][set->size[which] - 1] ^= 1;
}

static bool oracle(const struct set *set, const struct fixture *leaf)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *context = X509_STORE_CTX_new_ex(tls_library(), NULL);
	STACK_OF(X509_CRL) *lists = sk_X509_CRL_new_null();
	STACK_OF(X509) *chain = fixture_chain(leaf);

	X509_STORE_add_cert(store, root->certificate);
	for (unsigned i = 0; i < 2; i++) {
		const uint8_t *at = set->der[i];
		X509_CRL *list = at ? d2i_X509_CRL(NULL, &at, (long)set->size[i]) : NULL;
		if (list)
			sk_X509_CRL_push(lists, list);
	}
	assert_int_equal(X509_STORE_CTX_init(context, store, leaf->certificate, chain), 1);
	X509_STORE_CTX_set0_crls(context, lists);
	X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(context),
				    X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
	bool good = X509_verify_cert(context) == 1;
	sk_X509_CRL_pop_free(lists, X509_CRL_free);
	sk_X509_free(chain);
	X509_STORE_CTX_free(context);
	X509_STORE_free(store);
	return good;
}

// Hard lists without any grace, one for each CA: what the oracle demands.
static struct revocation *ours(const struct set *set)
{
	struct revocation *revocation = revocation_new();

	for (unsigned i = 0; i < 2; i++) {
		struct crl_list list = {.name = "list", .domain = DOMAIN, .hard = true};
		if (set->der[i])
			list.crl = read_der(set->der[i], set->size[i], i == 0 ? root : issuing);
		assert_int_equal(revocation_add_list(revocation, &list), 0);
		crl_put(list.crl);
	}
	return revocation;
}

static void as_openssl_judges(void **state)
{
	unsigned good = 0, bad = 0;

	(void)state;
	for (unsigned n = 0; n < SETS; n++) {
		struct set set = {0};
		make_list(&set, 0);
		make_list(&set, 1);
		struct revocation *revocation = ours(&set);
		for (unsigned i = 0; i < LEAVES; i++) {
			struct error error;
			bool want = oracle(&set, leaves[i]);
			bool have = ask(revocation, leaves[i], clock_wall(), &error) == 0;
			if (want != have)
				print_message("set %u, leaf %u: OpenSSL says %d, we %d: %s\n", n, i,
					      want, have, error.what);
			assert_int_equal(want, have);
			good += want;
			bad += !want;
		}
		revocation_put(revocation);
		free(set.der[0]);
		free(set.der[1]);
	}
	// Both were seen often enough for this to mean something.
	assert_true(good > SETS / 4 && bad > SETS / 4);
}

// --- lists in use

static struct revocation *with(struct crl *crl, bool hard, unsigned grace_s)
{
	struct revocation *revocation = revocation_new();
	struct crl_list list = {.name = "/etc/lists/corp.crl",
				.domain = DOMAIN,
				.crl = crl,
				.hard = hard,
				.grace_s = grace_s};

	assert_int_equal(revocation_add_list(revocation, &list), 0);
	return revocation;
}

static void a_sentence_for_people(void **state)
{
	struct crl_fixture_entry entries[] = {entry_of(leaves[0]), entry_of(leaves[1])};
	struct crl_fixture_options options = {.entries = entries, .count = 2};
	_cleanup_(crl_putp) struct crl *crl = NULL;
	_cleanup_(revocation_putp) struct revocation *revocation = NULL;
	struct error error;

	(void)state;
	entries[0].at_s = -3 * DAY - 60;
	entries[0].reason = 1;
	crl = list_of(issuing, &options);
	revocation = with(crl, false, 0);
	assert_int_equal(ask(revocation, leaves[0], clock_wall(), &error), -EKEYREVOKED);
	assert_string_equal(error.what, "the certificate of spiffe://corp.example/laptop/alice was "
					"revoked 3 days ago by CN=issuing (key compromise)");
	assert_string_equal(error.where, "/etc/lists/corp.crl");
	assert_int_equal(ask(revocation, leaves[1], clock_wall(), &error), -EKEYREVOKED);
	assert_int_equal(ask(revocation, leaves[2], clock_wall(), &error), 0);
	assert_int_equal(ask(NULL, leaves[0], clock_wall(), &error), 0);
}

static void a_ca_is_revoked(void **state)
{
	struct crl_fixture_entry entry = entry_of(issuing);
	struct crl_fixture_options options = {.entries = &entry, .count = 1};
	_cleanup_(crl_putp) struct crl *crl = list_of(root, &options);
	_cleanup_(revocation_putp) struct revocation *revocation = with(crl, false, 0);
	struct error error;

	(void)state;
	assert_int_equal(ask(revocation, leaves[0], clock_wall(), &error), -EKEYREVOKED);
	assert_non_null(strstr(error.what, "a CA certificate above"));
}

// The same serial number, of another issuer or in another trust domain, is another certificate.
static void only_whom_it_concerns(void **state)
{
	struct crl_fixture_entry entry = entry_of(leaves[0]);
	struct crl_fixture_options options = {.entries = &entry, .count = 1};
	_cleanup_(crl_putp) struct crl *of_root = list_of(root, &options);
	_cleanup_(crl_putp) struct crl *of_issuing = list_of(issuing, &options);
	_cleanup_(revocation_putp) struct revocation *revocation = with(of_root, false, 0);
	struct crl_list elsewhere = {
		.name = "x", .domain = "partner.example", .crl = of_issuing, .hard = true};
	struct crl_list unread = {.name = "x", .domain = "partner.example", .hard = true};
	struct error error;

	(void)state;
	assert_int_equal(revocation_add_list(revocation, &elsewhere), 0);
	assert_int_equal(revocation_add_list(revocation, &unread), 0);
	assert_int_equal(ask(revocation, leaves[0], clock_wall(), &error), 0);
}

// A CA that has a new key and the same name lists what it signed with the old one.
static void a_ca_with_a_new_key(void **state)
{
	_cleanup_(fixture_freep) struct fixture *again =
		fixture_intermediate(root, "issuing", NULL, 0);
	struct crl_fixture_entry entry = entry_of(leaves[0]);
	struct crl_fixture_options options = {.entries = &entry, .count = 1};
	_cleanup_(crl_putp) struct crl *crl = list_of(again, &options);
	_cleanup_(revocation_putp) struct revocation *revocation = with(crl, false, 0);
	struct error error;

	(void)state;
	assert_int_equal(ask(revocation, leaves[0], clock_wall(), &error), -EKEYREVOKED);
	assert_int_equal(ask(revocation, leaves[1], clock_wall(), &error), 0);
}

static void an_old_list(void **state)
{
	struct crl_fixture_entry entry = entry_of(leaves[0]);
	struct crl_fixture_options options = {
		.entries = &entry, .count = 1, .this_s = -DAY, .next_s = -3600};
	_cleanup_(crl_putp) struct crl *crl = list_of(issuing, &options);
	_cleanup_(revocation_putp) struct revocation *soft = with(crl, false, 0);
	_cleanup_(revocation_putp) struct revocation *hard = with(crl, true, 7200);
	time_t now = clock_wall();
	struct error error;

	(void)state;
	// Whom it names is out, as long as there is nothing newer.
	assert_int_equal(ask(soft, leaves[0], now + 365 * DAY, &error), -EKEYREVOKED);
	assert_int_equal(ask(soft, leaves[1], now + 365 * DAY, &error), 0);
	// Within its grace it says of the others that they are good.
	assert_int_equal(ask(hard, leaves[1], now, &error), 0);
	assert_int_equal(ask(hard, leaves[1], now + 3590, &error), 0);
	assert_int_equal(ask(hard, leaves[1], now + 3610, &error), -EKEYREVOKED);
	assert_non_null(strstr(error.what, "too old"));
	assert_non_null(strstr(error.remedy, "mutun status"));
	// The more telling reason comes first.
	assert_int_equal(ask(hard, leaves[0], now + 3610, &error), -EKEYREVOKED);
	assert_non_null(strstr(error.what, "was revoked"));
}

static void a_list_that_was_never_read(void **state)
{
	_cleanup_(revocation_putp) struct revocation *soft = with(NULL, false, 0);
	_cleanup_(revocation_putp) struct revocation *hard = with(NULL, true, 3600);
	struct error error;

	(void)state;
	assert_int_equal(ask(soft, leaves[0], clock_wall(), &error), 0);
	assert_int_equal(ask(hard, leaves[0], clock_wall(), &error), -EKEYREVOKED);
	assert_non_null(strstr(error.what, "could not be read yet"));
}

// What a channel holds that began an hour ago judges by the list of today.
static void a_newer_list(void **state)
{
	struct crl_fixture_entry entry = entry_of(leaves[0]);
	struct crl_fixture_options options = {.entries = &entry, .count = 1};
	_cleanup_(crl_putp) struct crl *crl = list_of(issuing, &options);
	_cleanup_(revocation_putp) struct revocation *revocation = revocation_new();
	struct crl_slot *slot = crl_slot_new(NULL);
	struct crl_list list = {.name = "x", .domain = DOMAIN, .slot = slot};
	struct error error;

	(void)state;
	assert_int_equal(revocation_add_list(revocation, &list), 0);
	assert_int_equal(ask(revocation, leaves[0], clock_wall(), &error), 0);
	crl_slot_set(slot, crl);
	assert_int_equal(ask(revocation, leaves[0], clock_wall(), &error), -EKEYREVOKED);
	crl_slot_set(slot, NULL);
	assert_int_equal(ask(revocation, leaves[0], clock_wall(), &error), 0);
	crl_slot_put(slot);
}

// The whole way: from a chain that path validation built, through a verdict, to live sessions.
static void through_the_judgement(void **state)
{
	struct crl_fixture_entry entry = entry_of(leaves[0]);
	struct crl_fixture_options options = {.entries = &entry, .count = 1};
	_cleanup_(crl_putp) struct crl *crl = list_of(issuing, &options);
	_cleanup_(revocation_putp) struct revocation *revocation = with(crl, false, 0);
	_cleanup_(trust_putp) struct trust *revised = NULL;
	_cleanup_(verdict_putp) struct verdict *verdict = NULL;
	STACK_OF(X509) *chain = fixture_chain(leaves[0]);
	struct verdict *refused = NULL;
	struct error error = {0};
	int code = 0;

	(void)state;
	assert_int_equal(trust_revise(trust, revocation, &revised), 0);
	assert_int_equal(verify_chain(trust, leaves[0]->certificate, chain, VERIFY_PEER_IS_CLIENT,
				      clock_wall(), &verdict, NULL, &error),
			 0);
	assert_int_equal(verdict_revoked(verdict, trust, clock_wall(), &error), 0);
	assert_int_equal(verdict_revoked(verdict, revised, clock_wall(), &error), -EACCES);
	assert_int_equal(verify_chain(revised, leaves[0]->certificate, chain, VERIFY_PEER_IS_CLIENT,
				      clock_wall(), &refused, &code, &error),
			 -EACCES);
	assert_int_equal(code, X509_V_ERR_CERT_REVOKED);
	assert_null(refused);
	sk_X509_free(chain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_openssl_judges),
		cmocka_unit_test(a_sentence_for_people),
		cmocka_unit_test(a_ca_is_revoked),
		cmocka_unit_test(only_whom_it_concerns),
		cmocka_unit_test(a_ca_with_a_new_key),
		cmocka_unit_test(an_old_list),
		cmocka_unit_test(a_list_that_was_never_read),
		cmocka_unit_test(a_newer_list),
		cmocka_unit_test(through_the_judgement),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
