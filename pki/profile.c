// SPDX-License-Identifier: Apache-2.0

#include "pki/profile.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "pki/tls.h"

#define SERIAL_SIZE    20 // RFC 5280, 4.1.2.2: at most 20 bytes
#define NAME_PART_MAX  64 // RFC 5280, A.1: ub-organization-name, ub-common-name
#define DNS_NAME_MAX   253
#define DNS_LABEL_MAX  63
#define EXTENSIONS_MAX 5

DEFINE_CLEANUP(X509 *, X509_free);
DEFINE_CLEANUP(BIGNUM *, BN_free);
DEFINE_CLEANUP(EVP_MD *, EVP_MD_free);

// In the form of x509v3_config(5).
struct extension {
	int nid;
	const char *value;
};

static const struct extension root_extensions[EXTENSIONS_MAX] = {
	{NID_basic_constraints, "critical,CA:TRUE"},
	{NID_key_usage, "critical,keyCertSign,cRLSign"},
	{NID_subject_key_identifier, "hash"},
};

static const struct extension cross_extensions[EXTENSIONS_MAX] = {
	{NID_basic_constraints, "critical,CA:TRUE"},
	{NID_key_usage, "critical,keyCertSign,cRLSign"},
	{NID_subject_key_identifier, "hash"},
	{NID_authority_key_identifier, "keyid:always"},
};

static const struct extension intermediate_extensions[EXTENSIONS_MAX] = {
	{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
	{NID_key_usage, "critical,keyCertSign,cRLSign"},
	{NID_subject_key_identifier, "hash"},
	{NID_authority_key_identifier, "keyid:always"},
};

static const struct extension leaf_extensions[EXTENSIONS_MAX] = {
	{NID_basic_constraints, "critical,CA:FALSE"},
	{NID_key_usage, "critical,digitalSignature"},
	{NID_ext_key_usage, "serverAuth,clientAuth"},
	{NID_subject_key_identifier, "hash"},
	{NID_authority_key_identifier, "keyid:always"},
};

static int openssl_failed(struct error *error, const char *what)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	error_set(error, EIO, "%s: %s", what, reason ? reason : "OpenSSL gives no reason");
	ERR_clear_error();
	return -EIO;
}

static EVP_PKEY *new_key(enum profile_key kind)
{
	switch (kind) {
	case PROFILE_P256:
		return EVP_PKEY_Q_keygen(tls_library(), NULL, "EC", "P-256");
	case PROFILE_P384:
		return EVP_PKEY_Q_keygen(tls_library(), NULL, "EC", "P-384");
	case PROFILE_RSA3072:
		return EVP_PKEY_Q_keygen(tls_library(), NULL, "RSA", (size_t)3072);
	case PROFILE_ED25519:
		return EVP_PKEY_Q_keygen(tls_library(), NULL, "ED25519");
	}
	return NULL;
}

int profile_key_of(enum profile_key kind, EVP_PKEY **ret, struct error *error)
{
	EVP_PKEY *key = new_key(kind);

	if (!key)
		return openssl_failed(error, "no key could be made");
	*ret = key;
	return 0;
}

int profile_key(EVP_PKEY **ret, struct error *error)
{
	return profile_key_of(PROFILE_P256, ret, error);
}

enum profile_key profile_key_like(const EVP_PKEY *key)
{
	if (EVP_PKEY_is_a(key, "ED25519"))
		return PROFILE_ED25519;
	if (EVP_PKEY_is_a(key, "RSA"))
		return PROFILE_RSA3072;
	return EVP_PKEY_get_bits(key) == 384 ? PROFILE_P384 : PROFILE_P256;
}

int profile_key_parse(const char *name, enum profile_key *ret, struct error *error)
{
	static const char *const names[] = {[PROFILE_P256] = "p256",
					    [PROFILE_P384] = "p384",
					    [PROFILE_RSA3072] = "rsa3072",
					    [PROFILE_ED25519] = "ed25519"};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i], name) != 0)
			continue;
		*ret = (enum profile_key)i;
		return 0;
	}
	error_set(error, EINVAL, "there is no kind of key \"%.40s\"", name);
	return error_expected(error, "p256, p384, rsa3072 or ed25519");
}

static bool is_dns_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

// What is wrong with a label, or NULL.
static const char *label_fault(const char *label, size_t size)
{
	if (size == 0)
		return "it has an empty label";
	if (size > DNS_LABEL_MAX)
		return "it has a label of more than 63 characters";
	if (label[0] == '-' || label[size - 1] == '-')
		return "a label begins or ends with \"-\"";
	for (size_t i = 0; i < size; i++)
		if (!is_dns_char(label[i]))
			return "it may hold a-z, 0-9, \"-\" and \".\" only";
	return NULL;
}

int profile_dns_check(const char *name, struct error *error)
{
	const char *fault = strlen(name) > DNS_NAME_MAX ? "it is longer than 253 characters" : NULL;
	const char *label = name;

	while (!fault && label) {
		const char *end = label + strcspn(label, ".");
		fault = label_fault(label, (size_t)(end - label));
		// A last label of digits alone makes the name an address (RFC 1123, 2.1).
		if (!fault && !*end && strspn(label, "0123456789") == strlen(label))
			fault = "it ends in a number, as an address does";
		label = *end ? end + 1 : NULL;
	}
	if (!fault)
		return 0;
	error_set(error, EINVAL, "\"%.80s\" is not a host name: %s", name, fault);
	return error_expected(error, "a name such as vpn.corp.example");
}

