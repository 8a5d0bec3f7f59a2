// SPDX-License-Identifier: Apache-2.0
// What X509_verify_cert() accepts as an end entity although a SPIFFE verifier must not: a CA, two URI names, no extended
// key usage, explicit curves. RFC 5280, 4.2; X509-SVID.md 4 and 5.

#include "pki/certificate.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/hex.h"
#include "pki/algorithm.h"
#include "pki/extension.h"
#include "pki/identity.h"
#include "pki/mapping.h"
#include "pki/names.h"

#define EXTENSIONS_MAX	 64 // in one certificate
#define SERIAL_BYTES_MAX 20 // RFC 5280, 4.1.2.2

DEFINE_CLEANUP(BASIC_CONSTRAINTS *, BASIC_CONSTRAINTS_free);
DEFINE_CLEANUP(ASN1_BIT_STRING *, ASN1_BIT_STRING_free);
DEFINE_CLEANUP(EXTENDED_KEY_USAGE *, EXTENDED_KEY_USAGE_free);
DEFINE_CLEANUP(X509 *, X509_free);
DEFINE_CLEANUP(BIO *, BIO_free);

// The checks below say what is wrong ("has no keyUsage"); this says of whom.
static int of_whom(struct error *error, const char *whom)
{
	size_t shift = strlen(whom) + 1;

	if (!error)
		return -EINVAL;
	memmove(error->what + shift, error->what, sizeof(error->what) - shift);
	memcpy(error->what, whom, shift - 1);
	error->what[shift - 1] = ' ';
	error->what[sizeof(error->what) - 1] = '\0';
	return -error->code;
}

static int read_identity(const X509 *certificate, const struct mapping *mapping, char **ret,
			 struct error *error)
{
	_cleanup_(GENERAL_NAMES_freep) GENERAL_NAMES *names = NULL;
	const ASN1_STRING *uri = NULL;

	if (names_read(certificate, &names, error) < 0 || names_uri(names, &uri, error) < 0)
		return of_whom(error, "certificate");
	if (uri)
		return identity_parse(ASN1_STRING_get0_data(uri), (size_t)ASN1_STRING_length(uri),
				      ret, error);
	int r = mapping ? mapping_identity(mapping, names, ret, error) : names_no_uri(error);
	return r < 0 ? of_whom(error, "certificate") : 0;
}

int certificate_identity(const X509 *certificate, char **ret, struct error *error)
{
	return read_identity(certificate, NULL, ret, error);
}

static int check_extensions(const X509 *certificate, struct error *error)
{
	int count = X509_get_ext_count(certificate);

	if (count > EXTENSIONS_MAX)
		return error_set(error, EINVAL, "has %d extensions, more than %d", count,
				 EXTENSIONS_MAX);
	for (int i = 0; i < count; i++) {
		const ASN1_OBJECT *object = X509_EXTENSION_get_object(X509_get_ext(certificate, i));
		char name[80];

		if (X509_get_ext_by_OBJ(certificate, object, i) < 0)
			continue;
		OBJ_obj2txt(name, sizeof(name), object, 0);
		return error_set(error, EINVAL, "has the extension %s twice", name);
	}
	return 0;
}

static int check_basic_constraints(const X509 *certificate, struct error *error)
{
	_cleanup_(BASIC_CONSTRAINTS_freep) BASIC_CONSTRAINTS *constraints = NULL;
	bool critical;

	int r = extension_read(certificate, NID_basic_constraints, "basicConstraints",
			       (void **)&constraints, &critical, error);
	if (r < 0)
		return r;
	if (constraints && constraints->ca) {
		error_set(error, EINVAL, "is a CA certificate");
		return error_expected(error, "basicConstraints CA:FALSE");
	}
	return 0;
}

static int check_key_usage(const X509 *certificate, struct error *error)
{
	enum { DIGITAL_SIGNATURE = 0, KEY_CERT_SIGN = 5, CRL_SIGN = 6 }; // RFC 5280, 4.2.1.3
	_cleanup_(ASN1_BIT_STRING_freep) ASN1_BIT_STRING *usage = NULL;
	bool critical;

	int r = extension_read(certificate, NID_key_usage, "keyUsage", (void **)&usage, &critical,
			       error);
	if (r < 0)
		return r;
	if (!usage)
		error_set(error, EINVAL, "has no keyUsage");
	else if (!critical)
		error_set(error, EINVAL, "has a keyUsage that is not critical");
	else if (ASN1_BIT_STRING_get_bit(usage, KEY_CERT_SIGN))
		error_set(error, EINVAL, "has the key usage keyCertSign, as a CA has");
	else if (ASN1_BIT_STRING_get_bit(usage, CRL_SIGN))
		error_set(error, EINVAL, "has the key usage cRLSign, as a CA has");
	else if (!ASN1_BIT_STRING_get_bit(usage, DIGITAL_SIGNATURE))
		error_set(error, EINVAL, "has no key usage digitalSignature");
	else
		return 0;
	error_expected(error, "keyUsage critical, digitalSignature");
	return -EINVAL;
}

