// SPDX-License-Identifier: Apache-2.0

#include "pki/obtain.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/x509v3.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "pki/ca.h"
#include "pki/ca_enrol.h"
#include "pki/certificate.h"
#include "pki/est_client.h"
#include "pki/identity.h"
#include "pki/pem.h"
#include "pki/pending.h"
#include "pki/profile.h"
#include "pki/request.h"
#include "pki/verify.h"

#define ATTEMPTS 3 // for an answer that was lost: the CA gives the same one again

void obtained_done(struct obtained *obtained)
{
	EVP_PKEY_free(obtained->key);
	X509_free(obtained->leaf);
	sk_X509_pop_free(obtained->above, X509_free);
	*obtained = (struct obtained){0};
}

// Roots are for the trust file. In a roll-over two may have signed each other: none stands in a chain twice.
static X509 *find_issuer(STACK_OF(X509) * pool, X509 *certificate, STACK_OF(X509) * below)
{
	for (int i = 0; i < sk_X509_num(pool); i++) {
		X509 *issuer = sk_X509_value(pool, i);
		bool seen = issuer == certificate;
		for (int j = 0; j < sk_X509_num(below); j++)
			seen |= X509_cmp(issuer, sk_X509_value(below, j)) == 0;
		if (!seen && X509_check_issued(issuer, certificate) == X509_V_OK &&
		    X509_self_signed(issuer, 0) != 1)
			return issuer;
	}
	return NULL;
}

// The one for our key, wherever it stands, and the way up from it.
static int sort_out(STACK_OF(X509) * pool, struct obtained *obtained)
{
	X509 *top = NULL;

	for (int i = 0; !top && i < sk_X509_num(pool); i++)
		if (EVP_PKEY_eq(X509_get0_pubkey(sk_X509_value(pool, i)), obtained->key) == 1)
			top = sk_X509_value(pool, i);
	if (!top)
		return -EBADMSG;
	X509_free(obtained->leaf);
	sk_X509_pop_free(obtained->above, X509_free);
	X509_up_ref(top);
	obtained->leaf = top;
	obtained->above = sk_X509_new_null();
	if (!obtained->above)
		return -ENOMEM;
	while ((top = find_issuer(pool, top, obtained->above))) {
		X509_up_ref(top);
		if (!sk_X509_push(obtained->above, top)) {
			X509_free(top);
			return -ENOMEM;
		}
	}
	return 0;
}

int obtained_check_begun(const struct obtained *obtained, time_t now, struct error *error)
{
	char words[32];

	if (obtained->not_before <= now)
		return 0;
	error_set(error, EAGAIN, "the new certificate is not valid yet: this clock is %s behind",
		  clock_words(obtained->not_before - now, words, sizeof(words)));
	error_remedy(error, "set this machine's clock");
	return -EAGAIN;
}

static int check_times(struct obtained *obtained, time_t now, struct error *error)
{
	char words[32];

	if (certificate_lifetime(obtained->leaf, &obtained->not_before, &obtained->not_after) < 0)
		return error_set(error, EBADMSG, "the times of the new certificate cannot be read");
	if (obtained->not_after > now)
		return 0;
	error_set(error, EKEYEXPIRED,
		  "the new certificate expired %s ago: this clock is ahead, or the CA's behind",
		  clock_words(now - obtained->not_after, words, sizeof(words)));
	return error_remedy(error, "set this machine's clock");
}

static int check(struct obtained *obtained, const char *identity, struct trust *trust, time_t now,
		 struct error *error)
{
	static const enum verify_role roles[] = {VERIFY_PEER_IS_CLIENT, VERIFY_PEER_IS_SERVER};

	int r = check_times(obtained, now, error);
	if (r == 0 && obtained->not_before > now)
		now = obtained->not_before;
	for (unsigned i = 0; r == 0 && i < 2; i++) {
		_cleanup_(verdict_putp) struct verdict *verdict = NULL;
		r = verify_chain(trust, obtained->leaf, obtained->above, roles[i], now, &verdict,
				 NULL, error);
		if (r < 0 && error)
			error->code = EBADMSG;
		if (r < 0)
			return -EBADMSG;
		if (identity && strcmp(identity, verdict_identity(verdict)) != 0)
			return error_set(error, EBADMSG,
					 "the new certificate is for %.*s, not for %.*s",
					 IDENTITY_SHOWN_MAX, verdict_identity(verdict),
					 IDENTITY_SHOWN_MAX, identity);
	}
	return r;
}

// A new key, and the request that is signed with it.
static int begin(struct obtained *obtained, const char *identity, uint8_t **ret, size_t *ret_size,
		 struct error *error)
{
	int r = profile_key(&obtained->key, error);

	return r < 0 ? r : request_make(obtained->key, identity, NULL, ret, ret_size, error);
}

