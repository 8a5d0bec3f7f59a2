// SPDX-License-Identifier: Apache-2.0
// Work that is done a few milliseconds at a time, in turns with everything else that the loop has to do. Theory of operation: a timer that
// is due at once stands behind what waits already. An sd_event defer source would not do: while it is on, it is always the first of its
// priority.
#pragma once

#include <stdint.h>
#include <systemd/sd-event.h>

// What one slice may take. Half of what the loop may do at once: others are there to have their turn.
#define SLICES_NS UINT64_C(5000000)

// Nothing is to be done yet. `slice` does some of it, and calls slices_go_on() where there is more. 0 or -errno.
int slices_new(sd_event *event, sd_event_time_handler_t slice, void *data, sd_event_source **ret);
// The loop calls `slice` once more, soon.
void slices_go_on(sd_event_source *source);
