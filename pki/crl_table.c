// SPDX-License-Identifier: Apache-2.0
// Two passes: the first checks and counts, so that the second fills a block of the right size and cannot fail. Entries have one
// size, that of the longest serial number; slots of an open hash hold their numbers, and a few bits of the hash: of a million entries
// each that is looked at is one more miss of the cache.

#include "pki/crl_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "base/buffer.h"
#include "base/error.h"
#include "pki/certificate.h"
#include "pki/der.h"

#define NUMBER_BITS    26u
#define NUMBER_MASK    ((1u << NUMBER_BITS) - 1)
#define ENTRIES_MAX    NUMBER_MASK // one less than there are numbers: no slot in use looks empty
#define SLOT_EMPTY     UINT32_MAX
#define HUGE_PAGE      (2u << 20)
#define SLOTS_MIN      16u
#define SERIAL_DER_MAX (SERIAL_MAX + 1)

// CRLReason (RFC 5280, 5.3.1)
#define REASON_HOLD   6
#define REASON_REMOVE 8

// An entry in the table: serial number, padded; size and sign; reason; time.
#define TAIL_SIZE     6u
#define NEGATIVE_FLAG 0x80u

struct crl_table {
	uint64_t key;
	uint8_t *entries;
	size_t stride; // bytes of a serial number
	uint32_t *slots;
	size_t slot_count; // a power of two
	struct crl_counts counts;
};

// One entry as it is read.
struct read_entry {
	uint8_t serial[SERIAL_MAX];
	size_t size;
	bool negative;
	bool too_long; // for any certificate that is accepted
	uint8_t reason;
	struct der time; // borrowed, as it stands
};

static const uint8_t oid_reason[] = {0x55, 0x1d, 0x15};	      // 2.5.29.21
static const uint8_t oid_other_issuer[] = {0x55, 0x1d, 0x1d}; // 2.5.29.29

static unsigned digits(const uint8_t **at, unsigned count, bool *good)
{
	unsigned value = 0;

	for (unsigned i = 0; i < count; i++, (*at)++) {
		*good &= **at >= '0' && **at <= '9';
		value = value * 10 + (unsigned)(**at - '0') % 10;
	}
	return value;
}

// YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ (RFC 5280, 4.1.2.5); 0 for anything else: it is only told to people.
static uint32_t read_time(const struct der *der)
{
	bool utc = der->tag == DER_UTC_TIME, good = true;
	const uint8_t *at = der->content;
	struct tm tm = {0};

	if (der->size != (utc ? 13 : 15))
		return 0;
	int year = (int)digits(&at, utc ? 2 : 4, &good);
	if (utc)
		year += year < 50 ? 2000 : 1900;
	tm.tm_year = year - 1900;
	tm.tm_mon = (int)digits(&at, 2, &good) - 1;
	tm.tm_mday = (int)digits(&at, 2, &good);
	tm.tm_hour = (int)digits(&at, 2, &good);
	tm.tm_min = (int)digits(&at, 2, &good);
	tm.tm_sec = (int)digits(&at, 2, &good);
	time_t time = timegm(&tm);
	return good && *at == 'Z' && time > 0 && time < UINT32_MAX ? (uint32_t)time : 0;
}

static bool is_object(const struct der *der, const uint8_t oid[3])
{
	return der->size == 3 && memcmp(der->content, oid, 3) == 0;
}

static const char *read_extension(struct reader *extensions, struct read_entry *entry)
{
	struct der extension, id, critical, value, reason;

	if (!der_expect(extensions, DER_SEQUENCE, &extension))
		return "an extension of an entry cannot be read";
	struct reader in = reader_over(extension.content, extension.size);
	bool good = der_expect(&in, DER_OBJECT, &id);
	if (good && der_peek(&in, DER_BOOLEAN)) {
		good = der_next(&in, &critical) && critical.size == 1;
		if (good && critical.content[0])
			return "an entry has a critical extension";
	}
	if (!good || !der_expect(&in, DER_OCTET_STRING, &value) || in.left > 0)
		return "an extension of an entry cannot be read";
	if (is_object(&id, oid_other_issuer))
		return "it lists certificates of other issuers (indirect CRL)";
	if (!is_object(&id, oid_reason))
		return NULL;
	struct reader content = reader_over(value.content, value.size);
	if (!der_expect(&content, DER_ENUMERATED, &reason) || reason.size != 1 ||
	    content.left > 0 || entry->reason != CRL_NO_REASON)
		return "the reason of an entry cannot be read";
	entry->reason = reason.content[0];
	return NULL;
}

