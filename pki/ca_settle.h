// SPDX-License-Identifier: Apache-2.0
// Brings the files of a CA in line with what its journal says was decided (pki/rotation.h). Every single change of a file may be
// the last one before the power goes: settling once more goes on from there. In between, the CA signs with a key that fits.
#pragma once

struct ca;
struct error;

// Also takes away what was made ready for a step that was never taken. -errno.
int ca_settle(const struct ca *ca, struct error *error);
