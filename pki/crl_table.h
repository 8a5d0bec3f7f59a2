// SPDX-License-Identifier: Apache-2.0
// The serial numbers of one revocation list (RFC 5280, 5.1.2.6): read straight from its DER, in an immutable table of a few tens of
// bytes an entry. OpenSSL's objects take ten times as much, and a list of a million entries is no rare one.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/cleanup.h"

struct crl_table;
struct error;

#define CRL_NO_REASON 0xff // CRLReason (RFC 5280, 5.3.1) where the entry has none

struct crl_entry {
	time_t time; // 0: it cannot be read
	uint8_t reason;
};

struct crl_counts {
	size_t entries;	 // that revoke
	size_t holds;	 // of these, "certificateHold"
	size_t removals; // "removeFromCRL", which in a whole list revokes nothing
};

// `data`: the content of revokedCertificates; borrowed for the call. An entry with an extension that is critical, or with one that
// names another issuer, is refused with all others: -EINVAL. -ENOMEM. Returns a new table.
int crl_table_read(const uint8_t *data, size_t size, struct crl_table **ret, struct error *error);
struct crl_table *crl_table_free(struct crl_table *table); // takes NULL, returns NULL
DEFINE_CLEANUP(struct crl_table *, crl_table_free);

// By magnitude (at most SERIAL_MAX bytes, no leading zeros) and sign.
bool crl_table_find(const struct crl_table *table, const uint8_t *serial, size_t size,
		    bool negative, struct crl_entry *ret);
const struct crl_counts *crl_table_counts(const struct crl_table *table);
size_t crl_table_memory(const struct crl_table *table); // bytes
