// SPDX-License-Identifier: Apache-2.0

#include "tun/seal_engine.h"

#include <pthread.h>
#include <string.h>
#include <openssl/evp.h>

#include "pki/tls.h"

static EVP_CIPHER *ciphers[CIPHER_COUNT];
static pthread_once_t ciphers_once = PTHREAD_ONCE_INIT;

// A fetch costs more than sealing a packet: once per process.
static void fetch_ciphers(void)
{
	ciphers[CIPHER_AES_256_GCM] = EVP_CIPHER_fetch(tls_library(), "AES-256-GCM", NULL);
	ciphers[CIPHER_CHACHA20_POLY1305] =
		EVP_CIPHER_fetch(tls_library(), "ChaCha20-Poly1305", NULL);
}

static void key_free(void *key)
{
	EVP_CIPHER_CTX_free(key);
}

static void *key_new(enum cipher cipher, const uint8_t key[SEAL_KEY_SIZE], bool encrypt)
{
	pthread_once(&ciphers_once, fetch_ciphers);
	if (!ciphers[cipher])
		return NULL;
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	if (context && EVP_CipherInit_ex(context, ciphers[cipher], NULL, key, NULL, encrypt) == 1)
		return context;
	EVP_CIPHER_CTX_free(context);
	return NULL;
}

static bool seal(void *key, const uint8_t nonce[SEAL_IV_SIZE], const struct packet_header *header,
		 const uint8_t *plain, size_t size, uint8_t *out)
{
	EVP_CIPHER_CTX *context = key;
	int written;
	return EVP_EncryptInit_ex(context, NULL, NULL, NULL, nonce) == 1 &&
	       EVP_EncryptUpdate(context, NULL, &written, (const uint8_t *)header,
				 sizeof(*header)) == 1 &&
	       EVP_EncryptUpdate(context, out, &written, plain, (int)size) == 1 &&
	       EVP_EncryptFinal_ex(context, out + size, &written) == 1 &&
	       EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, PACKET_TAG, out + size) == 1;
}

static bool open_sealed(void *key, const uint8_t nonce[SEAL_IV_SIZE],
			const struct packet_header *header, const uint8_t *sealed,
			size_t plain_size, uint8_t *out)
{
	EVP_CIPHER_CTX *context = key;
	uint8_t tag[PACKET_TAG];
	int written;
	memcpy(tag, sealed + plain_size, PACKET_TAG);
	return EVP_DecryptInit_ex(context, NULL, NULL, NULL, nonce) == 1 &&
	       EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, PACKET_TAG, tag) == 1 &&
	       EVP_DecryptUpdate(context, NULL, &written, (const uint8_t *)header,
				 sizeof(*header)) == 1 &&
	       EVP_DecryptUpdate(context, out, &written, sealed, (int)plain_size) == 1 &&
	       EVP_DecryptFinal_ex(context, out + plain_size, &written) == 1;
}

const struct seal_operations seal_openssl = {
	.key_new = key_new,
	.key_free = key_free,
	.seal = seal,
	.open = open_sealed,
};