// NULL, or what is wrong.
static const char *read_entry(struct reader *from, struct read_entry *ret)
{
	struct der whole, serial, extensions;
	struct read_entry entry = {.reason = CRL_NO_REASON};

	if (!der_expect(from, DER_SEQUENCE, &whole))
		return "an entry cannot be read";
	struct reader in = reader_over(whole.content, whole.size);
	if (!der_expect(&in, DER_INTEGER, &serial))
		return "the serial number of an entry cannot be read";
	entry.too_long = serial.size > SERIAL_DER_MAX ||
			 (serial.size == SERIAL_DER_MAX && serial.content[0] != 0);
	if (!entry.too_long &&
	    !der_integer(&serial, SERIAL_MAX, entry.serial, &entry.size, &entry.negative))
		return "the serial number of an entry cannot be read";
	if (!der_next(&in, &entry.time) ||
	    (entry.time.tag != DER_UTC_TIME && entry.time.tag != DER_GENERALIZED_TIME))
		return "the time of an entry cannot be read";
	if (in.left > 0) {
		if (!der_expect(&in, DER_SEQUENCE, &extensions) || in.left > 0 ||
		    extensions.size == 0)
			return "an entry cannot be read";
		struct reader list = reader_over(extensions.content, extensions.size);
		while (list.left > 0) {
			const char *problem = read_extension(&list, &entry);
			if (problem)
				return problem;
		}
	}
	*ret = entry;
	return NULL;
}

static bool revokes(const struct read_entry *entry)
{
	return entry->reason != REASON_REMOVE && !entry->too_long;
}

static int check_all(struct reader from, struct crl_table *table, struct error *error)
{
	struct crl_counts *counts = &table->counts;
	struct read_entry entry;

	for (size_t i = 0; from.left > 0; i++) {
		const char *problem = read_entry(&from, &entry);
		if (problem)
			return error_set(error, EINVAL, "entry %zu: %s", i + 1, problem);
		counts->removals += entry.reason == REASON_REMOVE;
		if (!revokes(&entry))
			continue;
		counts->entries++;
		counts->holds += entry.reason == REASON_HOLD;
		if (entry.size > table->stride)
			table->stride = entry.size;
	}
	if (counts->entries > ENTRIES_MAX)
		return error_set(error, EFBIG, "it has %zu entries", counts->entries);
	return 0;
}

static uint64_t hash_of(const struct crl_table *table, const uint8_t *serial, size_t size)
{
	uint64_t words[3] = {0}, hash = table->key ^ size;

	memcpy(words, serial, size);
	for (unsigned i = 0; i < 3; i++) {
		hash = (hash ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15);
		hash ^= hash >> 32;
	}
	return hash;
}

static uint8_t *entry_at(const struct crl_table *table, size_t number)
{
	return table->entries + number * (table->stride + TAIL_SIZE);
}

static bool same(const struct crl_table *table, size_t number, const uint8_t *serial, size_t size,
		 bool negative)
{
	const uint8_t *entry = entry_at(table, number);

	return entry[table->stride] == (size | (negative ? NEGATIVE_FLAG : 0)) &&
	       memcmp(entry, serial, size) == 0;
}

// What a slot holds of the hash; its place is taken from the other end.
static uint32_t tag_of(uint64_t hash)
{
	return (uint32_t)(hash >> 32) & ~NUMBER_MASK;
}

