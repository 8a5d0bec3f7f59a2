// SPDX-License-Identifier: Apache-2.0
// What a policy may ask of a peer's certificate beside its identity. It has been verified: what its CA wrote there is so.
#pragma once

#include <stdbool.h>
#include <openssl/x509.h>

#define FACTS_UNITS_MAX 16u // organizational units that count; more are left out

struct facts {
	char *issuer; // distinguished name of the CA that signed it, as RFC 2253 writes it
	char **units; // organizationalUnitName of its subject, in order; one with a NUL in it is none
	unsigned unit_count;
	// It was issued under a policy by which the key cannot leave its hardware: one of Microsoft's for keys that a TPM attests, of
	// the US federal PKI for hardware tokens and devices, of ETSI EN 319 411-2 for qualified devices.
	bool hardware;
};

// Fills `ret`, which facts_done() empties. -ENOMEM.
int facts_read(const X509 *certificate, struct facts *ret);
void facts_done(struct facts *facts);
bool facts_equal(const struct facts *a, const struct facts *b);
