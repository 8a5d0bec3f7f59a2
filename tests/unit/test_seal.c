// SPDX-License-Identifier: Apache-2.0
// The vectors were computed with Python: HKDF-Expand-Label from the standard library's hmac and hashlib, written after
// RFC 8446, 7.1 and RFC 5869, 2.3; the AEAD with the classes AESGCM and ChaCha20Poly1305 of the package "cryptography":
//   info = pack(">HB", n, len(label) + 6) + b"tls13 " + label + b"\x01" + bytes([lane])
//   T(i) = hmac_sha256(secret, T(i - 1) + info + bytes([i]))
//   sealed = AEAD(key).encrypt(xor(iv, pack(">IQ", 0, counter)), plain, header)
// with secret = 00 01 .. 1f, key and IV of "c2s", lane 0; header: type 1, epoch 7, lane 0, index a1b2c3d4; plain is empty or
// 40 41 .. 54.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <endian.h>
#include <cmocka.h>

#include "tun/seal.h"

#define PLAIN_SIZE 21u
#define LARGE	   1500u

static enum seal_engine engine; // all tests but the last run once for each that is there

static const uint8_t secret[SEAL_SECRET_SIZE] = {
	0,  1,	2,  3,	4,  5,	6,  7,	8,  9,	10, 11, 12, 13, 14, 15,
	16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
};

