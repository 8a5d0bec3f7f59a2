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

#include "base/error.h"
#include "pki/denial_signer.h"
#include "tun/message.h"

#define HEAD   "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define STATE  "\"domain\":\"corp.example\",\"number\":7,\"head\":\"" HEAD "\""
#define SIGNED "\"signature\":\"MEU=\",\"signer\":\"MIIB MIIC\",\"more\":false"
#define ENTRY  "1 2 allow key " HEAD
#define HELLO                                                                                        \
	"{\"type\":\"HELLO\",\"protocol\":1,\"software\":\"mutun\",\"host\":\"laptop\",\"index\":1," \
	"\"ciphers\":[\"aes-256-gcm\"],\"lanes\":1,\"mtu\":1400"

static void pass(const struct message *message, struct message *ret)
{
	struct buffer text;
	struct error error = {0};

	buffer_init(&text, MESSAGE_SIZE_MAX, false);
	assert_int_equal(message_encode(message, &text), 0);
	if (message_decode(buffer_head(&text), text.size, ret, &error) < 0)
		fail_msg("%s", error.what);
	buffer_done(&text);
}

static void refuse(const char *text, const char *what)
{
	struct message message;
	struct error error = {0};

	assert_int_equal(message_decode(text, strlen(text), &message, &error), -EPROTO);
	if (!strstr(error.what, what))
		fail_msg("%s: %s", text, error.what);
}

static void entries_go_round(void **state)
{
	struct message in = {.type = MESSAGE_DENY}, out;

	(void)state;
	strcpy(in.deny.list.domain, "corp.example");
	in.deny.entries = "1 2 deny key " HEAD " 0 unspecified\n" ENTRY "\n";
	in.deny.signature = "MEUCIQ==";
	in.deny.signer = "MIIB MIIC";
	in.deny.more = true;
	pass(&in, &out);
	assert_int_equal(out.type, MESSAGE_DENY);
	assert_string_equal(out.deny.list.domain, "corp.example");
	assert_string_equal(out.deny.entries, in.deny.entries);
	assert_string_equal(out.deny.signature, in.deny.signature);
	assert_string_equal(out.deny.signer, in.deny.signer);
	assert_true(out.deny.more);
	message_done(&out);
	assert_null(out.deny.entries);
}

static void a_state_goes_round(void **state)
{
	struct message in = {.type = MESSAGE_DENY}, out;

	(void)state;
	strcpy(in.deny.list.domain, "corp.example");
	in.deny.list.number = INT64_MAX;
	memset(in.deny.list.head, 0xa7, DENIAL_HASH_SIZE);
	pass(&in, &out);
	assert_null(out.deny.entries);
	assert_true(out.deny.list.number == INT64_MAX);
	assert_memory_equal(out.deny.list.head, in.deny.list.head, DENIAL_HASH_SIZE);
	message_done(&out);
}

// The longest of everything fits one frame.
static void the_longest_fits(void **state)
{
	struct message in = {.type = MESSAGE_DENY}, out;
	char *entries = malloc(MESSAGE_DENY_MAX + 1), *signer = malloc(DENIAL_SIGNER_TEXT_MAX + 1);
	char signature[DENIAL_SIGNATURE_MAX + 1];

	(void)state;
	memset(in.deny.list.domain, 'd', IDENTITY_DOMAIN_MAX);
	memset(entries, 'e', MESSAGE_DENY_MAX);
	for (size_t i = 1; i <= MESSAGE_ENTRIES_MAX; i++)
		entries[i * (MESSAGE_DENY_MAX / MESSAGE_ENTRIES_MAX) - 1] = '\n';
	entries[MESSAGE_DENY_MAX] = '\0';
	memset(signer, 's', DENIAL_SIGNER_TEXT_MAX);
	signer[DENIAL_SIGNER_TEXT_MAX] = '\0';
	memset(signature, 's', DENIAL_SIGNATURE_MAX);
	signature[DENIAL_SIGNATURE_MAX] = '\0';
	in.deny.entries = entries;
	in.deny.signature = signature;
	in.deny.signer = signer;
	pass(&in, &out);
	assert_string_equal(out.deny.entries, entries);
	message_done(&out);
	free(entries);
	free(signer);
}

