// SPDX-License-Identifier: Apache-2.0

#include "tun/seal.h"

#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>

#include "base/clock.h"
#include "pki/tls.h"
#include "tun/seal_engine.h"

#define MEASURE_SIZE	1400u
#define MEASURE_PACKETS 200u
#define MEASURE_ROUNDS	10u

struct seal {
	const struct seal_operations *operations;
	void *key;
	uint8_t iv[SEAL_IV_SIZE];
};

static enum seal_engine engine = SEAL_OPENSSL; // set before there are threads

#ifdef MUTUN_NULL_CIPHER
// Copies, and no more: what a tunnel could do at best. Such a build cannot be installed.
static void *null_new(enum cipher cipher, const uint8_t key[SEAL_KEY_SIZE], bool encrypt)
{
	(void)cipher;
	(void)key;
	(void)encrypt;
	return malloc(1);
}

static bool null_seal(void *key, const uint8_t nonce[SEAL_IV_SIZE],
		      const struct packet_header *header, const uint8_t *plain, size_t size,
		      uint8_t *out)
{
	(void)key;
	(void)nonce;
	(void)header;
	memcpy(out, plain, size);
	memset(out + size, 0, PACKET_TAG);
	return true;
}

static bool null_open(void *key, const uint8_t nonce[SEAL_IV_SIZE],
		      const struct packet_header *header, const uint8_t *sealed, size_t plain_size,
		      uint8_t *out)
{
	(void)key;
	(void)nonce;
	(void)header;
	memmove(out, sealed, plain_size);
	return true;
}

static const struct seal_operations null_cipher = {null_new, free, null_seal, null_open};
#endif

static const struct seal_operations *operations_of(enum cipher cipher, enum seal_engine of)
{
#ifdef MUTUN_NULL_CIPHER
	(void)cipher;
	(void)of;
	return &null_cipher;
#else
	if (of == SEAL_IPSEC_MB && cipher == CIPHER_AES_256_GCM)
		return seal_ipsec_mb();
	return &seal_openssl;
#endif
}

struct seal *seal_new_with(enum seal_engine with, enum cipher cipher,
			   const uint8_t key[SEAL_KEY_SIZE], const uint8_t iv[SEAL_IV_SIZE],
			   bool encrypt)
{
	_cleanup_(seal_freep) struct seal *seal = calloc(1, sizeof(*seal));
	if (!seal)
		return NULL;
	seal->operations = operations_of(cipher, with);
	if (!seal->operations)
		return NULL;
	memcpy(seal->iv, iv, SEAL_IV_SIZE);
	seal->key = seal->operations->key_new(cipher, key, encrypt);
	return seal->key ? take(seal) : NULL;
}

struct seal *seal_new(enum cipher cipher, const uint8_t key[SEAL_KEY_SIZE],
		      const uint8_t iv[SEAL_IV_SIZE], bool encrypt)
{
	return seal_new_with(engine, cipher, key, iv, encrypt);
}

struct seal *seal_free(struct seal *seal)
{
	if (!seal)
		return NULL;
	if (seal->operations)
		seal->operations->key_free(seal->key);
	OPENSSL_cleanse(seal->iv, sizeof(seal->iv));
	free(seal);
	return NULL;
}

// RFC 8446, 5.3: the counter, padded on the left to the length of the IV, xor the IV.
static void make_nonce(const struct seal *seal, uint64_t counter, uint8_t nonce[SEAL_IV_SIZE])
{
	uint64_t low;
	memcpy(nonce, seal->iv, SEAL_IV_SIZE);
	memcpy(&low, nonce + 4, sizeof(low));
	low ^= htobe64(counter);
	memcpy(nonce + 4, &low, sizeof(low));
}

bool seal_packet(struct seal *seal, const struct packet_header *header, uint64_t counter,
		 const uint8_t *plain, size_t size, uint8_t *out)
{
	uint8_t nonce[SEAL_IV_SIZE];
	if (size > PACKET_INNER_MAX)
		return false;
	make_nonce(seal, counter, nonce);
	return seal->operations->seal(seal->key, nonce, header, plain, size, out);
}

