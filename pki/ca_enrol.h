// SPDX-License-Identifier: Apache-2.0
// What a CA signs for devices that ask over the network: a first certificate for who shows a token, the next one for who shows
// the certificate that it has. Who it is comes from the token or that certificate, never from the request alone.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <openssl/x509.h>

struct ca;
struct error;

#define CA_OFTEN_S 60u // so long an identity that got many certificates waits for more

// `password` as the device sent it, `der` its request (PKCS#10). An exact token decides the identity; one with a pattern lets
// the request choose among names that nobody else holds. The token is used up with the certificate; the same request within a
// minute gets the same certificate again. Returns a new certificate.
//   -EACCES  no such token, or not any more      -EPERM  the request asks for a name that the token does not give
//   -EINVAL  no request, or no key that nodes accept      -EAGAIN  the identity got too many lately
//   others: the CA cannot sign now
int ca_enrol(struct ca *ca, const char *password, const uint8_t *der, size_t size, X509 **ret,
	     struct error *error);
// The next certificate of who has shown `old` with those `above` it: the same names, the same lifetime, for the new key of the
// request. -EPERM: it is not good by the CA's own trust.crt now, or the request asks for other names, or for the old key again.
// Else as above. With `above` NULL the old one is not judged: for who holds the keys of the CA anyway.
int ca_renew(struct ca *ca, X509 *old, STACK_OF(X509) * above, const uint8_t *der, size_t size,
	     X509 **ret, struct error *error);
