// SPDX-License-Identifier: Apache-2.0

#include "pki/key_uri.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/store.h>
#include <openssl/ui.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "pki/passphrase.h"
#include "pki/tls.h"

DEFINE_CLEANUP(UI_METHOD *, UI_destroy_method);

static void store_closep(OSSL_STORE_CTX **store)
{
	OSSL_STORE_close(*store);
}

// The module that the provider speaks to is its own affair: PKCS11_PROVIDER_MODULE, else p11-kit.
static int load_provider(const char *uri, struct error *error)
{
	if (strncasecmp(uri, "pkcs11:", 7) != 0 || OSSL_PROVIDER_available(tls_library(), "pkcs11"))
		return 0;
	if (OSSL_PROVIDER_load(tls_library(), "pkcs11"))
		return 0;
	ERR_clear_error();
	error_set(error, EINVAL, "OpenSSL's provider \"pkcs11\" cannot be loaded");
	return error_remedy(error, "install the package pkcs11-provider");
}

bool key_uri_is(const char *place)
{
	return strncasecmp(place, "pkcs11:", 7) == 0 || strncasecmp(place, "file:", 5) == 0;
}

int key_uri_where(const char *place, struct error *error)
{
	size_t size = key_uri_is(place) ? strcspn(place, "?") : strlen(place);

	return error_where(error, "%.*s", (int)size, place);
}

static int refuse(const char *uri, const struct passphrase_asked *asked, struct error *error)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	if (asked->asked && !asked->passphrase)
		error_set(error, ENOKEY, "the private key wants a passphrase or PIN");
	else
		error_set(error, EINVAL, "no private key could be had: %s",
			  reason ? reason : "there is none");
	ERR_clear_error();
	return key_uri_where(uri, error);
}

int key_uri_open(const char *uri, const struct passphrase *passphrase, EVP_PKEY **ret,
		 struct error *error)
{
	struct passphrase_asked asked = {.passphrase = passphrase};
	_cleanup_(UI_destroy_methodp) UI_METHOD *ui =
		UI_UTIL_wrap_read_pem_callback(passphrase_give, 0);
	EVP_PKEY *key = NULL;

	int r = load_provider(uri, error);
	if (r < 0)
		return key_uri_where(uri, error);
	ERR_clear_error();
	_cleanup_(store_closep) OSSL_STORE_CTX *store =
		OSSL_STORE_open_ex(uri, tls_library(), NULL, ui, &asked, NULL, NULL, NULL);
	bool open = store && OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY) == 1;
	while (open && !key && !OSSL_STORE_eof(store)) {
		OSSL_STORE_INFO *info = OSSL_STORE_load(store);
		if (info && OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY)
			key = OSSL_STORE_INFO_get1_PKEY(info);
		OSSL_STORE_INFO_free(info);
		open = info || !OSSL_STORE_error(store);
	}
	if (!key)
		return refuse(uri, &asked, error);
	ERR_clear_error();
	*ret = key;
	return 0;
}
