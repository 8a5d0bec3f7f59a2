// SPDX-License-Identifier: Apache-2.0
// REFUSAL, QUESTION and ANSWER: as messages, gathered, and asked.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <netinet/in.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "tun/inquiry.h"
#include "tun/message.h"
#include "tun/refusals.h"
#include "tun/target.h"

#define ENTRY                                                                                          \
	"{\"from\":\"10.0.0.2\",\"to\":\"10.20.0.5\",\"protocol\":6,\"port\":25,\"rule\":\"no mail\"," \
	"\"place\":\"policy.conf:12\",\"count\":14}"
#define REFUSAL(entries, others) \
	"{\"type\":\"REFUSAL\",\"refusals\":[" entries "],\"others\":" others "}"
#define QUESTION(from, to)                                                       \
	"{\"type\":\"QUESTION\",\"number\":1,\"from\":\"" from "\",\"to\":\"" to \
	"\",\"protocol\":6,\"port\":22}"

static struct refusal refusal_of(uint16_t port)
{
	struct refusal refusal = {.protocol = IPPROTO_TCP, .port = port, .count = 1};
	assert_int_equal(addr_parse("10.0.0.2", &refusal.from), 0);
	assert_int_equal(addr_parse("10.20.0.5", &refusal.to), 0);
	strcpy(refusal.rule, "no mail");
	strcpy(refusal.place, "policy.conf:12");
	return refusal;
}

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

static void expect_good(const char *text)
{
	struct message message;
	struct error error = {0};
	if (message_decode(text, strlen(text), &message, &error) < 0)
		fail_msg("%s: %s", text, error.what);
}

static void refuse(const char *text, const char *what)
{
	struct message message;
	struct error error = {0};
	assert_int_equal(message_decode(text, strlen(text), &message, &error), -EPROTO);
	if (!strstr(error.what, what))
		fail_msg("%s: %s", text, error.what);
}

static void refusals_go_round(void **state)
{
	static struct message in = {.type = MESSAGE_REFUSAL}, out;
	(void)state;
	in.refusal.count = MESSAGE_REFUSALS_MAX;
	in.refusal.others = INT64_MAX;
	for (unsigned i = 0; i < MESSAGE_REFUSALS_MAX; i++) {
		in.refusal.list[i] = refusal_of((uint16_t)i);
		in.refusal.list[i].count = INT64_MAX;
		memset(in.refusal.list[i].rule, 'r', MESSAGE_RULE_MAX - 1);
		memset(in.refusal.list[i].place, 'p', MESSAGE_RULE_MAX - 1);
	}
	pass(&in, &out);
	assert_int_equal(out.type, MESSAGE_REFUSAL);
	assert_memory_equal(&in.refusal, &out.refusal, sizeof(in.refusal));
}

static void what_is_wrong_is_refused_whole(void **state)
{
	(void)state;
	expect_good(REFUSAL(ENTRY, "0"));
	expect_good(REFUSAL(ENTRY "," ENTRY, "3"));
	refuse(REFUSAL("", "0"), "is empty");
	refuse(REFUSAL("7", "0"), "no object");
	refuse(REFUSAL(ENTRY, "-1"), "others");
	refuse("{\"type\":\"REFUSAL\",\"others\":0}", "is missing");
	refuse(REFUSAL("{\"from\":\"10.0.0.2\"}", "0"), "to is missing");
	refuse(REFUSAL("{\"from\":\"ten\"}", "0"), "from is malformed");
	refuse(REFUSAL(ENTRY "," ENTRY "," ENTRY "," ENTRY "," ENTRY "," ENTRY "," ENTRY "," ENTRY
			     "," ENTRY "," ENTRY "," ENTRY "," ENTRY "," ENTRY "," ENTRY "," ENTRY
			     "," ENTRY "," ENTRY,
		       "0"),
	       "too many");
	expect_good(QUESTION("10.0.0.2", "10.20.0.5"));
	refuse(QUESTION("10.0.0.2", "fd00::1"), "family");
	refuse(QUESTION("10.0.0.2", "wiki"), "malformed");
	refuse("{\"type\":\"ANSWER\",\"number\":0}", "number");
	refuse("{\"type\":\"ANSWER\",\"number\":1,\"allow\":1}", "allow");
}

static void questions_and_answers_go_round(void **state)
{
	static struct message in = {.type = MESSAGE_QUESTION}, out;
	(void)state;
	in.question =
		(struct message_question){.number = UINT32_MAX, .protocol = 1, .port = 0x0800};
	assert_int_equal(addr_parse("fd00::1", &in.question.from), 0);
	assert_int_equal(addr_parse("fd00::2", &in.question.to), 0);
	pass(&in, &out);
	assert_memory_equal(&in.question, &out.question, sizeof(in.question));

	memset(&in, 0, sizeof(in));
	in.type = MESSAGE_ANSWER;
	in.answer.number = 7;
	in.answer.allow = true;
	strcpy(in.answer.rule, "ssh");
	strcpy(in.answer.place, "policy.conf:3");
	strcpy(in.answer.why, "the sender is in group engineers");
	pass(&in, &out);
	assert_memory_equal(&in.answer, &out.answer, sizeof(in.answer));
}