// The slot of this serial number, or the empty one where it would be.
static uint32_t *find_slot(const struct crl_table *table, uint64_t hash, const uint8_t *serial,
			   size_t size, bool negative)
{
	size_t at = hash & (table->slot_count - 1);
	uint32_t slot, tag = tag_of(hash);

	while ((slot = table->slots[at]) != SLOT_EMPTY &&
	       ((slot & ~NUMBER_MASK) != tag ||
		!same(table, slot & NUMBER_MASK, serial, size, negative)))
		at = (at + 1) & (table->slot_count - 1);
	return &table->slots[at];
}

static void add(struct crl_table *table, const struct read_entry *entry, uint32_t number)
{
	uint64_t hash = hash_of(table, entry->serial, entry->size);
	uint32_t *slot = find_slot(table, hash, entry->serial, entry->size, entry->negative);
	uint8_t *at = entry_at(table, number);
	uint32_t time = read_time(&entry->time);

	memcpy(at, entry->serial, table->stride);
	at[table->stride] = (uint8_t)(entry->size | (entry->negative ? NEGATIVE_FLAG : 0));
	at[table->stride + 1] = entry->reason;
	memcpy(at + table->stride + 2, &time, sizeof(time));
	if (*slot == SLOT_EMPTY) // of a serial number that is listed twice, the first
		*slot = number | tag_of(hash);
}

// In huge pages, where it is large and the kernel has them: one to take and to give back in place of 512, and fewer misses when
// entries all over it are looked up.
static void *block_new(size_t size)
{
	void *block;

	if (size < HUGE_PAGE)
		return malloc(size);
	if (posix_memalign(&block, HUGE_PAGE, size) != 0)
		return NULL;
	(void)madvise(block, size / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
	return block;
}

static int fill(struct crl_table *table, struct reader from)
{
	struct read_entry entry;
	uint32_t number = 0;

	table->slot_count = SLOTS_MIN;
	while (table->slot_count < table->counts.entries + table->counts.entries / 3)
		table->slot_count *= 2;
	table->slots = block_new(table->slot_count * sizeof(*table->slots));
	table->entries = block_new((table->counts.entries + 1) * (table->stride + TAIL_SIZE));
	if (!table->slots || !table->entries)
		return -ENOMEM;
	memset(table->slots, 0xff, table->slot_count * sizeof(*table->slots));
	while (from.left > 0 && !read_entry(&from, &entry))
		if (revokes(&entry))
			add(table, &entry, number++);
	return 0;
}

int crl_table_read(const uint8_t *data, size_t size, struct crl_table **ret, struct error *error)
{
	_cleanup_(crl_table_freep) struct crl_table *table = calloc(1, sizeof(*table));
	struct reader from = reader_over(data, size);

	if (!table || getrandom(&table->key, sizeof(table->key), 0) != sizeof(table->key))
		return error_set(error, ENOMEM, "out of memory");
	int r = check_all(from, table, error);
	if (r < 0)
		return r;
	if (fill(table, from) < 0)
		return error_set(error, ENOMEM, "out of memory");
	*ret = take(table);
	return 0;
}

struct crl_table *crl_table_free(struct crl_table *table)
{
	if (!table)
		return NULL;
	free(table->entries);
	free(table->slots);
	free(table);
	return NULL;
}

bool crl_table_find(const struct crl_table *table, const uint8_t *serial, size_t size,
		    bool negative, struct crl_entry *ret)
{
	if (size > table->stride)
		return false;
	uint32_t slot = *find_slot(table, hash_of(table, serial, size), serial, size, negative);
	uint32_t time;
	if (slot == SLOT_EMPTY)
		return false;
	const uint8_t *tail = entry_at(table, slot & NUMBER_MASK) + table->stride;
	memcpy(&time, tail + 2, sizeof(time));
	*ret = (struct crl_entry){.time = (time_t)time, .reason = tail[1]};
	return true;
}

const struct crl_counts *crl_table_counts(const struct crl_table *table)
{
	return &table->counts;
}

size_t crl_table_memory(const struct crl_table *table)
{
	return sizeof(*table) + table->slot_count * sizeof(*table->slots) +
	       (table->counts.entries + 1) * (table->stride + TAIL_SIZE);
}
