// SPDX-License-Identifier: Apache-2.0

#include "pki/bundle.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/buffer.h"
#include "base/error.h"
#include "pki/certificate.h"
#include "pki/credential.h"
#include "pki/tls.h"
#include "pki/trust.h"
#include "pki/verify.h"

DEFINE_CLEANUP(BIO *, BIO_free);

int bundle_roots(STACK_OF(X509) * offered, STACK_OF(X509) * *ret, struct error *error)
{
	_cleanup_(certificates_freep) STACK_OF(X509) *roots = sk_X509_new_null();

	if (!roots)
		return error_set(error, ENOMEM, "out of memory");
	for (int i = 0; i < sk_X509_num(offered); i++) {
		X509 *certificate = sk_X509_value(offered, i);
		if (X509_self_signed(certificate, 1) != 1)
			continue;
		X509_up_ref(certificate);
		if (!sk_X509_push(roots, certificate)) {
			X509_free(certificate);
			return error_set(error, ENOMEM, "out of memory");
		}
	}
	if (sk_X509_num(roots) == 0)
		return error_set(error, EBADMSG, "the server sends no root certificate");
	*ret = take(roots);
	return 0;
}

static bool holds(STACK_OF(X509) * all, const X509 *one)
{
	for (int i = 0; i < sk_X509_num(all); i++)
		if (X509_cmp(sk_X509_value(all, i), one) == 0)
			return true;
	return false;
}

static bool within(STACK_OF(X509) * some, STACK_OF(X509) * all)
{
	for (int i = 0; i < sk_X509_num(some); i++)
		if (!holds(all, sk_X509_value(some, i)))
			return false;
	return true;
}

// Whether `voucher` is the same CA, by name and key, as one that is trusted already signed it (RFC 7030, 4.1.3: NewWithOld).
static bool vouches(X509 *voucher, X509 *root, STACK_OF(X509) * trusted)
{
	if (X509_NAME_cmp(X509_get_subject_name(voucher), X509_get_subject_name(root)) != 0 ||
	    EVP_PKEY_eq(X509_get0_pubkey(voucher), X509_get0_pubkey(root)) != 1 ||
	    certificate_check_intermediate(voucher, NULL) < 0)
		return false;
	for (int i = 0; i < sk_X509_num(trusted); i++) {
		X509 *old = sk_X509_value(trusted, i);
		if (X509_check_issued(old, voucher) == X509_V_OK &&
		    X509_verify(voucher, X509_get0_pubkey(old)) == 1)
			return true;
	}
	return false;
}

// The server only hands on what the CA says: a root that is new to us must be one that the present ones vouch for. A gateway
// that fell into wrong hands could otherwise make itself a CA that outlives it.
static int check_vouched(STACK_OF(X509) * roots, STACK_OF(X509) * offered, STACK_OF(X509) * trusted,
			 struct error *error)
{
	char name[160];

	for (int i = 0; i < sk_X509_num(roots); i++) {
		X509 *root = sk_X509_value(roots, i);
		int j = 0;
		if (holds(trusted, root))
			continue;
		for (; j < sk_X509_num(offered); j++)
			if (vouches(sk_X509_value(offered, j), root, trusted))
				break;
		if (j < sk_X509_num(offered))
			continue;
		error_set(error, EBADMSG,
			  "the server wants %s trusted, which no present root signed",
			  certificate_name(X509_get_subject_name(root), name, sizeof(name)));
		return error_remedy(error, "if the CA is really followed by that one, give its "
					   "certificate to this node by another way");
	}
	return 0;
}

// The roots, then whatever in `text` is no certificate: revocation lists.
static int compose(STACK_OF(X509) * roots, const char *text, size_t size, BIO *out)
{
	_cleanup_(BIO_freep) BIO *in = BIO_new_mem_buf(text, (int)size);
	char *name, *header;
	unsigned char *data;
	long length;
	bool good = in;

	for (int i = 0; good && i < sk_X509_num(roots); i++)
		good = PEM_write_bio_X509(out, sk_X509_value(roots, i)) == 1;
	while (good && PEM_read_bio(in, &name, &header, &data, &length) == 1) {
		if (strcmp(name, PEM_STRING_X509_CRL) == 0)
			good = PEM_write_bio(out, name, header, data, length) > 0;
		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_free(data);
	}
	return good ? 0 : -ENOMEM;
}

