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
#include "pki/ca_denied.h"
#include "pki/certificate.h"
#include "pki/identity.h"
#include "pki/issuer.h"
#include "pki/journal.h"
#include "pki/request.h"
#include "pki/tls.h"
#include "pki/token.h"
#include "pki/trust.h"
#include "pki/verify.h"

#define OFTEN_COUNT 10u // certificates of one identity ...
#define LIFETIMES_SEEN \
	64u // certificates of an identity among which the lifetime that it had is sought

DEFINE_CLEANUP(GENERAL_NAMES *, GENERAL_NAMES_free);

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
	bool taken = false;

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
	if (certificate_key_hash(request->key, hash) < 0)
		return error_set(error, ENOMEM, "out of memory");
	int r = journal_other_key(ca_journal(ca), request->identity, hash, clock_wall(), &taken,
				  error);
	if (r == 0 && taken)
		r = error_set(error, EPERM,
			      "%.*s has a certificate already; it takes a token for it alone",
			      IDENTITY_SHOWN_MAX, request->identity);
	return r;
}

// A device that runs wild does not fill the journal, nor wear out the disk.
static int check_often(struct ca *ca, const char *identity, struct error *error)
{
	time_t when = 0, now = clock_wall();
	int r = journal_issued(ca_journal(ca), identity, OFTEN_COUNT, &when, error);

	// What was signed while this clock was ahead keeps nobody out once it is right.
	if (r < 0 || when <= now - CA_OFTEN_S || when > now)
		return r;
	return error_set(error, EAGAIN, "%.*s got %u certificates within %u s", IDENTITY_SHOWN_MAX,
			 identity, OFTEN_COUNT, CA_OFTEN_S);
}

// Within a transaction of the journal.
static int enrol(struct ca *ca, const struct token_record *token, const struct request *request,
		 const uint8_t digest[TOKEN_DIGEST_SIZE], X509 **ret, struct error *error)
{
	char by[64], serial[SERIAL_TEXT_MAX];
	struct ca_leaf leaf = {.dns = request->dns,
			       .lifetime_s = token->lifetime_s,
			       .not_before_s = -ISSUER_BACKDATE_S,
			       .key = request->key,
			       .issued_by = by};

	if (token->serial)
		return deliver_again(ca, token->serial, ret, error);
	if (request->dns)
		return error_set(error, EPERM, "the token gives no DNS name");
	int r = choose_identity(ca, token, request, &leaf.identity, error);
	if (r == 0)
		r = check_often(ca, leaf.identity, error);
	if (r < 0)
		return r;
	snprintf(by, sizeof(by), "token %s", token->id);
	r = ca_sign(ca, &leaf, ret, error);
	return r < 0 ? r
		     : token_burn(ca_journal(ca), token->id, certificate_serial(*ret, serial),
				  digest, clock_wall(), error);
}

// Under the lock of the journal.
static int use_token(struct ca *ca, const char *password, const struct request *request,
		     const uint8_t digest[TOKEN_DIGEST_SIZE], X509 **ret, struct error *error)
{
	struct token_record token;
	int r = token_find(ca_journal(ca), password, digest, clock_wall(), &token, error);

	if (r < 0)
		return r;
	r = enrol(ca, &token, request, digest, ret, error);
	token_record_done(&token);
	return r;
}

// Who has no token makes neither the disk nor the processor work.
static int check_token(struct ca *ca, const char *password, const uint8_t digest[TOKEN_DIGEST_SIZE],
		       struct error *error)
{
	struct token_record token;
	int r = token_find(ca_journal(ca), password, digest, clock_wall(), &token, error);

	if (r == 0)
		token_record_done(&token);
	return r;
}

int ca_enrol(struct ca *ca, const char *password, const uint8_t *der, size_t size, X509 **ret,
	     struct error *error)
{
	struct request request = {0};
	uint8_t digest[TOKEN_DIGEST_SIZE];
	X509 *certificate = NULL;

