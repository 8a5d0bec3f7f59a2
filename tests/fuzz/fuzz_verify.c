// SPDX-License-Identifier: Apache-2.0
// The whole judgement over what a peer sent: one byte of how, then DER certificates, leaf first. So that more than broken
// signatures is tried, certificates are signed anew on their way in, by keys that are known here, up to a root that is trusted.
// Whatever X509_verify_cert() refuses must be refused; what is accepted must be accepted again.

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "pki/certificate.h"
#include "pki/identity.h"
#include "pki/tls.h"
#include "pki/trust.h"
#include "pki/verify.h"

#define DOMAIN	 "corp.example"
#define NOW	 1795629600 // when the corpus was made
#define SENT_MAX 6

enum how {
	HOW_SIGNED = 1, // each by the one after it, the last one by the root
	HOW_NAMED = 2,	// each has the name of the next as its issuer
	HOW_SERVER = 4,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

DEFINE_CLEANUP(X509_STORE_CTX *, X509_STORE_CTX_free);

static EVP_PKEY *
	keys[SENT_MAX + 1]; // keys[i] is that of the certificate at place i; the leaf keeps its own
static X509 *root;
static struct trust *trust;
static X509_STORE *store;

static void must(bool good)
{
	if (!good)
		abort();
}

static void add(X509 *certificate, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	must(extension && X509_add_ext(certificate, extension, -1));
	X509_EXTENSION_free(extension);
}

static void make_root(void)
{
	root = X509_new_ex(tls_library(), NULL);
	must(root && X509_set_version(root, X509_VERSION_3));
	ASN1_INTEGER_set(X509_get_serialNumber(root), 1);
	ASN1_TIME_set(X509_getm_notBefore(root), NOW - 86400L * 365);
	ASN1_TIME_set(X509_getm_notAfter(root), NOW + 86400L * 3650);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(root), "CN", MBSTRING_ASC,
				   (const unsigned char *)"root", -1, -1, 0);
	X509_set_issuer_name(root, X509_get_subject_name(root));
	X509_set_pubkey(root, keys[SENT_MAX]);
	add(root, NID_basic_constraints, "critical,CA:TRUE");
	add(root, NID_key_usage, "critical,keyCertSign,cRLSign");
	must(X509_sign(root, keys[SENT_MAX], NULL) > 0);
}

static void set_up(void)
{
	struct trust_source source = {.domain = DOMAIN};
	char path[32];
	int file = memfd_create("root", MFD_CLOEXEC);

	for (uint8_t i = 0; i <= SENT_MAX; i++) {
		uint8_t secret[32] = {i};
		keys[i] = EVP_PKEY_new_raw_private_key_ex(tls_library(), "ED25519", NULL, secret,
							  sizeof(secret));
		must(keys[i]);
	}
	make_root();
	BIO *bio = BIO_new_fd(file, BIO_NOCLOSE);
	must(file >= 0 && bio && PEM_write_bio_X509(bio, root));
	BIO_free(bio);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	source.path = path;
	must(trust_load(tls_library(), &source, 1, NOW, &trust, NULL) == 0);
	close(file);
	store = X509_STORE_new();
	must(store && X509_STORE_add_cert(store, root));
}

static unsigned read_sent(const uint8_t *data, size_t size, X509 *sent[SENT_MAX])
{
	const unsigned char *at = data, *end = data + size;
	unsigned count = 0;

	while (count < SENT_MAX && at < end) {
		sent[count] = X509_new_ex(tls_library(), NULL);
		if (!d2i_X509(&sent[count], &at, end - at)) {
			X509_free(sent[count]);
			break;
		}
		count++;
	}
	return count;
}

// OpenSSL 3.0 and 3.5 lose 42 bytes on policyConstraints without certificatePolicies, once for each such CA certificate.
static bool leaks(const X509 *certificate)
{
	return X509_get_ext_by_NID(certificate, NID_policy_constraints, -1) >= 0 &&
	       X509_get_ext_by_NID(certificate, NID_certificate_policies, -1) < 0;
}

