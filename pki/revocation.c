// SPDX-License-Identifier: Apache-2.0

#include "pki/revocation.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct revocation {
	atomic_uint references;
};

static int read_link(X509 *certificate, struct revocation_link *ret)
{
	const ASN1_INTEGER *serial = X509_get0_serialNumber(certificate);
	const uint8_t *bytes = ASN1_STRING_get0_data(serial);
	int size = ASN1_STRING_length(serial);

	while (size > 0 && *bytes == 0) {
		bytes++;
		size--;
	}
	if (size < 0 || size > SERIAL_MAX)
		return -EINVAL;
	memcpy(ret->serial, bytes, (size_t)size);
	ret->serial_size = (uint8_t)size;
	return certificate_spki_hash(certificate, ret->key);
}

int revocation_chain(STACK_OF(X509) * chain, struct revocation_chain *ret)
{
	int count = sk_X509_num(chain);
	struct revocation_chain read = {0};

	if (count < 1 || count > CHAIN_LENGTH_MAX + 1)
		return -EINVAL;
	for (int i = count - 1; i >= 0; i--) {
		struct revocation_link *link = &read.links[i];
		int r = read_link(sk_X509_value(chain, i), link);
		if (r < 0)
			return r;
		memcpy(link->issuer_key, i == count - 1 ? link->key : link[1].key, SPKI_HASH_SIZE);
	}
	read.count = (unsigned)count;
	*ret = read;
	return 0;
}

struct revocation *revocation_new(void)
{
	struct revocation *revocation = calloc(1, sizeof(*revocation));

	if (revocation)
		atomic_init(&revocation->references, 1);
	return revocation;
}

struct revocation *revocation_get(struct revocation *revocation)
{
	atomic_fetch_add_explicit(&revocation->references, 1, memory_order_relaxed);
	return revocation;
}

struct revocation *revocation_put(struct revocation *revocation)
{
	if (!revocation ||
	    atomic_fetch_sub_explicit(&revocation->references, 1, memory_order_acq_rel) != 1)
		return NULL;
	free(revocation);
	return NULL;
}

int revocation_check(const struct revocation *revocation, const char *identity,
		     const struct revocation_chain *chain, time_t now, struct error *error)
{
	(void)revocation;
	(void)identity;
	(void)chain;
	(void)now;
	(void)error;
	return 0;
}