	if (!SHA256(der, size, digest))
		return error_set(error, ENOMEM, "out of memory");
	int r = check_token(ca, password, digest, error);
	if (r == 0)
		r = request_read(der, size, &request, error);
	if (r < 0)
		return r;
	r = journal_begin(ca_journal(ca), error);
	if (r == 0) {
		r = use_token(ca, password, &request, digest, &certificate, error);
		int ended = journal_end(ca_journal(ca), r == 0, r == 0 ? error : NULL);
		r = r < 0 ? r : ended;
	}
	request_done(&request);
	if (r < 0)
		X509_free(certificate);
	else
		*ret = certificate;
	return r;
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

// By the CA's own roots and clock: a gateway may trust others, too, and a connection outlives a certificate.
static int judge(struct ca *ca, X509 *old, STACK_OF(X509) * above, struct error *error)
{
	_cleanup_(trust_putp) struct trust *trust = NULL;
	_cleanup_(verdict_putp) struct verdict *verdict = NULL;
	_cleanup_(freep) char *path = NULL;

	if (asprintf(&path, "%s/trust.crt", ca_directory(ca)) < 0) {
		path = NULL;
		return error_set(error, ENOMEM, "out of memory");
	}
	struct trust_source source = {.domain = ca_domain(ca), .path = path};
	int r = trust_load(tls_library(), &source, 1, clock_wall(), &trust, error);
	if (r < 0)
		return r == -ENOMEM ? r : error_set(error, EIO, "the CA's trust.crt is not good");
	r = verify_chain(trust, old, above, VERIFY_PEER_IS_CLIENT, clock_wall(), &verdict, NULL,
			 error);
	if (r < 0 && error)
		error->code = EPERM;
	// A connection may be older than the revocation of the CA below which its certificate stands.
	return r < 0 ? -EPERM
		     : ca_denied_certificate(ca, verdict_issuer_certificate(verdict), error);
}

// Whether it ends with the certificate that issued it.
static bool was_cut(X509 *certificate, time_t end, STACK_OF(X509) * above)
{
	time_t from, to;

	for (int i = 0; above && i < sk_X509_num(above); i++) {
		X509 *issuer = sk_X509_value(above, i);
		if (X509_check_issued(issuer, certificate) == X509_V_OK &&
		    certificate_lifetime(issuer, &from, &to) == 0 && to <= end)
			return true;
	}
	return false;
}

// As long as the old one; where that was cut at the end of an issuer, as long as those before it: a certificate that was cut
// once must not make all that follow it short.
static int choose_lifetime(struct ca *ca, X509 *old, STACK_OF(X509) * above, const char *identity,
			   int64_t *ret, struct error *error)
{
	time_t from, to;
	int64_t longest = 0;

	if (certificate_lifetime(old, &from, &to) < 0)
		return error_set(error, EINVAL, "the times of the old certificate cannot be read");
	int r = was_cut(old, to, above)
			? journal_longest(ca_journal(ca), identity, LIFETIMES_SEEN, &longest, error)
			: 0;
	if (longest < to - from)
		longest = to - from;
	*ret = longest - ISSUER_BACKDATE_S;
	// One that came from another CA has a start of its own.
	if (ca_lifetime_check(*ret, NULL) < 0)
		*ret = longest;
	return r;
}

static int renew(struct ca *ca, X509 *old, STACK_OF(X509) * above, const struct request *request,
		 X509 **ret, struct error *error)
{
	_cleanup_(freep) char *identity = NULL;
	_cleanup_(freep) char *dns = dns_of(old);
	char by[SERIAL_TEXT_MAX + 16], serial[SERIAL_TEXT_MAX];

	int r = ca_denied_certificate(ca, old, error);
	if (r == 0)
		r = certificate_identity(old, &identity, error);
	if (r < 0 || !identity)
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
			       .not_before_s = -ISSUER_BACKDATE_S,
			       .key = request->key,
			       .issued_by = by};
	r = check_often(ca, identity, error);
	if (r == 0)
		r = choose_lifetime(ca, old, above, identity, &leaf.lifetime_s, error);
	return r < 0 ? r : ca_sign(ca, &leaf, ret, error);
}

int ca_renew(struct ca *ca, X509 *old, STACK_OF(X509) * above, const uint8_t *der, size_t size,
	     X509 **ret, struct error *error)
{
	struct request request = {0};
	int r = above ? judge(ca, old, above, error) : 0;

	if (r == 0)
		r = request_read(der, size, &request, error);
	if (r < 0)
		return r;
	r = renew(ca, old, above, &request, ret, error);
	request_done(&request);
	return r;
}
