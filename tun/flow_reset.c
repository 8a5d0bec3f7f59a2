// SPDX-License-Identifier: Apache-2.0

#include "tun/flow_reset.h"

#include <stdatomic.h>

#include "tun/flow.h"

void flow_reset_expect(struct flow *flow, bool reply, uint32_t number)
{
	_Atomic uint32_t *expected = &flow->expected[!reply];
	if (atomic_load_explicit(expected, memory_order_relaxed) != number)
		atomic_store_explicit(expected, number, memory_order_relaxed);
}

static bool is_opening(enum flow_state state)
{
	return state == FLOW_SYN_SENT || state == FLOW_SYN_RECEIVED || state == FLOW_SYN_CROSSED;
}

bool flow_reset_believed(const struct flow *flow, bool reply, const struct flow_segment *reset)
{
	uint32_t expected = atomic_load_explicit(&flow->expected[reply], memory_order_relaxed);
	uint8_t state = atomic_load_explicit(&flow->state, memory_order_relaxed);
	if (state == FLOW_GONE || expected == 0 || reset->sequence - expected < FLOW_RESET_WINDOW)
		return true;
	// Who refuses has no number of his own yet, but acknowledges the SYN (RFC 9293, 3.10.7.1).
	return is_opening((enum flow_state)state) && reset->flags & TCP_ACK &&
	       reset->acknowledged - expected < FLOW_RESET_WINDOW;
}
