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

#include "base/clock.h"
#include "base/error.h"
#include "pki/crl.h"
#include "pki/trust.h"
#include "unit/crl_fixture.h"
#include "unit/pki_fixture.h"

#define DOMAIN "corp.example"
#define DAY    INT64_C(86400)

static struct fixture *root, *issuing, *stranger;
static struct trust *trust;
static const uint8_t seven[] = {0x70, 7}, eight[] = {0x70, 8}, hold[] = {0x70, 6},
		     removed[] = {0x70, 9}, high[] = {0x80}, zero[] = {0};
static const struct crl_fixture_entry entries[] = {
	{seven, sizeof(seven), false, -3 * DAY, 1, NULL},
	{hold, sizeof(hold), false, 0, 6, NULL},
	{removed, sizeof(removed), false, 0, 8, NULL},
	{high, sizeof(high), true, 0, CRL_FIXTURE_NO_REASON, NULL},
};

static int set_up(void **state)
{
	(void)state;
	root = fixture_root("root");
	issuing = fixture_intermediate(root, "issuing", NULL, 0);
	stranger = fixture_root("stranger");
	trust = fixture_trust(DOMAIN, root);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	trust_put(trust);
	fixture_free(stranger);
	fixture_free(issuing);
	fixture_free(root);
	return 0;
}

static int read_with(const void *data, size_t size, STACK_OF(X509) * issuers, struct crl **ret,
		     struct error *error)
{
	struct crl_scope scope = {trust, DOMAIN, issuers};

	*ret = NULL;
	*error = (struct error){0};
	return crl_read(data, size, &scope, clock_wall(), ret, error);
}

// What is made of a list by `signer`; `error` tells why not.
static int judge(const struct fixture *signer, const struct crl_fixture_options *options,
		 struct crl **ret, struct error *error)
{
	size_t size;
	_cleanup_(freep) uint8_t *der = crl_fixture(signer, options, &size);

	return read_with(der, size, NULL, ret, error);
}

static void assert_refused(const struct fixture *signer, const struct crl_fixture_options *options,
			   int code, const char *what)
{
	struct crl *crl;
	struct error error;
	int r = judge(signer, options, &crl, &error);

	if (r != -code || !strstr(error.what, what))
		print_message("%d, %s; expected %s\n", r, error.what, what);
	assert_int_equal(r, -code);
	assert_non_null(strstr(error.what, what));
	assert_null(crl);
}

static void a_good_list(void **state)
{
	struct crl_fixture_options options = {
		.entries = entries, .count = 4, .number = 0x1234, .this_s = -100, .next_s = DAY};
	_cleanup_(crl_putp) struct crl *crl = NULL;
	struct crl_entry entry;
	struct error error;

	(void)state;
	assert_int_equal(judge(root, &options, &crl, &error), 0);
	const struct crl_facts *facts = crl_facts(crl);
	assert_string_equal(facts->issuer, "CN=root");
	assert_string_equal(facts->number, "1234");
	assert_int_equal(facts->counts.entries, 3);
	assert_int_equal(facts->counts.holds, 1);
	assert_int_equal(facts->counts.removals, 1);
	assert_in_range(facts->this_update, clock_wall() - 105, clock_wall() - 100);
	assert_in_range(facts->next_update, clock_wall() + DAY - 5, clock_wall() + DAY);
	assert_true(crl_find(crl, seven, sizeof(seven), false, &entry));
	assert_int_equal(entry.reason, 1);
	assert_in_range(entry.time, clock_wall() - 3 * DAY - 5, clock_wall() - 3 * DAY);
	assert_string_equal(crl_reason_name(entry.reason), "key compromise");
	assert_true(crl_find(crl, hold, sizeof(hold), false, &entry));
	assert_string_equal(crl_reason_name(entry.reason), "on hold");
	// In a whole list there is nothing that it could be removed from.
	assert_false(crl_find(crl, removed, sizeof(removed), false, &entry));
	assert_false(crl_find(crl, eight, sizeof(eight), false, &entry));
	// -128 is not 128.
	assert_true(crl_find(crl, high, sizeof(high), true, &entry));
	assert_null(crl_reason_name(entry.reason));
	assert_false(crl_find(crl, high, sizeof(high), false, &entry));
	assert_false(crl_find(crl, seven, 1, false, &entry));
	assert_false(crl_find(crl, seven, 0, false, &entry));
}

