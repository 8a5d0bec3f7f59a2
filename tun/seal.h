// SPDX-License-Identifier: Apache-2.0
// AEAD over one data packet (RFC 5116): the header is the associated data, nonce = IV xor (0^32 || counter).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "tun/message.h"
#include "tun/packet.h"

#define SEAL_KEY_SIZE	 32u
#define SEAL_IV_SIZE	 12u
#define SEAL_SECRET_SIZE 32u

// One key in one direction, for one thread at a time.
struct seal;

// The library that does AES-GCM; ChaCha20-Poly1305 is OpenSSL's in any case.
enum seal_engine { SEAL_OPENSSL, SEAL_IPSEC_MB };
struct seal_choice {
	enum seal_engine engine;
	unsigned openssl_ns;  // for a packet of 1,400 bytes, as measured
	unsigned ipsec_mb_ns; // 0: not there, or not wanted
};
// Measures for a few milliseconds and takes the faster from then on. To be called before other threads make seals; without it
// OpenSSL is taken.
void seal_choose(bool only_openssl, struct seal_choice *ret);
const char *seal_engine_name(enum seal_engine engine); // "openssl", "ipsec-mb"

// `encrypt`: for seal_packet(), else for seal_open(). NULL: out of memory or cipher not available.
struct seal *seal_new(enum cipher cipher, const uint8_t key[SEAL_KEY_SIZE],
		      const uint8_t iv[SEAL_IV_SIZE], bool encrypt);
// The same with a certain library. NULL also where it is not there.
struct seal *seal_new_with(enum seal_engine engine, enum cipher cipher,
			   const uint8_t key[SEAL_KEY_SIZE], const uint8_t iv[SEAL_IV_SIZE],
			   bool encrypt);
struct seal *seal_free(struct seal *seal); // takes NULL, returns NULL; wipes the key
DEFINE_CLEANUP(struct seal *, seal_free);

// Writes ciphertext and tag (`size` + PACKET_TAG bytes) to `out`; `out` may be `plain`. false: OpenSSL failed.
bool seal_packet(struct seal *seal, const struct packet_header *header, uint64_t counter,
		 const uint8_t *plain, size_t size, uint8_t *out);
// `size` is that of ciphertext and tag. Writes size - PACKET_TAG bytes to `out`, which may be `sealed`; false when it does
// not authenticate (`out` is then unspecified, and must not be used).
bool seal_open(struct seal *seal, const struct packet_header *header, uint64_t counter,
	       const uint8_t *sealed, size_t size, uint8_t *out);

// HKDF-Expand-Label with SHA-256 and an empty context but the lane (RFC 8446, 7.1), labels "c2s key", "c2s iv", "s2c key",
// "s2c iv": the key and IV of one lane and direction. 0 or -EIO.
int seal_derive(const uint8_t secret[SEAL_SECRET_SIZE], bool client_to_server, uint8_t lane,
		uint8_t key[SEAL_KEY_SIZE], uint8_t iv[SEAL_IV_SIZE]);
