// SPDX-License-Identifier: Apache-2.0

#include "pki/staple.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "pki/algorithm.h"
#include "pki/identity.h"

#define SKEW_S 300 // of the responder's clock

DEFINE_CLEANUP(OCSP_RESPONSE *, OCSP_RESPONSE_free);
DEFINE_CLEANUP(OCSP_BASICRESP *, OCSP_BASICRESP_free);
DEFINE_CLEANUP(OCSP_REQUEST *, OCSP_REQUEST_free);
DEFINE_CLEANUP(OCSP_CERTID *, OCSP_CERTID_free);
DEFINE_CLEANUP(X509_STORE *, X509_STORE_free);
DEFINE_CLEANUP(STACK_OF(X509) *, sk_X509_free);

static const char *const state_names[] = {
	[STAPLE_NONE] = "none",
	[STAPLE_GOOD] = "good",
	[STAPLE_REVOKED] = "revoked",
	[STAPLE_UNKNOWN] = "unknown",
};
static_assert(sizeof(state_names) / sizeof(state_names[0]) == STAPLE_UNKNOWN + 1,
	      "a state has no name");

const char *staple_state_name(enum staple_state state)
{
	return state_names[state];
}

static int parse(const uint8_t *der, size_t size, OCSP_BASICRESP **ret, struct error *error)
{
	const unsigned char *at = der;
	_cleanup_(OCSP_RESPONSE_freep) OCSP_RESPONSE *response = NULL;

	if (size > STAPLE_MAX)
		return error_set(error, EINVAL, "is larger than %u bytes", STAPLE_MAX);
	response = d2i_OCSP_RESPONSE(NULL, &at, (long)size);
	if (!response || at != der + size)
		return error_set(error, EINVAL, "cannot be read");
	int status = OCSP_response_status(response);
	if (status != OCSP_RESPONSE_STATUS_SUCCESSFUL)
		return error_set(error, EINVAL, "is only an excuse: %s",
				 OCSP_response_status_str(status));
	*ret = OCSP_response_get1_basic(response);
	return *ret ? 0 : error_set(error, EINVAL, "is of a kind that is not known");
}

// As for certificates: SHA-2 or Ed25519.
static int check_algorithm(const OCSP_BASICRESP *basic, struct error *error)
{
	const ASN1_OBJECT *object;
	int digest = NID_undef, key = NID_undef;

	X509_ALGOR_get0(&object, NULL, NULL, OCSP_resp_get0_tbs_sigalg(basic));
	int signature = OBJ_obj2nid(object);
	OBJ_find_sigid_algs(signature, &digest, &key);
	if (digest == NID_sha256 || digest == NID_sha384 || digest == NID_sha512 ||
	    signature == NID_ED25519)
		return 0;
	return error_set(error, EINVAL, "is signed with %s", OBJ_nid2sn(signature));
}

// A peer chooses what it brings: whoever is said to have signed must have a key of a kind that costs little to look at.
static bool has_fit_key(OCSP_BASICRESP *basic, STACK_OF(X509) * known)
{
	X509 *signer = NULL;

	return OCSP_resp_get0_signer(basic, &signer, known) == 1 &&
	       algorithm_check_key(signer, NULL) == 0;
}

// The issuer alone is trusted here: it signs itself, or its own certificate for the signer names the purpose (RFC 6960, 4.2.2.2).
static int check_signature(OCSP_BASICRESP *basic, X509 *issuer, time_t now, struct error *error)
{
	_cleanup_(X509_STORE_freep) X509_STORE *store = X509_STORE_new();
	_cleanup_(sk_X509_freep) STACK_OF(X509) *known = sk_X509_new_null();

	if (!store || !known || !X509_STORE_add_cert(store, issuer) || !sk_X509_push(known, issuer))
		return error_set(error, ENOMEM, "cannot be checked: out of memory");
	X509_VERIFY_PARAM *param = X509_STORE_get0_param(store);
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
	X509_VERIFY_PARAM_set_auth_level(param, ALGORITHM_AUTH_LEVEL);
	X509_VERIFY_PARAM_set_time(param, now);
	bool good = has_fit_key(basic, known) &&
		    OCSP_basic_verify(basic, known, store, OCSP_TRUSTOTHER | OCSP_NOEXPLICIT) == 1;
	ERR_clear_error();
	if (good)
		return check_algorithm(basic, error);
	return error_set(error, EINVAL,
			 "is not signed by the issuer, nor by whom it has appointed");
}

// The certificate's identifier hashed as in the answer; responders choose.
static OCSP_CERTID *id_like(const OCSP_CERTID *other, X509 *leaf, X509 *issuer)
{
	ASN1_OBJECT *algorithm = NULL;

	OCSP_id_get0_info(NULL, &algorithm, NULL, NULL, (OCSP_CERTID *)other);
	const EVP_MD *digest = algorithm ? EVP_get_digestbyobj(algorithm) : NULL;
	return digest ? OCSP_cert_to_id(digest, leaf, issuer) : NULL;
}

