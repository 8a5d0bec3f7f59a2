// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/error.h"
#include "pki/denial_signer.h"
#include "pki/denials.h"
#include "pki/denials_file.h"
#include "pki/trust.h"
#include "unit/denial_fixture.h"

#define DOMAIN	"corp.example"
#define KEY	"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define DENY_A	"deny identity spiffe://corp.example/a 0 keyCompromise"
#define DENY_B	"deny identity spiffe://corp.example/b 0 superseded"
#define DENY_C	"deny key " KEY " 0 unspecified"
#define ALLOW_A "allow identity spiffe://corp.example/a"

static struct fixture *root, *issuing, *second, *foreign_root, *foreign, *narrow, *mute, *leaf;
static struct trust *trust;

static int set_up(void **state)
{
	static const struct fixture_options no_crl_sign = {.subject = "no cRLSign",
							   .basic_constraints = "critical,CA:TRUE",
							   .key_usage = "critical,keyCertSign",
							   .extended_key_usage = ""};
	(void)state;
	root = fixture_root("root");
	mute = fixture_issue(root, &no_crl_sign);
	// In this order, so that the second one never outlives the issuing one.
	second = fixture_intermediate(root, "second", DOMAIN, 0);
	issuing = fixture_intermediate(root, "issuing", DOMAIN, 0);
	narrow = fixture_intermediate(root, "narrow", "other.example", 0);
	foreign_root = fixture_root("foreign");
	foreign = fixture_intermediate(foreign_root, "foreign", DOMAIN, 0);
	leaf = fixture_leaf(issuing, "spiffe://corp.example/a");
	trust = fixture_trust(DOMAIN, root);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	trust_put(trust);
	fixture_free(leaf);
	fixture_free(foreign);
	fixture_free(foreign_root);
	fixture_free(narrow);
	fixture_free(mute);
	fixture_free(second);
	fixture_free(issuing);
	fixture_free(root);
	return 0;
}

// --- entries

static void reads_entries(void **state)
{
	static const char *const good[] = {
		"1 1700000000 " DENY_A,
		"7 0 " DENY_C,
		"9223372036854775807 1 deny serial " KEY " 01 1700000000 cACompromise",
		"2 1 deny serial " KEY " 7f00112233445566778899aabbccddeeff001122 0 unspecified",
		"3 1 " ALLOW_A,
		"4 1 allow key " KEY,
	};
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct denial *entry = NULL;
		assert_int_equal(denial_parse(good[i], strlen(good[i]), &entry, NULL), 0);
		assert_int_equal(entry->text_size, strlen(good[i]));
		assert_memory_equal(entry->text, good[i], entry->text_size);
		assert_null(denial_put(entry));
	}
}

static void refuses_malformed_entries(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"1",
		"0 1 " DENY_A,
		"01 1 " DENY_A,
		"-1 1 " DENY_A,
		"9223372036854775808 1 " DENY_A,
		"99999999999999999999 1 " DENY_A,
		"1  1 " DENY_A,
		"1 1 " DENY_A " ",
		"1 1 " DENY_A "\n",
		"1 1 Deny identity spiffe://corp.example/a 0 keyCompromise",
		"1 1 deny identity spiffe://Corp.example/a 0 keyCompromise",
		"1 1 deny identity spiffe://corp.example 0 keyCompromise",
		"1 1 deny identity spiffe://corp.example/a 1 keyCompromise",
		"1 1 deny identity spiffe://corp.example/a 0 because",
		"1 1 deny identity spiffe://corp.example/a 0",
		"1 1 deny key " KEY "00 0 unspecified",
		"1 1 deny key 0 0 unspecified",
		"1 1 deny key " KEY " 0 unspecified more",
		"1 1 deny serial " KEY " 00 0 unspecified",
		"1 1 deny serial " KEY " 0001 0 unspecified",
		"1 1 deny serial " KEY " 0A 0 unspecified",
		"1 1 deny serial " KEY " 7f00112233445566778899aabbccddeeff00112233 0 unspecified",
		"1 1 allow serial " KEY " 01",
		"1 1 allow key " KEY " 0 unspecified",
		"1 1 deny all 0 unspecified",
	};
	struct denial *entry = NULL;
	struct error error;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(denial_parse(bad[i], strlen(bad[i]), &entry, &error), -EINVAL);
		assert_null(entry);
	}
}

// --- lists

static bool denied(const struct denials *denials, const char *identity)
{
	uint8_t name[DENIAL_NAME_MAX];

	return denials_find(denials, name, denial_name_identity(identity, name)) != NULL;
}

