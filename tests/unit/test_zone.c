// SPDX-License-Identifier: Apache-2.0
// Zones beside the C library's, hour by hour at the changes and at random, and files that lie.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/zone.h"

#define HOUR 3600

static const char *const names[] = {"Europe/Berlin",	 "America/New_York", "Asia/Kolkata",
				    "Australia/Sydney",	 "Europe/Dublin",    "Africa/Casablanca",
				    "America/Sao_Paulo", "Asia/Kathmandu",   "Etc/UTC"};

static void same(const struct zone *zone, const char *name, time_t at)
{
	struct tm ours, theirs;
	zone_time(zone, at, &ours);
	localtime_r(&at, &theirs);
	if (ours.tm_gmtoff != theirs.tm_gmtoff || ours.tm_hour != theirs.tm_hour ||
	    ours.tm_min != theirs.tm_min || ours.tm_wday != theirs.tm_wday ||
	    ours.tm_mday != theirs.tm_mday)
		fail_msg("%s at %lld: %ld, not %ld", name, (long long)at, ours.tm_gmtoff,
			 theirs.tm_gmtoff);
}

static void is_the_time_of_the_c_library(void **state)
{
	(void)state;
	srandom(1);
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		_cleanup_(zone_freep) struct zone *zone = NULL;
		struct error error;
		int r = zone_load(names[i], &zone, &error);
		if (r == -ENOENT)
			skip();
		assert_int_equal(r, 0);
		setenv("TZ", names[i], 1);
		tzset();
		// 2024 to 2050, beyond the end of the lists of changes.
		for (time_t at = 1704067200; at < 2524608000; at += 7 * HOUR)
			same(zone, names[i], at);
		for (unsigned n = 0; n < 100000; n++)
			same(zone, names[i], random() * 2);
	}
	unsetenv("TZ");
	tzset();
}

static void the_host_has_one(void **state)
{
	struct tm ours, theirs;
	time_t at = 1796000000;
	(void)state;
	zone_time(NULL, at, &ours);
	localtime_r(&at, &theirs);
	assert_int_equal(ours.tm_hour, theirs.tm_hour);
	assert_int_equal(ours.tm_gmtoff, theirs.tm_gmtoff);
}

static void names_lead_nowhere_else(void **state)
{
	static const char *const bad[] = {"", "/etc/localtime", "../../../etc/passwd",
					  "Europe/../../x", "Europe/Berlin\n"};
	struct zone *zone = NULL;
	struct error error;
	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(zone_load(bad[i], &zone, &error), -EINVAL);
	assert_int_equal(zone_load("Europe/Atlantis", &zone, &error), -ENOENT);
	assert_non_null(strstr(error.what, "Atlantis"));
	assert_null(zone);
}

static void header(struct buffer *file, uint32_t times, uint32_t types)
{
	buffer_put(file, "TZif2", 5);
	for (unsigned i = 0; i < 15; i++)
		buffer_put_u8(file, 0);
	for (unsigned i = 0; i < 3; i++)
		buffer_put_u32(file, 0);
	buffer_put_u32(file, times);
	buffer_put_u32(file, types);
	buffer_put_u32(file, 0);
}

static int parse(const char *rule, uint8_t number, long *ret)
{
	struct buffer file;
	_cleanup_(zone_freep) struct zone *zone = NULL;
	struct tm tm;
	buffer_init(&file, 4096, false);
	header(&file, 0, 1);
	buffer_put(&file, "\0\0\0\0\0\0", 6);
	header(&file, 1, 1);
	buffer_put_u64(&file, 0);
	buffer_put_u8(&file, number);
	buffer_put(&file, "\0\0\x0e\x10\0\0", 6);
	buffer_put_u8(&file, '\n');
	buffer_put(&file, rule, strlen(rule));
	buffer_put_u8(&file, '\n');
	// Every beginning of it is no file, nor does it lead past its end.
	for (size_t size = 0; size < file.size; size++)
		assert_int_equal(zone_parse(buffer_head(&file), size, &zone), -EINVAL);
	int r = zone_parse(buffer_head(&file), file.size, &zone);
	buffer_done(&file);
	if (r < 0)
		return r;
	zone_time(zone, 1782000000, &tm); // June 2026
	*ret = tm.tm_gmtoff;
	return 0;
}

static void the_last_line_is_read_strictly(void **state)
{
	static const char *const bad[] = {"CET",
					  "C-1",
					  "CET-1CEST",
					  "CET-1CEST,M13.1.0,M10.5.0",
					  "CET-1CEST,M3.6.0,M10.5.0",
					  "CET-1CEST,M3.5.0",
					  "CET-1CEST,M3.5.0,M10.5.7",
					  "CET-1 ",
					  "<+03-3",
					  "CET-200"};
	long offset;
	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(parse(bad[i], 0, &offset), -EINVAL);
	assert_int_equal(parse("CET-1", 1, &offset), -EINVAL); // a type that there is not
	assert_int_equal(parse("CET-1", 0, &offset), 0);
	assert_int_equal(offset, HOUR);
	assert_int_equal(parse("CET-1CEST,J60,300/26", 0, &offset), 0);
	assert_int_equal(offset, 2 * HOUR);
	assert_int_equal(parse("<-0330>3:30<-02>2,M10.1.0,M2.2.0/-1", 0, &offset), 0);
	assert_int_equal(offset, -3 * HOUR - 1800);
	assert_int_equal(parse("", 0, &offset), 0);
	assert_int_equal(offset, HOUR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_the_time_of_the_c_library),
		cmocka_unit_test(the_host_has_one),
		cmocka_unit_test(names_lead_nowhere_else),
		cmocka_unit_test(the_last_line_is_read_strictly),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
