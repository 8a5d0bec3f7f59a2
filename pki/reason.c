// SPDX-License-Identifier: Apache-2.0

#include "pki/reason.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/clock.h"
#include "base/error.h"
#include "pki/certificate.h"
#include "pki/identity.h"

#define NAME_SHOWN_MAX 120

// The certificate that the refusal is about: the leaf by its identity, one above it by its subject.
static void name_subject(const X509_STORE_CTX *store, const struct reason_context *context,
			 char *text, size_t size)
{
	X509 *certificate = X509_STORE_CTX_get_current_cert(store);
	char subject[NAME_SHOWN_MAX];

	if (X509_STORE_CTX_get_error_depth(store) <= 0 || !certificate) {
		snprintf(text, size, "certificate of %.*s", IDENTITY_SHOWN_MAX, context->identity);
		return;
	}
	certificate_name(X509_get_subject_name(certificate), subject, sizeof(subject));
	snprintf(text, size, "CA certificate \"%s\" above %.*s", subject, IDENTITY_SHOWN_MAX,
		 context->identity);
}

static int reason_time(const X509_STORE_CTX *store, const struct reason_context *context,
		       const char *subject, struct error *error)
{
	time_t not_before = 0, not_after = 0;
	char words[32];

	certificate_lifetime(X509_STORE_CTX_get_current_cert(store), &not_before, &not_after);
	if (X509_STORE_CTX_get_error(store) == X509_V_ERR_CERT_HAS_EXPIRED) {
		error_set(error, EACCES, "%s expired %s ago", subject,
			  clock_words(context->now - not_after, words, sizeof(words)));
		error_remedy(error, "it must be renewed where it is used");
	} else {
		error_set(error, EACCES, "%s is not valid for another %s (is this clock behind?)",
			  subject, clock_words(not_before - context->now, words, sizeof(words)));
		error_remedy(error, "compare the clocks of both ends");
	}
	return -EACCES;
}

static int reason_issuer(const X509_STORE_CTX *store, const struct reason_context *context,
			 const char *subject, struct error *error)
{
	const X509 *certificate = X509_STORE_CTX_get_current_cert(store);
	char issuer[NAME_SHOWN_MAX] = "";

	if (certificate)
		certificate_name(X509_get_issuer_name(certificate), issuer, sizeof(issuer));
	error_set(error, EACCES,
		  "%s is signed by an unknown CA (issuer %s; trust domain %.*s has %zu CA "
		  "certificate%s)",
		  subject, issuer, (int)context->domain_length, context->domain, context->ca_count,
		  context->ca_count == 1 ? "" : "s");
	error_remedy(error, "the trust bundle of that domain needs this CA, or the peer must send "
			    "its intermediates");
	return -EACCES;
}

static const char *path_text(int code)
{
	switch (code) {
	case X509_V_ERR_PERMITTED_VIOLATION:
	case X509_V_ERR_EXCLUDED_VIOLATION:
		return "has a name that its CA may not sign for (name constraints)";
	case X509_V_ERR_PATH_LENGTH_EXCEEDED:
		return "may not stand above so many others (path length)";
	case X509_V_ERR_CERT_CHAIN_TOO_LONG:
		return "has too many certificates above it";
	case X509_V_ERR_INVALID_CA:
		return "may not sign certificates";
	case X509_V_ERR_INVALID_PURPOSE:
		return "may not be used for this (extended key usage)";
	case X509_V_ERR_CERT_SIGNATURE_FAILURE:
	case X509_V_ERR_UNABLE_TO_DECRYPT_CERT_SIGNATURE:
		return "has a signature that does not fit its issuer's key";
	case X509_V_ERR_EE_KEY_TOO_SMALL:
	case X509_V_ERR_CA_KEY_TOO_SMALL:
		return "has a key that is too weak";
	case X509_V_ERR_EC_KEY_EXPLICIT_PARAMS:
		return "has a key on a curve that is not a named one";
	case X509_V_ERR_CA_MD_TOO_WEAK:
		return "is signed with a digest that is too weak";
	case X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION:
		return "has a critical extension that is not understood";
	case X509_V_ERR_NO_EXPLICIT_POLICY:
		return "is not issued under a policy that its CAs demand";
	case X509_V_ERR_INVALID_POLICY_EXTENSION:
		return "has certificate policies that contradict themselves";
	case X509_V_ERR_CERT_REJECTED:
	case X509_V_ERR_CERT_UNTRUSTED:
		return "is marked as not trusted";
	default:
		return NULL;
	}
}