static OCSP_SINGLERESP *find_single(OCSP_BASICRESP *basic, X509 *leaf, X509 *issuer)
{
	for (int i = 0; i < OCSP_resp_count(basic); i++) {
		OCSP_SINGLERESP *single = OCSP_resp_get0(basic, i);
		const OCSP_CERTID *id = OCSP_SINGLERESP_get0_id(single);
		_cleanup_(OCSP_CERTID_freep) OCSP_CERTID *ours = id_like(id, leaf, issuer);
		if (ours && OCSP_id_cmp(id, ours) == 0)
			return single;
	}
	return NULL;
}

static bool read_time(const ASN1_GENERALIZEDTIME *value, time_t *ret)
{
	struct tm tm;

	if (!value || !ASN1_TIME_to_tm(value, &tm))
		return false;
	*ret = timegm(&tm);
	return true;
}

static int read_single(OCSP_SINGLERESP *single, time_t now, struct staple *ret, struct error *error)
{
	ASN1_GENERALIZEDTIME *revoked = NULL, *this = NULL, *next = NULL;
	struct staple staple = {0};
	int reason = OCSP_REVOKED_STATUS_NOSTATUS;

	switch (OCSP_single_get0_status(single, &reason, &revoked, &this, &next)) {
	case V_OCSP_CERTSTATUS_GOOD:
		staple.state = STAPLE_GOOD;
		break;
	case V_OCSP_CERTSTATUS_REVOKED:
		staple.state = STAPLE_REVOKED;
		staple.reason = reason == OCSP_REVOKED_STATUS_NOSTATUS
					? "no reason given"
					: OCSP_crl_reason_str(reason);
		if (!read_time(revoked, &staple.revoked_at))
			return error_set(error, EINVAL, "has unreadable times");
		break;
	default:
		staple.state = STAPLE_UNKNOWN;
		break;
	}
	if (!next)
		return error_set(error, EINVAL, "does not say how long it holds");
	if (!read_time(this, &staple.this_update) || !read_time(next, &staple.next_update) ||
	    staple.next_update < staple.this_update)
		return error_set(error, EINVAL, "has unreadable times");
	if (staple.this_update > now + SKEW_S)
		return error_set(error, EINVAL, "is from the future");
	*ret = staple;
	return 0;
}

int staple_read(const uint8_t *der, size_t size, X509 *leaf, X509 *issuer, time_t now,
		struct staple *ret, struct error *error)
{
	_cleanup_(OCSP_BASICRESP_freep) OCSP_BASICRESP *basic = NULL;

	int r = parse(der, size, &basic, error);
	ERR_clear_error();
	if (r < 0)
		return r;
	OCSP_SINGLERESP *single = find_single(basic, leaf, issuer);
	ERR_clear_error();
	if (!single)
		return error_set(error, EINVAL, "is not about this certificate");
	r = check_signature(basic, issuer, now, error);
	return r < 0 ? r : read_single(single, now, ret, error);
}

int staple_judge(const struct staple *staple, const char *identity, bool required, time_t now,
		 struct error *error)
{
	char words[32];

	if (staple->state == STAPLE_REVOKED) {
		error_set(error, EKEYREVOKED,
			  "certificate of %.*s was revoked %s ago, says its OCSP answer (%s)",
			  IDENTITY_SHOWN_MAX, identity,
			  clock_words(now - staple->revoked_at, words, sizeof(words)),
			  staple->reason);
		error_remedy(error, "it must get a new one from the CA");
		return -EKEYREVOKED;
	}
	if (!required)
		return 0;
	if (staple->state == STAPLE_NONE)
		error_set(error, EACCES, "%.*s brought no OCSP answer about its certificate",
			  IDENTITY_SHOWN_MAX, identity);
	else if (staple->state == STAPLE_UNKNOWN)
		error_set(error, EACCES, "the OCSP responder does not know the certificate of %.*s",
			  IDENTITY_SHOWN_MAX, identity);
	else if (staple->next_update <= now)
		error_set(error, EACCES, "OCSP answer about the certificate of %.*s expired %s ago",
			  IDENTITY_SHOWN_MAX, identity,
			  clock_words(now - staple->next_update, words, sizeof(words)));
	else
		return 0;
	error_expected(error, "an answer that says \"good\": its trust domain requires one here");
	error_remedy(error, "set node.staple or node.responder at the peer");
	return -EACCES;
}

int staple_request(X509 *leaf, X509 *issuer, uint8_t **ret, size_t *ret_size)
{
	_cleanup_(OCSP_REQUEST_freep) OCSP_REQUEST *request = OCSP_REQUEST_new();
	// SHA-1 is what every responder knows (RFC 5019, 2.1.1); nothing rests on its strength here.
	OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), leaf, issuer);
	unsigned char *der = NULL;

	if (!request || !id || !OCSP_request_add0_id(request, id)) {
		OCSP_CERTID_free(id);
		return -ENOMEM;
	}
	int size = i2d_OCSP_REQUEST(request, &der);
	uint8_t *copy = size > 0 ? malloc((size_t)size) : NULL;
	if (copy)
		memcpy(copy, der, (size_t)size);
	OPENSSL_free(der);
	if (!copy)
		return -ENOMEM;
	*ret = copy;
	*ret_size = (size_t)size;
	return 0;
}
