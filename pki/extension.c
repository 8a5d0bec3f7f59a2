// SPDX-License-Identifier: Apache-2.0

#include "pki/extension.h"

#include <errno.h>
#include <openssl/x509v3.h>

#include "base/error.h"

int extension_read(const X509 *certificate, int nid, const char *name, void **ret,
		   bool *ret_critical, struct error *error)
{
	int critical;
	void *value = X509_get_ext_d2i(certificate, nid, &critical, NULL);

	if (!value && critical == -2)
		return error_set(error, EINVAL, "has the extension %s twice", name);
	if (!value && critical != -1)
		return error_set(error, EINVAL, "has an unreadable %s", name);
	*ret = value;
	*ret_critical = critical == 1;
	return 0;
}
