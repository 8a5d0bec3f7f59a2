// SPDX-License-Identifier: Apache-2.0

#include "server/when.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/zone.h"
#include "tun/rule.h"

#define DAY_S	 86400
#define DAY_MIN	 1440
#define ALL_DAYS 0x7f

static const char days[7][4] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

// Exactly `digits` digits; moves on.
static bool take_digits(const char **at, unsigned digits, int *ret)
{
	int value = 0;
	for (unsigned i = 0; i < digits; i++) {
		if ((*at)[i] < '0' || (*at)[i] > '9')
			return false;
		value = value * 10 + ((*at)[i] - '0');
	}
	*at += digits;
	*ret = value;
	return true;
}

static bool take_char(const char **at, char c)
{
	if (**at != c)
		return false;
	++*at;
	return true;
}

static bool take_date(const char **at, struct tm *ret)
{
	bool good = take_digits(at, 4, &ret->tm_year) && take_char(at, '-') &&
		    take_digits(at, 2, &ret->tm_mon) && take_char(at, '-') &&
		    take_digits(at, 2, &ret->tm_mday);
	ret->tm_year -= 1900;
	ret->tm_mon--;
	return good;
}

// "18:00", "18:00:30".
static bool take_clock(const char **at, struct tm *ret)
{
	if (!take_digits(at, 2, &ret->tm_hour) || !take_char(at, ':') ||
	    !take_digits(at, 2, &ret->tm_min))
		return false;
	return !take_char(at, ':') || take_digits(at, 2, &ret->tm_sec);
}

// "Z", "+01:00", in seconds.
static bool take_offset(const char **at, int *ret)
{
	int hours, minutes, sign = **at == '-' ? -1 : 1;
	*ret = 0;
	if (take_char(at, 'Z'))
		return true;
	if (!take_char(at, '+') && !take_char(at, '-'))
		return false;
	if (!take_digits(at, 2, &hours) || !take_char(at, ':') || !take_digits(at, 2, &minutes) ||
	    hours > 23 || minutes > 59)
		return false;
	*ret = sign * (hours * 3600 + minutes * 60);
	return true;
}

// timegm() takes the 31st of February for the 3rd of March.
static bool is_calendar(const struct tm *tm)
{
	struct tm copy = *tm;
	time_t at = timegm(&copy);
	struct tm again;
	return gmtime_r(&at, &again) && again.tm_mday == tm->tm_mday &&
	       again.tm_mon == tm->tm_mon && tm->tm_hour < 24 && tm->tm_min < 60 && tm->tm_sec < 60;
}

// A time that the clocks jump over is taken as if they had not; of two equal ones it is the first.
static time_t local_moment(const struct tm *tm, const struct zone *zone)
{
	struct tm copy = *tm, before, after;
	time_t wall = timegm(&copy);
	zone_time(zone, wall - DAY_S, &before);
	zone_time(zone, wall + DAY_S, &after);
	time_t early = wall - before.tm_gmtoff, late = wall - after.tm_gmtoff;
	struct tm check;
	zone_time(zone, early, &check);
	if (check.tm_gmtoff == before.tm_gmtoff)
		return early;
	zone_time(zone, late, &check);
	return check.tm_gmtoff == after.tm_gmtoff ? late : early;
}

int when_moment(const char *text, const struct zone *zone, time_t *ret)
{
	struct tm tm = {0};
	int offset = 0;
	bool day = false, fixed = false;
	if (!take_date(&text, &tm))
		return -EINVAL;
	if (!*text)
		day = true;
	else if ((!take_char(&text, 'T') && !take_char(&text, ' ')) || !take_clock(&text, &tm))
		return -EINVAL;
	else if (*text)
		fixed = take_offset(&text, &offset);
	if (*text)
		return -EINVAL;
	if (!is_calendar(&tm))
		return -EDOM;
	if (day)
		tm.tm_mday++;
	*ret = fixed ? timegm(&tm) - offset : local_moment(&tm, zone);
	return 0;
}

static int take_day(const char **at)
{
	for (int i = 0; i < 7; i++)
		if (strncmp(*at, days[i], 3) == 0) {
			*at += 3;
			return i;
		}
	return -1;
}

// "mon", "mon-fri", "sat,sun".
static bool take_days(const char **at, uint8_t *ret)
{
	do {
		int first = take_day(at), last = first;
		if (first >= 0 && take_char(at, '-'))
			last = take_day(at);
		if (first < 0 || last < 0)
			return false;
		for (int day = first;; day = (day + 1) % 7) {
			*ret |= (uint8_t)(1 << day);
			if (day == last)
				break;
		}
	} while (take_char(at, ','));
	return true;
}

// "08:00-18:00", in minutes.
static bool take_span(const char **at, struct rule_hours *ret)
{
	int hour[2], minute[2];
	for (unsigned i = 0; i < 2; i++) {
		if ((i == 1 && !take_char(at, '-')) || !take_digits(at, 2, &hour[i]) ||
		    !take_char(at, ':') || !take_digits(at, 2, &minute[i]) || minute[i] > 59 ||
		    hour[i] * 60 + minute[i] > DAY_MIN)
			return false;
	}
	ret->from_min = (uint16_t)(hour[0] * 60 + minute[0]);
	ret->to_min = (uint16_t)(hour[1] * 60 + minute[1]);
	return ret->from_min < DAY_MIN;
}

int when_hours(const char *text, struct rule_hours *ret)
{
	struct rule_hours hours = {.to_min = DAY_MIN};
	bool named = *text >= 'a' && *text <= 'z';
	if (named && !take_days(&text, &hours.days))
		return -EINVAL;
	if (!named)
		hours.days = ALL_DAYS;
	if (*text && named && !take_char(&text, ' '))
		return -EINVAL;
	if ((*text || !named) && !take_span(&text, &hours))
		return -EINVAL;
	if (*text)
		return -EINVAL;
	*ret = hours;
	return 0;
}

const char *when_text(time_t at, const struct zone *zone, char *text, size_t size)
{
	struct tm tm;
	zone_time(zone, at, &tm);
	if (strftime(text, size, "%Y-%m-%d %H:%M %z", &tm) == 0)
		*text = '\0';
	return text;
}

const char *when_hours_text(const struct rule_hours *hours, char text[WHEN_HOURS_TEXT_MAX])
{
	size_t used = 0;
	text[0] = '\0';
	for (int day = 0; day < 7 && hours->days != ALL_DAYS; day++) {
		int last = day;
		if (!(hours->days >> day & 1))
			continue;
		while (last < 6 && (hours->days >> (last + 1) & 1))
			last++;
		used += (size_t)snprintf(text + used, WHEN_HOURS_TEXT_MAX - used,
					 last > day ? "%s%s-%s" : "%s%s", used ? "," : "",
					 days[day], days[last]);
		day = last;
	}
	snprintf(text + used, WHEN_HOURS_TEXT_MAX - used, "%s%02d:%02d-%02d:%02d", used ? " " : "",
		 hours->from_min / 60, hours->from_min % 60, hours->to_min / 60,
		 hours->to_min % 60);
	return text;
}