bool seal_open(struct seal *seal, const struct packet_header *header, uint64_t counter,
	       const uint8_t *sealed, size_t size, uint8_t *out)
{
	uint8_t nonce[SEAL_IV_SIZE];
	if (size < PACKET_TAG || size > PACKET_INNER_MAX + PACKET_TAG)
		return false;
	make_nonce(seal, counter, nonce);
	return seal->operations->open(seal->key, nonce, header, sealed, size - PACKET_TAG, out);
}

// --- the choice

// Nanoseconds to seal a packet of usual size; the least of some rounds, since others only disturb. 0: the engine is not there.
static unsigned measure(enum seal_engine with)
{
	static const struct packet_header header;
	static const uint8_t key[SEAL_KEY_SIZE], iv[SEAL_IV_SIZE], plain[MEASURE_SIZE];
	uint8_t out[MEASURE_SIZE + PACKET_TAG];
	uint64_t best = UINT64_MAX;
	_cleanup_(seal_freep) struct seal *seal =
		seal_new_with(with, CIPHER_AES_256_GCM, key, iv, true);
	if (!seal)
		return 0;
	for (unsigned round = 0; round < MEASURE_ROUNDS; round++) {
		uint64_t begin = clock_ns();
		for (uint64_t i = 0; i < MEASURE_PACKETS; i++)
			seal_packet(seal, &header, i, plain, sizeof(plain), out);
		uint64_t spent = clock_ns() - begin;
		best = spent < best ? spent : best;
	}
	return (unsigned)(best / MEASURE_PACKETS) + 1;
}

void seal_choose(bool only_openssl, struct seal_choice *ret)
{
	*ret = (struct seal_choice){.openssl_ns = measure(SEAL_OPENSSL)};
	if (!only_openssl)
		ret->ipsec_mb_ns = measure(SEAL_IPSEC_MB);
	if (ret->ipsec_mb_ns && ret->ipsec_mb_ns < ret->openssl_ns)
		ret->engine = SEAL_IPSEC_MB;
	engine = ret->engine;
}

const char *seal_engine_name(enum seal_engine of)
{
#ifdef MUTUN_NULL_CIPHER
	(void)of;
	return "NONE, this build protects nothing";
#else
	return of == SEAL_IPSEC_MB ? "ipsec-mb" : "openssl";
#endif
}

// struct HkdfLabel of RFC 8446, 7.1, with the "tls13 " prefix; the context is the lane.
static int expand_label(EVP_KDF *kdf, const uint8_t *secret, const char *label, uint8_t lane,
			uint8_t *out, size_t size)
{
	uint8_t info[64];
	size_t length = strlen(label) + 6;
	size_t at = 0;
	info[at++] = (uint8_t)(size >> 8);
	info[at++] = (uint8_t)size;
	info[at++] = (uint8_t)length;
	memcpy(info + at, "tls13 ", 6);		  // NOLINT(bugprone-not-null-terminated-result)
	memcpy(info + at + 6, label, length - 6); // NOLINT(bugprone-not-null-terminated-result)
	at += length;
	info[at++] = 1;
	info[at++] = lane;

	EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf);
	int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)secret,
						  SEAL_SECRET_SIZE),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, at),
		OSSL_PARAM_construct_end(),
	};
	int done = context ? EVP_KDF_derive(context, out, size, params) : 0;
	EVP_KDF_CTX_free(context);
	return done == 1 ? 0 : -EIO;
}

int seal_derive(const uint8_t secret[SEAL_SECRET_SIZE], bool client_to_server, uint8_t lane,
		uint8_t key[SEAL_KEY_SIZE], uint8_t iv[SEAL_IV_SIZE])
{
	EVP_KDF *kdf = EVP_KDF_fetch(tls_library(), "HKDF", NULL);
	if (!kdf)
		return -EIO;
	int r = expand_label(kdf, secret, client_to_server ? "c2s key" : "s2c key", lane, key,
			     SEAL_KEY_SIZE);
	if (r == 0)
		r = expand_label(kdf, secret, client_to_server ? "c2s iv" : "s2c iv", lane, iv,
				 SEAL_IV_SIZE);
	EVP_KDF_free(kdf);
	return r;
}