static void the_newest_entry_decides(void **state)
{
	static const char *const first[] = {DENY_A, DENY_B};
	static const char *const then[] = {ALLOW_A};
	static const char *const again[] = {DENY_A, DENY_C};
	_cleanup_(denials_putp) struct denials *a =
		fixture_denials(NULL, DOMAIN, first, 2, issuing);
	_cleanup_(denials_putp) struct denials *b = fixture_denials(a, DOMAIN, then, 1, issuing);
	_cleanup_(denials_putp) struct denials *c = fixture_denials(b, DOMAIN, again, 2, issuing);

	(void)state;
	assert_true(denied(a, "spiffe://corp.example/a"));
	assert_true(denied(a, "spiffe://corp.example/b"));
	assert_false(denied(a, "spiffe://corp.example/c"));
	assert_false(denied(b, "spiffe://corp.example/a"));
	assert_true(denied(b, "spiffe://corp.example/b"));
	assert_true(denied(c, "spiffe://corp.example/a"));
	assert_int_equal(denials_number(c), 5);
	assert_int_equal(denials_at(c, 3)->number, 3);
	assert_null(denials_at(c, 6));
	assert_null(denials_at(c, 0));
	assert_false(denied(NULL, "spiffe://corp.example/a"));
}

static void judges_chains(void **state)
{
	_cleanup_(freep) char *leaf_key = fixture_deny_key(leaf);
	_cleanup_(freep) char *leaf_serial = fixture_deny_serial(leaf);
	_cleanup_(freep) char *issuing_key = fixture_deny_key(issuing);
	_cleanup_(freep) char *second_key = fixture_deny_key(second);
	const char *const words[] = {leaf_key,	 leaf_serial, issuing_key,
				     second_key, DENY_A,      DENY_B};
	static const bool hits[] = {true, true, true, false, true, false};
	struct revocation_chain chain;
	STACK_OF(X509) *stack = sk_X509_new_null();

	(void)state;
	sk_X509_push(stack, leaf->certificate);
	sk_X509_push(stack, issuing->certificate);
	sk_X509_push(stack, root->certificate);
	assert_int_equal(revocation_chain(stack, &chain), 0);
	sk_X509_free(stack);
	for (size_t i = 0; i < 6; i++) {
		_cleanup_(denials_putp) struct denials *list =
			fixture_denials(NULL, DOMAIN, &words[i], 1, root);
		assert_int_equal(denials_judge(list, "spiffe://corp.example/a", &chain) != NULL,
				 hits[i]);
	}
	assert_null(denials_judge(NULL, "spiffe://corp.example/a", &chain));
}

static struct denials *add(struct denials *old, struct denial *const *entries, size_t count,
			   int expected)
{
	struct denials *list = NULL;
	struct error error = {0};
	int r = denials_add(old, DOMAIN, entries, count, trust, &list, &error);

	if (r != expected)
		print_error("%s\n", error.what);
	assert_int_equal(r, expected);
	assert_true((r == 0) == (list != NULL));
	return list;
}

// Entries of a list, from one number on.
static size_t entries_of(const struct denials *list, uint64_t from, struct denial *ret[8])
{
	size_t count = 0;

	for (const struct denial *entry; (entry = denials_at(list, from + count)); count++) {
		struct denial *copy = NULL;
		assert_int_equal(denial_parse(entry->text, entry->text_size, &copy, NULL), 0);
		copy->signature = strdup(entry->signature);
		copy->signer = denial_signer_get(entry->signer);
		ret[count] = copy;
	}
	return count;
}

static void release(struct denial **entries, size_t count)
{
	for (size_t i = 0; i < count; i++)
		denial_put(entries[i]);
}

static void takes_what_follows(void **state)
{
	static const char *const words[] = {DENY_A, DENY_B, DENY_C, ALLOW_A};
	_cleanup_(denials_putp) struct denials *all =
		fixture_denials(NULL, DOMAIN, words, 4, issuing);
	struct denial *entries[8];
	size_t count = entries_of(all, 1, entries);

	(void)state;
	_cleanup_(denials_putp) struct denials *two = add(NULL, entries, 2, 0);
	assert_int_equal(denials_number(two), 2);
	_cleanup_(denials_putp) struct denials *four = add(two, entries + 2, 2, 0);
	assert_int_equal(denials_number(four), 4);
	assert_false(denied(four, "spiffe://corp.example/a"));
	assert_true(denied(two, "spiffe://corp.example/a"));
	// Some of them are known.
	_cleanup_(denials_putp) struct denials *overlap = add(two, entries, 4, 0);
	assert_int_equal(denials_number(overlap), 4);
	add(four, entries, 4, -ESTALE);
	add(four, entries + 1, 2, -ERANGE); // a roll-back
	add(NULL, entries + 2, 2, -ENOENT);
	add(two, entries + 3, 1, -ENOENT);
	struct denial *gap[] = {entries[2], entries[3], entries[3]};
	add(two, gap, 3, -EINVAL);
	add(two, entries, 0, -EINVAL);
	release(entries, count);
}

