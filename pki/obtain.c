// SPDX-License-Identifier: Apache-2.0

#include "pki/obtain.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "pki/certificate.h"
#include "pki/est_client.h"
#include "pki/identity.h"
#include "pki/pem.h"
#include "pki/profile.h"
#include "pki/request.h"
#include "pki/verify.h"

#define ATTEMPTS 3 // for an answer that was lost: the CA gives the same one again

static void stack_freep(STACK_OF(X509) * *stack)
{
	sk_X509_pop_free(*stack, X509_free);
}

void obtained_done(struct obtained *obtained)
{
	EVP_PKEY_free(obtained->key);
	X509_free(obtained->leaf);
	sk_X509_pop_free(obtained->above, X509_free);
	*obtained = (struct obtained){0};
}

// The one for our key, wherever it stands, and those above it; roots are for the trust file.
static int sort_out(STACK_OF(X509) * stack, struct obtained *obtained)
{
	obtained->above = sk_X509_new_null();
	if (!obtained->above)
		return -ENOMEM;
	for (int i = 0; i < sk_X509_num(stack); i++) {
		X509 *certificate = sk_X509_value(stack, i);
		bool ours = EVP_PKEY_eq(X509_get0_pubkey(certificate), obtained->key) == 1;
		if (X509_self_signed(certificate, 0) == 1 || (ours && obtained->leaf))
			continue;
		X509_up_ref(certificate);
		if (ours) {
			obtained->leaf = certificate;
		} else if (!sk_X509_push(obtained->above, certificate)) {
			X509_free(certificate);
			return -ENOMEM;
		}
	}
	return obtained->leaf ? 0 : -EBADMSG;
}

static int check_times(const struct obtained *obtained, time_t now, struct error *error)
{
	time_t from, to;
	char words[32];

	if (certificate_lifetime(obtained->leaf, &from, &to) < 0)
		return error_set(error, EBADMSG, "the times of the new certificate cannot be read");
	if (from <= now && to > now)
		return 0;
	error_set(error, EKEYEXPIRED,
		  from > now ? "the new certificate is not valid yet: this clock is %s behind"
			     : "the new certificate expired %s ago: this clock is ahead, or the "
			       "CA's behind",
		  clock_words(from > now ? from - now : now - to, words, sizeof(words)));
	return error_remedy(error, "set this machine's clock");
}

static int check(const struct obtained *obtained, const char *identity, struct trust *trust,
		 time_t now, struct error *error)
{
	static const enum verify_role roles[] = {VERIFY_PEER_IS_CLIENT, VERIFY_PEER_IS_SERVER};

	int r = check_times(obtained, now, error);
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

int obtain(const struct est_client *client, const char *identity, struct trust *trust, time_t now,
	   struct obtained *ret, unsigned *ret_retry_after_s, struct error *error)
{
	_cleanup_(obtained_done) struct obtained obtained = {0};
	_cleanup_(stack_freep) STACK_OF(X509) *stack = NULL;
	_cleanup_(freep) uint8_t *request = NULL;
	size_t size;

	*ret_retry_after_s = 0;
	int r = profile_key(&obtained.key, error);
	if (r == 0)
		r = request_make(obtained.key, identity, NULL, &request, &size, error);
	if (r < 0)
		return r;
	for (int i = 0; i < ATTEMPTS; i++) {
		r = est_enroll(client, client->credential, request, size, &stack, ret_retry_after_s,
			       error);
		if (r != -EHOSTUNREACH)
			break;
	}
	if (r < 0)
		return r;
	r = sort_out(stack, &obtained);
	if (r < 0)
		return error_set(error, -r,
				 r == -ENOMEM ? "out of memory"
					      : "no certificate for our key came");
	r = check(&obtained, identity, trust, now, error);
	if (r < 0)
		return r;
	*ret = obtained;
	obtained = (struct obtained){0};
	return 0;
}

int obtained_write(const struct obtained *obtained, const char *path, struct error *error)
{
	return pem_write_pair(path, obtained->leaf, obtained->above, obtained->key, error);
}
