// SPDX-License-Identifier: Apache-2.0
// The direct, single-packet AES-GCM functions of Intel's library. Its manager is only a table of functions for this processor
// here, so that all threads may share it.

#include "tun/seal_engine.h"

#include <pthread.h>
#include <stdlib.h>
#include <openssl/crypto.h>

#ifdef MUTUN_IPSEC_MB
#include <intel-ipsec-mb.h>

#define FEATURES (IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ)

static IMB_MGR *manager;
static pthread_once_t manager_once = PTHREAD_ONCE_INIT;

static void make_manager(void)
{
	IMB_ARCH arch = IMB_ARCH_NONE;
	IMB_MGR *made = alloc_mb_mgr(0);
	if (!made)
		return;
	init_mb_mgr_auto(made, &arch);
	bool tested = !(made->features & IMB_FEATURE_SELF_TEST) ||
		      made->features & IMB_FEATURE_SELF_TEST_PASS;
	if (arch != IMB_ARCH_NONE && imb_get_errno(made) == 0 && tested &&
	    (made->features & FEATURES) == FEATURES)
		manager = made;
	else
		free_mb_mgr(made);
}

static void key_free(void *key)
{
	if (key)
		OPENSSL_cleanse(key, sizeof(struct gcm_key_data));
	free(key);
}

static void *key_new(enum cipher cipher, const uint8_t key[SEAL_KEY_SIZE], bool encrypt)
{
	(void)encrypt;
	if (cipher != CIPHER_AES_256_GCM)
		return NULL;
	size_t size = (sizeof(struct gcm_key_data) + 63) & ~(size_t)63;
	struct gcm_key_data *data = aligned_alloc(64, size);
	if (data)
		IMB_AES256_GCM_PRE(manager, key, data);
	return data;
}

static bool seal(void *key, const uint8_t nonce[SEAL_IV_SIZE], const struct packet_header *header,
		 const uint8_t *plain, size_t size, uint8_t *out)
{
	struct gcm_context_data context;
	IMB_AES256_GCM_ENC(manager, key, &context, out, plain, size, nonce, (const uint8_t *)header,
			   sizeof(*header), out + size, PACKET_TAG);
	return true;
}

static bool open_sealed(void *key, const uint8_t nonce[SEAL_IV_SIZE],
			const struct packet_header *header, const uint8_t *sealed,
			size_t plain_size, uint8_t *out)
{
	struct gcm_context_data context;
	uint8_t came[PACKET_TAG], tag[PACKET_TAG];
	// `out` may be `sealed`.
	for (unsigned i = 0; i < PACKET_TAG; i++)
		came[i] = sealed[plain_size + i];
	IMB_AES256_GCM_DEC(manager, key, &context, out, sealed, plain_size, nonce,
			   (const uint8_t *)header, sizeof(*header), tag, PACKET_TAG);
	return CRYPTO_memcmp(tag, came, PACKET_TAG) == 0;
}

const struct seal_operations *seal_ipsec_mb(void)
{
	static const struct seal_operations operations = {
		.key_new = key_new,
		.key_free = key_free,
		.seal = seal,
		.open = open_sealed,
	};
	pthread_once(&manager_once, make_manager);
	return manager ? &operations : NULL;
}

#else

const struct seal_operations *seal_ipsec_mb(void)
{
	return NULL;
}

#endif