int reason_path(const X509_STORE_CTX *store, const struct reason_context *context,
		struct error *error)
{
	char subject[NAME_SHOWN_MAX + IDENTITY_SHOWN_MAX + 32];
	int code = X509_STORE_CTX_get_error(store);

	name_subject(store, context, subject, sizeof(subject));
	switch (code) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return reason_time(store, context, subject, error);
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
		return reason_issuer(store, context, subject, error);
	default:
		break;
	}
	const char *text = path_text(code);
	if (text)
		error_set(error, EACCES, "%s %s", subject, text);
	else
		error_set(error, EACCES, "%s cannot be verified: %s", subject,
			  X509_verify_cert_error_string(code));
	return -EACCES;
}

struct reason {
	int code;
	int result; // positive errno
	const char *what;
	const char *remedy;
};

#define OUR_CERTIFICATE "the peer refused our certificate: "

// RFC 8446, 6.2.
static const struct reason alerts[] = {
	{SSL_AD_BAD_CERTIFICATE, EKEYREJECTED,
	 OUR_CERTIFICATE "it breaks a rule, or its name is not the one expected",
	 "the peer's log says which rule"},
	{SSL_AD_UNSUPPORTED_CERTIFICATE, EKEYREJECTED,
	 OUR_CERTIFICATE "it is of a kind that may not be used for this",
	 "the peer's log says why"},
	{SSL_AD_CERTIFICATE_REVOKED, EKEYREJECTED, OUR_CERTIFICATE "it has been revoked",
	 "ask the CA for a new one"},
	{SSL_AD_CERTIFICATE_EXPIRED, EKEYREJECTED, OUR_CERTIFICATE "it has expired",
	 "renew the certificate, and compare the clocks of both ends"},
	{SSL_AD_CERTIFICATE_UNKNOWN, EKEYREJECTED, OUR_CERTIFICATE "it could not be accepted",
	 "the peer's log says why"},
	{SSL_AD_UNKNOWN_CA, EKEYREJECTED, OUR_CERTIFICATE "it does not know the CA",
	 "the peer's trust bundle needs our CA, or our certificate file its intermediates"},
	{SSL_AD_ACCESS_DENIED, EACCES, "the peer denied access", "the peer's log says why"},
	{SSL_AD_DECRYPT_ERROR, EKEYREJECTED, OUR_CERTIFICATE "a signature is wrong", NULL},
	{TLS13_AD_CERTIFICATE_REQUIRED, EACCES, "the peer demands a certificate and got none",
	 NULL},
	{SSL_AD_NO_APPLICATION_PROTOCOL, EPROTO,
	 "the peer does not speak our protocol (ALPN mutun/1)",
	 "is the address that of a mutun gateway?"},
	{SSL_AD_PROTOCOL_VERSION, EPROTO, "no TLS version in common: the peer has no TLS 1.3",
	 NULL},
	{SSL_AD_HANDSHAKE_FAILURE, EPROTO, "the peer found no common TLS parameters or protocol",
	 NULL},
	{SSL_AD_INSUFFICIENT_SECURITY, EPROTO, "the peer demands stronger cryptography", NULL},
	{SSL_AD_UNRECOGNIZED_NAME, EPROTO, "the peer does not serve the name we asked for", NULL},
	{SSL_AD_USER_CANCELLED, EPROTO, "the peer cancelled the handshake", NULL},
	{SSL_AD_INTERNAL_ERROR, EPROTO, "the peer had an internal error",
	 "the peer's log says which"},
	{SSL_AD_ILLEGAL_PARAMETER, EPROTO, "the peer found an illegal value in our handshake",
	 NULL},
	{SSL_AD_DECODE_ERROR, EPROTO, "the peer could not decode our handshake", NULL},
	{SSL_AD_UNEXPECTED_MESSAGE, EPROTO, "the peer got a handshake message out of order", NULL},
	{SSL_AD_BAD_RECORD_MAC, EPROTO, "the peer got a damaged record",
	 "is something between the two changing bytes?"},
};