static size_t from_hex(const char *hex, uint8_t *out)
{
	size_t size = strlen(hex) / 2;
	for (size_t i = 0; i < size; i++) {
		char digits[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
		out[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	return size;
}

static void derives_keys(void **state)
{
	static const struct {
		bool client_to_server;
		uint8_t lane;
		const char *key, *iv;
	} cases[] = {
		{true, 0, "a4bc913889df45a397669c24e3ee863315604547e0239caae9750bfc4b69ab6c",
		 "a1d6ff7db90db089cac69979"},
		{false, 0, "b3cbbdf853afc47434a9f2130085e436dc510aa428d5fc25471dcd8beb79ac29",
		 "0f8c09922377fd1e48971d0b"},
		{true, 63, "0217212929d2af99ad8d669d276928c1db718ce472dd620b0661f86a034efb06",
		 "ab6de5329d5a1d17f3d8a014"},
		{false, 63, "ee84b985185da32ce465567bac1e85f94bccc7ae0944f56301344c14ec0bd52e",
		 "f1219a4af2f266c84a28a06d"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t key[SEAL_KEY_SIZE], iv[SEAL_IV_SIZE], expected[SEAL_KEY_SIZE];
		assert_int_equal(
			seal_derive(secret, cases[i].client_to_server, cases[i].lane, key, iv), 0);
		assert_int_equal(from_hex(cases[i].key, expected), sizeof(key));
		assert_memory_equal(key, expected, sizeof(key));
		assert_int_equal(from_hex(cases[i].iv, expected), sizeof(iv));
		assert_memory_equal(iv, expected, sizeof(iv));
	}
}

static struct seal *new_seal(enum cipher cipher, bool encrypt)
{
	uint8_t key[SEAL_KEY_SIZE], iv[SEAL_IV_SIZE];
	assert_int_equal(seal_derive(secret, true, 0, key, iv), 0);
	struct seal *seal = seal_new_with(engine, cipher, key, iv, encrypt);
	assert_non_null(seal);
	return seal;
}

static struct packet_header new_header(uint64_t counter)
{
	struct packet_header header = {
		.type = PACKET_DATA, .epoch = 7, .index = {0xa1, 0xb2, 0xc3, 0xd4}};
	uint64_t big = htobe64(counter);
	memcpy(header.counter, &big, sizeof(big));
	return header;
}

static void fill_plain(uint8_t *plain)
{
	for (unsigned i = 0; i < PLAIN_SIZE; i++)
		plain[i] = (uint8_t)(0x40 + i);
}

static void seals_as_computed_elsewhere(void **state)
{
	static const struct {
		enum cipher cipher;
		uint64_t counter;
		size_t size;
		const char *sealed;
	} cases[] = {
		{CIPHER_AES_256_GCM, 1, 0, "db2a6eb912b571d7f6f6fa6d12cdcbc5"},
		{CIPHER_AES_256_GCM, 1, PLAIN_SIZE,
		 "8a235ae603c81d42e85205f907f7fb5878c22eef076b501985b87e6aabfb2f7daf5fe14b94"},
		{CIPHER_CHACHA20_POLY1305, 1, 0, "b221a5904c5c9fa2e45f235eee524afe"},
		{CIPHER_CHACHA20_POLY1305, 1, PLAIN_SIZE,
		 "30449be09fc4a26cc05714980221f4b864296214a29547e82de4885204b8f5cdc3e3a99808"},
		{CIPHER_AES_256_GCM, 0x0102030405060708, 0, "563ca2495f26a2701055210ff71e5091"},
		{CIPHER_AES_256_GCM, 0x0102030405060708, PLAIN_SIZE,
		 "7770c8231f78bbeb2d752fdcf287160292f929f0599525fe97206549fa7ed8373a02af2e1b"},
		{CIPHER_CHACHA20_POLY1305, 0x0102030405060708, 0,
		 "e5178ed455fac5e1f832f52731d83283"},
		{CIPHER_CHACHA20_POLY1305, 0x0102030405060708, PLAIN_SIZE,
		 "2c32139ca080bd1792348f3358e2878c18a9c1bdf03d7eb4fbdd6357b9bab6e812b917f863"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_(seal_freep) struct seal *out = new_seal(cases[i].cipher, true);
		_cleanup_(seal_freep) struct seal *in = new_seal(cases[i].cipher, false);
		struct packet_header header = new_header(cases[i].counter);
		uint8_t plain[PLAIN_SIZE], expected[64], sealed[64];
		size_t size = cases[i].size + PACKET_TAG;
		fill_plain(plain);
		assert_int_equal(from_hex(cases[i].sealed, expected), size);
		assert_true(
			seal_packet(out, &header, cases[i].counter, plain, cases[i].size, sealed));
		assert_memory_equal(sealed, expected, size);
		assert_true(seal_open(in, &header, cases[i].counter, expected, size, sealed));
		assert_memory_equal(sealed, plain, cases[i].size);
	}
}

static bool opens(struct seal *seal, const uint8_t *packet, size_t size)
{
	struct packet_header header;
	uint64_t counter;
	uint8_t out[128];
	memcpy(&header, packet, sizeof(header));
	memcpy(&counter, header.counter, sizeof(counter));
	return seal_open(seal, &header, be64toh(counter), packet + sizeof(header),
			 size - sizeof(header), out);
}

static void make_packet(struct seal *seal, uint64_t counter, uint8_t *packet)
{
	struct packet_header header = new_header(counter);
	memcpy(packet, &header, sizeof(header));
	fill_plain(packet + sizeof(header));
	assert_true(seal_packet(seal, &header, counter, packet + sizeof(header), PLAIN_SIZE,
				packet + sizeof(header)));
}

static void change_and_cut(enum cipher cipher)
{
	_cleanup_(seal_freep) struct seal *out = new_seal(cipher, true);
	_cleanup_(seal_freep) struct seal *in = new_seal(cipher, false);
	uint8_t packet[PACKET_OVERHEAD + PLAIN_SIZE];
	make_packet(out, 77, packet);
	for (size_t bit = 0; bit < sizeof(packet) * 8; bit++) {
		packet[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (opens(in, packet, sizeof(packet)))
			fail_msg("cipher %u opens with bit %zu changed", cipher, bit);
		packet[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (size_t size = sizeof(struct packet_header); size < sizeof(packet); size++)
		if (opens(in, packet, size))
			fail_msg("cipher %u opens cut to %zu bytes", cipher, size);
	// The refusals above left the context usable, and the packet is good.
	assert_true(opens(in, packet, sizeof(packet)));
}

static void refuses_every_changed_bit_and_every_cut(void **state)
{
	(void)state;
	change_and_cut(CIPHER_AES_256_GCM);
	change_and_cut(CIPHER_CHACHA20_POLY1305);
}

static void refuses_other_keys(void **state)
{
	uint8_t key[SEAL_KEY_SIZE], iv[SEAL_IV_SIZE], packet[PACKET_OVERHEAD + PLAIN_SIZE];

	(void)state;
	_cleanup_(seal_freep) struct seal *out = new_seal(CIPHER_AES_256_GCM, true);
	make_packet(out, 1, packet);
	_cleanup_(seal_freep) struct seal *cipher = new_seal(CIPHER_CHACHA20_POLY1305, false);
	assert_false(opens(cipher, packet, sizeof(packet)));
	assert_int_equal(seal_derive(secret, false, 0, key, iv), 0);
	_cleanup_(seal_freep) struct seal *direction =
		seal_new_with(engine, CIPHER_AES_256_GCM, key, iv, false);
	assert_false(opens(direction, packet, sizeof(packet)));
	assert_int_equal(seal_derive(secret, true, 1, key, iv), 0);
	_cleanup_(seal_freep) struct seal *lane =
		seal_new_with(engine, CIPHER_AES_256_GCM, key, iv, false);
	assert_false(opens(lane, packet, sizeof(packet)));
}

static void refuses_impossible_sizes(void **state)
{
	struct packet_header header = new_header(1);
	size_t room = PACKET_INNER_MAX + PACKET_TAG + 1;
	_cleanup_(freep) uint8_t *bytes = calloc(1, room);

	(void)state;
	assert_non_null(bytes);
	_cleanup_(seal_freep) struct seal *out = new_seal(CIPHER_AES_256_GCM, true);
	_cleanup_(seal_freep) struct seal *in = new_seal(CIPHER_AES_256_GCM, false);
	assert_false(seal_packet(out, &header, 1, bytes, PACKET_INNER_MAX + 1, bytes));
	assert_true(seal_packet(out, &header, 1, bytes, PACKET_INNER_MAX, bytes));
	assert_false(seal_open(in, &header, 1, bytes, room, bytes));
	for (size_t size = 0; size < PACKET_TAG; size++)
		assert_false(seal_open(in, &header, 1, bytes, size, bytes));
	assert_true(seal_open(in, &header, 1, bytes, PACKET_INNER_MAX + PACKET_TAG, bytes));
	for (size_t i = 0; i < PACKET_INNER_MAX; i++)
		if (bytes[i] != 0)
			fail_msg("byte %zu", i);
}

static void each_opens_what_the_other_sealed(void **state)
{
	uint8_t key[SEAL_KEY_SIZE], iv[SEAL_IV_SIZE];
	_cleanup_(freep) uint8_t *plain = malloc(LARGE + 16);
	_cleanup_(freep) uint8_t *sealed = malloc(LARGE + 16 + PACKET_TAG);
	_cleanup_(freep) uint8_t *opened = malloc(LARGE + 16);

	(void)state;
	assert_true(plain && sealed && opened);
	assert_int_equal(seal_derive(secret, true, 0, key, iv), 0);
	for (unsigned way = 0; way < 2; way++) {
		enum seal_engine from = way ? SEAL_OPENSSL : SEAL_IPSEC_MB;
		enum seal_engine to = way ? SEAL_IPSEC_MB : SEAL_OPENSSL;
		_cleanup_(seal_freep) struct seal *out =
			seal_new_with(from, CIPHER_AES_256_GCM, key, iv, true);
		_cleanup_(seal_freep) struct seal *in =
			seal_new_with(to, CIPHER_AES_256_GCM, key, iv, false);
		if (!out || !in)
			skip();
		for (size_t step = 0; step <= 300; step++) {
			size_t size = step < 300 ? step : 1400;
			size_t offset = step % 16; // of each buffer another
			struct packet_header header = new_header(step + 1);
			for (size_t i = 0; i < size; i++)
				plain[offset + i] = (uint8_t)(i * 31 + step);
			assert_true(seal_packet(out, &header, step + 1, plain + offset, size,
						sealed + 15 - offset));
			assert_true(seal_open(in, &header, step + 1, sealed + 15 - offset,
					      size + PACKET_TAG, opened + offset / 2));
			assert_memory_equal(opened + offset / 2, plain + offset, size);
			// In place, as the last use of it.
			assert_true(seal_packet(out, &header, step + 1, plain + offset, size,
						plain + offset));
			assert_memory_equal(plain + offset, sealed + 15 - offset, size);
		}
	}
}

static void the_faster_is_taken(void **state)
{
	struct seal_choice choice;

	(void)state;
	seal_choose(true, &choice);
	assert_int_equal(choice.engine, SEAL_OPENSSL);
	assert_true(choice.openssl_ns > 0);
	assert_int_equal(choice.ipsec_mb_ns, 0);
	seal_choose(false, &choice);
	bool faster = choice.ipsec_mb_ns && choice.ipsec_mb_ns < choice.openssl_ns;
	assert_int_equal(choice.engine, faster ? SEAL_IPSEC_MB : SEAL_OPENSSL);
	assert_string_equal(seal_engine_name(SEAL_OPENSSL), "openssl");
}

int main(void)
{
	const struct CMUnitTest each[] = {
		cmocka_unit_test(derives_keys),
		cmocka_unit_test(seals_as_computed_elsewhere),
		cmocka_unit_test(refuses_every_changed_bit_and_every_cut),
		cmocka_unit_test(refuses_other_keys),
		cmocka_unit_test(refuses_impossible_sizes),
	};
	const struct CMUnitTest both[] = {
		cmocka_unit_test(each_opens_what_the_other_sealed),
		cmocka_unit_test(the_faster_is_taken),
	};
	uint8_t key[SEAL_KEY_SIZE] = {0}, iv[SEAL_IV_SIZE] = {0};
	int failed = cmocka_run_group_tests_name("openssl", each, NULL, NULL);
	engine = SEAL_IPSEC_MB;
	_cleanup_(seal_freep) struct seal *there =
		seal_new_with(engine, CIPHER_AES_256_GCM, key, iv, true);
	if (there)
		failed += cmocka_run_group_tests_name("ipsec-mb", each, NULL, NULL);
	return failed + cmocka_run_group_tests_name("both", both, NULL, NULL);
}
