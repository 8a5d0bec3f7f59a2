// SPDX-License-Identifier: Apache-2.0
// What several reports say in the same way. Each returns a new reference.
#pragma once

#include <stdint.h>
#include <time.h>
#include <jansson.h>

#include "tun/packet.h"

struct error;
struct staple;

json_t *report_text(const char *text);			     // NULL: null
json_t *report_problem(const struct error *error);	     // NULL or code 0: null
json_t *report_expiry(const char *serial, time_t not_after); // of a certificate
// What a node brought along about its certificate; null: nothing.
json_t *report_staple(const struct staple *staple);
// By reason, without those that are 0.
json_t *report_drops(const uint64_t counts[DROP_LAST + 1]);
