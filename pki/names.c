// SPDX-License-Identifier: Apache-2.0

#include "pki/names.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/error.h"
#include "pki/extension.h"

#define EXPECTED "one URI name, the SPIFFE ID"

// OpenSSL reads more than DER allows (constructed strings, bytes after the end); another reader may see other names
// there, so only what encodes back to the same bytes is taken.
static int check_der(const X509 *certificate, const GENERAL_NAMES *names, struct error *error)
{
	int at = X509_get_ext_by_NID(certificate, NID_subject_alt_name, -1);
	const ASN1_OCTET_STRING *raw = X509_EXTENSION_get_data(X509_get_ext(certificate, at));
	unsigned char *der = NULL;
	int size = i2d_GENERAL_NAMES(names, &der);
	bool same = size >= 0 && size == ASN1_STRING_length(raw) &&
		    memcmp(der, ASN1_STRING_get0_data(raw), (size_t)size) == 0;

	OPENSSL_free(der);
	if (!same)
		return error_set(error, EINVAL, "has a subject alternative name that is not DER");
	return 0;
}

int names_read(const X509 *certificate, GENERAL_NAMES **ret, struct error *error)
{
	_cleanup_(GENERAL_NAMES_freep) GENERAL_NAMES *names = NULL;
	bool critical;

	int r = extension_read(certificate, NID_subject_alt_name, "subject alternative name",
			       (void **)&names, &critical, error);
	if (r < 0)
		return r;
	if (!names) {
		error_set(error, EINVAL, "has no subject alternative name");
		return error_expected(error, EXPECTED);
	}
	if (sk_GENERAL_NAME_num(names) > NAMES_MAX)
		return error_set(error, EINVAL, "has %d names, more than %d",
				 sk_GENERAL_NAME_num(names), NAMES_MAX);
	r = check_der(certificate, names, error);
	if (r < 0)
		return r;
	*ret = take(names);
	return 0;
}

int names_uri(const GENERAL_NAMES *names, const ASN1_STRING **ret, struct error *error)
{
	const ASN1_STRING *uri = NULL;
	unsigned uris = 0;

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		if (name->type == GEN_URI) {
			uri = name->d.uniformResourceIdentifier;
			uris++;
		}
	}
	if (uris > 1) {
		error_set(error, EINVAL, "has %u URI names", uris);
		return error_expected(error, EXPECTED);
	}
	*ret = uri;
	return 0;
}

int names_no_uri(struct error *error)
{
	error_set(error, EINVAL, "has no URI name");
	return error_expected(error, EXPECTED);
}
