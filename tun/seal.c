// SPDX-License-Identifier: Apache-2.0

#include "tun/seal.h"

#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>

#include "pki/tls.h"

struct seal {
	EVP_CIPHER_CTX *context;
	uint8_t iv[SEAL_IV_SIZE];
};

static EVP_CIPHER *ciphers[CIPHER_COUNT];
static pthread_once_t ciphers_once = PTHREAD_ONCE_INIT;

// A fetch costs more than sealing a packet: once per process.
static void fetch_ciphers(void)
{
	ciphers[CIPHER_AES_256_GCM] = EVP_CIPHER_fetch(tls_library(), "AES-256-GCM", NULL);
	ciphers[CIPHER_CHACHA20_POLY1305] =
		EVP_CIPHER_fetch(tls_library(), "ChaCha20-Poly1305", NULL);
}

struct seal *seal_new(enum cipher cipher, const uint8_t key[SEAL_KEY_SIZE],
		      const uint8_t iv[SEAL_IV_SIZE], bool encrypt)
{
	pthread_once(&ciphers_once, fetch_ciphers);
	if (!ciphers[cipher])
		return NULL;
	_cleanup_(seal_freep) struct seal *seal = calloc(1, sizeof(*seal));
	if (!seal)
		return NULL;
	memcpy(seal->iv, iv, SEAL_IV_SIZE);
	seal->context = EVP_CIPHER_CTX_new();
	if (!seal->context)
		return NULL;
	if (EVP_CipherInit_ex(seal->context, ciphers[cipher], NULL, key, NULL, encrypt) != 1)
		return NULL;
	return take(seal);
}

struct seal *seal_free(struct seal *seal)
{
	if (!seal)
		return NULL;
	EVP_CIPHER_CTX_free(seal->context);
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
	int written;
	if (size > PACKET_INNER_MAX)
		return false;
	make_nonce(seal, counter, nonce);
	EVP_CIPHER_CTX *context = seal->context;
	return EVP_EncryptInit_ex(context, NULL, NULL, NULL, nonce) == 1 &&
	       EVP_EncryptUpdate(context, NULL, &written, (const uint8_t *)header,
				 sizeof(*header)) == 1 &&
	       EVP_EncryptUpdate(context, out, &written, plain, (int)size) == 1 &&
	       EVP_EncryptFinal_ex(context, out + size, &written) == 1 &&
	       EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, PACKET_TAG, out + size) == 1;
}

bool seal_open(struct seal *seal, const struct packet_header *header, uint64_t counter,
	       const uint8_t *sealed, size_t size, uint8_t *out)
{
	uint8_t nonce[SEAL_IV_SIZE];
	uint8_t tag[PACKET_TAG];
	int written;
	if (size < PACKET_TAG || size > PACKET_INNER_MAX + PACKET_TAG)
		return false;
	size_t plain = size - PACKET_TAG;
	memcpy(tag, sealed + plain, PACKET_TAG);
	make_nonce(seal, counter, nonce);
	EVP_CIPHER_CTX *context = seal->context;
	return EVP_DecryptInit_ex(context, NULL, NULL, NULL, nonce) == 1 &&
	       EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, PACKET_TAG, tag) == 1 &&
	       EVP_DecryptUpdate(context, NULL, &written, (const uint8_t *)header,
				 sizeof(*header)) == 1 &&
	       EVP_DecryptUpdate(context, out, &written, sealed, (int)plain) == 1 &&
	       EVP_DecryptFinal_ex(context, out + plain, &written) == 1;
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
	memcpy(info + at, "tls13 ", 6);
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
