// SPDX-License-Identifier: Apache-2.0

#include "pki/request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "pki/algorithm.h"
#include "pki/identity.h"
#include "pki/profile.h"
#include "pki/tls.h"

DEFINE_CLEANUP(X509_REQ *, X509_REQ_free);
DEFINE_CLEANUP(EVP_MD *, EVP_MD_free);
DEFINE_CLEANUP(GENERAL_NAMES *, GENERAL_NAMES_free);

static void extensions_freep(STACK_OF(X509_EXTENSION) * *extensions)
{
	sk_X509_EXTENSION_pop_free(*extensions, X509_EXTENSION_free);
}

// Both names are checked before: none of their characters means anything to x509v3_config(5).
static bool add_names(X509_REQ *request, const char *identity, const char *dns)
{
	_cleanup_(extensions_freep) STACK_OF(X509_EXTENSION) *extensions =
		sk_X509_EXTENSION_new_null();
	_cleanup_(freep) char *value = NULL;
	X509V3_CTX context;

	if (asprintf(&value, "%s%s%s%s%s", identity ? "URI:" : "", identity ? identity : "",
		     identity && dns ? "," : "", dns ? "DNS:" : "", dns ? dns : "") < 0) {
		value = NULL;
		return false;
	}
	X509V3_set_ctx(&context, NULL, NULL, request, NULL, 0);
	X509V3_set_ctx_nodb(&context);
	X509_EXTENSION *names = X509V3_EXT_nconf_nid(NULL, &context, NID_subject_alt_name, value);
	if (!extensions || !names || !sk_X509_EXTENSION_push(extensions, names)) {
		X509_EXTENSION_free(names);
		return false;
	}
	return X509_REQ_add_extensions(request, extensions) == 1;
}

int request_make(EVP_PKEY *key, const char *identity, const char *dns, uint8_t **ret,
		 size_t *ret_size, struct error *error)
{
	_cleanup_(X509_REQ_freep) X509_REQ *request = X509_REQ_new_ex(tls_library(), NULL);
	_cleanup_(EVP_MD_freep) EVP_MD *digest = EVP_MD_fetch(tls_library(), "SHA256", NULL);
	unsigned char *der = NULL;

	// Ed25519 has its digest within.
	bool good = request && digest && X509_REQ_set_version(request, X509_REQ_VERSION_1) == 1 &&
		    X509_REQ_set_pubkey(request, key) == 1 &&
		    (!(identity || dns) || add_names(request, identity, dns)) &&
		    X509_REQ_sign(request, key, EVP_PKEY_is_a(key, "ED25519") ? NULL : digest) > 0;
	int size = good ? i2d_X509_REQ(request, &der) : -1;
	ERR_clear_error();
	if (size < 0)
		return error_set(error, EIO, "the certificate request could not be made");
	*ret = malloc((size_t)size);
	if (*ret)
		memcpy(*ret, der, (size_t)size);
	*ret_size = (size_t)size;
	OPENSSL_free(der);
	return *ret ? 0 : error_set(error, ENOMEM, "out of memory");
}

// One name of a kind, new. `*ret` holds the one before, if there was one.
static int take_name(const ASN1_IA5STRING *name, char **ret, struct error *error)
{
	const char *text = (const char *)ASN1_STRING_get0_data(name);
	size_t size = (size_t)ASN1_STRING_length(name);

	if (*ret)
		return error_set(error, EINVAL, "the request asks for several names of one kind");
	if (memchr(text, '\0', size))
		return error_set(error, EINVAL, "a name in the request holds a NUL");
	*ret = strndup(text, size);
	return *ret ? 0 : error_set(error, ENOMEM, "out of memory");
}

static int read_names(X509_REQ *source, struct request *request, struct error *error)
{
	_cleanup_(extensions_freep) STACK_OF(X509_EXTENSION) *extensions =
		X509_REQ_get_extensions(source);
	int several = -1;
	_cleanup_(GENERAL_NAMES_freep) GENERAL_NAMES *names =
		X509V3_get_d2i(extensions, NID_subject_alt_name, &several, NULL);
	_cleanup_(freep) char *uri = NULL;
	int r = 0;

	if (!names && several != -1)
		return error_set(error, EINVAL, "the names in the request cannot be read");
	for (int i = 0; r == 0 && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		if (name->type == GEN_URI)
			r = take_name(name->d.uniformResourceIdentifier, &uri, error);
		else if (name->type == GEN_DNS)
			r = take_name(name->d.dNSName, &request->dns, error);
		else
			r = error_set(error, EINVAL,
				      "the request asks for a name that is neither URI nor DNS");
	}
	if (r == 0 && uri)
		r = identity_parse(uri, strlen(uri), &request->identity, error);
	if (r == 0 && request->dns)
		r = profile_dns_check(request->dns, error);
	return r;
}

// The kind of key first: with others a signature can take long to check.
static int check_key(X509_REQ *source, struct error *error)
{
	struct error unfit = {0};

	if (algorithm_check_public(X509_REQ_get_X509_PUBKEY(source), &unfit) < 0)
		return error_set(error, EINVAL, "the request %s", unfit.what);
	if (X509_REQ_verify_ex(source, X509_REQ_get0_pubkey(source), tls_library(), NULL) != 1)
		return error_set(error, EINVAL, "the request is not signed with its own key");
	return 0;
}

int request_read(const uint8_t *der, size_t size, struct request *ret, struct error *error)
{
	_cleanup_(X509_REQ_freep) X509_REQ *source = NULL;
	const unsigned char *at = der;
	struct request request = {0};
	X509_REQ *empty = X509_REQ_new_ex(tls_library(), NULL);

	// A reused object keeps its library context; where decoding fails it is freed.
	source = size <= REQUEST_MAX && empty ? d2i_X509_REQ(&empty, &at, (long)size) : NULL;
	if (!source)
		X509_REQ_free(empty);
	ERR_clear_error();
	if (!source || at != der + size)
		return error_set(error, EINVAL, "this is not a certificate request (PKCS#10)");
	int r = check_key(source, error);
	if (r == 0)
		r = read_names(source, &request, error);
	ERR_clear_error();
	if (r < 0) {
		request_done(&request);
		return r;
	}
	request.key = X509_REQ_get_pubkey(source);
	if (!request.key) {
		request_done(&request);
		return error_set(error, ENOMEM, "out of memory");
	}
	*ret = request;
	return 0;
}

void request_done(struct request *request)
{
	EVP_PKEY_free(request->key);
	free(request->identity);
	free(request->dns);
	*request = (struct request){0};
}
