// SPDX-License-Identifier: Apache-2.0
// The order of the judgement: sizes, leaf rules (cheap, and they name the peer), the store of the peer's own trust domain,
// path validation (pki/path.h), then pins and revocation. No step looks at the subject's common name.

#include "pki/verify.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/x509v3.h>

#include "base/error.h"
#include "pki/identity.h"
#include "pki/path.h"
#include "pki/pins.h"
#include "pki/reason.h"
#include "pki/revocation.h"
#include "pki/staple.h"
#include "pki/trust.h"

static_assert(PATH_INTERMEDIATES_MAX == CHAIN_LENGTH_MAX - 1, "a peer sends its leaf, too");

struct verdict {
	atomic_uint references;
	enum verify_role role;
	char *identity;
	X509 *leaf;
	STACK_OF(X509) * untrusted; // the intermediates as the peer sent them
	char serial[SERIAL_TEXT_MAX];
	struct revocation_chain chain;
	time_t not_after;
	time_t leaf_not_after;
	X509 *issuer_certificate;
	struct staple staple;
};

DEFINE_CLEANUP(X509_STORE_CTX *, X509_STORE_CTX_free);

static int check_sizes(STACK_OF(X509) * untrusted, int *code, struct error *error)
{
	int count = untrusted ? sk_X509_num(untrusted) : 0;

	if (count > PATH_INTERMEDIATES_MAX) {
		*code = X509_V_ERR_CERT_CHAIN_TOO_LONG;
		error_set(error, EACCES, "the peer sent %d certificates", count + 1);
		error_expected(error, "at most %d", CHAIN_LENGTH_MAX);
		return -EACCES;
	}
	for (int i = 0; i < count; i++) {
		if (i2d_X509(sk_X509_value(untrusted, i), NULL) <= CERTIFICATE_MAX)
			continue;
		*code = X509_V_ERR_CERT_REJECTED;
		return error_set(error, EACCES,
				 "the peer sent a CA certificate of more than %d "
				 "bytes",
				 CERTIFICATE_MAX);
	}
	return 0;
}

// The code is turned into the one the caller's callers know; the sentence stays.
static int refused(struct error *error)
{
	if (error)
		error->code = EACCES;
	return -EACCES;
}

static int earliest_end(STACK_OF(X509) * chain, time_t *ret, time_t *ret_leaf)
{
	time_t not_before, not_after, earliest = 0, leaf = 0;

	for (int i = 0; i < sk_X509_num(chain); i++) {
		if (certificate_lifetime(sk_X509_value(chain, i), &not_before, &not_after) < 0)
			return -EINVAL;
		if (i == 0)
			leaf = not_after;
		if (i == 0 || not_after < earliest)
			earliest = not_after;
	}
	*ret = earliest;
	*ret_leaf = leaf;
	return 0;
}

static int verdict_new(X509 *leaf, STACK_OF(X509) * untrusted, STACK_OF(X509) * chain,
		       enum verify_role role, struct verdict **ret)
{
	_cleanup_(verdict_putp) struct verdict *verdict = calloc(1, sizeof(*verdict));

	if (!verdict)
		return -ENOMEM;
	atomic_init(&verdict->references, 1);
	verdict->role = role;
	X509_up_ref(leaf);
	verdict->leaf = leaf;
	// The anchor, which is above everything else, is never a leaf.
	verdict->issuer_certificate = sk_X509_value(chain, 1);
	if (!verdict->issuer_certificate || !X509_up_ref(verdict->issuer_certificate)) {
		verdict->issuer_certificate = NULL;
		return -EINVAL;
	}
	verdict->untrusted = untrusted ? X509_chain_up_ref(untrusted) : sk_X509_new_null();
	if (!verdict->untrusted)
		return -ENOMEM;
	certificate_serial(leaf, verdict->serial);
	if (revocation_chain(chain, &verdict->chain) < 0 ||
	    earliest_end(chain, &verdict->not_after, &verdict->leaf_not_after) < 0)
		return -EINVAL;
	*ret = take(verdict);
	return 0;
}

int verdict_revoked(const struct verdict *verdict, const struct trust *trust, time_t now,
		    struct error *error)
{
	return revocation_check(trust_revocation(trust), verdict->identity, &verdict->chain, now,
				error) < 0
		       ? refused(error)
		       : 0;
}

static int judge(const struct trust *trust, X509 *leaf, STACK_OF(X509) * untrusted,
		 enum verify_role role, time_t now, struct verdict **ret, int *code,
		 struct error *error)
{
	_cleanup_(X509_STORE_CTX_freep) X509_STORE_CTX *store = NULL;
	_cleanup_(freep) char *identity = NULL;
	_cleanup_(verdict_putp) struct verdict *verdict = NULL;
	const char *domain;

	int r = check_sizes(untrusted, code, error);
	if (r < 0)
		return r;
	*code = X509_V_ERR_CERT_REJECTED;
	if (certificate_check_leaf(leaf, trust_mapping(trust), &identity, error) < 0)
		return refused(error);

	size_t length = identity_domain(identity, &domain);
	X509_STORE *anchors = trust_store(trust, domain, length);
	if (!anchors) {
		char known[160];
		*code = X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY;
		error_set(error, EACCES, "trust domain of %.*s is not trusted here",
			  IDENTITY_SHOWN_MAX, identity);
		error_expected(error, "%s", trust_domains(trust, known, sizeof(known)));
		return -EACCES;
	}

