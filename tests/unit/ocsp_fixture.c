// SPDX-License-Identifier: Apache-2.0

#include "unit/ocsp_fixture.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <openssl/ocsp.h>

#include "base/clock.h"
#include "unit/must.h"

static const EVP_MD *digest_or(const char *name, const char *fallback)
{
	const EVP_MD *digest = EVP_get_digestbyname(name ? name : fallback);

	must(digest);
	return digest;
}

static void sign(OCSP_BASICRESP *basic, const struct fixture *signer, const struct fixture *issuer,
		 const char *digest)
{
	bool pure = EVP_PKEY_is_a(signer->key, "ED25519");
	// The issuer's own certificate need not travel with its answer; that of one whom it appointed must.
	unsigned long flags = signer == issuer ? OCSP_NOCERTS : 0;

	must(OCSP_basic_sign(basic, signer->certificate, signer->key,
			     pure ? NULL : digest_or(digest, "SHA256"), NULL, flags) == 1);
}

uint8_t *ocsp_answer(const struct fixture *leaf, const struct ocsp_options *options,
		     size_t *ret_size)
{
	const struct fixture *about = options->about ? options->about : leaf;
	const struct fixture *signer = options->signer ? options->signer : leaf->issuer;
	bool usual = options->this_s == 0 && options->next_s == 0;
	time_t now = clock_wall();
	ASN1_TIME *this = ASN1_TIME_set(NULL, now + (usual ? -60 : options->this_s));
	ASN1_TIME *next = ASN1_TIME_set(NULL, now + (usual ? 3600 : options->next_s));
	ASN1_TIME *revoked = ASN1_TIME_set(NULL, now + options->revoked_s);
	OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
	OCSP_CERTID *id = OCSP_cert_to_id(digest_or(options->id_digest, "SHA1"), about->certificate,
					  about->issuer->certificate);
	unsigned char *der = NULL;

	must(basic && id && this && next && revoked);
	must(OCSP_basic_add1_status(basic, id, options->status, options->reason,
				    options->status == V_OCSP_CERTSTATUS_REVOKED ? revoked : NULL,
				    this, options->times < 0 ? NULL : next));
	sign(basic, signer, leaf->issuer, options->digest);
	OCSP_RESPONSE *response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
	int size = response ? i2d_OCSP_RESPONSE(response, &der) : -1;
	must(size > 0);
	uint8_t *copy = malloc((size_t)size);
	must(copy);
	memcpy(copy, der, (size_t)size);
	*ret_size = (size_t)size;
	OPENSSL_free(der);
	OCSP_RESPONSE_free(response);
	OCSP_BASICRESP_free(basic);
	OCSP_CERTID_free(id);
	ASN1_TIME_free(this);
	ASN1_TIME_free(next);
	ASN1_TIME_free(revoked);
	return copy;
}