// As peers will judge us, and we them, with the new file.
static int try_out(const char *path, const struct credential *credential, time_t now,
		   struct error *error)
{
	static const enum verify_role roles[] = {VERIFY_PEER_IS_CLIENT, VERIFY_PEER_IS_SERVER};
	_cleanup_(trust_putp) struct trust *trust = NULL;

	int r = trust_load_file(tls_library(), credential_identity(credential), path, now, &trust,
				error);
	for (unsigned i = 0; r == 0 && i < 2; i++) {
		_cleanup_(verdict_putp) struct verdict *verdict = NULL;
		r = verify_chain(trust, credential_leaf(credential), credential_chain(credential),
				 roles[i], now, &verdict, NULL, error);
	}
	if (r < 0 && r != -ENOMEM && error)
		error->code = EBADMSG;
	return r < 0 && r != -ENOMEM ? -EBADMSG : r;
}

static int replace(const char *path, BIO *content, const struct credential *credential, time_t now,
		   struct error *error)
{
	_cleanup_(freep) char *trial = NULL;
	char *data;
	long size = BIO_get_mem_data(content, &data);

	if (asprintf(&trial, "%s.trial.new", path) < 0) {
		trial = NULL;
		return error_set(error, ENOMEM, "out of memory");
	}
	int r = file_write(trial, data, (size_t)size, 0644);
	if (r == 0) {
		r = try_out(trial, credential, now, error);
		unlink(trial);
		if (r < 0)
			return error_where(error, "%s, as the CA wants it", path);
		r = file_write(path, data, (size_t)size, 0644);
	}
	if (r == 0)
		return 0;
	error_set(error, -r, "the trust file cannot be written: %s", strerror(-r));
	return error_where(error, "%s", path);
}

int bundle_update(const char *path, STACK_OF(X509) * offered, const struct credential *credential,
		  time_t now, bool *ret_changed, struct error *error)
{
	_cleanup_(certificates_freep) STACK_OF(X509) *roots = NULL;
	_cleanup_(certificates_freep) STACK_OF(X509) *old = NULL;
	_cleanup_(certificates_freep) STACK_OF(X509) *old_roots = NULL;
	_cleanup_(freep) char *text = NULL;
	_cleanup_(BIO_freep) BIO *content = BIO_new(BIO_s_mem());
	size_t size;

	*ret_changed = false;
	int r = bundle_roots(offered, &roots, error);
	if (r < 0)
		return r;
	r = file_read(path, TRUST_FILE_MAX, &text, &size);
	if (r < 0) {
		error_set(error, -r, "the trust file cannot be read: %s", strerror(-r));
		return error_where(error, "%s", path);
	}
	if (certificate_read_pem(tls_library(), text, size, &old, NULL) == 0 &&
	    bundle_roots(old, &old_roots, NULL) == 0 && within(roots, old_roots) &&
	    within(old_roots, roots))
		return 0;
	ERR_clear_error();
	r = check_vouched(roots, offered, old, error);
	ERR_clear_error();
	if (r < 0)
		return error_where(error, "%s", path);
	if (!content || compose(roots, text, size, content) < 0)
		return error_set(error, ENOMEM, "out of memory");
	r = replace(path, content, credential, now, error);
	*ret_changed = r == 0;
	return r;
}

int bundle_write(const char *path, STACK_OF(X509) * certificates, struct error *error)
{
	_cleanup_(freep) char *text = NULL;
	_cleanup_(BIO_freep) BIO *content = BIO_new(BIO_s_mem());
	size_t size;
	char *data;

	int r = file_read(path, TRUST_FILE_MAX, &text, &size);
	if (r == 0)
		r = content ? compose(certificates, text, size, content) : -ENOMEM;
	if (r == 0) {
		long length = BIO_get_mem_data(content, &data);
		r = file_write(path, data, (size_t)length, 0644);
	}
	if (r == 0)
		return 0;
	error_set(error, -r, "the trust file cannot be written: %s", strerror(-r));
	return error_where(error, "%s", path);
}
