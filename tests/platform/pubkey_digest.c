// SPDX-License-Identifier: Apache-2.0
// X509_pubkey_digest() hashes the bits of the key alone; a pin is of the whole SubjectPublicKeyInfo (RFC 7469, 2.4). Why
// certificate_spki_hash() encodes first.

#include <string.h>
#include <openssl/sha.h>

#include "platform/platform.h"

int main(void)
{
	struct identity ca = platform_ca("ca", NULL);
	unsigned char bits[32], whole[32], *der = NULL;
	unsigned size;

	expect(X509_pubkey_digest(ca.certificate, EVP_sha256(), bits, &size) && size == 32);
	int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(ca.certificate), &der);
	SHA256(der, (size_t)length, whole);
	expect(memcmp(bits, whole, 32) != 0);
	return 0;
}
