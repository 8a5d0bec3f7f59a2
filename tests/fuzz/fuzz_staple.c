// SPDX-License-Identifier: Apache-2.0
// An OCSP answer that a peer brings along. After a first byte of 'p', patches (offset of two bytes, value) to a good answer: none
// may make it say anything else.

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/ocsp.h>

#include "base/clock.h"
#include "base/error.h"
#include "pki/staple.h"
#include "unit/ocsp_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fixture *root, *leaf;
static uint8_t *good;
static size_t good_size;

static void set_up(void)
{
	struct ocsp_options revoked = {.status = V_OCSP_CERTSTATUS_REVOKED, .revoked_s = -60};

	root = fixture_root("root");
	leaf = fixture_leaf(root, "spiffe://corp.example/a");
	good = ocsp_answer(leaf, &revoked, &good_size);
}

static void read_answer(const uint8_t *der, size_t size, bool patched)
{
	struct staple staple = {0};
	struct error error = {0};
	int r = staple_read(der, size, leaf->certificate, root->certificate, clock_wall(), &staple,
			    &error);

	if (r < 0 && error.what[0] == '\0')
		abort(); // refused without a reason
	if (r == 0 && (!patched || staple.state != STAPLE_REVOKED))
		abort(); // signed by nobody, or turned around
}

static void patch(const uint8_t *data, size_t size)
{
	_cleanup_(freep) uint8_t *copy = malloc(good_size);

	if (!copy)
		return;
	memcpy(copy, good, good_size);
	for (; size >= 3; data += 3, size -= 3)
		copy[(size_t)(data[0] << 8 | data[1]) % good_size] = data[2];
	read_answer(copy, good_size, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!root)
		set_up();
	if (size > 0 && data[0] == 'p')
		patch(data + 1, size - 1);
	else
		read_answer(data, size, false);
	return 0;
}