static void an_empty_list_and_a_zero(void **state)
{
	struct crl_fixture_options options = {0};
	struct crl_fixture_entry nothing = {zero, 1, false, 0, CRL_FIXTURE_NO_REASON, NULL};
	struct crl *crl;
	struct crl_entry entry;
	struct error error;

	(void)state;
	assert_int_equal(judge(root, &options, &crl, &error), 0);
	assert_int_equal(crl_facts(crl)->counts.entries, 0);
	assert_false(crl_find(crl, seven, sizeof(seven), false, &entry));
	assert_false(crl_find(crl, zero, 0, false, &entry));
	crl_put(crl);

	options = (struct crl_fixture_options){.entries = &nothing, .count = 1};
	assert_int_equal(judge(root, &options, &crl, &error), 0);
	assert_true(crl_find(crl, zero, 0, false, &entry)); // zero has no digits
	assert_false(crl_find(crl, seven, sizeof(seven), false, &entry));
	crl_put(crl);
}

// Every serial number of a large list is found, and no other.
static void many_entries(void **state)
{
	static const size_t count = 120000; // more than a huge page
	_cleanup_(freep) struct crl_fixture_entry *in = crl_fixture_random(count, 16);
	_cleanup_(freep) struct crl_fixture_entry *out = crl_fixture_random(count, 16);
	struct crl_fixture_options options = {.entries = in, .count = count};
	_cleanup_(crl_putp) struct crl *crl = NULL;
	struct crl_entry entry;
	struct error error;

	(void)state;
	assert_int_equal(judge(root, &options, &crl, &error), 0);
	assert_int_equal(crl_facts(crl)->counts.entries, count);
	assert_true(crl_facts(crl)->memory < 40 * count);
	for (size_t i = 0; i < count; i++) {
		assert_true(crl_find(crl, in[i].serial, in[i].size, false, &entry));
		assert_false(crl_find(crl, out[i].serial, out[i].size, false, &entry));
		assert_false(crl_find(crl, in[i].serial, in[i].size, true, &entry));
	}
}

static void pem_with_and_without_company(void **state)
{
	struct crl_fixture_options options = {.entries = entries, .count = 1};
	size_t size;
	_cleanup_(freep) uint8_t *der = crl_fixture(issuing, &options, &size);
	_cleanup_(freep) char *pem = crl_fixture_pem(der, size);
	_cleanup_(fixture_directory_freep) char *directory = fixture_directory();
	_cleanup_(freep) char *path = fixture_path(directory, "issuing.crt");
	_cleanup_(freep) char *both = NULL;
	char certificate[4096];
	struct crl *crl;
	struct error error;

	(void)state;
	// Its signer is no anchor: without its certificate nobody can tell.
	assert_int_equal(read_with(pem, strlen(pem), NULL, &crl, &error), -EKEYREJECTED);
	assert_non_null(strstr(error.what, "CN=issuing"));
	assert_non_null(strstr(error.remedy, "issuer"));

	fixture_write_certificate(issuing, false, path);
	FILE *file = fopen(path, "r");
	certificate[fread(certificate, 1, sizeof(certificate) - 1, file)] = '\0';
	fclose(file);
	assert_true(asprintf(&both, "Some words\n%s%s", certificate, pem) > 0);
	assert_int_equal(read_with(both, strlen(both), NULL, &crl, &error), 0);
	assert_int_equal(crl_facts(crl)->counts.entries, 1);
	crl_put(crl);

	STACK_OF(X509) *issuers = sk_X509_new_null();
	sk_X509_push(issuers, issuing->certificate);
	assert_int_equal(read_with(der, size, issuers, &crl, &error), 0);
	struct crl_scope scope = {trust, DOMAIN, NULL};
	// Who signed it is kept with it; the trust may go.
	assert_int_equal(crl_judge_again(crl, &scope, clock_wall(), &error), 0);
	struct trust *other = fixture_trust(DOMAIN, stranger);
	scope.trust = other;
	assert_int_equal(crl_judge_again(crl, &scope, clock_wall(), &error), -EKEYREJECTED);
	trust_put(other);
	sk_X509_free(issuers);
	crl_put(crl);
}

