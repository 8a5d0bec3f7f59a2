// SPDX-License-Identifier: Apache-2.0
// What a CA signs for devices that ask over the network: a first certificate for who shows a token, the next one for who shows
// the certificate that it has. Who it is comes from the token or that certificate, never from the request alone.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <openssl/x509.h>

struct ca;
struct error;
struct verdict;

#define CA_OFTEN_S 60u // so long an identity that got many certificates waits for more

// `password` as the device sent it, `der` its request (PKCS#10). An exact token decides the identity; one with a pattern lets
// the request choose among names that nobody else holds. The token is used up with the certificate; the same request within a
// minute gets the same certificate again. Returns a new certificate.
//   -EACCES  no such token, or not any more      -EPERM  the request asks for a name that the token does not give
//   -EINVAL  no request, or no key that nodes accept      -EAGAIN  the identity got too many lately
//   others: the CA cannot sign now
int ca_enrol(struct ca *ca, const char *password, const uint8_t *der, size_t size, X509 **ret,
	     struct error *error);
// The next certificate of who was judged `old`: its names, its lifetime, for the new key of the request. -EPERM: the old one is
// not good by the CA's own trust.crt, or not any more, or the request asks for other names, or for the old key again. Else as
// above.
int ca_renew(struct ca *ca, const struct verdict *old, const uint8_t *der, size_t size, X509 **ret,
	     struct error *error);
