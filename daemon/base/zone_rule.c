// SPDX-License-Identifier: Apache-2.0

#include "base/zone_rule.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HOUR 3600
#define DAY  86400

static bool skip(const char **text, char c)
{
	bool there = **text == c;
	if (there)
		++*text;
	return there;
}

static bool parse_number(const char **text, int max, int *ret)
{
	int value = 0;
	if (!isdigit((unsigned char)**text))
		return false;
	for (; isdigit((unsigned char)**text); ++*text) {
		value = value * 10 + (**text - '0');
		if (value > max)
			return false;
	}
	*ret = value;
	return true;
}

// "CET", "<+0330>": nobody reads it.
static bool parse_name(const char **text)
{
	const char *start = *text;
	if (skip(text, '<')) {
		*text = strchrnul(*text, '>');
		return skip(text, '>');
	}
	while (isalpha((unsigned char)**text))
		++*text;
	return *text - start >= 3;
}

// "-1", "3:30", "+167:00:00"
static bool parse_time(const char **text, int *ret)
{
	int hours, minutes = 0, seconds = 0;
	bool negative = skip(text, '-');
	if (!negative)
		skip(text, '+');
	if (!parse_number(text, 167, &hours) ||
	    (skip(text, ':') && (!parse_number(text, 59, &minutes) ||
				 (skip(text, ':') && !parse_number(text, 59, &seconds)))))
		return false;
	*ret = hours * HOUR + minutes * 60 + seconds;
	if (negative)
		*ret = -*ret;
	return true;
}

static bool parse_date(const char **text, struct zone_day *ret)
{
	if (skip(text, 'M')) {
		ret->kind = ZONE_MONTH_WEEK_DAY;
		return parse_number(text, 12, &ret->month) && ret->month >= 1 && skip(text, '.') &&
		       parse_number(text, 5, &ret->week) && ret->week >= 1 && skip(text, '.') &&
		       parse_number(text, 6, &ret->day);
	}
	if (skip(text, 'J')) {
		ret->kind = ZONE_JULIAN;
		return parse_number(text, 365, &ret->day) && ret->day >= 1;
	}
	ret->kind = ZONE_DAY_OF_YEAR;
	return parse_number(text, 365, &ret->day);
}

static bool parse_day(const char **text, struct zone_day *ret)
{
	ret->second = 2 * HOUR;
	return skip(text, ',') && parse_date(text, ret) &&
	       (!skip(text, '/') || parse_time(text, &ret->second));
}

int zone_rule_parse(const char *text, struct zone_rule *ret)
{
	struct zone_rule rule = {0};
	int west;
	if (!parse_name(&text) || !parse_time(&text, &west))
		return -EINVAL;
	rule.offset = -west;
	rule.summer = *text != '\0';
	if (rule.summer) {
		if (!parse_name(&text))
			return -EINVAL;
		west -= HOUR;
		if (*text != ',' && !parse_time(&text, &west))
			return -EINVAL;
		rule.summer_offset = -west;
		if (!parse_day(&text, &rule.begin) || !parse_day(&text, &rule.end))
			return -EINVAL;
	}
	if (*text != '\0')
		return -EINVAL;
	*ret = rule;
	return 0;
}

static bool is_leap(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

// Days since 1970 of a day of the Gregorian calendar; months beyond 12 are of the next year.
static int64_t day_number(int year, int month, int day)
{
	struct tm tm = {.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day};
	return timegm(&tm) / DAY;
}

static int64_t month_week_day(const struct zone_day *day, int year)
{
	int64_t first = day_number(year, day->month, 1);
	int64_t next = day_number(year, day->month + 1, 1);
	// 1970-01-01 was a Thursday.
	int weekday = (int)(((first + 4) % 7 + 7) % 7);
	int64_t at = first + (day->day - weekday + 7) % 7 + (int64_t)7 * (day->week - 1);
	return at < next ? at : at - 7; // week 5: the last one
}

// Local seconds since 1970.
static int64_t day_second(const struct zone_day *day, int year)
{
	int64_t number = 0;
	switch (day->kind) {
	case ZONE_MONTH_WEEK_DAY:
		number = month_week_day(day, year);
		break;
	case ZONE_JULIAN: // 29 February is never counted
		number = day_number(year, 1, 1) + day->day - 1 + (is_leap(year) && day->day >= 60);
		break;
	case ZONE_DAY_OF_YEAR:
		number = day_number(year, 1, 1) + day->day;
		break;
	}
	return number * DAY + day->second;
}

int32_t zone_rule_offset(const struct zone_rule *rule, int64_t at)
{
	if (!rule->summer)
		return rule->offset;
	time_t local = at + rule->offset;
	struct tm tm;
	if (!gmtime_r(&local, &tm))
		return rule->offset;
	int64_t begin = day_second(&rule->begin, tm.tm_year + 1900) - rule->offset;
	int64_t end = day_second(&rule->end, tm.tm_year + 1900) - rule->summer_offset;
	bool summer = begin < end ? begin <= at && at < end : at < end || begin <= at;
	return summer ? rule->summer_offset : rule->offset;
}
