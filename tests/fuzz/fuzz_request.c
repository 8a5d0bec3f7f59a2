// SPDX-License-Identifier: Apache-2.0
// PKCS#10 from a device, in DER. What is accepted has canonical names, and makes a request of its own.

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "pki/identity.h"
#include "pki/profile.h"
#include "pki/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error error = {0};
	struct request request;
	char *again = NULL;

	if (request_read(data, size, &request, &error) < 0) {
		if (error.what[0] == '\0')
			abort(); // refused without a reason
		return 0;
	}
	if (!request.key || size > REQUEST_MAX ||
	    (request.identity &&
	     (identity_parse(request.identity, strlen(request.identity), &again, NULL) < 0 ||
	      strcmp(again, request.identity) != 0)) ||
	    (request.dns && profile_dns_check(request.dns, NULL) < 0))
		abort();
	free(again);
	request_done(&request);
	return 0;
}
