// SPDX-License-Identifier: Apache-2.0
// The commands of `mutun` that make a private CA and its certificates (pki/ca.h). Each returns the exit code of the tool.
#pragma once

struct ca;

#define CMD_CA_PASSPHRASE_OPTION     \
	"  --passphrase-file FILE\n" \
	"                     its first line opens the keys of the CA; mode 0600\n"
#define CMD_CA_INIT_OPTIONS                                                                                   \
	"  --domain DOMAIN    trust domain of all its certificates, such as corp.example\n"                   \
	"  --key KIND         of its keys: p256 (default), p384, rsa3072, ed25519\n" CMD_CA_PASSPHRASE_OPTION \
	"  --issuing-key-uri URI\n"                                                                           \
	"                     the issuing key is there (pkcs11:..., file:...) already\n"                      \
	"  --json             answer in JSON\n"
#define CMD_CA_ISSUE_OPTIONS                                                                               \
	"  --identity ID      SPIFFE ID, or its path in the trust domain: laptop/alice\n"                  \
	"  --out PREFIX       writes PREFIX.crt (the chain) and PREFIX.key\n"                              \
	"  --dns NAME         a host name to go into the certificate too\n"                                \
	"  --days N, --hours N, --seconds N\n"                                                             \
	"                     lifetime, 60 seconds to 398 days; 24 hours by default\n"                     \
	"  --reuse-key        for the key that is in PREFIX.key, instead of a new one\n"                   \
	"  --not-before-offset SECONDS\n"                                                                  \
	"                     when it becomes valid, from now; -300 by default\n" CMD_CA_PASSPHRASE_OPTION \
	"  --json             answer in JSON\n"
#define CMD_CA_SIGN_OPTIONS                                                                                \
	"  --csr FILE         the certificate request (PKCS#10): its key is signed\n"                      \
	"  --identity ID      whom it is for; nothing that the request asks for is taken\n"                \
	"  --out PREFIX       writes PREFIX.crt (the chain)\n"                                             \
	"  --dns NAME         a host name to go into the certificate too\n"                                \
	"  --days N, --hours N, --seconds N\n"                                                             \
	"                     lifetime, 60 seconds to 398 days; 24 hours by default\n"                     \
	"  --not-before-offset SECONDS\n"                                                                  \
	"                     when it becomes valid, from now; -300 by default\n" CMD_CA_PASSPHRASE_OPTION \
	"  --json             answer in JSON\n"
#define CMD_CA_LIST_OPTIONS                                                                      \
	"  --identity ID      only of this identity, or of those that match this pattern\n"      \
	"  --issued-by WORDS  only what was issued by: operator, token, \"token ID\", renewal\n" \
	"  --valid            only what has not expired\n"                                       \
	"  --json             answer in JSON\n"
#define CMD_CA_SHOW_OPTIONS                                                          \
	"  SERIAL, IDENTITY   one certificate, or all of an identity; else the CA\n" \
	"  --json             answer in JSON\n"

#define CMD_CA_ROTATE_OPTIONS                                                                                           \
	"  issuing            a new issuing certificate, under the same root\n"                                         \
	"  prepare            a new root beside the old one: nodes are told of it\n"                                    \
	"  activate           certificates come from below the new root\n"                                              \
	"  finish             the old root is forgotten\n"                                                              \
	"  abort              instead of activate: the new root is forgotten\n"                                         \
	"  status             how far it is, and whom the next step would strand\n"                                     \
	"  --root-key FILE    the key of the root that signs, where it is kept; else in DIR\n" CMD_CA_PASSPHRASE_OPTION \
	"  --key KIND         of new keys; else as the keys before\n"                                                   \
	"  --issuing-key-uri URI\n"                                                                                     \
	"                     the new issuing key is there (pkcs11:..., file:...) already\n"                            \
	"  --from FILE        what \"mutun ca readiness --json\" said on another gateway; may be\n"                     \
	"                     given again\n"                                                                            \
	"  --force            also when nodes are stranded\n"                                                           \
	"  --json             answer in JSON\n"
#define CMD_CA_READINESS_OPTIONS                                                                    \
	"  DIR                the CA; without it: what this gateway heard\n"                        \
	"  --from FILE        what \"mutun ca readiness --json\" said on another gateway; may be\n" \
	"                     given again\n"                                                        \
	"  --json             answer in JSON\n"

int cmd_ca_init(int argc, char **argv);
int cmd_ca_issue(int argc, char **argv);
int cmd_ca_sign(int argc, char **argv);
// Says on stderr that what signs comes to its end soon.
void cmd_ca_warn(const struct ca *ca);
// cmd_ca_show.c
int cmd_ca_list(int argc, char **argv);
int cmd_ca_show(int argc, char **argv);
// Files of their own.
int cmd_ca_rotate(int argc, char **argv);
int cmd_ca_readiness(int argc, char **argv);