static void two_lists_in_a_file(void **state)
{
	struct crl_fixture_options options = {0};
	size_t size;
	_cleanup_(freep) uint8_t *der = crl_fixture(root, &options, &size);
	_cleanup_(freep) char *pem = crl_fixture_pem(der, size);
	_cleanup_(freep) char *both = NULL;
	struct crl *crl;
	struct error error;

	(void)state;
	assert_true(asprintf(&both, "%s%s", pem, pem) > 0);
	assert_int_equal(read_with(both, strlen(both), NULL, &crl, &error), -EINVAL);
	assert_non_null(strstr(error.what, "several lists"));
}

static void who_may_not_sign(void **state)
{
	struct crl_fixture_options options = {0};
	_cleanup_(fixture_freep) struct fixture *impostor = fixture_root("root");
	struct fixture_options no_sign = {.subject = "no lists",
					  .basic_constraints = "critical,CA:TRUE",
					  .key_usage = "critical,keyCertSign",
					  .extended_key_usage = ""};
	_cleanup_(fixture_freep) struct fixture *no_lists = fixture_issue(NULL, &no_sign);
	struct fixture_options old_options = {.subject = "old",
					      .basic_constraints = "critical,CA:TRUE",
					      .key_usage = "critical,keyCertSign,cRLSign",
					      .extended_key_usage = "",
					      .not_before_s = -2 * DAY,
					      .not_after_s = -DAY};
	_cleanup_(fixture_freep) struct fixture *old = fixture_issue(root, &old_options);
	size_t size;
	struct crl *crl;
	struct error error;

	(void)state;
	assert_refused(stranger, &options, EKEYREJECTED, "CN=stranger, whose certificate");
	assert_refused(impostor, &options, EKEYREJECTED, "the signature is not one by CN=root");
	options.name = root; // the name of one, the key of another
	assert_refused(stranger, &options, EKEYREJECTED, "the signature is not one by CN=root");
	options.name = NULL;

	STACK_OF(X509) *issuers = sk_X509_new_null();
	sk_X509_push(issuers, stranger->certificate);
	sk_X509_push(issuers, old->certificate);
	_cleanup_(freep) uint8_t *strange = crl_fixture(stranger, &options, &size);
	assert_int_equal(read_with(strange, size, issuers, &crl, &error), -EKEYREJECTED);
	assert_non_null(strstr(error.what, "CN=stranger may not sign lists for corp.example"));
	_cleanup_(freep) uint8_t *aged = crl_fixture(old, &options, &size);
	assert_int_equal(read_with(aged, size, issuers, &crl, &error), -EKEYREJECTED);
	assert_non_null(strstr(error.what, "expired"));
	sk_X509_free(issuers);

	struct trust *mine = trust;
	trust = fixture_trust(DOMAIN, no_lists);
	assert_refused(no_lists, &options, EKEYREJECTED, "CN=no lists may not sign lists");
	trust_put(trust);
	trust = mine;
}

static void what_is_not_taken(void **state)
{
	static const struct {
		const char *extension, *what;
	} cases[] = {
		{"2.5.29.27=critical,ASN1:INTEGER:1", "delta CRL"},
		{"2.5.29.27=ASN1:INTEGER:1", "delta CRL"},
		{"1.2.3.4=critical,ASN1:NULL", "critical extension 1.2.3.4"},
		{"2.5.29.28=critical,DER:3003840101", "indirect"},
		{"2.5.29.28=critical,DER:30038101ff", "one kind"},
		{"2.5.29.28=critical,DER:30038201ff", "one kind"},
		{"2.5.29.28=critical,DER:30038501ff", "one kind"},
		{"2.5.29.28=critical,DER:300483020640", "some reasons"},
		{"2.5.29.28=critical,DER:30", "cannot be read"},
		{"2.5.29.20=DER:02020001", "number"},
	};
	struct crl_fixture_options options = {.number = -1};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		options.extras[0] = cases[i].extension;
		assert_refused(root, &options, EINVAL, cases[i].what);
	}
	options.extras[0] = "2.5.29.20=DER:0201ff"; // -1
	assert_refused(root, &options, EINVAL, "number");
	options.extras[0] = NULL;
	options.no_next = true;
	assert_refused(root, &options, EINVAL, "next update");
	options = (struct crl_fixture_options){.this_s = 100, .next_s = 100};
	assert_refused(root, &options, EINVAL, "next update");
	options = (struct crl_fixture_options){.digest = "SHA1"};
	assert_refused(root, &options, EKEYREJECTED, "signature");
	options = (struct crl_fixture_options){.this_s = CRL_AHEAD_S + 3600, .next_s = DAY};
	assert_refused(root, &options, EAGAIN, "not valid yet");
}

