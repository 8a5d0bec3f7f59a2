// SPDX-License-Identifier: Apache-2.0

#include "daemon/cmd_pin.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "daemon/arguments.h"
#include "daemon/command.h"
#include "pki/certificate.h"
#include "pki/pins.h"
#include "pki/tls.h"

#define FILE_MAX (1u << 20)

DEFINE_CLEANUP(BIO *, BIO_free);
DEFINE_CLEANUP(X509 *, X509_free);
DEFINE_CLEANUP(X509_REQ *, X509_REQ_free);
DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free);

// One block of a PEM file.
struct block {
	char *name;
	unsigned char *data;
	long size;
};

static void block_done(struct block *block)
{
	OPENSSL_free(block->name);
	OPENSSL_clear_free(block->data, (size_t)block->size);
}

static json_t *pin_of(const uint8_t hash[static SPKI_HASH_SIZE], const char *kind, const char *name)
{
	char text[PINS_TEXT_MAX];

	return json_pack("{s:s,s:s,s:s?}", "pin", pins_text(hash, text), "kind", kind, "name",
			 name);
}

static json_t *pin_of_key(const EVP_PKEY *key, const char *kind)
{
	uint8_t hash[SPKI_HASH_SIZE];

	return key && certificate_key_hash(key, hash) == 0 ? pin_of(hash, kind, NULL) : NULL;
}

static json_t *pin_of_certificate(const struct block *block)
{
	const unsigned char *at = block->data;
	_cleanup_(X509_freep) X509 *certificate = d2i_X509(NULL, &at, block->size);
	_cleanup_(freep) char *identity = NULL;
	uint8_t hash[SPKI_HASH_SIZE];
	char subject[256];

	if (!certificate || certificate_spki_hash(certificate, hash) < 0)
		return NULL;
	if (certificate_identity(certificate, &identity, NULL) == 0)
		return pin_of(hash, "certificate", identity);
	certificate_name(X509_get_subject_name(certificate), subject, sizeof(subject));
	return pin_of(hash, "certificate", subject);
}

// NULL: not something that has a pin, or unreadable.
static json_t *pin_of_block(const struct block *block)
{
	const unsigned char *at = block->data;
	const char *key = strstr(block->name, PEM_STRING_PKCS8INF);

	if (strcmp(block->name, PEM_STRING_X509) == 0)
		return pin_of_certificate(block);
	if (strcmp(block->name, PEM_STRING_X509_REQ) == 0) {
		_cleanup_(X509_REQ_freep) X509_REQ *request = d2i_X509_REQ(NULL, &at, block->size);
		return request ? pin_of_key(X509_REQ_get0_pubkey(request), "request") : NULL;
	}
	if (strcmp(block->name, PEM_STRING_PUBLIC) == 0) {
		_cleanup_(EVP_PKEY_freep) EVP_PKEY *public = d2i_PUBKEY(NULL, &at, block->size);
		return pin_of_key(public, "public key");
	}
	if (key && strcmp(key, PEM_STRING_PKCS8INF) == 0) {
		_cleanup_(EVP_PKEY_freep) EVP_PKEY *private =
			d2i_AutoPrivateKey_ex(NULL, &at, block->size, tls_library(), NULL);
		return pin_of_key(private, "private key");
	}
	return NULL;
}

static int read_pins(const char *path, json_t *pins, struct error *error)
{
	_cleanup_(BIO_freep) BIO *bio = NULL;
	char *text = NULL;
	size_t size;

	int r = file_read(path, FILE_MAX, &text, &size);
	if (r < 0) {
		error_set(error, -r, "the file cannot be read: %s", strerror(-r));
		return error_where(error, "%s", path);
	}
	bio = BIO_new_mem_buf(text, (int)size);
	while (bio) {
		_cleanup_(block_done) struct block block = {0};
		char *header = NULL;
		if (PEM_read_bio(bio, &block.name, &header, &block.data, &block.size) != 1)
			break;
		OPENSSL_free(header);
		json_t *pin = pin_of_block(&block);
		if (pin)
			json_array_append_new(pins, pin);
	}
	OPENSSL_cleanse(text, size);
	free(text);
	ERR_clear_error();
	if (json_array_size(pins) > 0)
		return 0;
	error_set(error, EINVAL, "nothing in it that has a pin");
	error_where(error, "%s", path);
	return error_expected(error, "certificates, requests or keys in PEM, without a passphrase");
}

int cmd_pin(int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'}, {0}};
	_cleanup_(json_decrefp) json_t *pins = json_array();
	struct arguments arguments;
	struct error error = {0};
	json_t *pin;
	size_t i;

	int r = arguments_read(argc, argv, options, 1, &arguments);
	if (r)
		return r;
	if (!arguments.words[0])
		return arguments_usage(argv[0], "which file?", "");
	tls_library();
	if (read_pins(arguments.words[0], pins, &error) < 0)
		return arguments_refused(&error);
	if (arguments.json) {
		_cleanup_(json_decrefp) json_t *result =
			json_pack("{s:i,s:O}", "schema", COMMAND_SCHEMA, "pins", pins);
		arguments_print(result);
		return COMMAND_DONE;
	}
	json_array_foreach (pins, i, pin) {
		const char *name = json_string_value(json_object_get(pin, "name"));
		printf("%s  %s%s%s\n", json_string_value(json_object_get(pin, "pin")),
		       json_string_value(json_object_get(pin, "kind")), name ? " " : "",
		       name ? name : "");
	}
	return COMMAND_DONE;
}