static void refuses_forgeries(void **state)
{
	static const struct {
		struct fixture **signer;
		int expected;
	} cases[] = {
		{&issuing, 0},	    {&root, 0},	      {&second, 0},	{&foreign, -EACCES},
		{&narrow, -EACCES}, {&leaf, -EACCES}, {&mute, -EACCES},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct denial *entry =
			fixture_denial(DOMAIN, 1, clock_wall(), DENY_A, NULL, *cases[i].signer);
		denials_put(add(NULL, &entry, 1, cases[i].expected));
		denial_put(entry);
	}
	// Another entry under the signature of the first.
	struct denial *entry = fixture_denial(DOMAIN, 1, clock_wall(), DENY_A, NULL, issuing);
	struct denial *other = fixture_denial(DOMAIN, 1, clock_wall(), DENY_B, NULL, NULL);
	add(NULL, &other, 1, -EINVAL);
	other->signature = strdup(entry->signature);
	other->signer = denial_signer_get(entry->signer);
	add(NULL, &other, 1, -EKEYREJECTED);
	// The signature of one under the name of another signer.
	denial_signer_put(other->signer);
	free(other->signature);
	other->signature = strdup(entry->signature);
	STACK_OF(X509) *stack = sk_X509_new_null();
	sk_X509_push(stack, second->certificate);
	other->signer = denial_signer_of(stack);
	sk_X509_free(stack);
	add(NULL, &other, 1, -EKEYREJECTED);
	denial_put(other);
	// For another domain.
	struct denials *list = NULL;
	assert_int_equal(denials_add(NULL, "other.example", &entry, 1, trust, &list, NULL),
			 -EACCES);
	// A signer that was not valid any more at that time.
	denial_put(entry);
	entry = fixture_denial(DOMAIN, 1, clock_wall() + 200 * 86400, DENY_A, NULL, issuing);
	add(NULL, &entry, 1, -EACCES);
	denial_put(entry);
}

static void a_withdrawn_signer_is_not_believed(void **state)
{
	_cleanup_(freep) char *deny_issuing = fixture_deny_key(issuing);
	const char *const words[] = {deny_issuing};
	struct denial *entry = fixture_denial(DOMAIN, 1, clock_wall(), deny_issuing, NULL, issuing);

	(void)state;
	add(NULL, &entry, 1, -EACCES);
	denial_put(entry);
	_cleanup_(denials_putp) struct denials *list =
		fixture_denials(NULL, DOMAIN, words, 1, root);
	entry = fixture_denial(DOMAIN, 2, clock_wall(), DENY_A, denials_at(list, 1)->hash, issuing);
	add(list, &entry, 1, -EACCES);
	denial_put(entry);
	entry = fixture_denial(DOMAIN, 2, clock_wall(), DENY_A, denials_at(list, 1)->hash, second);
	denials_put(add(list, &entry, 1, 0));
	denial_put(entry);
}

static void of_two_histories_the_first_stays(void **state)
{
	static const char *const common[] = {DENY_A};
	static const char *const ours[] = {DENY_B};
	_cleanup_(freep) char *deny_issuing = fixture_deny_key(issuing);
	const char *const theirs[] = {ALLOW_A, DENY_C};
	const char *const cure[] = {deny_issuing};
	_cleanup_(denials_putp) struct denials *one =
		fixture_denials(NULL, DOMAIN, common, 1, issuing);
	_cleanup_(denials_putp) struct denials *a = fixture_denials(one, DOMAIN, ours, 1, issuing);
	_cleanup_(denials_putp) struct denials *b = fixture_denials(one, DOMAIN, theirs, 2, second);
	_cleanup_(denials_putp) struct denials *c = fixture_denials(one, DOMAIN, cure, 1, second);
	struct denial *entries[8];

	(void)state;
	size_t count = entries_of(b, 1, entries);
	add(a, entries + 2, 1, -EKEYREJECTED);
	add(a, entries + 1, 2, -ENOTUNIQ);
	add(a, entries, 3, -ENOTUNIQ);
	release(entries, count);
	// The one that withdraws the key of the other.
	count = entries_of(c, 1, entries);
	add(a, entries + 1, 1, -ENOTUNIQ);
	_cleanup_(denials_putp) struct denials *taken = add(a, entries, 2, 0);
	assert_int_equal(denials_number(taken), 2);
	assert_false(denied(taken, "spiffe://corp.example/b"));
	release(entries, count);
}

