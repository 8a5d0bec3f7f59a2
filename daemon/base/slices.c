// SPDX-License-Identifier: Apache-2.0

#include "base/slices.h"

#include <time.h>

#define ACCURACY_US 1u // 0 would be the default, a quarter of a second

int slices_new(sd_event *event, sd_event_time_handler_t slice, void *data, sd_event_source **ret)
{
	int r = sd_event_add_time(event, ret, CLOCK_MONOTONIC, 0, ACCURACY_US, slice, data);
	if (r >= 0)
		r = sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
	return r < 0 ? r : 0;
}

void slices_go_on(sd_event_source *source)
{
	sd_event_source_set_time_relative(source, 0);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}
