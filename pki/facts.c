// SPDX-License-Identifier: Apache-2.0

#include "pki/facts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/objects.h>
#include <openssl/x509v3.h>

#include "base/cleanup.h"

#define OID_TEXT_MAX 80

DEFINE_CLEANUP(BIO *, BIO_free);
DEFINE_CLEANUP(CERTIFICATEPOLICIES *, CERTIFICATEPOLICIES_free);

static const char *const hardware_policies[] = {
	"1.3.6.1.4.1.311.21.30",     // TPM key attestation: endorsement key known to the CA
	"1.3.6.1.4.1.311.21.31",     // its endorsement certificate verified
	"1.3.6.1.4.1.311.21.32",     // trusted on the word of a user
	"2.16.840.1.101.3.2.1.3.7",  // id-fpki-common-hardware
	"2.16.840.1.101.3.2.1.3.12", // id-fpki-certpcy-mediumHardware
	"2.16.840.1.101.3.2.1.3.36", // id-fpki-common-devicesHardware
	"0.4.0.194112.1.2",	     // qcp-natural-qscd
	"0.4.0.194112.1.3",	     // qcp-legal-qscd
};

static char *name_text(const X509_NAME *name)
{
	_cleanup_(BIO_freep) BIO *bio = BIO_new(BIO_s_mem());
	char *data;
	if (!bio || X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) < 0)
		return NULL;
	long size = BIO_get_mem_data(bio, &data);
	return strndup(size > 0 ? data : "", size > 0 ? (size_t)size : 0);
}

static int add_unit(struct facts *facts, const X509_NAME_ENTRY *entry)
{
	unsigned char *text = NULL;
	int size = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(entry));
	if (size > 0 && !memchr(text, 0, (size_t)size)) {
		char *copy = strndup((const char *)text, (size_t)size);
		if (copy)
			facts->units[facts->unit_count++] = copy;
		else
			size = -1;
	} else {
		size = 0;
	}
	OPENSSL_free(text);
	return size < 0 ? -ENOMEM : 0;
}

static int read_units(const X509_NAME *subject, struct facts *facts)
{
	facts->units = calloc(FACTS_UNITS_MAX, sizeof(*facts->units));
	if (!facts->units)
		return -ENOMEM;
	int at = -1;
	while (facts->unit_count < FACTS_UNITS_MAX) {
		at = X509_NAME_get_index_by_NID(subject, NID_organizationalUnitName, at);
		if (at < 0)
			break;
		int r = add_unit(facts, X509_NAME_get_entry(subject, at));
		if (r < 0)
			return r;
	}
	return 0;
}

static bool is_hardware(const ASN1_OBJECT *policy)
{
	char text[OID_TEXT_MAX];
	OBJ_obj2txt(text, sizeof(text), policy, 1);
	for (size_t i = 0; i < sizeof(hardware_policies) / sizeof(hardware_policies[0]); i++)
		if (strcmp(text, hardware_policies[i]) == 0)
			return true;
	return false;
}

static bool says_hardware(const X509 *certificate)
{
	_cleanup_(CERTIFICATEPOLICIES_freep) CERTIFICATEPOLICIES *policies =
		X509_get_ext_d2i(certificate, NID_certificate_policies, NULL, NULL);
	for (int i = 0; i < sk_POLICYINFO_num(policies); i++)
		if (is_hardware(sk_POLICYINFO_value(policies, i)->policyid))
			return true;
	return false;
}

int facts_read(const X509 *certificate, struct facts *ret)
{
	struct facts facts = {
		.issuer = name_text(X509_get_issuer_name(certificate)),
		.hardware = says_hardware(certificate),
	};
	int r = facts.issuer ? read_units(X509_get_subject_name(certificate), &facts) : -ENOMEM;
	if (r < 0)
		facts_done(&facts);
	else
		*ret = facts;
	return r;
}

void facts_done(struct facts *facts)
{
	for (unsigned i = 0; i < facts->unit_count; i++)
		free(facts->units[i]);
	free(facts->units);
	free(facts->issuer);
	*facts = (struct facts){0};
}

bool facts_equal(const struct facts *a, const struct facts *b)
{
	if (a->hardware != b->hardware || a->unit_count != b->unit_count ||
	    !a->issuer != !b->issuer)
		return false;
	if (a->issuer && strcmp(a->issuer, b->issuer) != 0)
		return false;
	for (unsigned i = 0; i < a->unit_count; i++)
		if (strcmp(a->units[i], b->units[i]) != 0)
			return false;
	return true;
}
