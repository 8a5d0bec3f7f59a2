// SPDX-License-Identifier: Apache-2.0
// The table of all settings: name, type, range, default, whether a reload can change it, help, and where the value goes in
// struct config. The parser, `--check` and the manual page are driven by it.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum setting_type {
	SETTING_GROUP,
	SETTING_LIST, // list of groups
	SETTING_URL,
	SETTING_PLAIN_URL, // "http://", too: of what is signed in itself
	SETTING_PATH,
	SETTING_PLACE, // of a key: a path or a URI
	SETTING_INTEGER,
	SETTING_BOOLEAN,
	SETTING_ENDPOINTS, // array of "address:port"
	SETTING_TARGETS,   // array of "name-or-address:port"
	SETTING_PREFIXES,  // array of prefixes
	SETTING_ADDRESSES, // array of addresses
	SETTING_KEYS,	   // array of pinned keys
	SETTING_NAMES,	   // array of names of the DNS
	SETTING_WHO,	   // array of identity patterns and named groups
	SETTING_WORDS,	   // array of words for a side of a rule
	SETTING_SERVICES,  // array of services
	SETTING_HOURS,	   // array of hours of the week
	SETTING_PATTERNS,  // array of identity patterns
	SETTING_PATTERN,
	SETTING_PREFIX,
	SETTING_RATE, // bits per second with a unit
	SETTING_IDENTITY,
	SETTING_DOMAIN,
	SETTING_NAME,  // interface or link name
	SETTING_LEVEL, // log level
	SETTING_TEXT,
	SETTING_MODE,
	SETTING_CRYPTO,
	SETTING_REFUSAL, // how packets are refused
	SETTING_MOMENT,	 // a time of the calendar
	SETTING_ZONE,	 // time zone
	SETTING_SUBJECT, // identity or address
	// Groups of which every member is freely named, and
	SETTING_NAMED_PEERS,	 // an array of identity patterns, or a list of those and of groups
	SETTING_NAMED_PREFIXES,	 // an array of prefixes
	SETTING_NAMED_ADDRESSES, // an array of addresses
	SETTING_NAMED_SERVICES,	 // an array of services
};

struct setting {
	const char *path; // "gateway.pools", "links[].to"
	enum setting_type type;
	bool required;	      // within its group
	bool reloadable;      // by "mutun reload"
	int64_t min, max;     // value, or number of elements
	const char *fallback; // default as text, or NULL
	const char *help;     // one sentence
	size_t offset; // of its field in the struct of its group (of a group itself: in struct config)
	size_t count_offset; // arrays and lists: of the field that counts the elements
	size_t size;	     // arrays and lists: of one element
};

// NULL when there is no such setting.
const struct setting *setting_find(const char *path);
// For "did you mean": the setting of the same group with nearly the same name, else one of the same name elsewhere. NULL:
// nothing is near.
const struct setting *setting_nearest(const char *path);
// In how many letters two names differ (Levenshtein); UINT32_MAX where one is too long to be compared.
unsigned setting_distance(const char *a, const char *b);
// Whether the setting stands directly in `group`: "" for the top, "gateway.", "links[].".
bool setting_within(const struct setting *setting, const char *group);
// Whether it is an array of strings.
bool setting_is_array(const struct setting *setting);
// Whether it is a group whose members are freely named.
bool setting_is_named(const struct setting *setting);
// All of them, in the order of the manual; NULL past the end.
const struct setting *setting_at(size_t position);
// "an array of prefixes such as \"10.90.0.0/16\"", "an integer from 1280 to 65000" ...: what is allowed, for errors.
// Returns `text`.
const char *setting_allowed(const struct setting *setting, char *text, size_t size);
// The same of one element of an array.
const char *setting_allowed_element(const struct setting *setting, char *text, size_t size);
#define SETTING_ALLOWED_MAX 192
// The whole page mutun.conf(5), in roff.
void setting_manual(FILE *file);