	*code = X509_V_ERR_OUT_OF_MEM;
	store = X509_STORE_CTX_new_ex(trust_library(trust), NULL);
	if (!store || !X509_STORE_CTX_init(store, anchors, leaf, untrusted))
		return error_set(error, EACCES, "out of memory");
	struct reason_context context = {identity, domain, length,
					 trust_domain_count(trust, domain, length), now};
	r = path_check(store, &context,
		       role == VERIFY_PEER_IS_CLIENT ? X509_PURPOSE_SSL_CLIENT
						     : X509_PURPOSE_SSL_SERVER,
		       code, error);
	if (r < 0)
		return r;
	*code = X509_V_ERR_UNSPECIFIED;
	if (verdict_new(leaf, untrusted, X509_STORE_CTX_get0_chain(store), role, &verdict) < 0)
		return error_set(error, EACCES, "certificate of %.*s cannot be kept",
				 IDENTITY_SHOWN_MAX, identity);
	verdict->identity = take(identity);
	*code = X509_V_ERR_CERT_REJECTED;
	if (pins_check(trust_pins(trust), verdict->identity, &verdict->chain, error) < 0)
		return -EACCES;
	*code = X509_V_ERR_CERT_REVOKED;
	if (verdict_revoked(verdict, trust, now, error) < 0)
		return -EACCES;
	*ret = take(verdict);
	*code = X509_V_OK;
	return 0;
}

int verify_chain(const struct trust *trust, X509 *leaf, STACK_OF(X509) * untrusted,
		 enum verify_role role, time_t now, struct verdict **ret, int *ret_x509,
		 struct error *error)
{
	int code = X509_V_ERR_UNSPECIFIED;
	int r = judge(trust, leaf, untrusted, role, now, ret, &code, error);

	if (ret_x509)
		*ret_x509 = code;
	return r;
}

STACK_OF(X509) * verify_above(X509_STORE_CTX *store)
{
	STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(store);
	STACK_OF(X509) *rest = sent ? sk_X509_dup(sent) : sk_X509_new_null();

	if (rest && sk_X509_value(rest, 0) == X509_STORE_CTX_get0_cert(store))
		sk_X509_shift(rest);
	return rest;
}

// A fresh verdict takes over what was said of the certificate.
static int keep_staple(const struct trust *trust, struct verdict *verdict,
		       const struct staple *staple, time_t now, struct error *error)
{
	const char *domain;
	size_t length = identity_domain(verdict->identity, &domain);
	bool required = trust_requires_staple(trust, domain, length);

	verdict->staple = *staple;
	if (required && staple->next_update < verdict->not_after)
		verdict->not_after = staple->next_update;
	return staple_judge(staple, verdict->identity, required, now, error);
}

int verify_again(const struct trust *trust, const struct verdict *verdict, time_t now,
		 struct verdict **ret, struct error *error)
{
	_cleanup_(verdict_putp) struct verdict *again = NULL;
	int r = verify_chain(trust, verdict->leaf, verdict->untrusted, verdict->role, now, &again,
			     NULL, error);

	if (!again)
		return r;
	r = keep_staple(trust, again, &verdict->staple, now, error);
	if (r == 0)
		*ret = take(again);
	return r;
}

static struct verdict *verdict_copy(const struct verdict *verdict)
{
	struct verdict *copy = malloc(sizeof(*copy));

	if (!copy)
		return NULL;
	*copy = *verdict;
	atomic_init(&copy->references, 1);
	X509_up_ref(copy->leaf);
	X509_up_ref(copy->issuer_certificate);
	copy->identity = strdup(verdict->identity);
	copy->untrusted = X509_chain_up_ref(verdict->untrusted);
	return copy->identity && copy->untrusted ? copy : verdict_put(copy);
}

int verify_staple(const struct trust *trust, const struct verdict *verdict, const uint8_t *der,
		  size_t size, time_t now, struct verdict **ret, struct error *error)
{
	_cleanup_(verdict_putp) struct verdict *stapled = verdict_copy(verdict);
	struct staple staple = {0};

	if (!stapled)
		return error_set(error, EACCES, "out of memory");
	if (der)
		staple_read(der, size, verdict->leaf, verdict->issuer_certificate, now, &staple,
			    NULL);
	int r = keep_staple(trust, stapled, &staple, now, error);
	if (r == 0)
		*ret = take(stapled);
	return r;
}

bool verdict_same_leaf(const struct verdict *verdict, const struct verdict *other)
{
	return other && X509_cmp(verdict->leaf, other->leaf) == 0;
}

struct verdict *verdict_get(struct verdict *verdict)
{
	atomic_fetch_add_explicit(&verdict->references, 1, memory_order_relaxed);
	return verdict;
}

struct verdict *verdict_put(struct verdict *verdict)
{
	if (!verdict ||
	    atomic_fetch_sub_explicit(&verdict->references, 1, memory_order_acq_rel) != 1)
		return NULL;
	free(verdict->identity);
	X509_free(verdict->leaf);
	X509_free(verdict->issuer_certificate);
	sk_X509_pop_free(verdict->untrusted, X509_free);
	free(verdict);
	return NULL;
}

X509 *verdict_leaf(const struct verdict *verdict)
{
	return verdict->leaf;
}

const char *verdict_identity(const struct verdict *verdict)
{
	return verdict->identity;
}

const char *verdict_serial(const struct verdict *verdict)
{
	return verdict->serial;
}

const uint8_t *verdict_spki_hash(const struct verdict *verdict)
{
	return verdict->chain.links[0].key;
}

time_t verdict_not_after(const struct verdict *verdict)
{
	return verdict->not_after;
}

time_t verdict_leaf_not_after(const struct verdict *verdict)
{
	return verdict->leaf_not_after;
}

STACK_OF(X509) * verdict_above(const struct verdict *verdict)
{
	return verdict->untrusted;
}

X509 *verdict_issuer_certificate(const struct verdict *verdict)
{
	return verdict->issuer_certificate;
}

const struct staple *verdict_staple(const struct verdict *verdict)
{
	return &verdict->staple;
}
