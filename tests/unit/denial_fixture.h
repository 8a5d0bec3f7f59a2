// SPDX-License-Identifier: Apache-2.0
// Lists of denials for tests, signed by CA certificates of pki_fixture.h. Everything ends the process when it fails.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "pki/denials.h"
#include "unit/pki_fixture.h"

// "deny identity spiffe://corp.example/a 0 keyCompromise" as entry number `number`, at `time`, behind the hash `before` (NULL: of no
// list of `domain`), signed by `signer` (NULL: not signed). New.
struct denial *fixture_denial(const char *domain, uint64_t number, time_t time, const char *words,
			      const uint8_t *before, const struct fixture *signer);
// `old` (may be NULL, kept) and `count` more entries, all signed. New.
struct denials *fixture_denials(struct denials *old, const char *domain, const char *const *words,
				size_t count, const struct fixture *signer);
// "deny key HASH 0 keyCompromise", new.
char *fixture_deny_key(const struct fixture *fixture);
// "deny serial ISSUER-KEY SERIAL 0 keyCompromise", new.
char *fixture_deny_serial(const struct fixture *fixture);