// From the top, as who signs must have its name and key by then. What comes out is read anew, as from a peer.
static bool prepare(X509 *sent[SENT_MAX], unsigned count, unsigned how)
{
	for (unsigned i = count; i-- > 0;) {
		X509 *above = i + 1 < count ? sent[i + 1] : root;
		if (leaks(sent[i]))
			return false;
		if (how & HOW_NAMED)
			X509_set_issuer_name(sent[i], X509_get_subject_name(above));
		if (!(how & HOW_SIGNED))
			continue;
		if (i > 0)
			X509_set_pubkey(sent[i], keys[i]);
		if (X509_sign(sent[i], i + 1 < count ? keys[i + 1] : keys[SENT_MAX], NULL) <= 0)
			return false;
		unsigned char *der = NULL;
		int size = i2d_X509(sent[i], &der);
		const unsigned char *at = der;
		X509 *read = X509_new_ex(tls_library(), NULL);
		bool good = size > 0 && d2i_X509(&read, &at, size);
		OPENSSL_free(der);
		if (!good)
			return false;
		X509_free(sent[i]);
		sent[i] = read;
	}
	return true;
}

static bool openssl_accepts(X509 *leaf, STACK_OF(X509) * above, int purpose)
{
	_cleanup_(X509_STORE_CTX_freep) X509_STORE_CTX *context =
		X509_STORE_CTX_new_ex(tls_library(), NULL);

	must(context && X509_STORE_CTX_init(context, store, leaf, above));
	X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(context), NOW);
	X509_STORE_CTX_set_purpose(context, purpose);
	bool good = X509_verify_cert(context) == 1;
	ERR_clear_error();
	return good;
}

static void check_accepted(const struct verdict *verdict)
{
	_cleanup_(freep) char *identity = NULL;
	struct verdict *again = NULL;

	must(identity_parse(verdict_identity(verdict), strlen(verdict_identity(verdict)), &identity,
			    NULL) == 0);
	must(strcmp(identity, verdict_identity(verdict)) == 0);
	must(strncmp(identity, "spiffe://" DOMAIN "/", strlen("spiffe://" DOMAIN "/")) == 0);
	must(verdict_not_after(verdict) >= NOW);
	must(verify_again(trust, verdict, NOW, &again, NULL) == 0);
	verdict_put(again);
	must(verify_again(trust, verdict, verdict_not_after(verdict) + 1, &again, NULL) < 0);
}

static void judge(X509 *leaf, STACK_OF(X509) * above, bool server)
{
	struct verdict *verdict = NULL;
	struct error error = {0};
	int code = X509_V_OK;
	int r = verify_chain(trust, leaf, above,
			     server ? VERIFY_PEER_IS_SERVER : VERIFY_PEER_IS_CLIENT, NOW, &verdict,
			     &code, &error);

	must((r == 0) == (code == X509_V_OK) && (r == 0) == (verdict != NULL));
	if (r < 0) {
		must(error.what[0] != '\0');
		return;
	}
	must(openssl_accepts(leaf, above,
			     server ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_SSL_CLIENT));
	check_accepted(verdict);
	verdict_put(verdict);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	X509 *sent[SENT_MAX];

	if (!trust)
		set_up();
	if (size < 2)
		return 0;
	unsigned count = read_sent(data + 1, size - 1, sent);
	STACK_OF(X509) *above = sk_X509_new_null();
	if (above && count > 0 && prepare(sent, count, data[0])) {
		for (unsigned i = 1; i < count; i++)
			must(sk_X509_push(above, sent[i]) > 0);
		judge(sent[0], above, data[0] & HOW_SERVER);
	}
	sk_X509_free(above);
	for (unsigned i = 0; i < count; i++)
		X509_free(sent[i]);
	ERR_clear_error();
	return 0;
}
