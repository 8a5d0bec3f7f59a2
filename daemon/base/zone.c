// SPDX-License-Identifier: Apache-2.0
// RFC 8536. The first block of a file, with 32-bit times, is for readers of old: it is skipped. Leap seconds are not looked at:
// zone files with them are for hosts whose clock counts them.

#include "base/zone.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/zone_rule.h"

#define FOLDER	      "/usr/share/zoneinfo/"
#define FILE_MAX      65536u
#define ZONE_NAME_MAX 64u

struct change {
	int64_t at;
	int32_t offset; // from then on
};

struct zone {
	int32_t first_offset; // before all changes
	bool has_rule;
	struct zone_rule rule; // after all changes
	size_t count;
	struct change changes[];
};

struct counts {
	uint32_t utc, standard, leap, time, type, text;
};

static bool read_header(struct reader *reader, struct counts *ret)
{
	const uint8_t *magic = reader_bytes(reader, 4);
	if (!magic || memcmp(magic, "TZif", 4) != 0 || reader_u8(reader) < '2')
		return false;
	reader_bytes(reader, 15);
	ret->utc = reader_u32(reader);
	ret->standard = reader_u32(reader);
	ret->leap = reader_u32(reader);
	ret->time = reader_u32(reader);
	ret->type = reader_u32(reader);
	ret->text = reader_u32(reader);
	const uint32_t all[] = {ret->utc,  ret->standard, ret->leap,
				ret->time, ret->type,	  ret->text};
	for (unsigned i = 0; i < 6; i++)
		if (all[i] > FILE_MAX)
			return false;
	return !reader->failed && ret->type > 0;
}

static int32_t type_offset(const uint8_t *types, unsigned number)
{
	struct reader reader = reader_over(types + (size_t)6 * number, 6);
	return (int32_t)reader_u32(&reader);
}

// The changes; `zone` has room for them.
static bool read_changes(struct reader *reader, const struct counts *counts, struct zone *zone)
{
	for (uint32_t i = 0; i < counts->time; i++)
		zone->changes[i].at = (int64_t)reader_u64(reader);
	const uint8_t *numbers = reader_bytes(reader, counts->time);
	const uint8_t *types = reader_bytes(reader, (size_t)6 * counts->type);
	reader_bytes(reader,
		     counts->text + (size_t)12 * counts->leap + counts->standard + counts->utc);
	if (reader->failed)
		return false;
	zone->first_offset = type_offset(types, 0);
	for (uint32_t i = 0; i < counts->time; i++) {
		if (numbers[i] >= counts->type ||
		    (i > 0 && zone->changes[i].at <= zone->changes[i - 1].at))
			return false;
		zone->changes[i].offset = type_offset(types, numbers[i]);
	}
	for (uint32_t i = 0; i < counts->type; i++)
		if (abs(type_offset(types, i)) > 26 * 3600)
			return false;
	return true;
}

static bool read_rule(struct reader *reader, struct zone *zone)
{
	char text[128];
	size_t size = 0;
	if (reader_u8(reader) != '\n')
		return false;
	for (uint8_t c;
	     (c = reader_u8(reader)) != '\n' && !reader->failed && size < sizeof(text) - 1;)
		text[size++] = (char)c;
	text[size] = '\0';
	zone->has_rule = size > 0;
	return !reader->failed && (size == 0 || zone_rule_parse(text, &zone->rule) == 0);
}

int zone_parse(const void *data, size_t size, struct zone **ret)
{
	struct reader reader = reader_over(data, size);
	struct counts counts;
	if (!read_header(&reader, &counts))
		return -EINVAL;
	reader_bytes(&reader, (size_t)5 * counts.time + (size_t)6 * counts.type + counts.text +
				      (size_t)8 * counts.leap + counts.standard + counts.utc);
	if (!read_header(&reader, &counts))
		return -EINVAL;
	_cleanup_(zone_freep) struct zone *zone =
		calloc(1, sizeof(*zone) + counts.time * sizeof(zone->changes[0]));
	if (!zone)
		return -ENOMEM;
	zone->count = counts.time;
	if (!read_changes(&reader, &counts, zone) || !read_rule(&reader, zone))
		return -EINVAL;
	*ret = take(zone);
	return 0;
}

static bool is_name(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_+-/";
	size_t size = strlen(name);
	return size > 0 && size < ZONE_NAME_MAX && strspn(name, allowed) == size && name[0] != '/';
}

int zone_load(const char *name, struct zone **ret, struct error *error)
{
	char path[sizeof(FOLDER) + ZONE_NAME_MAX];
	_cleanup_(freep) char *data = NULL;
	size_t size;
	int r = -EINVAL;
	if (is_name(name)) {
		snprintf(path, sizeof(path), FOLDER "%s", name);
		r = file_read(path, FILE_MAX, &data, &size);
		if (r == 0)
			r = zone_parse(data, size, ret);
	}
	if (r == 0)
		return 0;
	error_set(error, -r, "\"%s\" is not a time zone of this host: %s", name, strerror(-r));
	error_expected(error, "a name such as Europe/Berlin, of a file below " FOLDER);
	return error_remedy(error, "see timedatectl list-timezones; the zones are in the package "
				   "tzdata");
}

struct zone *zone_free(struct zone *zone)
{
	free(zone);
	return NULL;
}

static int32_t offset_at(const struct zone *zone, int64_t at)
{
	if (zone->count == 0 || at < zone->changes[0].at)
		return zone->count == 0 && zone->has_rule ? zone_rule_offset(&zone->rule, at)
							  : zone->first_offset;
	if (zone->has_rule && at >= zone->changes[zone->count - 1].at)
		return zone_rule_offset(&zone->rule, at);
	size_t low = 0, high = zone->count;
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;
		if (zone->changes[middle].at <= at)
			low = middle;
		else
			high = middle;
	}
	return zone->changes[low].offset;
}

void zone_time(const struct zone *zone, time_t at, struct tm *ret)
{
	*ret = (struct tm){0};
	if (!zone) {
		localtime_r(&at, ret);
		return;
	}
	int32_t offset = offset_at(zone, at);
	time_t local = at + offset;
	gmtime_r(&local, ret);
	ret->tm_gmtoff = offset;
}
