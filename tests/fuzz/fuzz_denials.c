// SPDX-License-Identifier: Apache-2.0
// A list of denials as a file, whose signatures nobody can make: entries and signers are read, the last step refuses. And each line as
// an entry: what is read is what is written.

#undef NDEBUG // a target says what it finds in every build
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pki/denial.h"
#include "pki/denials.h"
#include "pki/denials_file.h"
#include "pki/tls.h"
#include "pki/trust.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// A root that nobody has the key of.
static const char root[] = "-----BEGIN CERTIFICATE-----\n"
			   "MIIBlTCCATygAwIBAgIUWkw/d6JjPI7IxsKeQTcrVbJO/Y4wCgYIKoZIzj0EAwIw\n"
			   "KTEVMBMGA1UECgwMY29ycC5leGFtcGxlMRAwDgYDVQQDDAdyb290IENBMB4XDTI2\n"
			   "MTEyNTE3Mzk1M1oXDTM2MTEyMjE3NDQ1M1owKTEVMBMGA1UECgwMY29ycC5leGFt\n"
			   "cGxlMRAwDgYDVQQDDAdyb290IENBMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n"
			   "jmolFON2I2guO3KPWduM2E0Evztaj14EN5lof2CBssi+zfZ0n0SLpN3xlGmVvIFX\n"
			   "ucuI8J34T4iruqfz5sKj3aNCMEAwDwYDVR0TAQH/BAUwAwEB/zAOBgNVHQ8BAf8E\n"
			   "BAMCAQYwHQYDVR0OBBYEFLvbfXBTCpr1jfSuHpmp+zpynA1mMAoGCCqGSM49BAMC\n"
			   "A0cAMEQCID9fRt5zU5h//nAwYYdqWY94NF0O3YVooJImNuYYhbxAAiBI94RA7f4v\n"
			   "2nsa82JNZd6R80/DTZygRojvhZJhmMi3vQ==\n"
			   "-----END CERTIFICATE-----\n";

static struct trust *make_trust(void)
{
	char path[] = "/tmp/fuzz_denials.XXXXXX";
	struct trust_source source = {.domain = "corp.example", .path = path};
	struct trust *trust = NULL;
	int fd = mkstemp(path);

	if (fd < 0 || write(fd, root, sizeof(root) - 1) != (ssize_t)sizeof(root) - 1 ||
	    trust_load(tls_library(), &source, 1, 0, &trust, NULL) < 0)
		abort();
	close(fd);
	unlink(path);
	return trust;
}

static void read_line(const char *text, size_t size)
{
	struct denial *denial = NULL;
	char subject[DENIAL_SUBJECT_MAX];

	if (denial_parse(text, size, &denial, NULL) < 0)
		return;
	assert(denial->text_size == size && memcmp(denial->text, text, size) == 0);
	assert(denial->name_size <= DENIAL_NAME_MAX);
	denial_subject(denial, subject);
	denial_put(denial);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct trust *trust;
	struct denials *list = NULL;
	char *text = malloc(size + 1);

	if (!trust)
		trust = make_trust();
	memcpy(text, data, size);
	text[size] = '\0';
	int r = denials_file_parse(text, size, NULL, NULL, trust, &list, NULL);
	assert(r < 0 && !list);
	for (const char *at = text, *end = text + size; at < end;) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		const char *stop = newline ? newline : end;
		const char *tab = memchr(at, '\t', (size_t)(stop - at));
		read_line(at, (size_t)((tab ? tab : stop) - at));
		at = stop + 1;
	}
	free(text);
	return 0;
}
