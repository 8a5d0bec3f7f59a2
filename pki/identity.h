// SPDX-License-Identifier: Apache-2.0
// SPIFFE IDs and patterns over them (SPIFFE-ID.md of the SPIFFE standards). An identity is held as its canonical text:
// scheme and trust domain in lower case, path as it is.
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct error;

#define IDENTITY_MAX	    2048 // bytes of a whole identity
#define IDENTITY_DOMAIN_MAX 255	 // bytes of its trust domain
#define IDENTITY_SHOWN_MAX  160	 // bytes of it that a sentence repeats

// Checks `size` bytes strictly (they need no NUL and may hold one, which is refused): scheme spiffe, trust domain
// [a-z0-9.-_], non-empty path of segments [a-zA-Z0-9.-_]; no port, user, query, fragment, percent, "..", empty segment,
// trailing slash. Returns a new canonical string. -EINVAL with the reason in `error`.
int identity_parse(const void *text, size_t size, char **ret, struct error *error);

// Whether `domain` is a trust domain in canonical form (lower case). -EINVAL.
int identity_domain_check(const char *domain, struct error *error);

// The trust domain inside a canonical identity or a pattern, borrowed; its length is the return value.
size_t identity_domain(const char *identity, const char **ret);
// Whether both have the same trust domain.
bool identity_same_domain(const char *a, const char *b);

// A pattern is an identity whose path segments may be "*" (one segment) and whose last may be "**" (one or more
// segments); segments may also hold "*" within them ("eng-*"). The trust domain has no wildcards. -EINVAL.
int identity_pattern_check(const char *pattern, struct error *error);
// Whole segments only; both must have passed the checks above.
bool identity_match(const char *pattern, const char *identity);
// Whether `wide` matches whatever `narrow` matches. May say no where it does, when both have several wildcards in one segment.
bool identity_pattern_covers(const char *wide, const char *narrow);
// Whether there may be an identity that both patterns match.
bool identity_patterns_meet(const char *a, const char *b);
