// SPDX-License-Identifier: Apache-2.0
// X509_V_FLAG_CRL_CHECK_ALL without X509_V_FLAG_CRL_CHECK checks nothing: a revoked leaf passes beside the list that names it.
// Why revocation has a table of its own (pki/revocation.h).

#include "platform/platform.h"

static X509_CRL *list(const struct identity *ca, const X509 *revoked)
{
	X509_CRL *crl = X509_CRL_new();
	X509_REVOKED *entry = X509_REVOKED_new();
	ASN1_TIME *now = X509_gmtime_adj(NULL, -60), *next = X509_gmtime_adj(NULL, 3600);

	X509_CRL_set_version(crl, X509_CRL_VERSION_2);
	X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca->certificate));
	X509_CRL_set1_lastUpdate(crl, now);
	X509_CRL_set1_nextUpdate(crl, next);
	X509_REVOKED_set_serialNumber(entry, (ASN1_INTEGER *)X509_get0_serialNumber(revoked));
	X509_REVOKED_set_revocationDate(entry, now);
	X509_CRL_add0_revoked(crl, entry);
	expect(X509_CRL_sign(crl, ca->key, EVP_sha256()) > 0);
	ASN1_TIME_free(now);
	ASN1_TIME_free(next);
	return crl;
}

int main(void)
{
	struct identity ca = platform_ca("ca", NULL);
	X509 *leaf = platform_issue(&ca, "leaf", &(struct extensions){0}, 3600).certificate;
	X509_CRL *crl = list(&ca, leaf);
	unsigned long one = X509_V_FLAG_CRL_CHECK, all = X509_V_FLAG_CRL_CHECK_ALL;

	expect(platform_verify(&ca, leaf, crl, all, 0) == X509_V_OK);
	expect(platform_verify(&ca, leaf, NULL, all, 0) == X509_V_OK);
	expect(platform_verify(&ca, leaf, crl, one | all, 0) == X509_V_ERR_CERT_REVOKED);
	expect(platform_verify(&ca, leaf, NULL, one, 0) == X509_V_ERR_UNABLE_TO_GET_CRL);
	return 0;
}
