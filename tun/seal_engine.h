// SPDX-License-Identifier: Apache-2.0
// How a library seals and opens: what tun/seal.c dispatches to. A key's state belongs to one thread at a time.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tun/message.h"
#include "tun/seal.h"

struct seal_operations {
	// NULL: out of memory, or the cipher is not there.
	void *(*key_new)(enum cipher cipher, const uint8_t key[SEAL_KEY_SIZE], bool encrypt);
	void (*key_free)(void *key); // wipes; takes NULL
	// As seal_packet() and seal_open(), whose ranges have been checked.
	bool (*seal)(void *key, const uint8_t nonce[SEAL_IV_SIZE],
		     const struct packet_header *header, const uint8_t *plain, size_t size,
		     uint8_t *out);
	bool (*open)(void *key, const uint8_t nonce[SEAL_IV_SIZE],
		     const struct packet_header *header, const uint8_t *sealed, size_t plain_size,
		     uint8_t *out);
};

extern const struct seal_operations seal_openssl;
// NULL: not built in, or not for this processor, or its self-test failed.
const struct seal_operations *seal_ipsec_mb(void);