static int check_extended_key_usage(const X509 *certificate, struct error *error)
{
	_cleanup_(EXTENDED_KEY_USAGE_freep) EXTENDED_KEY_USAGE *usage = NULL;
	bool critical, server = false, client = false;

	int r = extension_read(certificate, NID_ext_key_usage, "extendedKeyUsage", (void **)&usage,
			       &critical, error);
	if (r < 0)
		return r;
	for (int i = 0; usage && i < sk_ASN1_OBJECT_num(usage); i++) {
		int nid = OBJ_obj2nid(sk_ASN1_OBJECT_value(usage, i));
		server |= nid == NID_server_auth;
		client |= nid == NID_client_auth;
	}
	if (server && client)
		return 0;
	if (!usage)
		error_set(error, EINVAL, "has no extendedKeyUsage");
	else
		error_set(error, EINVAL, "has no extended key usage %s",
			  server   ? "clientAuth"
			  : client ? "serverAuth"
				   : "serverAuth and clientAuth");
	error_expected(error, "extendedKeyUsage serverAuth, clientAuth");
	return -EINVAL;
}

static int check_ca(const X509 *certificate, struct error *error)
{
	_cleanup_(BASIC_CONSTRAINTS_freep) BASIC_CONSTRAINTS *constraints = NULL;
	bool critical;

	int r = extension_read(certificate, NID_basic_constraints, "basicConstraints",
			       (void **)&constraints, &critical, error);
	if (r < 0)
		return r;
	if (X509_get_version(certificate) != X509_VERSION_3 || !constraints || !constraints->ca)
		error_set(error, EINVAL, "is not a CA certificate");
	else if (!(X509_get_key_usage((X509 *)certificate) & KU_KEY_CERT_SIGN))
		error_set(error, EINVAL, "has no key usage keyCertSign");
	else
		return algorithm_check_key(certificate, error);
	error_expected(error, "a CA certificate: basicConstraints CA:TRUE, keyUsage keyCertSign");
	return -EINVAL;
}

const char *certificate_name(const X509_NAME *name, char *text, size_t size)
{
	_cleanup_(BIO_freep) BIO *bio = BIO_new(BIO_s_mem());
	int length = -1;

	if (bio && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0)
		length = BIO_read(bio, text, (int)size - 1);
	text[length > 0 ? length : 0] = '\0';
	return text;
}

// Names a certificate by its subject, for it may have no identity.
static int of_subject(const X509 *certificate, struct error *error)
{
	char subject[160], whom[sizeof(subject) + 16];

	certificate_name(X509_get_subject_name(certificate), subject, sizeof(subject));
	snprintf(whom, sizeof(whom), "certificate \"%s\"", subject);
	return of_whom(error, whom);
}

int certificate_check_ca(const X509 *certificate, struct error *error)
{
	return check_ca(certificate, error) < 0 ? of_subject(certificate, error) : 0;
}

int certificate_check_intermediate(const X509 *certificate, struct error *error)
{
	if (check_ca(certificate, error) < 0 || algorithm_check_signature(certificate, error) < 0)
		return of_subject(certificate, error);
	return 0;
}

// What can be wrong before there is a name to call the certificate by.
static int check_form(const X509 *certificate, struct error *error)
{
	if (X509_get_version(certificate) != X509_VERSION_3)
		return error_set(error, EINVAL, "is not of version 3");
	if (i2d_X509(certificate, NULL) > CERTIFICATE_MAX)
		return error_set(error, EINVAL, "is larger than %d bytes", CERTIFICATE_MAX);
	if (ASN1_STRING_length(X509_get0_serialNumber(certificate)) > SERIAL_BYTES_MAX)
		return error_set(error, EINVAL, "has a serial number of more than 20 bytes");
	return check_extensions(certificate, error);
}

static int check_usage(const X509 *certificate, struct error *error)
{
	if (check_basic_constraints(certificate, error) < 0 ||
	    check_key_usage(certificate, error) < 0 ||
	    check_extended_key_usage(certificate, error) < 0 ||
	    algorithm_check_key(certificate, error) < 0 ||
	    algorithm_check_signature(certificate, error) < 0)
		return -EINVAL;
	return 0;
}

int certificate_check_leaf(const X509 *certificate, const struct mapping *mapping,
			   char **ret_identity, struct error *error)
{
	_cleanup_(freep) char *identity = NULL;

	if (check_form(certificate, error) < 0)
		return of_whom(error, "certificate");
	int r = read_identity(certificate, mapping, &identity, error);
	if (r < 0)
		return r;
	if (check_usage(certificate, error) < 0) {
		char whom[IDENTITY_SHOWN_MAX + 32];
		snprintf(whom, sizeof(whom), "certificate of %.*s", IDENTITY_SHOWN_MAX, identity);
		return of_whom(error, whom);
	}
	*ret_identity = take(identity);
	return 0;
}

static int seconds(const ASN1_TIME *time, time_t *ret)
{
	struct tm tm;

	// UTC in whole seconds, "Z" at the end, and nothing else (RFC 5280, 4.1.2.5).
	int size = ASN1_STRING_type(time) == V_ASN1_UTCTIME ? 13 : 15;
	if (ASN1_STRING_length(time) != size || ASN1_STRING_get0_data(time)[size - 1] != 'Z' ||
	    !ASN1_TIME_to_tm(time, &tm))
		return -EINVAL;
	*ret = timegm(&tm);
	return 0;
}