static const struct reason faults[] = {
	{SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, EACCES, "the peer sent no certificate",
	 "it needs one from a CA that this node trusts"},
	{SSL_R_EXCESSIVE_MESSAGE_SIZE, EACCES,
	 "the peer sent a larger handshake message, such as one of certificates, than is accepted",
	 NULL},
	{SSL_R_CERT_LENGTH_MISMATCH, EACCES, "the peer sent a certificate that cannot be read",
	 NULL},
	{SSL_R_BAD_SIGNATURE, EACCES, "the peer does not hold the key of its certificate", NULL},
	{SSL_R_CERTIFICATE_VERIFY_FAILED, EACCES, "the peer's certificate was refused", NULL},
	{SSL_R_EE_KEY_TOO_SMALL, EACCES, "the peer's key is too weak", NULL},
	{SSL_R_NO_APPLICATION_PROTOCOL, EPROTO,
	 "the peer does not speak our protocol (ALPN mutun/1)", NULL},
	{SSL_R_UNSUPPORTED_PROTOCOL, EPROTO, "no TLS version in common: the peer has no TLS 1.3",
	 NULL},
	{SSL_R_WRONG_SSL_VERSION, EPROTO, "no TLS version in common: the peer has no TLS 1.3",
	 NULL},
	{SSL_R_VERSION_TOO_LOW, EPROTO, "no TLS version in common: the peer has no TLS 1.3", NULL},
	{SSL_R_WRONG_VERSION_NUMBER, EPROTO, "the connection does not speak TLS",
	 "is it the right port, with no proxy between?"},
	{SSL_R_HTTP_REQUEST, EPROTO, "the connection does not speak TLS: it is plain HTTP", NULL},
	{SSL_R_HTTPS_PROXY_REQUEST, EPROTO,
	 "the connection does not speak TLS: it is a proxy request", NULL},
	{SSL_R_BAD_RECORD_TYPE, EPROTO, "the connection does not speak TLS", NULL},
	{SSL_R_RECORD_TOO_SMALL, EPROTO, "the connection does not speak TLS", NULL},
	{SSL_R_NO_SHARED_CIPHER, EPROTO, "no cipher suite in common", NULL},
	{SSL_R_NO_SUITABLE_KEY_SHARE, EPROTO, "no key exchange group in common", NULL},
	{SSL_R_NO_SHARED_GROUPS, EPROTO, "no key exchange group in common", NULL},
	{SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, EPROTO, "no signature algorithm in common", NULL},
	{SSL_R_TOO_MUCH_EARLY_DATA, EPROTO, "the peer sent data before the handshake was done",
	 NULL},
	{SSL_R_UNEXPECTED_EOF_WHILE_READING, EPROTO, "the peer closed the connection", NULL},
	{SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, EPROTO, "a damaged record arrived",
	 "is something between the two changing bytes?"},
};

static const struct reason *find(const struct reason *reasons, size_t count, int code)
{
	for (size_t i = 0; i < count; i++)
		if (reasons[i].code == code)
			return &reasons[i];
	return NULL;
}

static int tell(const struct reason *reason, struct error *error)
{
	error_set(error, reason->result, "%s", reason->what);
	if (reason->remedy)
		error_remedy(error, "%s", reason->remedy);
	return -reason->result;
}

int reason_handshake(unsigned long entry, struct error *error)
{
	int code = ERR_GET_REASON(entry);

	if (ERR_GET_LIB(entry) == ERR_LIB_ASN1 || ERR_GET_LIB(entry) == ERR_LIB_X509)
		return error_set(error, EACCES, "the peer sent a certificate that cannot be read");
	if (ERR_GET_LIB(entry) != ERR_LIB_SSL)
		return 0;

	bool alert = code >= SSL_AD_REASON_OFFSET && code < SSL_AD_REASON_OFFSET + 256;
	const struct reason *reason =
		alert ? find(alerts, sizeof(alerts) / sizeof(alerts[0]),
			     code - SSL_AD_REASON_OFFSET)
		      : find(faults, sizeof(faults) / sizeof(faults[0]), code);
	if (reason)
		return tell(reason, error);
	if (alert)
		return error_set(error, EPROTO, "the peer ended the handshake with TLS alert %d",
				 code - SSL_AD_REASON_OFFSET);
	return 0;
}
