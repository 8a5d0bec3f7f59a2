// SPDX-License-Identifier: Apache-2.0
// Whether the peer of a session is alive, and when to ask. No I/O and no clock: facts and `now` in, one wish and the next
// deadline out. Times are monotonic milliseconds.
//
// The initiator asks: with a probe when it has sent for ANSWER_WITHIN_MS without hearing anything, when a stream of packets
// from the peer has stopped for SILENCE_MS (the peer may be sending to where a translation used to lead), and once in a keepalive
// period, whatever it heard: the probe goes out on every lane, and one that is idle beside others keeps its translation. The responder measures paths in use with a
// probe per period, and lets go after LIVENESS_PERIODS of silence.
//
// A peer to and from which no inner packet went for LIVENESS_REST_MS is at rest: nothing is looked at but what has a time of its
// own, until the owner sees such a packet again, and ticks at once.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define LIVENESS_PERIODS 4u
#define LIVENESS_REST_MS 5000u

struct liveness {
	bool initiator;
	uint64_t keepalive_ms;
	uint64_t probing_since_ms; // the first probe that nobody answered; 0: none
	uint64_t probe_next_ms;
	uint64_t probed_ms;	   // the last probe
	uint64_t channel_heard_ms; // last sign of life on a channel
	uint64_t rest_until_ms;	   // at rest: when to tick again; 0: it is not
};

struct liveness_facts {
	uint64_t
		heard_ms; // last sign of life; to the initiator an answer or an inner packet, to the responder any packet
	uint64_t spoke_ms;    // last inner packet sent
	uint64_t received_ms; // last inner packet that came
	uint64_t rtt_ns;      // 0: not measured yet
	bool in_channel;      // packets go in the channel, not over UDP
};

enum liveness_wish {
	LIVENESS_NOTHING,
	LIVENESS_PROBE,
	LIVENESS_DOUBT, // a probe, since the one before was not answered; and ask in the channel
	LIVENESS_BLOCKED,
	LIVENESS_DEAD,
};

// What is due now. LIVENESS_PROBE: the owner sends a probe. LIVENESS_BLOCKED: UDP does not get through, while the channel answers:
// packets go in there from now on; LIVENESS_DEAD: neither is so. Each of them is said once, then counting begins anew.
enum liveness_wish liveness_tick(struct liveness *liveness, const struct liveness_facts *facts,
				 uint64_t now_ms);
// The owner sends a probe for a reason of its own.
void liveness_probing(struct liveness *liveness, uint64_t now_ms);
// Whether nothing needs to be looked at before the deadline, unless an inner packet goes or comes.
bool liveness_rests(const struct liveness *liveness);
// When to tick again at the latest.
uint64_t liveness_deadline(const struct liveness *liveness, uint64_t now_ms);
