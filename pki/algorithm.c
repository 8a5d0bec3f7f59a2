// SPDX-License-Identifier: Apache-2.0

#include "pki/algorithm.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <openssl/x509v3.h>

#include "base/error.h"

static int check_rsa_key(const X509_PUBKEY *public, struct error *error)
{
	const EVP_PKEY *key = X509_PUBKEY_get0(public);
	int bits = key ? EVP_PKEY_get_bits(key) : 0;

	if (bits >= 2048 && bits <= 4096)
		return 0;
	error_set(error, EINVAL, "has an RSA key of %d bits", bits);
	return error_expected(error, "RSA of 2048 to 4096 bits, P-256, P-384, P-521 or Ed25519");
}

// Judged by the AlgorithmIdentifier, where a named curve and explicit parameters cannot be mistaken for each other.
int algorithm_check_public(const X509_PUBKEY *public, struct error *error)
{
	X509_ALGOR *algorithm;
	const ASN1_OBJECT *object;
	const void *value;
	int type;

	if (!X509_PUBKEY_get0_param(NULL, NULL, NULL, &algorithm, public))
		return error_set(error, EINVAL, "has an unreadable key");
	X509_ALGOR_get0(&object, &type, &value, algorithm);
	int nid = OBJ_obj2nid(object);
	if (nid == NID_rsaEncryption)
		return check_rsa_key(public, error);
	if (nid == NID_X9_62_id_ecPublicKey && type != V_ASN1_OBJECT)
		return error_set(error, EINVAL,
				 "has a key on a curve that is not a "
				 "named one");
	int curve = nid == NID_X9_62_id_ecPublicKey ? OBJ_obj2nid(value) : NID_undef;
	if (curve != NID_X9_62_prime256v1 && curve != NID_secp384r1 && curve != NID_secp521r1 &&
	    nid != NID_ED25519) {
		char name[80];
		OBJ_obj2txt(name, sizeof(name), type == V_ASN1_OBJECT ? value : object, 0);
		error_set(error, EINVAL, "has a key of the kind %s", name);
		return error_expected(error, "P-256, P-384, P-521, Ed25519 or RSA");
	}
	if (!X509_PUBKEY_get0(public))
		return error_set(error, EINVAL, "has an unreadable key");
	return 0;
}

int algorithm_check_key(const X509 *certificate, struct error *error)
{
	return algorithm_check_public(X509_get_X509_PUBKEY(certificate), error);
}

int algorithm_check_signature(const X509 *certificate, struct error *error)
{
	int digest = NID_undef, key = NID_undef, bits;
	uint32_t flags;

	// Fills the cache that the next call reads.
	X509_get_extension_flags((X509 *)certificate);
	bool known = X509_get_signature_info((X509 *)certificate, &digest, &key, &bits, &flags);
	if (known && (digest == NID_sha256 || digest == NID_sha384 || digest == NID_sha512 ||
		      key == NID_ED25519))
		return 0;
	error_set(error, EINVAL, "is signed with %s",
		  OBJ_nid2sn(X509_get_signature_nid(certificate)));
	return error_expected(error, "a signature with SHA-256, SHA-384, SHA-512 or Ed25519");
}
