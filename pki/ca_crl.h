// SPDX-License-Identifier: Apache-2.0
// What a CA withdrew, as an X.509 revocation list (RFC 5280, 5) for those who read no other form.
#pragma once

#include <stdint.h>

struct ca;
struct error;

#define CA_CRL_DAYS_MAX 398

// Every certificate of the issuing CA that is denied and has not expired, valid for `days` (1 to CA_CRL_DAYS_MAX), in PEM, with the
// certificate behind it that its signature is checked with; mode 0644, atomically. `ret_number`, `ret_count`: crlNumber, entries.
int ca_crl(struct ca *ca, const char *path, int64_t days, uint64_t *ret_number, unsigned *ret_count,
	   struct error *error);
