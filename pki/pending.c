// SPDX-License-Identifier: Apache-2.0

#include "pki/pending.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/bio.h>
#include <openssl/pem.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "pki/est.h"
#include "pki/pem.h"
#include "pki/profile.h"
#include "pki/request.h"

#define FILE_MAX 65536u

DEFINE_CLEANUP(BIO *, BIO_free);

void pending_done(struct pending *pending)
{
	EVP_PKEY_free(pending->key);
	free(pending->request);
	*pending = (struct pending){0};
}

// The first line of the file, which readers of PEM skip.
static char *head_of(const char *purpose, const char *identity)
{
	char *head;

	return asprintf(&head, "# %s%s%s\n", purpose, identity ? " for " : "",
			identity ? identity : "") < 0
		       ? NULL
		       : head;
}

static bool begins_with(const char *path, const char *head)
{
	char *text;
	size_t size;

	if (file_read(path, FILE_MAX, &text, &size) < 0)
		return false;
	bool same = strncmp(text, head, strlen(head)) == 0;
	OPENSSL_cleanse(text, size);
	free(text);
	return same;
}

// Whether what is there is whole, and the one is signed with the other.
static bool take_up(const char *path, const char *head, struct pending *pending)
{
	struct request request;

	if (!begins_with(path, head) || pem_read_key(path, &pending->key, NULL) < 0 ||
	    pem_read_request(path, &pending->request, &pending->size, NULL) < 0 ||
	    request_read(pending->request, pending->size, &request, NULL) < 0)
		return false;
	bool same = EVP_PKEY_eq(request.key, pending->key) == 1;
	request_done(&request);
	return same;
}

static int put_down(const char *path, const char *head, const struct pending *pending,
		    struct error *error)
{
	_cleanup_(BIO_freep) BIO *bio = BIO_new(BIO_s_secmem()); // wiped when it is freed
	_cleanup_(freep) char *body = est_encode(pending->request, pending->size, true);
	char *text;

	if (!bio || !body || BIO_puts(bio, head) <= 0 ||
	    PEM_write_bio_PKCS8PrivateKey(bio, pending->key, NULL, NULL, 0, NULL, NULL) != 1 ||
	    BIO_printf(bio, "-----BEGIN %s-----\n%s-----END %s-----\n", PEM_STRING_X509_REQ, body,
		       PEM_STRING_X509_REQ) <= 0)
		return error_set(error, ENOMEM, "out of memory");
	size_t size = (size_t)BIO_get_mem_data(bio, &text);
	int r = file_write(path, text, size, 0600);
	if (r == 0)
		return 0;
	error_set(error, -r, "the new key cannot be kept: %s", strerror(-r));
	return error_where(error, "%s", path);
}

int pending_begin(const char *path, const char *purpose, const char *identity, struct pending *ret,
		  struct error *error)
{
	_cleanup_(pending_done) struct pending pending = {0};
	_cleanup_(freep) char *head = head_of(purpose, identity);

	if (!head)
		return error_set(error, ENOMEM, "out of memory");
	if (!take_up(path, head, &pending)) {
		pending_done(&pending);
		int r = profile_key(&pending.key, error);
		if (r == 0)
			r = request_make(pending.key, identity, NULL, &pending.request,
					 &pending.size, error);
		if (r == 0)
			r = put_down(path, head, &pending, error);
		if (r < 0)
			return r;
	}
	*ret = pending;
	pending = (struct pending){0};
	return 0;
}
