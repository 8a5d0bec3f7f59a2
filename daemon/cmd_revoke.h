// SPDX-License-Identifier: Apache-2.0
// The commands of `mutun` that withdraw what a private CA signed (pki/ca_revoke.h). Each returns the exit code of the tool.
#pragma once

#define CMD_CA_REVOKE_OPTIONS                                                                  \
	"  --serial SERIAL    one certificate, as \"mutun ca list\" shows it\n"                \
	"  --key HASH         every certificate with this key: SHA-256 of it in 64 digits\n"   \
	"  --identity ID      the identity, whatever certificate it has or will get\n"         \
	"  --reason REASON    unspecified, keyCompromise, cACompromise, affiliationChanged,\n" \
	"                     superseded, cessationOfOperation or privilegeWithdrawn\n"        \
	"  --passphrase-file FILE  of the CA's keys, where they are encrypted\n"               \
	"  --json             answer in JSON\n"
#define CMD_CA_REINSTATE_OPTIONS                                                 \
	"  --identity ID      an identity that was revoked\n"                    \
	"  --key HASH         a key that was revoked\n"                          \
	"  --passphrase-file FILE  of the CA's keys, where they are encrypted\n" \
	"  --json             answer in JSON\n"
#define CMD_CA_CRL_OPTIONS                                                       \
	"  --out FILE         where to write it, in PEM\n"                       \
	"  --days N           how long it is good for; 7 by default\n"           \
	"  --passphrase-file FILE  of the CA's keys, where they are encrypted\n" \
	"  --json             answer in JSON\n"

int cmd_ca_revoke(int argc, char **argv);
int cmd_ca_reinstate(int argc, char **argv);
int cmd_ca_crl(int argc, char **argv);
