// SPDX-License-Identifier: Apache-2.0

#include "pki/ca_revoke.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/hex.h"
#include "pki/ca.h"
#include "pki/ca_denied.h"
#include "pki/ca_directory.h"
#include "pki/ca_key.h"
#include "pki/denial_journal.h"
#include "pki/denial_signer.h"
#include "pki/denials.h"
#include "pki/denials_file.h"
#include "pki/identity.h"
#include "pki/journal.h"
#include "pki/passphrase.h"
#include "pki/pem.h"
#include "pki/tls.h"

#define KEY_TEXT_MAX (2 * SPKI_HASH_SIZE + 1)

DEFINE_CLEANUP(X509 *, X509_free);
DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free);

static int no_memory(struct error *error)
{
	return error_set(error, ENOMEM, "out of memory");
}

// --- signing

// Who signs the list: the issuing CA or, where that is denied, the root.
struct signer {
	const char *passphrase_path;
	bool root;
	struct denial_signer *who;
};

static void signer_done(struct signer *signer)
{
	denial_signer_put(signer->who);
}

static int name_root(const struct ca *ca, struct signer *ret, struct error *error)
{
	_cleanup_(freep) char *path = ca_directory_path(ca_directory(ca), CA_ROOT_CERTIFICATE);
	_cleanup_(X509_freep) X509 *root = NULL;
	STACK_OF(X509) *stack = sk_X509_new_null();

	int r = path && stack ? pem_read_certificate(path, &root, error) : no_memory(error);
	ret->root = true;
	if (r == 0 && sk_X509_push(stack, root))
		ret->who = denial_signer_of(stack);
	sk_X509_free(stack);
	return r < 0 || ret->who ? r : no_memory(error);
}

// `entry` (may be NULL) is about to be added.
static int choose_signer(struct ca *ca, const struct denial *entry, struct signer *ret,
			 struct error *error)
{
	uint8_t hash[SPKI_HASH_SIZE], name[DENIAL_NAME_MAX];
	struct error denied = {0};

	if (ca_issuer_key(ca, hash) < 0)
		return no_memory(error);
	size_t size = denial_name_key(hash, name);
	int r = ca_denied_hash(ca, hash, &denied);
	bool now = entry && !entry->allow && entry->name_size == size &&
		   memcmp(entry->name, name, size) == 0;
	if (r == -EPERM || (r == 0 && now))
		return name_root(ca, ret, error);
	if (r < 0) {
		if (error)
			*error = denied;
		return r;
	}
	ret->who = denial_signer_of(ca_chain(ca));
	return ret->who ? 0 : no_memory(error);
}

static int load_root_key(const struct ca *ca, const char *passphrase_path, EVP_PKEY **ret,
			 struct error *error)
{
	struct passphrase passphrase;

	int r = passphrase_read(passphrase_path, &passphrase, error);
	if (r < 0 && r != -ENOKEY)
		return r;
	r = ca_key_load_root(ca_directory(ca), r == 0 ? &passphrase : NULL, ret, error);
	passphrase_done(&passphrase);
	if (r == -ENOENT)
		error_remedy(error,
			     "the issuing key is denied, so that only root.key can sign this: "
			     "bring it back for the moment");
	return r;
}

static int get_signing_key(struct ca *ca, const struct signer *signer, EVP_PKEY **ret,
			   struct error *error)
{
	if (signer->root)
		return load_root_key(ca, signer->passphrase_path, ret, error);
	int r = ca_unlock(ca, signer->passphrase_path, error);
	if (r < 0)
		return r;
	EVP_PKEY_up_ref(ca_key(ca));
	*ret = ca_key(ca);
	return 0;
}

static int sign_entry(struct ca *ca, const struct signer *signer, struct denial *entry,
		      struct error *error)
{
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	char *signature = NULL;

	int r = get_signing_key(ca, signer, &key, error);
	if (r == 0)
		r = denial_sign(key, ca_domain(ca), entry->number, entry->hash, &signature, error);
	if (r < 0)
		return r;
	denial_signer_put(entry->signer);
	free(entry->signature);
	entry->signer = denial_signer_get(signer->who);
	entry->signature = signature;
	return 0;
}

// --- changing

