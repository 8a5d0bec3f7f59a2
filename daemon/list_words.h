// SPDX-License-Identifier: Apache-2.0
// What is said of revocation lists in the journal.
#pragma once

#include <time.h>

#include "daemon/list_source.h"

struct crl_facts;

const char *list_state_name(enum list_state state); // "current", "late", "old", "unread"
// A new list is in use.
void list_words_taken(const char *place, const struct crl_facts *facts, time_t now);
// It is not current: how long, and what follows.
void list_words_state(const struct list_source_status *status, time_t now);
