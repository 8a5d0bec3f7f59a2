// SPDX-License-Identifier: Apache-2.0

#include "tun/flow_state.h"

#include <assert.h>
#include <netinet/in.h>

#define TCP_FIN 0x01u
#define TCP_SYN 0x02u
#define TCP_RST 0x04u
#define TCP_ACK 0x10u

enum kind { SYN, SYN_ACK, FIN, ACK, RST, NO_KIND };

static enum kind kind_of(uint8_t flags)
{
	if (flags & TCP_RST)
		return RST;
	if (flags & TCP_SYN)
		return flags & TCP_ACK ? SYN_ACK : SYN;
	if (flags & TCP_FIN)
		return FIN;
	return flags & TCP_ACK ? ACK : NO_KIND;
}

#define TCP_STATES (FLOW_GONE - FLOW_SYN_SENT)

// Short names, as in the original; XX: bad, AG: again, ==: stays.
enum {
	SS = FLOW_SYN_SENT,
	SR = FLOW_SYN_RECEIVED,
	ES = FLOW_ESTABLISHED,
	FW = FLOW_FIN_WAIT,
	CW = FLOW_CLOSE_WAIT,
	LA = FLOW_LAST_ACK,
	TW = FLOW_TIME_WAIT,
	CL = FLOW_CLOSED,
	S2 = FLOW_SYN_CROSSED,
	XX = FLOW_STATE_LAST + 1,
	AG,
};

// clang-format off
static const uint8_t transitions[2][NO_KIND][TCP_STATES] = {
	{ //           SS  SR  ES  FW  CW  LA  TW  CL  S2
		[SYN] =     {SS, SR, ES, FW, CW, LA, SS, SS, S2},
		[SYN_ACK] = {XX, SR, XX, XX, XX, XX, XX, XX, SR},
		[FIN] =     {XX, FW, FW, LA, LA, LA, TW, CL, XX},
		[ACK] =     {XX, ES, ES, CW, CW, TW, TW, CL, XX},
		[RST] =     {CL, CL, CL, CL, CL, CL, CL, CL, CL},
	},
	{ // replies
		[SYN] =     {S2, XX, XX, XX, XX, XX, AG, AG, S2},
		[SYN_ACK] = {SR, SR, ES, FW, CW, LA, TW, CL, SR},
		[FIN] =     {XX, FW, FW, LA, LA, LA, TW, CL, XX},
		[ACK] =     {SS, SR, ES, CW, CW, TW, TW, CL, S2},
		[RST] =     {CL, CL, CL, CL, CL, CL, CL, CL, CL},
	},
};
// clang-format on

enum flow_step flow_state_first(uint8_t protocol, uint8_t tcp_flags, enum flow_state *ret)
{
	if (protocol != IPPROTO_TCP) {
		*ret = FLOW_UNREPLIED;
		return FLOW_PASS;
	}
	switch (kind_of(tcp_flags)) {
	case SYN:
		*ret = FLOW_SYN_SENT;
		return FLOW_PASS;
	case ACK:
		*ret = FLOW_ESTABLISHED;
		return FLOW_PASS;
	case FIN:
		*ret = FLOW_FIN_WAIT;
		return FLOW_PASS;
	case RST:
		*ret = FLOW_CLOSED;
		return FLOW_PASS;
	case SYN_ACK:
	case NO_KIND:
		break;
	}
	return FLOW_BAD;
}

enum flow_step flow_state_next(enum flow_state state, bool reply, uint8_t tcp_flags,
			       enum flow_state *ret)
{
	if (state == FLOW_GONE)
		return FLOW_AGAIN;
	if (state < FLOW_SYN_SENT) {
		*ret = reply ? FLOW_REPLIED : state;
		return FLOW_PASS;
	}
	enum kind kind = kind_of(tcp_flags);
	if (kind == NO_KIND)
		return FLOW_BAD;
	unsigned next = transitions[reply][kind][state - FLOW_SYN_SENT];
	if (next == XX)
		return FLOW_BAD;
	if (next == AG)
		return FLOW_AGAIN;
	*ret = (enum flow_state)next;
	return FLOW_PASS;
}

static const unsigned tcp_lifetimes_s[TCP_STATES] = {
	[FLOW_SYN_SENT - FLOW_SYN_SENT] = 120,		[FLOW_SYN_RECEIVED - FLOW_SYN_SENT] = 60,
	[FLOW_ESTABLISHED - FLOW_SYN_SENT] = 5 * 86400, [FLOW_FIN_WAIT - FLOW_SYN_SENT] = 120,
	[FLOW_CLOSE_WAIT - FLOW_SYN_SENT] = 60,		[FLOW_LAST_ACK - FLOW_SYN_SENT] = 30,
	[FLOW_TIME_WAIT - FLOW_SYN_SENT] = 120,		[FLOW_CLOSED - FLOW_SYN_SENT] = 10,
	[FLOW_SYN_CROSSED - FLOW_SYN_SENT] = 120,
};

unsigned flow_lifetime_s(uint8_t protocol, enum flow_state state)
{
	if (state == FLOW_GONE)
		return 0;
	if (state >= FLOW_SYN_SENT)
		return tcp_lifetimes_s[state - FLOW_SYN_SENT];
	switch (protocol) {
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
		return state == FLOW_REPLIED ? 120 : 30;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return 30;
	default:
		return 600;
	}
}

bool flow_is_replied(enum flow_state state)
{
	return state != FLOW_UNREPLIED && state != FLOW_SYN_SENT && state != FLOW_SYN_CROSSED;
}

static const char *const state_names[] = {
	[FLOW_UNREPLIED] = "unreplied",	    [FLOW_REPLIED] = "replied",
	[FLOW_SYN_SENT] = "syn-sent",	    [FLOW_SYN_RECEIVED] = "syn-received",
	[FLOW_ESTABLISHED] = "established", [FLOW_FIN_WAIT] = "fin-wait",
	[FLOW_CLOSE_WAIT] = "close-wait",   [FLOW_LAST_ACK] = "last-ack",
	[FLOW_TIME_WAIT] = "time-wait",	    [FLOW_CLOSED] = "closed",
	[FLOW_SYN_CROSSED] = "syn-crossed", [FLOW_GONE] = "gone",
};
static_assert(sizeof(state_names) / sizeof(state_names[0]) == FLOW_STATE_LAST + 1,
	      "a name for each");

const char *flow_state_name(enum flow_state state)
{
	return state_names[state];
}
