// SPDX-License-Identifier: Apache-2.0
// The data paths of the peers of `load`: those of other machines in life, here behind two UDP sockets. Each seals probes, takes the
// answers, and answers the gateway's probes; inner packets for it end here.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"

struct channel;
struct load_path;
struct message_ready;

// For `count` peers, numbered from 0, of the gateway at `gateway`; of the port READY speaks. 0 or -errno.
int load_path_new(const struct endpoint *gateway, unsigned count, struct load_path **ret);
// Data packets to the peer carry it; for HELLO.
uint32_t load_path_index(unsigned number);
// READY came for the peer: its keys are derived, and a first probe is to leave. 0, or as epoch_derive().
int load_path_open(struct load_path *paths, unsigned number, struct channel *channel,
		   const struct message_ready *ready);
// The session is over: packets to it are ignored. Also where it was never open.
void load_path_close(struct load_path *paths, unsigned number);
// Asks the gateway for a sign of life, with the next load_path_run().
void load_path_probe(struct load_path *paths, unsigned number);
// Takes what has come, and sends what is to leave.
void load_path_run(struct load_path *paths);
// Whether the newest probe of the peer has its answer yet, and when the newest answer came (clock_ms()).
bool load_path_answered(const struct load_path *paths, unsigned number);
uint64_t load_path_heard_ms(const struct load_path *paths, unsigned number);
