// SPDX-License-Identifier: Apache-2.0

#include "pki/ca_enrol.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "pki/ca.h"
#include "pki/certificate.h"
#include "pki/identity.h"
#include "pki/journal.h"
#include "pki/request.h"
#include "pki/tls.h"
#include "pki/token.h"

#define BACKDATE_S 300 // the device's clock may be as much behind ours

DEFINE_CLEANUP(GENERAL_NAMES *, GENERAL_NAMES_free);

static int key_hash(EVP_PKEY *key, uint8_t ret[SPKI_HASH_SIZE])
{
	unsigned char *der = NULL;
	int size = i2d_PUBKEY(key, &der);
	bool good = size > 0 && SHA256(der, (size_t)size, ret);

	OPENSSL_free(der);
	return good ? 0 : -ENOMEM;
}

// An answer that was lost is given again, from the journal.
static int deliver_again(struct ca *ca, const char *serial, X509 **ret, struct error *error)
{
	_cleanup_(freep) uint8_t *der = NULL;
	size_t size;
	int r = journal_certificate(ca_journal(ca), serial, &der, &size, error);
	if (r < 0)
		return r;
	const unsigned char *at = der;
	X509 *certificate = X509_new_ex(tls_library(), NULL);
	if (!certificate || !d2i_X509(&certificate, &at, (long)size)) {
		X509_free(certificate);
		return error_set(error, EIO, "the journal's copy of %s cannot be read", serial);
	}
	*ret = certificate;
	return 0;
}

// Who the certificate is for. A pattern is a promise to some device of a kind: it must not take over the name of another.
static int choose_identity(struct ca *ca, const struct token_record *token,
			   const struct request *request, const char **ret, struct error *error)
{
	uint8_t hash[SPKI_HASH_SIZE];
	bool taken;

	if (!strchr(token->identity, '*')) {
		*ret = token->identity;
		if (!request->identity || strcmp(request->identity, token->identity) == 0)
			return 0;
		return error_set(error, EPERM, "the token is for %.*s, not for %.*s",
				 IDENTITY_SHOWN_MAX, token->identity, IDENTITY_SHOWN_MAX,
				 request->identity);
	}
	*ret = request->identity;
	if (!request->identity)
		return error_set(error, EPERM,
				 "the token is for %.*s: the device must say which it is",
				 IDENTITY_SHOWN_MAX, token->identity);
	if (!identity_match(token->identity, request->identity))
		return error_set(error, EPERM, "the token is for %.*s, not for %.*s",
				 IDENTITY_SHOWN_MAX, token->identity, IDENTITY_SHOWN_MAX,
				 request->identity);
	if (key_hash(request->key, hash) < 0)
		return error_set(error, ENOMEM, "out of memory");
	int r = journal_other_key(ca_journal(ca), request->identity, hash, clock_wall(), &taken,
				  error);
	if (r == 0 && taken)
		r = error_set(error, EPERM,
			      "%.*s has a certificate already; it takes a token for it alone",
			      IDENTITY_SHOWN_MAX, request->identity);
	return r;
}

// Within a transaction of the journal.
static int enrol(struct ca *ca, const struct token_record *token, const struct request *request,
		 const uint8_t digest[TOKEN_DIGEST_SIZE], X509 **ret, struct error *error)
{
	char by[64], serial[SERIAL_TEXT_MAX];
	struct ca_leaf leaf = {.dns = request->dns,
			       .lifetime_s = token->lifetime_s,
			       .not_before_s = -BACKDATE_S,
			       .key = request->key,
			       .issued_by = by};

	if (token->serial)
		return deliver_again(ca, token->serial, ret, error);
	if (request->dns)
		return error_set(error, EPERM, "the token gives no DNS name");
	int r = choose_identity(ca, token, request, &leaf.identity, error);
	if (r < 0)
		return r;
	snprintf(by, sizeof(by), "token %s", token->id);
	r = ca_sign(ca, &leaf, ret, error);
	return r < 0 ? r
		     : token_burn(ca_journal(ca), token->id, certificate_serial(*ret, serial),
				  digest, clock_wall(), error);
}

int ca_enrol(struct ca *ca, const char *password, const uint8_t *der, size_t size, X509 **ret,
	     struct error *error)
{
	struct request request;
	struct token_record token;
	uint8_t digest[TOKEN_DIGEST_SIZE];
	X509 *certificate = NULL;

	if (!SHA256(der, size, digest))
		return error_set(error, ENOMEM, "out of memory");
	int r = journal_begin(ca_journal(ca), error);
	if (r < 0)
		return r;
	r = token_find(ca_journal(ca), password, digest, clock_wall(), &token, error);
	if (r == 0) {
		r = request_read(der, size, &request, error);
		if (r == 0) {
			r = enrol(ca, &token, &request, digest, &certificate, error);
			request_done(&request);
		}
		token_record_done(&token);
	}
	int ended = journal_end(ca_journal(ca), r == 0, r == 0 ? error : NULL);
	if (r == 0 && ended == 0) {
		*ret = certificate;
		return 0;
	}
	X509_free(certificate);
	return r < 0 ? r : ended;
}

// The DNS name beside the identity, new, or NULL.
static char *dns_of(X509 *certificate)
{
	_cleanup_(GENERAL_NAMES_freep) GENERAL_NAMES *names =
		X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		if (name->type == GEN_DNS)
			return strndup((const char *)ASN1_STRING_get0_data(name->d.dNSName),
				       (size_t)ASN1_STRING_length(name->d.dNSName));
	}
	return NULL;
}

static int renew(struct ca *ca, X509 *old, const struct request *request, X509 **ret,
		 struct error *error)
{
	_cleanup_(freep) char *identity = NULL;
	_cleanup_(freep) char *dns = dns_of(old);
	char by[SERIAL_TEXT_MAX + 16], serial[SERIAL_TEXT_MAX];
	time_t from, to;

	int r = certificate_identity(old, &identity, error);
	if (r == 0 && certificate_lifetime(old, &from, &to) < 0)
		r = error_set(error, EINVAL, "the times of the old certificate cannot be read");
	if (r < 0)
		return r;
	if ((request->identity && strcmp(request->identity, identity) != 0) ||
	    (request->dns && (!dns || strcmp(request->dns, dns) != 0)))
		return error_set(error, EPERM,
				 "the request asks for other names than those of %.*s",
				 IDENTITY_SHOWN_MAX, identity);
	if (EVP_PKEY_eq(X509_get0_pubkey(old), request->key) == 1)
		return error_set(error, EPERM, "the request is for the old key: make a new one");
	snprintf(by, sizeof(by), "renewal of %s", certificate_serial(old, serial));
	struct ca_leaf leaf = {.identity = identity,
			       .dns = dns,
			       .lifetime_s = to - from - BACKDATE_S,
			       .not_before_s = -BACKDATE_S,
			       .key = request->key,
			       .issued_by = by};
	// One that was cut at the end of its issuer, or came from another CA, has a length of its own.
	if (ca_lifetime_check(leaf.lifetime_s, NULL) < 0)
		leaf.lifetime_s = to - from;
	return ca_sign(ca, &leaf, ret, error);
}

int ca_renew(struct ca *ca, X509 *old, const uint8_t *der, size_t size, X509 **ret,
	     struct error *error)
{
	struct request request;
	int r = request_read(der, size, &request, error);

	if (r < 0)
		return r;
	r = renew(ca, old, &request, ret, error);
	request_done(&request);
	return r;
}
