// SPDX-License-Identifier: Apache-2.0
// The members of one JSON object, read strictly, and written. Reading, a fault sticks: the first one is kept, what is read
// after it is zero, and one look at `result` after the last member tells.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

struct addr;
struct error;
struct prefix;

#define FIELD_HASH_SIZE 32u

struct fields {
	const json_t *object; // borrowed
	const char *name;     // of the object, for sentences
	struct error *error;  // may be NULL
	int result;	      // 0, or -EPROTO since the first fault
};

struct fields fields_over(const json_t *object, const char *name, struct error *error);
// Records a fault where none is recorded yet. `what` follows "NAME.member ": "is missing".
void field_fault(struct fields *fields, const char *member, const char *what, const char *expected);

bool field_present(const struct fields *fields, const char *member);
// An integer of [min, max]; 1.0 and "1" are none.
int64_t field_integer(struct fields *fields, const char *member, int64_t min, int64_t max);
bool field_bool(struct fields *fields, const char *member);
// A string for people: shorter than `size` bytes, without control characters.
void field_text(struct fields *fields, const char *member, char *ret, size_t size);
// A string for machines, borrowed from the object; NULL on a fault.
const char *field_word(struct fields *fields, const char *member);
// An IP address; one of no family on a fault.
void field_addr(struct fields *fields, const char *member, struct addr *ret);
// Exactly `size` bytes as hex digits, either case.
void field_hex(struct fields *fields, const char *member, uint8_t *ret, size_t size);
// 1 to `max` bytes in base64 (RFC 4648, 4), in a new block; NULL on a fault.
uint8_t *field_bytes(struct fields *fields, const char *member, size_t max, size_t *ret_size);
// An array of at most `max` elements, borrowed; NULL on a fault.
const json_t *field_array(struct fields *fields, const char *member, size_t max);
// An array of at most `max` SHA-256 hashes, each 64 hex digits, into `ret`. Returns the count.
unsigned field_hashes(struct fields *fields, const char *member, uint8_t (*ret)[FIELD_HASH_SIZE],
		      size_t max);
// An array of at most `max` prefixes "addr/length" into `ret`. `hosts`: their host bits may be set. Returns the count.
unsigned field_prefixes(struct fields *fields, const char *member, bool hosts, struct prefix *ret,
			size_t max);

// New values, NULL: out of memory. In a text, what field_text() would refuse becomes "?": no sentence, wherever it came
// from, may keep the message from arriving that carries it.
json_t *field_new_text(const char *text, size_t size);
json_t *field_new_addr(const struct addr *addr);
json_t *field_new_bytes(const uint8_t *data, size_t size);
json_t *field_new_hex(const uint8_t *data, size_t size);
json_t *field_new_hashes(const uint8_t (*hashes)[FIELD_HASH_SIZE], size_t count);
json_t *field_new_prefixes(const struct prefix *prefixes, size_t count);