// By a CA certificate that lives longer: who does not know the first one can believe it then.
static void the_last_entry_is_signed_anew(void **state)
{
	static const char *const words[] = {DENY_A, DENY_B};
	_cleanup_(denials_putp) struct denials *list =
		fixture_denials(NULL, DOMAIN, words, 2, issuing);
	struct denial *anew = fixture_denial(DOMAIN, 2, denials_last(list)->time, DENY_B,
					     denials_at(list, 1)->hash, root);
	struct denial *short_lived = fixture_denial(DOMAIN, 2, denials_last(list)->time, DENY_B,
						    denials_at(list, 1)->hash, second);

	(void)state;
	add(list, &short_lived, 1, -ESTALE);
	_cleanup_(denials_putp) struct denials *better = add(list, &anew, 1, 0);
	assert_int_equal(denials_number(better), 2);
	assert_memory_equal(denials_last(better)->hash, denials_last(list)->hash, DENIAL_HASH_SIZE);
	assert_string_equal(denials_last(better)->signature, anew->signature);
	assert_true(denied(better, "spiffe://corp.example/b"));
	add(better, &short_lived, 1, -ESTALE);
	denial_put(anew);
	denial_put(short_lived);
}

static void many_parts_know_everything(void **state)
{
	enum { ROUNDS = 9, EACH = 1000 };
	struct denials *list = NULL;
	char words[128];

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct denial *entries[EACH];
		uint8_t hash[DENIAL_HASH_SIZE];
		assert_int_equal(denials_hash(list, DOMAIN, denials_number(list), hash), 0);
		for (unsigned i = 0; i < EACH; i++) {
			snprintf(words, sizeof(words),
				 "deny identity spiffe://corp.example/%u 0 unspecified",
				 round * EACH + i);
			entries[i] =
				fixture_denial(DOMAIN, round * EACH + i + 1, 1, words, hash, NULL);
			memcpy(hash, entries[i]->hash, sizeof(hash));
		}
		struct denials *longer = NULL;
		assert_int_equal(denials_append(list, DOMAIN, entries, EACH, &longer, NULL), 0);
		release(entries, EACH);
		denials_put(list);
		list = longer;
	}
	for (unsigned i = 0; i < ROUNDS * EACH; i++) {
		snprintf(words, sizeof(words), "spiffe://corp.example/%u", i);
		assert_true(denied(list, words));
		assert_int_equal(denials_at(list, i + 1)->number, i + 1);
	}
	assert_false(denied(list, "spiffe://corp.example/9000"));
	denials_put(list);
}

static void passes_on_up_to_a_signature(void **state)
{
	static const char *const words[] = {DENY_A, DENY_B, DENY_C};
	_cleanup_(denials_putp) struct denials *list =
		fixture_denials(NULL, DOMAIN, words, 3, issuing);
	const struct denial *last = NULL;
	struct buffer text;

	(void)state;
	buffer_init(&text, 4096, false);
	assert_int_equal(denials_text(list, 0, 4096, &text, &last), 0);
	assert_int_equal(last->number, 3);
	assert_int_equal(text.size, denials_at(list, 1)->text_size +
					    denials_at(list, 2)->text_size + last->text_size + 3);
	buffer_consume(&text, text.size);
	assert_int_equal(denials_text(list, 1, denials_at(list, 2)->text_size + 1, &text, &last),
			 0);
	assert_int_equal(last->number, 2);
	assert_int_equal(denials_text(list, 0, 10, &text, &last), -ENOBUFS);
	assert_int_equal(denials_text(list, 3, 4096, &text, &last), -ENOENT);
	assert_int_equal(denials_text(NULL, 0, 4096, &text, &last), -ENOENT);
	buffer_done(&text);
}

// --- files

static char *written(const struct denials *list, const char *path)
{
	char *text = NULL;
	size_t size;

	assert_int_equal(denials_file_write(list, path), 0);
	assert_int_equal(file_read(path, 1 << 20, &text, &size), 0);
	return text;
}