// 159 random bits: positive, and never a repetition.
static bool set_serial(X509 *certificate)
{
	uint8_t bytes[SERIAL_SIZE];
	do {
		if (RAND_bytes_ex(tls_library(), bytes, sizeof(bytes), 0) != 1)
			return false;
		bytes[0] &= 0x7f;
	} while (bytes[0] == 0); // always of full length, hence never zero
	_cleanup_(BN_freep) BIGNUM *number = BN_bin2bn(bytes, sizeof(bytes), NULL);
	return number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
}

// Only for people to read: who it is stands in the SAN. A type of string by name skips OpenSSL's table of lengths, so the
// limit is kept here.
static bool add_name_part(X509_NAME *name, int nid, const char *text)
{
	size_t size = strnlen(text, NAME_PART_MAX);

	return X509_NAME_add_entry_by_NID(name, nid, V_ASN1_UTF8STRING, (const unsigned char *)text,
					  (int)size, -1, 0) == 1;
}

static bool set_names(X509 *certificate, enum profile_kind kind,
		      const struct profile_subject *subject, X509 *issuer)
{
	static const char *const common_names[] = {
		[PROFILE_ROOT] = "root CA",
		[PROFILE_CROSS] = "root CA",
		[PROFILE_INTERMEDIATE] = "issuing CA",
		[PROFILE_LEAF] = NULL,
	};
	X509_NAME *name = X509_get_subject_name(certificate);
	char common_name[NAME_PART_MAX];

	if (!add_name_part(name, NID_organizationName, subject->domain))
		return false;
	if (common_names[kind]) {
		snprintf(common_name, sizeof(common_name), subject->generation > 1 ? "%s %u" : "%s",
			 common_names[kind], subject->generation);
		if (!add_name_part(name, NID_commonName, common_name))
			return false;
	}
	return X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) == 1;
}

static bool set_times(X509 *certificate, time_t not_before, time_t not_after)
{
	return X509_time_adj_ex(X509_getm_notBefore(certificate), 0, 0, &not_before) &&
	       X509_time_adj_ex(X509_getm_notAfter(certificate), 0, 0, &not_after);
}

static bool add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;

	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	X509V3_set_ctx_nodb(&context);
	X509_EXTENSION *extension = X509V3_EXT_nconf_nid(NULL, &context, nid, value);
	bool done = extension && X509_add_ext(certificate, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return done;
}

// The extensions that hold names. These are checked before: none of their characters means anything in the form.
static bool add_name_extension(X509 *certificate, X509 *issuer, enum profile_kind kind,
			       const struct profile_subject *subject)
{
	_cleanup_(freep) char *value = NULL;
	int r = -1;

	switch (kind) {
	case PROFILE_ROOT:
	case PROFILE_CROSS:
		return true;
	case PROFILE_INTERMEDIATE:
		r = asprintf(&value, "critical,permitted;URI:%s", subject->domain);
		return r > 0 && add_extension(certificate, issuer, NID_name_constraints, value);
	case PROFILE_LEAF:
		r = asprintf(&value, "URI:%s%s%s", subject->identity, subject->dns ? ",DNS:" : "",
			     subject->dns ? subject->dns : "");
		return r > 0 && add_extension(certificate, issuer, NID_subject_alt_name, value);
	}
	return false;
}

static bool add_extensions(X509 *certificate, X509 *issuer, enum profile_kind kind,
			   const struct profile_subject *subject)
{
	static const struct extension *const tables[] = {
		[PROFILE_ROOT] = root_extensions,
		[PROFILE_CROSS] = cross_extensions,
		[PROFILE_INTERMEDIATE] = intermediate_extensions,
		[PROFILE_LEAF] = leaf_extensions,
	};

	for (int i = 0; i < EXTENSIONS_MAX && tables[kind][i].value; i++)
		if (!add_extension(certificate, issuer, tables[kind][i].nid, tables[kind][i].value))
			return false;
	return add_name_extension(certificate, issuer, kind, subject);
}

unsigned profile_generation(const X509 *certificate)
{
	char name[NAME_PART_MAX + 1] = "";

	X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name,
				  sizeof(name));
	const char *number = strrchr(name, ' ');
	unsigned long generation = number ? strtoul(number, NULL, 10) : 0;
	return generation > 1 && generation < UINT32_MAX ? (unsigned)generation : 1;
}

// NULL for a key that brings its own (RFC 8410, 3).
static const char *digest_for(const EVP_PKEY *key)
{
	if (EVP_PKEY_is_a(key, "ED25519"))
		return NULL;
	return EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_bits(key) > 256 ? "SHA384" : "SHA256";
}

int profile_sign(enum profile_kind kind, const struct profile_subject *subject, X509 *issuer,
		 EVP_PKEY *issuer_key, X509 **ret, struct error *error)
{
	_cleanup_(X509_freep) X509 *certificate = X509_new_ex(tls_library(), NULL);
	_cleanup_(EVP_MD_freep) EVP_MD *digest = NULL;

	ERR_clear_error();
	if (!issuer) {
		issuer = certificate;
		issuer_key = subject->key;
	}
	const char *name = digest_for(issuer_key);
	if (name && !(digest = EVP_MD_fetch(tls_library(), name, NULL)))
		return openssl_failed(error, "the certificate could not be made");
	if (!certificate || X509_set_version(certificate, X509_VERSION_3) != 1 ||
	    !set_serial(certificate) || !set_names(certificate, kind, subject, issuer) ||
	    !set_times(certificate, subject->not_before, subject->not_after) ||
	    X509_set_pubkey(certificate, subject->key) != 1 ||
	    !add_extensions(certificate, issuer, kind, subject))
		return openssl_failed(error, "the certificate could not be made");
	if (X509_sign(certificate, issuer_key, digest) <= 0)
		return openssl_failed(error, "the certificate could not be signed");
	*ret = take(certificate);
	return 0;
}
