// SPDX-License-Identifier: Apache-2.0

#include "pki/renewal.h"

#include <assert.h>
#include <stdbool.h>

#define HOUR_S	      3600
#define LONG_S	      36000
#define DAY_S	      86400u
#define WAIT_S	      5u
#define REFUSED_S     60u
#define ATTEMPTS_LEFT 10

static uint64_t between(uint64_t least, uint64_t most, uint64_t random)
{
	return most > least ? least + random % (most - least + 1) : least;
}

void renewal_plan(struct renewal *renewal, time_t not_before, time_t not_after, time_t now,
		  uint64_t random)
{
	// CAs date certificates back for slow clocks; of a short life that is a large part.
	bool short_one = not_after - not_before < HOUR_S;
	time_t from = short_one && now > not_before && now < not_after ? now : not_before;
	uint64_t life = not_after > from ? (uint64_t)(not_after - from) : 0;
	uint64_t least = life * (short_one ? 45 : 60) / 100;
	uint64_t most = life * (short_one ? 55 : 75) / 100;

	*renewal = (struct renewal){
		.from = from,
		.to = not_after,
		.at = from + (time_t)between(least, most, random),
	};
}

// The longest wait: so that enough attempts fit into what is left. When nothing is left, it goes on by the hour.
static uint64_t ceiling(const struct renewal *renewal, time_t now)
{
	time_t left = renewal->to - now;

	if (left <= 0 || left / ATTEMPTS_LEFT > HOUR_S)
		return HOUR_S;
	return left / ATTEMPTS_LEFT > WAIT_S ? (uint64_t)left / ATTEMPTS_LEFT : WAIT_S;
}

// What a server may ask for at most: no certificate runs out because one says "tomorrow".
static uint64_t patience(const struct renewal *renewal, time_t now)
{
	time_t left = renewal->to - now;

	return left > 0 && left < (time_t)DAY_S ? (uint64_t)left * 3 / 4 : DAY_S;
}

void renewal_failed(struct renewal *renewal, enum renewal_failure why, uint64_t retry_after_s,
		    time_t now, uint64_t random)
{
	uint64_t least = why == RENEWAL_REFUSED ? REFUSED_S : WAIT_S;
	uint64_t most = ceiling(renewal, now);
	uint64_t before = renewal->wait_s > least ? renewal->wait_s : least;
	uint64_t wait = between(least, before * 3, random);

	if (wait > most)
		wait = most;
	if (retry_after_s > patience(renewal, now))
		retry_after_s = patience(renewal, now);
	if (wait < retry_after_s)
		wait = retry_after_s;
	renewal->failures++;
	renewal->wait_s = wait;
	renewal->at = now + (time_t)wait;
}

void renewal_stepped(struct renewal *renewal, time_t now)
{
	uint64_t most = ceiling(renewal, now);

	if (renewal->failures == 0)
		return;
	if (renewal->wait_s < most)
		most = renewal->wait_s;
	if (renewal->at > now + (time_t)most)
		renewal->at = now + (time_t)most;
}

// How little is left when an alarm begins; 0 for one that this life does not have. Falls from alarm to alarm.
static time_t threshold(const struct renewal *renewal, enum renewal_alarm alarm)
{
	time_t life = renewal->to - renewal->from;

	switch (alarm) {
	case RENEWAL_FINE:
		return INT64_MAX;
	case RENEWAL_QUARTER:
		return life / 4;
	case RENEWAL_TENTH:
		return life / 10;
	case RENEWAL_HOUR:
		return life > LONG_S ? HOUR_S : 0;
	case RENEWAL_EXPIRED:
		return 0;
	}
	return 0;
}

enum renewal_alarm renewal_alarm(const struct renewal *renewal, time_t now)
{
	time_t left = renewal->to - now;
	enum renewal_alarm alarm = RENEWAL_HOUR;

	if (left <= 0)
		return RENEWAL_EXPIRED;
	while (left >= threshold(renewal, alarm))
		alarm--;
	return alarm;
}

const char *renewal_alarm_name(enum renewal_alarm alarm)
{
	static const char *const names[] = {"fine", "quarter", "tenth", "hour", "expired"};

	static_assert(sizeof(names) / sizeof(names[0]) == RENEWAL_EXPIRED + 1, "a name is missing");
	return names[alarm];
}
