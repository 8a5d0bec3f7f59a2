// SPDX-License-Identifier: Apache-2.0
// A list of denials as a file, as a CA publishes it and nodes keep it. Lines:
//   mutun-denials 1 DOMAIN
//   signer K CERTIFICATES           once for each signer, numbered from 1 (denial_signer.h)
//   TEXT K SIGNATURE                an entry (denial.h), with a tab before K and a space before SIGNATURE, both "-" where it is not signed
#pragma once

#include <stddef.h>

#include "pki/identity.h"

struct denial;
struct denials;
struct error;
struct trust;

#define DENIALS_FILE_MAX    (512u << 20) // bytes
#define DENIALS_SIGNERS_MAX 256u

// Replaces the file atomically; mode 0644. -errno.
int denials_file_write(const struct denials *denials, const char *path);
// What the file has of `domain` (NULL: of whatever domain it is) beyond `old` (may be NULL), as denials_add(); `trust` too.
int denials_file_read(const char *path, const char *domain, struct denials *old,
		      const struct trust *trust, struct denials **ret, struct error *error);
// Of which domain such a text is. -EINVAL.
int denials_file_domain(const char *text, size_t size, char ret[IDENTITY_DOMAIN_MAX + 1],
			struct error *error);
// The same from memory: `text` needs a NUL after `size` bytes.
int denials_file_parse(const char *text, size_t size, const char *domain, struct denials *old,
		       const struct trust *trust, struct denials **ret, struct error *error);
