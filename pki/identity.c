// SPDX-License-Identifier: Apache-2.0
// Rules: SPIFFE-ID.md 2 (identity), RFC 3986 (the URI it is a subset of). Everything that a URI may hold and a SPIFFE ID
// may not is refused by name, because a certificate that carries it was meant to be read differently by somebody else.

#include "pki/identity.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/error.h"

#define SCHEME	    "spiffe://"
#define SCHEME_SIZE (sizeof(SCHEME) - 1)
#define SHOWN_MAX   96 // bytes of a refused text that are repeated to the reader

// What a refused text looks like to a reader: printable, and not longer than a line.
static const char *shown(const char *text, size_t size, char out[SHOWN_MAX + 4])
{
	size_t count = size < SHOWN_MAX ? size : SHOWN_MAX;

	for (size_t i = 0; i < count; i++)
		out[i] = (char)(text[i] > 0x20 && text[i] < 0x7f ? text[i] : '?');
	snprintf(out + count, 4, "%s", size > count ? "..." : "");
	return out;
}

static int refuse(struct error *error, const char *text, size_t size, const char *why)
{
	char out[SHOWN_MAX + 4];

	error_set(error, EINVAL, "\"%s\" is not a SPIFFE ID: %s", shown(text, size, out), why);
	return error_expected(error, "spiffe://<trust domain>/<path>");
}

static bool is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

static char to_lower(char c)
{
	return (char)(is_upper(c) ? c + ('a' - 'A') : c);
}

static bool is_domain_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

static bool is_path_char(char c)
{
	return is_domain_char(c) || is_upper(c);
}

// What a character that belongs in no identity was meant to be.
static const char *stray(char c)
{
	switch (c) {
	case '\0':
		return "it has an embedded NUL";
	case '@':
		return "it has a user name";
	case ':':
		return "it has a port";
	case '?':
		return "it has a query";
	case '#':
		return "it has a fragment";
	case '%':
		return "it has percent-encoding";
	case '*':
		return "it has a wildcard";
	default:
		return "it has a character that is not allowed";
	}
}

// NULL, or what is wrong with the trust domain. Upper case is let through, for the caller to fold or refuse.
static const char *domain_fault(const char *domain, size_t size)
{
	if (size == 0)
		return "the trust domain is missing";
	if (size > IDENTITY_DOMAIN_MAX)
		return "the trust domain is longer than 255 bytes";
	// A user name hides the host behind it, so it is named before a ':' that may belong to it.
	if (memchr(domain, '@', size))
		return stray('@');
	for (size_t i = 0; i < size; i++)
		if (!is_domain_char(to_lower(domain[i])))
			return stray(domain[i]);
	return NULL;
}

static const char *wildcard_fault(const char *segment, size_t size, bool last)
{
	if (!memmem(segment, size, "**", 2))
		return NULL;
	if (size != 2)
		return "\"**\" stands for whole segments and must be one of its own";
	return last ? NULL : "\"**\" may only be the last segment";
}

static const char *segment_fault(const char *segment, size_t size, bool last, bool pattern)
{
	if (size == 0)
		return last ? "the path ends in a slash" : "the path has an empty segment";
	if ((size == 1 && segment[0] == '.') || (size == 2 && memcmp(segment, "..", 2) == 0))
		return "the path has a \".\" or \"..\" segment";
	for (size_t i = 0; i < size; i++)
		if (!is_path_char(segment[i]) && !(pattern && segment[i] == '*'))
			return stray(segment[i]);
	return pattern ? wildcard_fault(segment, size, last) : NULL;
}

// `path` begins with '/'.
static const char *path_fault(const char *path, size_t size, bool pattern)
{
	size_t at = 1;

	for (;;) {
		const char *slash = memchr(path + at, '/', size - at);
		size_t length = slash ? (size_t)(slash - path) - at : size - at;
		const char *fault = segment_fault(path + at, length, !slash, pattern);
		if (fault || !slash)
			return fault;
		at += length + 1;
	}
}

static const char *text_fault(const char *text, size_t size, bool pattern)
{
	if (size > IDENTITY_MAX)
		return "it is longer than 2048 bytes";
	if (size < SCHEME_SIZE || strncasecmp(text, SCHEME, SCHEME_SIZE) != 0)
		return "it does not begin with spiffe://";

	const char *domain = text + SCHEME_SIZE;
	size_t left = size - SCHEME_SIZE;
	const char *slash = memchr(domain, '/', left);
	size_t length = slash ? (size_t)(slash - domain) : left;
	const char *fault = domain_fault(domain, length);
	if (fault)
		return fault;
	if (!slash || length + 1 == left)
		return "the path is missing";
	return path_fault(slash, left - length, pattern);
}

int identity_parse(const void *text, size_t size, char **ret, struct error *error)
{
	const char *fault = text_fault(text, size, false);

	if (fault)
		return refuse(error, text, size, fault);

	char *canonical = strndup(text, size);
	if (!canonical)
		return error_set(error, ENOMEM, "out of memory");
	memcpy(canonical, SCHEME, SCHEME_SIZE);
	for (char *c = canonical + SCHEME_SIZE; *c != '/'; c++)
		*c = to_lower(*c);
	*ret = canonical;
	return 0;
}

