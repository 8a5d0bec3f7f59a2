// SPDX-License-Identifier: Apache-2.0
// A revocation list from anywhere, as far as bytes go that nobody signed: PEM or DER, outline, extensions, entries. What is signed
// badly is never looked into further, so the table is also fed by itself.

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <openssl/err.h>

#include "base/error.h"
#include "pki/crl.h"
#include "pki/crl_outline.h"
#include "pki/crl_table.h"
#include "pki/tls.h"
#include "pki/trust.h"
#include "unit/pki_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// What the table found is what OpenSSL finds, where OpenSSL reads the list at all.
static void compare(const uint8_t *data, size_t size, const struct crl_table *table)
{
	const unsigned char *at = data;
	X509_CRL *crl = d2i_X509_CRL(NULL, &at, (long)size);
	STACK_OF(X509_REVOKED) *entries = crl ? X509_CRL_get_REVOKED(crl) : NULL;
	struct crl_entry entry;
	size_t count = 0;

	for (int i = 0; i < sk_X509_REVOKED_num(entries); i++) {
		const ASN1_INTEGER *serial =
			X509_REVOKED_get0_serialNumber(sk_X509_REVOKED_value(entries, i));
		const uint8_t *bytes = ASN1_STRING_get0_data(serial);
		size_t length = (size_t)ASN1_STRING_length(serial);
		while (length > 0 && *bytes == 0) {
			bytes++;
			length--;
		}
		count += crl_table_find(table, bytes, length,
					ASN1_STRING_type(serial) == V_ASN1_NEG_INTEGER, &entry);
	}
	if (crl && count < crl_table_counts(table)->entries)
		abort();
	X509_CRL_free(crl);
}

static void read_entries(const uint8_t *data, size_t size)
{
	struct crl_outline outline;
	struct crl_table *table;
	struct error error = {0};

	if (crl_outline_read(tls_library(), data, size, &outline, &error) == 0) {
		if (crl_table_read(outline.entries, outline.entries_size, &table, &error) == 0) {
			compare(data, size, table);
			crl_table_free(table);
		}
		crl_outline_done(&outline);
	}
	if (crl_table_read(data, size, &table, &error) == 0)
		crl_table_free(table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct trust *trust;
	struct error error = {0};
	struct crl *crl = NULL;

	if (!trust) {
		struct fixture *root = fixture_root("root");
		trust = fixture_trust("corp.example", root);
		fixture_free(root);
	}
	struct crl_scope scope = {.trust = trust, .domain = "corp.example"};
	if (crl_read(data, size, &scope, 1800000000, &crl, &error) == 0 || error.what[0] == '\0')
		abort(); // nobody here has the key
	crl_put(crl);
	read_entries(data, size);
	ERR_clear_error();
	return 0;
}