static void hello_says_what_is_known(void **state)
{
	static struct message in = {.type = MESSAGE_HELLO}, out;
	struct message_hello *hello = &in.hello;

	(void)state;
	*hello = (struct message_hello){
		.protocol = 1, .index = 1, .cipher_count = 1, .lanes = 1, .mtu = 1400};
	strcpy(hello->software, "mutun");
	strcpy(hello->host, "laptop");
	pass(&in, &out);
	assert_false(out.hello.denials.said);
	hello->denials.said = true;
	pass(&in, &out);
	assert_true(out.hello.denials.said);
	assert_int_equal(out.hello.denials.count, 0);
	for (unsigned i = 0; i < DENIAL_STORE_MAX; i++) {
		struct message_list *list = &hello->denials.lists[i];
		snprintf(list->domain, sizeof(list->domain), "domain-%u.example", i);
		list->number = i;
		memset(list->head, (int)i, sizeof(list->head));
	}
	hello->denials.count = DENIAL_STORE_MAX;
	pass(&in, &out);
	assert_int_equal(out.hello.denials.count, DENIAL_STORE_MAX);
	assert_memory_equal(out.hello.denials.lists, hello->denials.lists,
			    sizeof(hello->denials.lists));
}

static void what_is_malformed_is_refused(void **state)
{
	static const struct {
		const char *text, *what;
	} cases[] = {
		{"{\"type\":\"DENY\"}", "DENY.domain"},
		{"{\"type\":\"DENY\",\"domain\":\"Corp.Example\",\"number\":1,\"head\":\"" HEAD
		 "\"}",
		 "DENY.domain"},
		{"{\"type\":\"DENY\",\"domain\":\"\",\"number\":1,\"head\":\"" HEAD "\"}",
		 "DENY.domain"},
		{"{\"type\":\"DENY\",\"domain\":\"corp.example\",\"number\":-1,\"head\":\"" HEAD
		 "\"}",
		 "DENY.number"},
		{"{\"type\":\"DENY\",\"domain\":\"corp.example\",\"number\":1,\"head\":\"00\"}",
		 "DENY.head"},
		{"{\"type\":\"DENY\"," STATE ",\"entries\":[]," SIGNED "}", "DENY.entries"},
		{"{\"type\":\"DENY\"," STATE ",\"entries\":[\"\"]," SIGNED "}", "DENY.entries"},
		{"{\"type\":\"DENY\"," STATE ",\"entries\":[7]," SIGNED "}", "DENY.entries"},
		{"{\"type\":\"DENY\"," STATE ",\"entries\":\"" ENTRY "\"," SIGNED "}",
		 "DENY.entries"},
		{"{\"type\":\"DENY\"," STATE ",\"entries\":[\"a\\nb\"]," SIGNED "}",
		 "DENY.entries"},
		{"{\"type\":\"DENY\"," STATE ",\"entries\":[\"a\\\"b\"]," SIGNED "}",
		 "DENY.entries"},
		{"{\"type\":\"DENY\"," STATE ",\"entries\":[\"" ENTRY "\"]}", "DENY.signature"},
		{"{\"type\":\"DENY\"," STATE ",\"entries\":[\"" ENTRY
		 "\"],\"signature\":\"\",\"signer\":\"M\",\"more\":false}",
		 "DENY.signature"},
		{"{\"type\":\"DENY\"," STATE ",\"entries\":[\"" ENTRY
		 "\"],\"signature\":\"M\",\"signer\":\"M\"}",
		 "DENY.more"},
		{HELLO ",\"denials\":{}}", "HELLO.denials"},
		{HELLO ",\"denials\":[1]}", "HELLO.denials"},
		{HELLO ",\"denials\":[{}]}", "denials.domain"},
		{HELLO ",\"denials\":[{" STATE "},{\"domain\":\"x\"}]}", "denials.number"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		refuse(cases[i].text, cases[i].what);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_go_round),
		cmocka_unit_test(a_state_goes_round),
		cmocka_unit_test(the_longest_fits),
		cmocka_unit_test(hello_says_what_is_known),
		cmocka_unit_test(what_is_malformed_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
