// SPDX-License-Identifier: Apache-2.0
// Tells when somebody sets the wall clock. The kernel says so at once (timerfd_create(2), TFD_TIMER_CANCEL_ON_SET), also when the
// machine wakes up; where it does not (a container with a clock of its own), a look now and then finds it.
#pragma once

#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"

#define CLOCK_STEP_MIN_MS INT64_C(2000) // less is what time services do all day

struct clock_watch;

// The clock went on by `step_s` seconds, rounded, more (or less, when negative) than time did. On the loop's thread.
typedef void (*clock_stepped)(int64_t step_s, void *data);

// Returns a new watch. 0 or -errno.
int clock_watch_new(sd_event *event, clock_stepped stepped, void *data, struct clock_watch **ret);
struct clock_watch *clock_watch_free(struct clock_watch *watch); // takes NULL, returns NULL
DEFINE_CLEANUP(struct clock_watch *, clock_watch_free);
// Compares the wall clock with the monotonic one, and calls back when it was set. Cheap; the callback may not free the watch.
void clock_watch_look(struct clock_watch *watch);
