// SPDX-License-Identifier: Apache-2.0
// The bodies of EST: base64, and what an EST server answers (base64 of PKCS#7).

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/x509.h>

#include "base/error.h"
#include "pki/est.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_base64(const char *text, size_t size)
{
	uint8_t *bytes = NULL, *again = NULL;
	size_t count = 0, again_count = 0;

	if (est_decode(text, size, &bytes, &count) < 0)
		return;
	char *encoded = count ? est_encode(bytes, count, true) : NULL;
	if (encoded && (est_decode(encoded, strlen(encoded), &again, &again_count) < 0 ||
			again_count != count || memcmp(again, bytes, count) != 0))
		abort();
	free(encoded);
	free(bytes);
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error error = {0};
	STACK_OF(X509) *stack = NULL;

	check_base64((const char *)data, size);
	if (est_read_certs((const char *)data, size, &stack, &error) == 0) {
		if (sk_X509_num(stack) < 1 || sk_X509_num(stack) > EST_CERTS_MAX)
			abort();
		sk_X509_pop_free(stack, X509_free);
	} else if (error.what[0] == '\0') {
		abort();
	}
	// The same as DER, so that inputs get past the base64.
	char *text = size && size < EST_BODY_MAX / 2 ? est_encode(data, size, false) : NULL;
	if (text && est_read_certs(text, strlen(text), &stack, NULL) == 0)
		sk_X509_pop_free(stack, X509_free);
	free(text);
	return 0;
}