// Takes what came apart and judges it.
static int finish(struct obtained *obtained, STACK_OF(X509) * stack, const char *identity,
		  struct trust *trust, time_t now, struct obtained *ret, struct error *error)
{
	int r = sort_out(stack, obtained);

	if (r < 0)
		return error_set(error, -r,
				 r == -ENOMEM ? "out of memory"
					      : "no certificate for our key came");
	r = check(obtained, identity, trust, now, error);
	if (r < 0)
		return r;
	*ret = *obtained;
	*obtained = (struct obtained){0};
	return 0;
}

// Many servers send the new certificate alone (RFC 7030, 4.2.3): what is above it is then among the CA certificates.
static int complete(const struct est_client *client, STACK_OF(X509) * stack,
		    struct obtained *obtained)
{
	_cleanup_(certificates_freep) STACK_OF(X509) *more = NULL;
	int r = sort_out(stack, obtained);

	if (r < 0 || sk_X509_num(obtained->above) > 0)
		return 0; // is told below
	if (est_cacerts(client, &more, NULL) < 0)
		return 0;
	while (sk_X509_num(more) > 0) {
		X509 *certificate = sk_X509_shift(more);
		if (!sk_X509_push(stack, certificate)) {
			X509_free(certificate);
			return -ENOMEM;
		}
	}
	return 0;
}

// Asks, and again where nothing came back: the CA may have signed, and gives the same once more.
static int ask(const struct est_client *client, struct obtained *obtained, const uint8_t *request,
	       size_t size, const char *identity, struct trust *trust, time_t now,
	       struct obtained *ret, struct est_meta *ret_meta, struct error *error)
{
	_cleanup_(certificates_freep) STACK_OF(X509) *stack = NULL;
	int r = -EHOSTUNREACH;

	for (int i = 0; i < ATTEMPTS && r == -EHOSTUNREACH; i++)
		r = est_enroll(client, client->credential, request, size, &stack, ret_meta, error);
	if (r == 0)
		r = complete(client, stack, obtained);
	return r < 0 ? r : finish(obtained, stack, identity, trust, now, ret, error);
}

int obtain(const struct est_client *client, const char *identity, struct trust *trust, time_t now,
	   struct obtained *ret, struct est_meta *ret_meta, struct error *error)
{
	_cleanup_(obtained_done) struct obtained obtained = {0};
	_cleanup_(freep) uint8_t *request = NULL;
	size_t size;

	*ret_meta = (struct est_meta){0};
	int r = begin(&obtained, identity, &request, &size, error);
	return r < 0 ? r
		     : ask(client, &obtained, request, size, identity, trust, now, ret, ret_meta,
			   error);
}

int obtain_pending(const struct est_client *client, const struct pending *pending,
		   const char *identity, struct trust *trust, time_t now, struct obtained *ret,
		   struct est_meta *ret_meta, struct error *error)
{
	_cleanup_(obtained_done) struct obtained obtained = {.key = pending->key};

	EVP_PKEY_up_ref(pending->key);
	return ask(client, &obtained, pending->request, pending->size, identity, trust, now, ret,
		   ret_meta, error);
}

static int sign_here(const char *directory, const char *passphrase_path, X509 *old,
		     const uint8_t *request, size_t size, STACK_OF(X509) * stack,
		     struct error *error)
{
	_cleanup_(ca_closep) struct ca *ca = NULL;
	X509 *leaf = NULL;

	int r = ca_open(directory, &ca, error);
	if (r == 0)
		r = ca_unlock(ca, passphrase_path, error);
	if (r == 0)
		r = ca_renew(ca, old, NULL, request, size, &leaf, error);
	if (r < 0)
		return r;
	if (!sk_X509_push(stack, leaf)) {
		X509_free(leaf);
		return error_set(error, ENOMEM, "out of memory");
	}
	return ca_push_chain(ca, stack) < 0 ? error_set(error, ENOMEM, "out of memory") : 0;
}

int obtain_here(const char *directory, const char *passphrase_path, X509 *old, struct trust *trust,
		time_t now, struct obtained *ret, struct error *error)
{
	_cleanup_(obtained_done) struct obtained obtained = {0};
	_cleanup_(certificates_freep) STACK_OF(X509) *stack = sk_X509_new_null();
	_cleanup_(freep) uint8_t *request = NULL;
	_cleanup_(freep) char *identity = NULL;
	size_t size;

	int r = certificate_identity(old, &identity, error);
	if (r == 0)
		r = begin(&obtained, identity, &request, &size, error);
	if (r == 0 && !stack)
		r = error_set(error, ENOMEM, "out of memory");
	if (r == 0)
		r = sign_here(directory, passphrase_path, old, request, size, stack, error);
	return r < 0 ? r : finish(&obtained, stack, identity, trust, now, ret, error);
}

int obtained_write(const struct obtained *obtained, const char *path, struct error *error)
{
	return pem_write_pair(path, obtained->leaf, obtained->above, obtained->key, error);
}