int certificate_lifetime(const X509 *certificate, time_t *ret_not_before, time_t *ret_not_after)
{
	time_t not_before, not_after;

	if (seconds(X509_get0_notBefore(certificate), &not_before) < 0 ||
	    seconds(X509_get0_notAfter(certificate), &not_after) < 0)
		return -EINVAL;
	*ret_not_before = not_before;
	*ret_not_after = not_after;
	return 0;
}

// Takes `der`.
static int hash_spki(unsigned char *der, int size, uint8_t hash[SPKI_HASH_SIZE])
{
	bool good = size > 0 && SHA256(der, (size_t)size, hash);

	OPENSSL_free(der);
	return good ? 0 : -EINVAL;
}

int certificate_spki_hash(const X509 *certificate, uint8_t hash[SPKI_HASH_SIZE])
{
	unsigned char *der = NULL;
	int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);

	return hash_spki(der, size, hash);
}

int certificate_key_hash(const EVP_PKEY *key, uint8_t hash[SPKI_HASH_SIZE])
{
	unsigned char *der = NULL;
	int size = i2d_PUBKEY(key, &der);

	return hash_spki(der, size, hash);
}

const char *certificate_serial(const X509 *certificate, char text[SERIAL_TEXT_MAX])
{
	const ASN1_INTEGER *serial = X509_get0_serialNumber(certificate);
	const uint8_t *bytes = ASN1_STRING_get0_data(serial);
	int size = ASN1_STRING_length(serial);
	int count = size < SERIAL_BYTES_MAX ? size : SERIAL_BYTES_MAX;
	int at = 0;

	if (ASN1_STRING_type(serial) & V_ASN1_NEG)
		text[at++] = '-';
	hex_text(bytes, (size_t)count, text + at);
	if (size > count)
		memcpy(text + at + 2ul * (size_t)count, "..", 3);
	return text;
}

static int read_block(OSSL_LIB_CTX *library, const unsigned char *data, long size,
		      STACK_OF(X509) * stack)
{
	_cleanup_(X509_freep) X509 *certificate = X509_new_ex(library, NULL);
	const unsigned char *at = data;

	if (!certificate)
		return -ENOMEM;
	if (!d2i_X509(&certificate, &at, size) || at != data + size)
		return -EINVAL;
	if (!sk_X509_push(stack, certificate))
		return -ENOMEM;
	certificate = NULL;
	return 0;
}

// One PEM block: 1 when it was a certificate, 0 when it was something else, -ENOENT at the end.
static int read_next(OSSL_LIB_CTX *library, BIO *bio, STACK_OF(X509) * stack)
{
	char *name = NULL, *header = NULL;
	unsigned char *data = NULL;
	long size = 0;

	if (!PEM_read_bio(bio, &name, &header, &data, &size)) {
		bool end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
		ERR_clear_error();
		return end ? -ENOENT : -EINVAL;
	}
	int r = 0;
	if (strcmp(name, PEM_STRING_X509) == 0 || strcmp(name, PEM_STRING_X509_OLD) == 0) {
		r = read_block(library, data, size, stack);
		r = r < 0 ? r : 1;
	}
	ERR_clear_error();
	OPENSSL_free(name);
	OPENSSL_free(header);
	// It may have been a private key.
	OPENSSL_clear_free(data, (size_t)size);
	return r;
}

int certificates_push(STACK_OF(X509) * certificates, STACK_OF(X509) * more)
{
	for (int i = 0; i < sk_X509_num(more); i++) {
		X509 *certificate = sk_X509_value(more, i);
		X509_up_ref(certificate);
		if (!sk_X509_push(certificates, certificate)) {
			X509_free(certificate);
			return -ENOMEM;
		}
	}
	return 0;
}

int certificate_read_pem(OSSL_LIB_CTX *library, const char *text, size_t size,
			 STACK_OF(X509) * *ret, struct error *error)
{
	_cleanup_(certificates_freep) STACK_OF(X509) *stack = sk_X509_new_null();
	_cleanup_(BIO_freep) BIO *bio = size <= INT_MAX ? BIO_new_mem_buf(text, (int)size) : NULL;
	unsigned blocks = 0;
	int r;

	if (!stack || !bio)
		return error_set(error, ENOMEM, "out of memory");
	ERR_clear_error();
	while ((r = read_next(library, bio, stack)) >= 0)
		blocks++;
	if (r == -ENOMEM)
		return error_set(error, ENOMEM, "out of memory");
	if (r == -EINVAL)
		return error_set(error, EINVAL, "PEM block %u cannot be read", blocks + 1);
	if (sk_X509_num(stack) == 0) {
		error_set(error, EINVAL,
			  blocks ? "no certificate in it, but other PEM text"
				 : "no PEM text in it");
		return error_expected(error, "-----BEGIN CERTIFICATE-----");
	}
	*ret = take(stack);
	return 0;
}
