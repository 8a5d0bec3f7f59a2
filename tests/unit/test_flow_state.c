// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <netinet/in.h>
#include <cmocka.h>

#include "tun/flow_state.h"

#define FIN   0x01
#define SYN   0x02
#define RST   0x04
#define PSH   0x08
#define ACK   0x10
#define REPLY 0x100 // in a script: it goes the other way
#define END   0xffff

// Goes through the packets of a script and compares the state after each.
static void follow(const unsigned *packets, const enum flow_state *states)
{
	enum flow_state state;
	assert_int_equal(flow_state_first(IPPROTO_TCP, (uint8_t)packets[0], &state), FLOW_PASS);
	assert_int_equal(state, states[0]);
	for (unsigned i = 1; packets[i] != END; i++) {
		assert_int_equal(
			flow_state_next(state, packets[i] & REPLY, (uint8_t)packets[i], &state),
			FLOW_PASS);
		assert_int_equal(state, states[i]);
	}
}

static void a_connection_opens_and_closes(void **state)
{
	static const unsigned packets[] = {
		SYN,	     REPLY | SYN | ACK, ACK, PSH | ACK, REPLY | ACK, FIN | ACK,
		REPLY | ACK, REPLY | FIN | ACK, ACK, SYN,	END};
	static const enum flow_state states[] = {
		FLOW_SYN_SENT,	  FLOW_SYN_RECEIVED, FLOW_ESTABLISHED, FLOW_ESTABLISHED,
		FLOW_ESTABLISHED, FLOW_FIN_WAIT,     FLOW_CLOSE_WAIT,  FLOW_LAST_ACK,
		FLOW_TIME_WAIT,	  FLOW_SYN_SENT,
	};

	(void)state;
	follow(packets, states);
}

static void both_ends_may_close_or_open_at_once(void **state)
{
	static const unsigned close[] = {ACK, FIN | ACK, REPLY | FIN | ACK, ACK, END};
	static const enum flow_state closing[] = {FLOW_ESTABLISHED, FLOW_FIN_WAIT, FLOW_LAST_ACK,
						  FLOW_TIME_WAIT};
	static const unsigned open[] = {SYN, REPLY | SYN, SYN | ACK, ACK, END};
	static const enum flow_state opening[] = {FLOW_SYN_SENT, FLOW_SYN_CROSSED,
						  FLOW_SYN_RECEIVED, FLOW_ESTABLISHED};

	(void)state;
	follow(close, closing);
	follow(open, opening);
}

static void a_reset_ends_it(void **state)
{
	static const unsigned refused[] = {SYN, REPLY | RST | ACK, SYN, REPLY | SYN | ACK, END};
	static const enum flow_state states[] = {FLOW_SYN_SENT, FLOW_CLOSED, FLOW_SYN_SENT,
						 FLOW_SYN_RECEIVED};

	(void)state;
	follow(refused, states);
	for (unsigned s = FLOW_SYN_SENT; s <= FLOW_SYN_CROSSED; s++)
		for (unsigned reply = 0; reply < 2; reply++) {
			enum flow_state after;
			assert_int_equal(flow_state_next(s, reply, RST, &after), FLOW_PASS);
			assert_int_equal(after, FLOW_CLOSED);
		}
}

static void what_belongs_nowhere_is_bad(void **state)
{
	enum flow_state next = FLOW_GONE;

	(void)state;
	assert_int_equal(flow_state_first(IPPROTO_TCP, SYN | ACK, &next), FLOW_BAD);
	assert_int_equal(flow_state_first(IPPROTO_TCP, 0, &next), FLOW_BAD);
	assert_int_equal(flow_state_first(IPPROTO_TCP, PSH, &next), FLOW_BAD);
	assert_int_equal(flow_state_next(FLOW_ESTABLISHED, false, PSH, &next), FLOW_BAD);
	// A server does not open a connection within one of its client's, nor does data come before it is open.
	assert_int_equal(flow_state_next(FLOW_ESTABLISHED, true, SYN, &next), FLOW_BAD);
	assert_int_equal(flow_state_next(FLOW_SYN_SENT, false, ACK, &next), FLOW_BAD);
	assert_int_equal(flow_state_next(FLOW_SYN_SENT, true, FIN | ACK, &next), FLOW_BAD);
	assert_int_equal(next, FLOW_GONE);
	// But when that is over, it may begin one of its own, which is judged as such.
	assert_int_equal(flow_state_next(FLOW_TIME_WAIT, true, SYN, &next), FLOW_AGAIN);
	assert_int_equal(flow_state_next(FLOW_CLOSED, true, SYN, &next), FLOW_AGAIN);
	assert_int_equal(flow_state_next(FLOW_GONE, true, 0, &next), FLOW_AGAIN);
	assert_int_equal(flow_state_next(FLOW_GONE, false, ACK, &next), FLOW_AGAIN);
}

static void others_are_replied_or_not(void **state)
{
	enum flow_state next;

	(void)state;
	assert_int_equal(flow_state_first(IPPROTO_UDP, 0, &next), FLOW_PASS);
	assert_int_equal(next, FLOW_UNREPLIED);
	assert_int_equal(flow_state_next(next, false, 0, &next), FLOW_PASS);
	assert_int_equal(next, FLOW_UNREPLIED);
	assert_int_equal(flow_state_next(next, true, 0, &next), FLOW_PASS);
	assert_int_equal(next, FLOW_REPLIED);
	assert_int_equal(flow_state_next(next, false, 0, &next), FLOW_PASS);
	assert_int_equal(next, FLOW_REPLIED);
}

static void lives_as_long_as_the_kernel_lets_it(void **state)
{
	(void)state;
	assert_int_equal(flow_lifetime_s(IPPROTO_TCP, FLOW_ESTABLISHED), 432000);
	assert_int_equal(flow_lifetime_s(IPPROTO_TCP, FLOW_SYN_SENT), 120);
	assert_int_equal(flow_lifetime_s(IPPROTO_TCP, FLOW_CLOSED), 10);
	assert_int_equal(flow_lifetime_s(IPPROTO_UDP, FLOW_UNREPLIED), 30);
	assert_int_equal(flow_lifetime_s(IPPROTO_UDP, FLOW_REPLIED), 120);
	assert_int_equal(flow_lifetime_s(IPPROTO_ICMPV6, FLOW_REPLIED), 30);
	assert_int_equal(flow_lifetime_s(IPPROTO_GRE, FLOW_REPLIED), 600);
	for (unsigned s = 0; s < FLOW_GONE; s++)
		assert_true(flow_lifetime_s(IPPROTO_TCP, s) > 0 && flow_state_name(s));
	assert_int_equal(flow_lifetime_s(IPPROTO_TCP, FLOW_GONE), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_connection_opens_and_closes),
		cmocka_unit_test(both_ends_may_close_or_open_at_once),
		cmocka_unit_test(a_reset_ends_it),
		cmocka_unit_test(what_belongs_nowhere_is_bad),
		cmocka_unit_test(others_are_replied_or_not),
		cmocka_unit_test(lives_as_long_as_the_kernel_lets_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
