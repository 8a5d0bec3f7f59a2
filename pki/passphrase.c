// SPDX-License-Identifier: Apache-2.0

#include "pki/passphrase.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <openssl/crypto.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "pki/ca_directory.h"

static int take_line(const char *text, size_t size, struct passphrase *ret, struct error *error)
{
	size_t length = strcspn(text, "\r\n");

	if (memchr(text, '\0', size))
		return error_set(error, EINVAL, "the passphrase holds a NUL");
	if (length == 0)
		return error_set(error, EINVAL, "the passphrase is empty");
	if (length > PASSPHRASE_MAX)
		return error_set(error, EINVAL, "the passphrase is longer than %u bytes",
				 PASSPHRASE_MAX);
	memcpy(ret->text, text, length);
	ret->text[length] = '\0';
	return 0;
}

static int read_file(const char *path, struct passphrase *ret, struct error *error)
{
	char *text = NULL;
	size_t size;

	int r = file_read(path, 2ul * PASSPHRASE_MAX, &text, &size);
	if (r < 0) {
		error_set(error, -r, "the passphrase cannot be read: %s", strerror(-r));
		return error_where(error, "%s", path);
	}
	r = take_line(text, size, ret, error);
	OPENSSL_cleanse(text, size);
	free(text);
	return r < 0 ? error_where(error, "%s", path) : 0;
}

int passphrase_read(const char *path, struct passphrase *ret, struct error *error)
{
	const char *directory = getenv("CREDENTIALS_DIRECTORY");
	_cleanup_(freep) char *credential = NULL;

	if (path) {
		int r = ca_directory_check_secret(path, error);
		return r < 0 ? r : read_file(path, ret, error);
	}
	if (directory && asprintf(&credential, "%s/" PASSPHRASE_CREDENTIAL, directory) < 0)
		return error_set(error, ENOMEM, "out of memory");
	// Its mode shows an access list of systemd's, and says nothing.
	if (credential && access(credential, F_OK) == 0)
		return read_file(credential, ret, error);
	return error_set(error, ENOKEY, "there is no passphrase");
}

void passphrase_done(struct passphrase *passphrase)
{
	OPENSSL_cleanse(passphrase->text, sizeof(passphrase->text));
}

int passphrase_give(char *buffer, int size, int writing, void *data)
{
	struct passphrase_asked *asked = data;

	(void)writing;
	asked->asked = true;
	size_t length = asked->passphrase ? strlen(asked->passphrase->text) : 0;
	if (!asked->passphrase || size < 0 || length > (size_t)size)
		return -1;
	memcpy(buffer, asked->passphrase->text, length);
	return (int)length;
}
