// SPDX-License-Identifier: Apache-2.0

#include "unit/crl_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "base/clock.h"
#include "unit/must.h"
#include "unit/pki_fixture.h"

static X509_EXTENSION *extension_of(const char *text)
{
	const char *equals = strchr(text, '=');
	char name[80];

	must(equals);
	snprintf(name, sizeof(name), "%.*s", (int)(equals - text), text);
	X509_EXTENSION *extension = X509V3_EXT_nconf(NULL, NULL, name, equals + 1);
	must(extension);
	return extension;
}

static void add_entry(X509_CRL *crl, const struct crl_fixture_entry *entry, ASN1_TIME *time)
{
	X509_REVOKED *revoked = X509_REVOKED_new();
	ASN1_INTEGER *serial = ASN1_INTEGER_new();

	must(revoked && serial && ASN1_STRING_set(serial, entry->serial, (int)entry->size));
	if (entry->negative)
		serial->type = V_ASN1_NEG_INTEGER;
	must(ASN1_TIME_set(time, clock_wall() + (entry->at_s ? entry->at_s : -60)));
	must(X509_REVOKED_set_serialNumber(revoked, serial));
	must(X509_REVOKED_set_revocationDate(revoked, time));
	if (entry->reason != CRL_FIXTURE_NO_REASON) {
		ASN1_ENUMERATED *reason = ASN1_ENUMERATED_new();
		must(ASN1_ENUMERATED_set(reason, (long)entry->reason));
		must(X509_REVOKED_add1_ext_i2d(revoked, NID_crl_reason, reason, 0, 0) == 1);
		ASN1_ENUMERATED_free(reason);
	}
	if (entry->extension) {
		X509_EXTENSION *extension = extension_of(entry->extension);
		must(X509_REVOKED_add_ext(revoked, extension, -1));
		X509_EXTENSION_free(extension);
	}
	must(X509_CRL_add0_revoked(crl, revoked));
	ASN1_INTEGER_free(serial);
}

static void add_extensions(X509_CRL *crl, const struct crl_fixture_options *options)
{
	if (options->number >= 0) {
		ASN1_INTEGER *number = ASN1_INTEGER_new();
		must(ASN1_INTEGER_set(number, options->number ? options->number : 1));
		must(X509_CRL_add1_ext_i2d(crl, NID_crl_number, number, 0, 0) == 1);
		ASN1_INTEGER_free(number);
	}
	for (unsigned i = 0; i < CRL_FIXTURE_EXTRAS && options->extras[i]; i++) {
		X509_EXTENSION *extension = extension_of(options->extras[i]);
		must(X509_CRL_add_ext(crl, extension, -1));
		X509_EXTENSION_free(extension);
	}
}

uint8_t *crl_fixture(const struct fixture *signer, const struct crl_fixture_options *options,
		     size_t *ret_size)
{
	const struct fixture *name = options->name ? options->name : signer;
	bool usual = !options->this_s && !options->next_s;
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *time = ASN1_TIME_new();
	uint8_t *der = NULL;
	const EVP_MD *digest = EVP_get_digestbyname(options->digest ? options->digest : "SHA256");

	if (EVP_PKEY_is_a(signer->key, "ED25519"))
		digest = NULL;
	must(crl && time && X509_CRL_set_version(crl, X509_CRL_VERSION_2));
	must(X509_CRL_set_issuer_name(crl, X509_get_subject_name(name->certificate)));
	must(ASN1_TIME_set(time, clock_wall() + (usual ? -60 : options->this_s)));
	must(X509_CRL_set1_lastUpdate(crl, time));
	must(ASN1_TIME_set(time, clock_wall() + (usual ? 86400 : options->next_s)));
	must(options->no_next || X509_CRL_set1_nextUpdate(crl, time));
	for (size_t i = 0; i < options->count; i++)
		add_entry(crl, &options->entries[i], time);
	add_extensions(crl, options);
	must(X509_CRL_sign(crl, signer->key, digest) > 0);
	int size = i2d_X509_CRL(crl, &der);
	must(size > 0);
	uint8_t *copy = malloc((size_t)size);
	must(copy);
	memcpy(copy, der, (size_t)size);
	*ret_size = (size_t)size;
	OPENSSL_free(der);
	ASN1_TIME_free(time);
	X509_CRL_free(crl);
	return copy;
}

char *crl_fixture_pem(const uint8_t *der, size_t size)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data;

	must(bio && PEM_write_bio(bio, PEM_STRING_X509_CRL, "", der, (long)size) > 0);
	long length = BIO_get_mem_data(bio, &data);
	char *text = strndup(data, (size_t)length);
	must(text);
	BIO_free(bio);
	return text;
}

struct crl_fixture_entry *crl_fixture_random(size_t count, size_t size)
{
	struct crl_fixture_entry *entries = calloc(1, count * (sizeof(*entries) + size));
	uint8_t *serials = (uint8_t *)(entries + count);

	must(entries && RAND_bytes(serials, (int)(count * size)) == 1);
	for (size_t i = 0; i < count; i++) {
		serials[i * size] = (serials[i * size] & 0x7f) | 0x40;
		entries[i] = (struct crl_fixture_entry){.serial = serials + i * size,
							.size = size,
							.reason = CRL_FIXTURE_NO_REASON};
	}
	return entries;
}