// The certificate of a serial number: what names it, and until when it would be good. One that was issued under another key, or by a
// mutun that kept no copies, is named by its own key.
static int describe_serial(struct ca *ca, const char *serial, char *text, size_t size,
			   struct error *error)
{
	_cleanup_(freep) uint8_t *der = NULL;
	_cleanup_(X509_freep) X509 *certificate = X509_new_ex(tls_library(), NULL);
	uint8_t issuer[SPKI_HASH_SIZE], own[SPKI_HASH_SIZE];
	char issuer_text[KEY_TEXT_MAX], own_text[KEY_TEXT_MAX], serial_text[SERIAL_TEXT_MAX];
	time_t from, to;
	size_t der_size;

	int r = journal_certificate(ca_journal(ca), serial, &der, &der_size, error);
	if (r < 0)
		return r;
	const unsigned char *at = der;
	if (!certificate || !d2i_X509(&certificate, &at, (long)der_size) ||
	    certificate_lifetime(certificate, &from, &to) < 0 || ca_issuer_key(ca, issuer) < 0 ||
	    certificate_spki_hash(certificate, own) < 0)
		return error_set(error, EIO, "the journal's copy of %.60s cannot be read", serial);
	hex_text(issuer, sizeof(issuer), issuer_text);
	hex_text(own, sizeof(own), own_text);
	if (X509_verify(certificate, X509_get0_pubkey(ca_certificate(ca))) == 1)
		snprintf(text, size, "serial %s %s %lld", issuer_text,
			 certificate_serial(certificate, serial_text), (long long)to);
	else
		snprintf(text, size, "key %s %lld", own_text, (long long)to);
	return 0;
}

// Nobody could sign that so that nodes believe it.
static int check_not_root(const struct ca *ca, const char *key, struct error *error)
{
	_cleanup_(freep) char *path = ca_directory_path(ca_directory(ca), CA_ROOT_CERTIFICATE);
	_cleanup_(X509_freep) X509 *root = NULL;
	uint8_t hash[SPKI_HASH_SIZE];
	char text[KEY_TEXT_MAX];

	if (!path)
		return no_memory(error);
	if (pem_read_certificate(path, &root, NULL) < 0 || certificate_spki_hash(root, hash) < 0)
		return 0;
	hex_text(hash, sizeof(hash), text);
	if (strcmp(text, key) != 0)
		return 0;
	error_set(error, EINVAL,
		  "this is the root key of the CA: nobody could sign its revocation");
	return error_remedy(error, "make another CA, and give its trust.crt to the nodes");
}

// The words of the entry from its kind to UNTIL.
static int describe(struct ca *ca, const struct ca_subject *subject, bool allow, char *text,
		    size_t size, struct error *error)
{
	_cleanup_(freep) char *identity = NULL;
	const char *until = allow ? "" : " 0";
	const char *domain;

	if (subject->serial)
		return describe_serial(ca, subject->serial, text, size, error);
	if (subject->key) {
		if (strlen(subject->key) != KEY_TEXT_MAX - 1 ||
		    strspn(subject->key, "0123456789abcdef") != KEY_TEXT_MAX - 1) {
			error_set(error, EINVAL, "\"%.80s\" is not the SHA-256 of a key",
				  subject->key);
			return error_expected(error,
					      "64 lower-case hexadecimal digits, as \"mutun ca "
					      "list --json\" shows them");
		}
		snprintf(text, size, "key %s%s", subject->key, until);
		return check_not_root(ca, subject->key, error);
	}
	int r = identity_parse(subject->identity, strlen(subject->identity), &identity, error);
	if (r < 0)
		return r;
	size_t length = identity_domain(identity, &domain);
	if (length != strlen(ca_domain(ca)) || memcmp(domain, ca_domain(ca), length) != 0)
		return error_set(error, EINVAL, "%.*s is not in the trust domain of this CA",
				 IDENTITY_SHOWN_MAX, identity);
	snprintf(text, size, "identity %s%s", identity, until);
	return 0;
}

// Within a transaction. Returns the entry that stands already, or a new one that is in the journal.
static int change(struct ca *ca, const char *words, const char *reason, const char *passphrase_path,
		  struct denial **ret, struct error *error)
{
	_cleanup_(denial_putp) struct denial *last = NULL;
	_cleanup_(denial_putp) struct denial *entry = NULL;
	_cleanup_(denial_putp) struct denial *before = NULL;
	_cleanup_(signer_done) struct signer signer = {.passphrase_path = passphrase_path};
	uint8_t hash[DENIAL_HASH_SIZE];
	char text[DENIAL_TEXT_MAX];