// Only those who say so speak it: an unknown message would end their channel.
static void it_is_announced(void **state)
{
	static struct message in = {.type = MESSAGE_HELLO}, out;
	(void)state;
	in.hello = (struct message_hello){.protocol = 1,
					  .index = 1,
					  .cipher_count = 1,
					  .lanes = 1,
					  .mtu = 1400,
					  .software = "mutun",
					  .host = "laptop"};
	pass(&in, &out);
	assert_false(out.hello.answers);
	in.hello.answers = true;
	pass(&in, &out);
	assert_true(out.hello.answers);
}

static void equal_refusals_are_counted_together(void **state)
{
	struct refusals refusals = {0};
	struct refusal refusal = refusal_of(25);
	(void)state;
	for (unsigned i = 0; i < 14; i++)
		refusals_add(&refusals, &refusal, 100 + i);
	refusal.count = 6;
	refusals_add(&refusals, &refusal, 200);
	assert_int_equal(refusals.count, 1);
	assert_int_equal(refusals.list[0].count, 20);
	assert_int_equal(refusals.at_ms[0], 200);
	for (uint16_t port = 1000; port < 1000 + MESSAGE_REFUSALS_MAX - 1; port++) {
		refusal = refusal_of(port);
		refusals_add(&refusals, &refusal, port);
	}
	assert_int_equal(refusals.count, MESSAGE_REFUSALS_MAX);
	assert_int_equal(refusals.others, 0);
	// The one that was heard of longest ago gives way.
	refusal = refusal_of(9);
	refusals_add(&refusals, &refusal, 5000);
	assert_int_equal(refusals.count, MESSAGE_REFUSALS_MAX);
	assert_int_equal(refusals.others, 20);
	assert_int_equal(refusals.list[0].port, 9);
	assert_int_equal(refusals.list[0].count, 1);
}

static void a_peer_is_told_at_once_and_then_seldom(void **state)
{
	static struct message_refusal told;
	struct refusals_due due = {0};
	struct refusal refusal = refusal_of(25);
	(void)state;
	assert_true(refusals_due_at(&due) == CLOCK_NEVER);
	assert_int_equal(refusals_due_add(&due, &refusal, 10000), 0);
	assert_true(refusals_due_take(&due, 10000, &told));
	assert_int_equal(told.count, 1);
	assert_int_equal(told.list[0].count, 1);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(refusals_due_add(&due, &refusal, 10001), 0);
	assert_false(refusals_due_take(&due, 10001, &told));
	assert_int_equal(refusals_due_at(&due), 10000 + REFUSALS_EVERY_MS);
	assert_true(refusals_due_take(&due, 10000 + REFUSALS_EVERY_MS, &told));
	assert_int_equal(told.count, 1);
	assert_int_equal(told.list[0].count, 100);
	assert_true(refusals_due_at(&due) == CLOCK_NEVER);
	assert_int_equal(refusals_due_add(&due, &refusal, 20000), 0);
	refusals_due_done(&due);
}

static void questions_are_answered_within_limits(void **state)
{
	struct inquiries inquiries = {0};
	unsigned answered = 0;
	(void)state;
	for (unsigned i = 0; i < 100; i++)
		answered += inquiries_may_answer(&inquiries, 1000000);
	assert_int_equal(answered, INQUIRY_ANSWERS_MAX);
	answered = 0;
	for (unsigned i = 0; i < 100; i++)
		answered += inquiries_may_answer(&inquiries, 1001000);
	assert_int_equal(answered, INQUIRY_ANSWERS_S);
}

static void services_as_words(void **state)
{
	char text[TARGET_TEXT_MAX];
	struct addr addr, addr6;
	uint8_t protocol;
	(void)state;
	assert_int_equal(addr_parse("10.20.0.5", &addr), 0);
	assert_int_equal(addr_parse("fd20::5", &addr6), 0);
	assert_string_equal(target_text(IPPROTO_TCP, &addr, 25, text), "tcp 10.20.0.5:25");
	assert_string_equal(target_text(IPPROTO_UDP, &addr6, 53, text), "udp [fd20::5]:53");
	assert_string_equal(target_text(IPPROTO_ICMP, &addr, 0x0800, text), "icmp/8/0 10.20.0.5");
	assert_string_equal(target_text(99, &addr, 0, text), "proto/99 10.20.0.5");
	assert_int_equal(target_protocol_parse("sctp", &protocol), 0);
	assert_int_equal(protocol, IPPROTO_SCTP);
	assert_int_equal(target_protocol_parse("proto/99", &protocol), 0);
	assert_int_equal(protocol, 99);
	assert_int_equal(target_protocol_parse("256", &protocol), -EINVAL);
	assert_int_equal(target_protocol_parse("proto/", &protocol), -EINVAL);
	assert_int_equal(target_protocol_parse("tcp4", &protocol), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refusals_go_round),
		cmocka_unit_test(what_is_wrong_is_refused_whole),
		cmocka_unit_test(questions_and_answers_go_round),
		cmocka_unit_test(it_is_announced),
		cmocka_unit_test(equal_refusals_are_counted_together),
		cmocka_unit_test(a_peer_is_told_at_once_and_then_seldom),
		cmocka_unit_test(questions_are_answered_within_limits),
		cmocka_unit_test(services_as_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
