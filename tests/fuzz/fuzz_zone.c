// SPDX-License-Identifier: Apache-2.0
// A zone file: what is accepted has an offset of at most a day and some, at any time.

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/zone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const time_t times[] = {INT64_C(-1) << 40, -1, 0, 1796000000, INT64_C(1) << 40};
	_cleanup_(zone_freep) struct zone *zone = NULL;
	if (zone_parse(data, size, &zone) < 0)
		return 0;
	for (unsigned i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		struct tm tm;
		zone_time(zone, times[i], &tm);
		if (labs(tm.tm_gmtoff) > 168 * 3600)
			abort();
	}
	return 0;
}