static void survives_a_file(void **state)
{
	static const char *const first[] = {DENY_A, DENY_B};
	static const char *const then[] = {DENY_C, ALLOW_A};
	_cleanup_(fixture_directory_freep) char *directory = fixture_directory();
	_cleanup_(freep) char *path = fixture_path(directory, "denials");
	_cleanup_(denials_putp) struct denials *two =
		fixture_denials(NULL, DOMAIN, first, 2, issuing);
	_cleanup_(denials_putp) struct denials *four =
		fixture_denials(two, DOMAIN, then, 2, second);
	_cleanup_(denials_putp) struct denials *read = NULL, *more = NULL, *none = NULL;
	struct error error;

	(void)state;
	_cleanup_(freep) char *text = written(four, path);
	assert_int_equal(denials_file_read(path, DOMAIN, NULL, trust, &read, NULL), 0);
	assert_int_equal(denials_number(read), 4);
	assert_memory_equal(denials_last(read)->hash, denials_last(four)->hash, DENIAL_HASH_SIZE);
	_cleanup_(freep) char *again = written(read, path);
	assert_string_equal(text, again);
	assert_int_equal(denials_file_read(path, DOMAIN, two, trust, &more, NULL), 0);
	assert_int_equal(denials_number(more), 4);
	assert_int_equal(denials_file_read(path, DOMAIN, four, trust, &none, NULL), -ESTALE);
	assert_int_equal(denials_file_read(path, "other.example", NULL, trust, &none, &error),
			 -EINVAL);
	assert_non_null(strstr(error.what, "corp.example"));
	// Rolled back.
	free(written(two, path));
	assert_int_equal(denials_file_read(path, DOMAIN, four, trust, &none, NULL), -ERANGE);
	assert_int_equal(denials_file_read("/nonexistent", DOMAIN, NULL, trust, &none, NULL),
			 -ENOENT);
	assert_null(none);
}

static void a_file_of_another_history_is_refused(void **state)
{
	static const char *const common[] = {DENY_A};
	static const char *const ours[] = {DENY_B};
	static const char *const theirs[] = {DENY_C, ALLOW_A};
	_cleanup_(fixture_directory_freep) char *directory = fixture_directory();
	_cleanup_(freep) char *path = fixture_path(directory, "denials");
	_cleanup_(denials_putp) struct denials *one =
		fixture_denials(NULL, DOMAIN, common, 1, issuing);
	_cleanup_(denials_putp) struct denials *a = fixture_denials(one, DOMAIN, ours, 1, issuing);
	_cleanup_(denials_putp) struct denials *b =
		fixture_denials(one, DOMAIN, theirs, 2, issuing);
	_cleanup_(denials_putp) struct denials *none = NULL;
	struct error error;

	(void)state;
	free(written(b, path));
	assert_int_equal(denials_file_read(path, DOMAIN, a, trust, &none, &error), -ENOTUNIQ);
	assert_non_null(strstr(error.what, "two lists"));
	assert_non_null(strstr(error.where, path));
}

// Whatever byte of it is changed, a file is refused or says the same.
static void a_damaged_file_is_refused(void **state)
{
	static const char *const words[] = {DENY_A, DENY_C};
	_cleanup_(fixture_directory_freep) char *directory = fixture_directory();
	_cleanup_(freep) char *path = fixture_path(directory, "denials");
	_cleanup_(denials_putp) struct denials *list =
		fixture_denials(NULL, DOMAIN, words, 2, issuing);
	_cleanup_(freep) char *text = written(list, path);
	size_t size = strlen(text);

	(void)state;
	for (size_t i = 0; i < size; i++) {
		_cleanup_(denials_putp) struct denials *read = NULL;
		char before = text[i];
		text[i] = (char)(before ^ (1 << i % 7));
		int r = denials_file_parse(text, size, DOMAIN, NULL, trust, &read, NULL);
		text[i] = before;
		if (r == 0) { // in the signature of the first, which nobody looks at
			assert_memory_equal(denials_last(read)->hash, denials_last(list)->hash,
					    DENIAL_HASH_SIZE);
			assert_int_equal(denials_number(read), 2);
		}
		read = denials_put(read);
		// Cut off here.
		r = denials_file_parse(text, i, DOMAIN, NULL, trust, &read, NULL);
		assert_true(r < 0 || denials_number(read) == 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_entries),
		cmocka_unit_test(refuses_malformed_entries),
		cmocka_unit_test(the_newest_entry_decides),
		cmocka_unit_test(judges_chains),
		cmocka_unit_test(takes_what_follows),
		cmocka_unit_test(refuses_forgeries),
		cmocka_unit_test(a_withdrawn_signer_is_not_believed),
		cmocka_unit_test(of_two_histories_the_first_stays),
		cmocka_unit_test(the_last_entry_is_signed_anew),
		cmocka_unit_test(many_parts_know_everything),
		cmocka_unit_test(passes_on_up_to_a_signature),
		cmocka_unit_test(survives_a_file),
		cmocka_unit_test(a_file_of_another_history_is_refused),
		cmocka_unit_test(a_damaged_file_is_refused),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