	int r = denial_journal_last(ca_journal(ca), &last, error);
	if (r < 0)
		return r;
	int size =
		snprintf(text, sizeof(text), "%llu %lld %s %s%s%s",
			 last ? (unsigned long long)last->number + 1 : 1, (long long)clock_wall(),
			 reason ? "deny" : "allow", words, reason ? " " : "", reason ? reason : "");
	r = denial_parse(text, (size_t)size, &entry, error);
	if (r == 0)
		r = denial_journal_find(ca_journal(ca), entry->name, entry->name_size, &before,
					error);
	if (r < 0)
		return r;
	if (!reason && (!before || before->allow))
		return error_set(error, ENOENT, "it is not revoked");
	if (reason && before && !before->allow) {
		*ret = take(before);
		return 0;
	}
	if ((last ? (memcpy(hash, last->hash, sizeof(hash)), 0)
		  : denials_hash(NULL, ca_domain(ca), 0, hash)) < 0 ||
	    denials_hash_next(hash, entry->text, entry->text_size, entry->hash) < 0)
		return no_memory(error);
	r = choose_signer(ca, entry, &signer, error);
	if (r == 0)
		r = sign_entry(ca, &signer, entry, error);
	if (r == 0)
		r = denial_journal_add(ca_journal(ca), entry, error);
	if (r == 0)
		*ret = take(entry);
	return r;
}

static int change_and_publish(struct ca *ca, const struct ca_subject *subject, const char *reason,
			      struct denial **ret, struct error *error)
{
	_cleanup_(denial_putp) struct denial *entry = NULL;
	char words[DENIAL_TEXT_MAX];

	int r = describe(ca, subject, !reason, words, sizeof(words) - 64, error);
	if (r == 0)
		r = journal_begin(ca_journal(ca), error);
	if (r < 0)
		return r;
	r = change(ca, words, reason, subject->passphrase_path, &entry, error);
	int ended = journal_end(ca_journal(ca), r == 0, r == 0 ? error : NULL);
	if (r == 0)
		r = ended;
	// Only what the journal keeps is published: a number is never given twice.
	if (r == 0)
		r = ca_publish(ca, subject->passphrase_path, error);
	if (r == 0)
		*ret = take(entry);
	return r;
}

int ca_revoke(struct ca *ca, const struct ca_subject *subject, enum denial_reason reason,
	      struct denial **ret, struct error *error)
{
	return change_and_publish(ca, subject, denial_reason_name(reason), ret, error);
}

int ca_reinstate(struct ca *ca, const struct ca_subject *subject, struct denial **ret,
		 struct error *error)
{
	if (subject->serial)
		return error_set(error, EINVAL,
				 "a certificate is not given back: issue another one");
	return change_and_publish(ca, subject, NULL, ret, error);
}

// --- publishing

// Nodes may not have the CA certificate any more that signed the last entry long ago.
static int sign_anew(struct ca *ca, const char *passphrase_path, struct error *error)
{
	_cleanup_(denial_putp) struct denial *last = NULL;
	_cleanup_(signer_done) struct signer signer = {.passphrase_path = passphrase_path};

	int r = denial_journal_last(ca_journal(ca), &last, error);
	if (r < 0 || !last)
		return r;
	r = choose_signer(ca, NULL, &signer, error);
	if (r < 0 || strcmp(denial_signer_text(signer.who), denial_signer_text(last->signer)) == 0)
		return r;
	r = sign_entry(ca, &signer, last, error);
	return r < 0 ? r : denial_journal_sign(ca_journal(ca), last, error);
}

static int publish(struct ca *ca, const char *passphrase_path, struct error *error)
{
	_cleanup_(denials_putp) struct denials *denials = NULL;
	_cleanup_(freep) char *path = ca_directory_path(ca_directory(ca), CA_DENIALS);

	int r = path ? sign_anew(ca, passphrase_path, error) : no_memory(error);
	if (r == 0)
		r = ca_denials(ca, &denials, error);
	if (r < 0 || !denials)
		return r;
	r = denials_file_write(denials, path);
	if (r == 0)
		return 0;
	error_set(error, -r, "the denials are in the journal but cannot be published: %s",
		  strerror(-r));
	error_where(error, "%s", path);
	return error_remedy(error, "make room, or writable, then give the same command again");
}

int ca_publish(struct ca *ca, const char *passphrase_path, struct error *error)
{
	// Nobody else publishes an older state meanwhile.
	int r = journal_begin(ca_journal(ca), error);
	if (r < 0)
		return r;
	r = publish(ca, passphrase_path, error);
	int ended = journal_end(ca_journal(ca), r == 0, r == 0 ? error : NULL);
	return r < 0 ? r : ended;
}