int identity_domain_check(const char *domain, struct error *error)
{
	size_t size = strlen(domain);
	const char *fault = domain_fault(domain, size);
	char out[SHOWN_MAX + 4];

	for (size_t i = 0; !fault && i < size; i++)
		if (is_upper(domain[i]))
			fault = "it must be in lower case";
	if (!fault)
		return 0;
	error_set(error, EINVAL, "\"%s\" is not a trust domain: %s", shown(domain, size, out),
		  fault);
	return error_expected(error, "a name such as corp.example");
}

size_t identity_domain(const char *identity, const char **ret)
{
	*ret = identity + SCHEME_SIZE;
	return strcspn(*ret, "/");
}

bool identity_same_domain(const char *a, const char *b)
{
	const char *domain_a, *domain_b;
	size_t size_a = identity_domain(a, &domain_a), size_b = identity_domain(b, &domain_b);

	return size_a == size_b && memcmp(domain_a, domain_b, size_a) == 0;
}

int identity_pattern_check(const char *pattern, struct error *error)
{
	size_t size = strlen(pattern);
	const char *fault = text_fault(pattern, size, true);

	if (!fault && memcmp(pattern, SCHEME, SCHEME_SIZE) != 0)
		fault = "the scheme must be in lower case";
	for (size_t i = SCHEME_SIZE; !fault && pattern[i] != '/'; i++)
		if (is_upper(pattern[i]))
			fault = "the trust domain must be in lower case";
	if (!fault)
		return 0;

	char out[SHOWN_MAX + 4];
	error_set(error, EINVAL, "\"%s\" is not an identity pattern: %s", shown(pattern, size, out),
		  fault);
	return error_expected(error, "spiffe://<trust domain>/<path>, with \"*\" for one segment "
				     "and a last \"**\" for the rest");
}

// One segment against one segment. The last "*" seen is the only one that ever needs another try.
static bool segment_match(const char *pattern, size_t pattern_size, const char *text, size_t size)
{
	size_t p = 0, t = 0, star = SIZE_MAX, retry = 0;

	while (t < size) {
		if (p < pattern_size && pattern[p] == '*') {
			star = p++;
			retry = t;
		} else if (p < pattern_size && pattern[p] == text[t]) {
			p++;
			t++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			t = ++retry;
		} else {
			return false;
		}
	}
	while (p < pattern_size && pattern[p] == '*')
		p++;
	return p == pattern_size;
}

// Both from their first slash on. What `narrow` has of wildcards is text that only a wildcard of `wide` can match.
static bool path_match(const char *wide, const char *narrow)
{
	while (*wide && *narrow) {
		wide++;
		narrow++;
		size_t wide_size = strcspn(wide, "/"), size = strcspn(narrow, "/");
		if (wide_size == 2 && memcmp(wide, "**", 2) == 0)
			return true;
		// An identity has no such segment.
		if ((size == 2 && memcmp(narrow, "**", 2) == 0) ||
		    !segment_match(wide, wide_size, narrow, size))
			return false;
		wide += wide_size;
		narrow += size;
	}
	return !*wide && !*narrow;
}

bool identity_match(const char *pattern, const char *identity)
{
	if (!identity_same_domain(pattern, identity))
		return false;

	const char *p, *t;
	size_t domain_size = identity_domain(pattern, &p);
	identity_domain(identity, &t);
	return path_match(p + domain_size, t + domain_size);
}

bool identity_pattern_covers(const char *wide, const char *narrow)
{
	return strncmp(wide, narrow, strcspn(wide, "*")) == 0 && identity_match(wide, narrow);
}

// Whether two segments can be one text. `row[j]`: whether what has been looked at of `a` can be the first j of `b`.
static bool segments_meet(const char *a, size_t a_size, const char *b, size_t b_size)
{
	bool row[IDENTITY_MAX + 1], above[IDENTITY_MAX + 1] = {true};

	for (size_t i = 0; i <= a_size; i++) {
		bool wild = i > 0 && a[i - 1] == '*';
		row[0] = i == 0 || (wild && above[0]);
		for (size_t j = 1; j <= b_size; j++) {
			bool any = wild || b[j - 1] == '*';
			bool same = i > 0 && a[i - 1] == b[j - 1] && above[j - 1];
			row[j] = (any && ((i > 0 && above[j]) || row[j - 1])) || same;
		}
		memcpy(above, row, b_size + 1);
	}
	return row[b_size];
}

bool identity_patterns_meet(const char *a, const char *b)
{
	if (!identity_same_domain(a, b))
		return false;

	const char *p, *q;
	size_t domain_size = identity_domain(a, &p);
	identity_domain(b, &q);
	p += domain_size;
	q += domain_size;
	while (*p && *q) {
		size_t p_size = strcspn(++p, "/"), q_size = strcspn(++q, "/");
		if ((p_size == 2 && memcmp(p, "**", 2) == 0) ||
		    (q_size == 2 && memcmp(q, "**", 2) == 0))
			return true;
		if (!segments_meet(p, p_size, q, q_size))
			return false;
		p += p_size;
		q += q_size;
	}
	return !*p && !*q;
}