static void what_is_taken(void **state)
{
	static const char *const extensions[] = {
		"1.2.3.4=ASN1:NULL",				       // unknown, and not critical
		"2.5.29.28=critical,DER:3000",			       // for everything
		"2.5.29.28=critical,DER:300ca00aa0088606687474703a2f", // where it lies
		"2.5.29.46=DER:3000", // there are deltas, which need not be used
		"2.5.29.20=DER:02140fffffffffffffffffffffffffffffffffffffff", // the largest number
	};
	struct crl_fixture_options options = {.number = -1};
	struct crl *crl;
	struct error error;

	(void)state;
	for (unsigned i = 0; i < sizeof(extensions) / sizeof(extensions[0]); i++) {
		options.extras[0] = extensions[i];
		int r = judge(root, &options, &crl, &error);
		if (r < 0)
			print_message("%s: %s\n", extensions[i], error.what);
		assert_int_equal(r, 0);
		crl_put(crl);
	}
	// Its time is over; who was revoked is so still.
	options = (struct crl_fixture_options){.this_s = -2 * DAY, .next_s = -DAY};
	assert_int_equal(judge(root, &options, &crl, &error), 0);
	crl_put(crl);
	options = (struct crl_fixture_options){.this_s = CRL_AHEAD_S - 10, .next_s = DAY};
	assert_int_equal(judge(root, &options, &crl, &error), 0);
	crl_put(crl);
}

static void entries_that_spoil_a_list(void **state)
{
	static const struct {
		const char *extension, *what;
	} cases[] = {
		{"1.2.3.4=critical,ASN1:NULL", "entry 2: an entry has a critical extension"},
		{"2.5.29.29=critical,DER:3000", "critical"},
		{"2.5.29.29=DER:3000", "indirect"},
		{"2.5.29.21=critical,DER:0a0101", "critical"},
		{"2.5.29.21=DER:0a020001", "reason"},
		{"2.5.29.21=DER:020101", "reason"},
		{"2.5.29.21=DER:0a0101", "reason"}, // for the second time
	};
	struct crl_fixture_entry bad[2] = {entries[1], entries[0]};
	struct crl_fixture_options options = {.entries = bad, .count = 2};
	struct crl *crl;
	struct error error;

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bad[1].extension = cases[i].extension;
		bad[1].reason = i == 6 ? 1 : CRL_FIXTURE_NO_REASON;
		assert_refused(root, &options, EINVAL, cases[i].what);
	}
	bad[1].extension = "2.5.29.24=DER:180f32303236303130313030303030305a"; // invalidityDate
	bad[1].reason = 1;
	assert_int_equal(judge(root, &options, &crl, &error), 0);
	assert_int_equal(crl_facts(crl)->counts.entries, 2);
	crl_put(crl);
}

// Cut anywhere, with more behind it, or with any bit turned, it is refused, or says the same as before.
static void damage(void **state)
{
	struct crl_fixture_options options = {.entries = entries, .count = 4};
	size_t size;
	_cleanup_(freep) uint8_t *der = crl_fixture(root, &options, &size);
	_cleanup_(freep) uint8_t *copy = malloc(size + 1);
	_cleanup_(freep) char *pem = crl_fixture_pem(der, size);
	struct crl *crl;
	struct error error;

	(void)state;
	for (size_t i = 0; i < size; i++) {
		assert_true(read_with(der, i, NULL, &crl, &error) < 0);
		assert_string_not_equal(error.what, "");
	}
	memcpy(copy, der, size);
	copy[size] = 0;
	assert_int_equal(read_with(copy, size + 1, NULL, &crl, &error), -EINVAL);
	assert_non_null(strstr(error.what, "1 bytes follow"));
	for (size_t i = 0; i < 8 * size; i++) {
		copy[i / 8] ^= (uint8_t)(1u << i % 8);
		if (read_with(copy, size, NULL, &crl, &error) == 0)
			print_message("bit %zu is not signed\n", i);
		assert_null(crl);
		copy[i / 8] = der[i / 8];
	}
	for (size_t i = 0; i + 2 < strlen(pem); i++)
		assert_true(read_with(pem, i, NULL, &crl, &error) < 0);
	assert_int_equal(read_with(NULL, 0, NULL, &crl, &error), -EINVAL);
	assert_string_equal(error.what, "it is empty");
	assert_int_equal(read_with("<html>\n", 7, NULL, &crl, &error), -EINVAL);
	assert_non_null(strstr(error.what, "no revocation list"));
}

