// SPDX-License-Identifier: Apache-2.0

#include "daemon/list_words.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "pki/crl.h"

const char *list_state_name(enum list_state state)
{
	static const char *const names[] = {
		[LIST_CURRENT] = "current",
		[LIST_LATE] = "late",
		[LIST_OLD] = "old",
		[LIST_UNREAD] = "unread",
	};

	return names[state];
}

void list_words_taken(const char *place, const struct crl_facts *facts, time_t now)
{
	int64_t left = (int64_t)(facts->next_update - now);
	char words[32], odd[96] = "";

	if (facts->counts.holds || facts->counts.removals)
		snprintf(odd, sizeof(odd),
			 " (%zu on hold; %zu \"removed\", which means nothing here)",
			 facts->counts.holds, facts->counts.removals);
	clock_words(left, words, sizeof(words));
	log_info("revocation list %s: %s, number %s, %zu entries%s, next update %s%s%s", place,
		 facts->issuer, facts->number[0] ? facts->number : "none", facts->counts.entries,
		 odd, left > 0 ? "in " : "", words, left > 0 ? "" : " ago");
}

void list_words_state(const struct list_source_status *status, time_t now)
{
	const char *consequence = status->hard ? "nobody whom it might name is let in"
					       : "who is not named by the last one is let in";
	time_t end = status->facts ? status->facts->next_update : 0;
	char words[32], left[32];

	switch (status->state) {
	case LIST_CURRENT:
		break;
	case LIST_LATE:
		log_warning("revocation list %s: a new one is %s late; the last one counts for "
			    "another %s",
			    status->place, clock_words(now - end, words, sizeof(words)),
			    clock_words(end + status->grace_s - now, left, sizeof(left)));
		break;
	case LIST_OLD:
		log_error("revocation list %s: a new one is %s late: %s", status->place,
			  clock_words(now - end, words, sizeof(words)), consequence);
		break;
	case LIST_UNREAD:
		log_error("revocation list %s: there is none that can be used: %s", status->place,
			  status->hard ? consequence : "nobody is refused by it");
		break;
	}
}