static void a_lower_number_or_an_earlier_time(void **state)
{
	struct crl_fixture_options options = {.number = 256, .this_s = -100, .next_s = DAY};
	_cleanup_(crl_putp) struct crl *old = NULL;
	struct crl *crl;
	struct error error;

	(void)state;
	assert_int_equal(judge(root, &options, &old, &error), 0);
	assert_int_equal(crl_check_newer(old, NULL, &error), 0);
	assert_int_equal(crl_check_newer(old, old, &error), 0);
	assert_true(crl_same(old, old));
	struct {
		long number;
		int64_t this_s;
		int result;
	} cases[] = {
		{257, -50, 0},	    {256, -50, 0},	  {255, -50, -ESTALE},
		{-1, -50, -ESTALE}, {257, -500, -ESTALE}, {0x10000, -50, 0},
	};
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		options.number = cases[i].number;
		options.this_s = cases[i].this_s;
		assert_int_equal(judge(root, &options, &crl, &error), 0);
		assert_int_equal(crl_check_newer(crl, old, &error), cases[i].result);
		assert_false(crl_same(crl, old));
		crl_put(crl);
	}
}

// Any CA of the domain can sign a good list; it must not push another's aside.
static void a_list_of_another_ca(void **state)
{
	struct crl_fixture_options options = {.entries = entries, .count = 1};
	_cleanup_(crl_putp) struct crl *old = NULL;
	_cleanup_(crl_putp) struct crl *crl = NULL;
	STACK_OF(X509) *issuers = sk_X509_new_null();
	struct error error;
	size_t size;

	(void)state;
	options.number = 9;
	_cleanup_(freep) uint8_t *der = crl_fixture(issuing, &options, &size);
	sk_X509_push(issuers, issuing->certificate);
	assert_int_equal(judge(root, &(struct crl_fixture_options){0}, &old, &error), 0);
	assert_int_equal(read_with(der, size, issuers, &crl, &error), 0);
	assert_int_equal(crl_check_newer(crl, old, &error), -ESTALE);
	assert_non_null(strstr(error.what, "CN=issuing, after one of CN=root"));
	assert_int_equal(crl_check_issuer(crl, issuing->certificate, &error), 0);
	assert_int_equal(crl_check_issuer(crl, root->certificate, &error), -EKEYREJECTED);
	sk_X509_free(issuers);
}

static void other_keys_and_sizes(void **state)
{
	static const char *const kinds[] = {"Ed25519", "P-384", "RSA-2048"};
	struct crl_fixture_options options = {.entries = entries, .count = 4};
	struct trust *mine = trust;
	struct crl *crl;
	struct error error;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct fixture_options ca = {.subject = "other",
					     .key = kinds[i],
					     .basic_constraints = "critical,CA:TRUE",
					     .key_usage = "critical,keyCertSign,cRLSign",
					     .extended_key_usage = ""};
		_cleanup_(fixture_freep) struct fixture *other = fixture_issue(NULL, &ca);
		trust = fixture_trust(DOMAIN, other);
		options.digest = i == 1 ? "SHA384" : NULL;
		int r = judge(other, &options, &crl, &error);
		if (r < 0)
			print_message("%s: %s\n", kinds[i], error.what);
		assert_int_equal(r, 0);
		crl_put(crl);
		trust_put(trust);
	}
	trust = mine;
	assert_int_equal(read_with("", CRL_FILE_MAX + 1ul, NULL, &crl, &error), -EFBIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_list),
		cmocka_unit_test(an_empty_list_and_a_zero),
		cmocka_unit_test(many_entries),
		cmocka_unit_test(pem_with_and_without_company),
		cmocka_unit_test(two_lists_in_a_file),
		cmocka_unit_test(who_may_not_sign),
		cmocka_unit_test(what_is_not_taken),
		cmocka_unit_test(what_is_taken),
		cmocka_unit_test(entries_that_spoil_a_list),
		cmocka_unit_test(damage),
		cmocka_unit_test(a_lower_number_or_an_earlier_time),
		cmocka_unit_test(a_list_of_another_ca),
		cmocka_unit_test(other_keys_and_sizes),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
