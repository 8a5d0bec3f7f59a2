// SPDX-License-Identifier: Apache-2.0

#include "unit/refusal.h"

#include <stdio.h>
#include <stdlib.h>
#include <openssl/ssl.h>

#include "base/clock.h"
#include "base/error.h"
#include "pki/tls.h"
#include "pki/trust.h"

#define DAY	 INT64_C(86400)
#define ALICE	 REFUSAL_ALICE
#define OF_ALICE "certificate of " ALICE " "

// Who signed the leaf.
#define BY(name, place)                                               \
	static const struct fixture *by_##name(const struct world *w) \
	{                                                             \
		return w->place;                                      \
	}

BY(root, root)
BY(expired, expired)
BY(future, future)
BY(narrow, narrow)
BY(excluding, excluding)
BY(weak, weak)
BY(odd, odd)
BY(unnamed, unnamed)
BY(sha1, sha1)
BY(altered, altered)
BY(mute, mute)
BY(no_ca, no_ca)
BY(strict, strict)
BY(riddle, riddle)
BY(withdrawn, withdrawn)
BY(below, below)
BY(laptop, laptop)
BY(stair_4, stairs[3])
BY(stair_20, stairs[19])
BY(fat, fat[2])
BY(loop, loop[0])
BY(namesake, namesake)
BY(partner, partner)
BY(stranger, stranger)

static const struct fixture *by_nobody(const struct world *world)
{
	(void)world;
	return NULL;
}

// What is sent beside the leaf, when it is not what belongs to it.
static STACK_OF(X509) * pile(const struct fixture *const *fixtures, size_t count)
{
	STACK_OF(X509) *stack = sk_X509_new_null();

	if (!stack)
		abort();
	for (size_t i = 0; i < count; i++)
		sk_X509_push(stack, fixtures[i]->certificate);
	return stack;
}

static STACK_OF(X509) * send_nothing(const struct world *world)
{
	(void)world;
	return pile(NULL, 0);
}

static STACK_OF(X509) * send_real(const struct world *world)
{
	return pile((const struct fixture *[]){world->issuing}, 1);
}

static STACK_OF(X509) * send_junk(const struct world *world)
{
	return pile((const struct fixture *[]){world->narrow, world->stranger, world->laptop}, 3);
}

static STACK_OF(X509) * send_namesake(const struct world *world)
{
	return pile((const struct fixture *[]){world->namesake, world->namesake_root}, 2);
}

static STACK_OF(X509) * send_twice(const struct world *world)
{
	return pile((const struct fixture *[]){world->issuing, world->issuing, world->issuing,
					       world->issuing},
		    4);
}

// SANs that no ordinary encoder makes. 0x86 is a URI name, 0xa6 the same in the constructed form of BER.
static const uint8_t san_nul[] = "\x30\x1c\x86\x1aspiffe://corp.example/a\0.b";
static const uint8_t san_bmp[] = "\x30\x1c\x86\x1a\0s\0p\0i\0f\0f\0e\0:\0/\0/\0c\0/\0a\0b";
static const uint8_t san_high[] = "\x30\x1a\x86\x18spiffe://corp.example/\xc3\xa9";
static const uint8_t san_constructed[] = "\x30\x1b\xa6\x19\x16\x17spiffe://corp.example/a";
static const uint8_t san_trailing[] = "\x30\x19\x86\x17spiffe://corp.example/a\x05\x00";
static const uint8_t san_garbage[] = "\x30\x7f\x86";
static const uint8_t san_empty[] = "\x30\x00";
static const uint8_t serial_long[21] = {1, 2, 3};

#define SAN(array) .san = (array), .san_size = sizeof(array) - 1
#define LEAF(...)  .leaf = {.uris = {ALICE}, __VA_ARGS__}
#define URI(text)  .leaf = {.uris = {text}}
#define NO_ISSUING                                                                                \
	OF_ALICE "is signed by an unknown CA (issuer CN=corp issuing; trust domain corp.example " \
		 "has 1 CA certificate)"
#define NOT_ID(text, why) "\"" text "\" is not a SPIFFE ID: " why

const struct refusal refusals[] = {
	// Identity.
	{.name = "no SAN",
	 .leaf = {.dns = NULL},
	 .what = "certificate has no subject alternative name",
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "empty SAN",
	 .leaf = {SAN(san_empty)},
	 .what = "certificate has no URI name",
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "DNS name only",
	 .leaf = {.dns = "alice.corp.example"},
	 .what = "certificate has no URI name",
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "two URI names",
	 .leaf = {.uris = {ALICE, "spiffe://corp.example/laptop/bob"}},
	 .what = "certificate has 2 URI names",
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "one URI twice",
	 .leaf = {.uris = {ALICE, ALICE}},
	 .what = "certificate has 2 URI names",
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "not spiffe",
	 URI("https://corp.example/laptop/alice"),
	 .what = NOT_ID("https://corp.example/laptop/alice", "it does not begin with spiffe://"),
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "port",
	 URI("spiffe://corp.example:443/a"),
	 .what = NOT_ID("spiffe://corp.example:443/a", "it has a port"),
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "user",
	 URI("spiffe://evil@corp.example/a"),
	 .what = NOT_ID("spiffe://evil@corp.example/a", "it has a user name"),
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "user and password",
	 URI("spiffe://corp.example:x@evil.example/a"),
	 .what = NOT_ID("spiffe://corp.example:x@evil.example/a", "it has a user name"),
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "query",
	 URI("spiffe://corp.example/a?b"),
	 .what = NOT_ID("spiffe://corp.example/a?b", "it has a query"),
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "fragment",
	 URI("spiffe://corp.example/a#b"),
	 .what = NOT_ID("spiffe://corp.example/a#b", "it has a fragment"),
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "percent",
	 URI("spiffe://corp.example/a%2fb"),
	 .what = NOT_ID("spiffe://corp.example/a%2fb", "it has percent-encoding"),
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "dot dot",
	 URI("spiffe://corp.example/laptop/../alice"),
	 .what = NOT_ID("spiffe://corp.example/laptop/../alice",
			"the path has a \".\" or \"..\" segment"),
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "empty segment",
	 URI("spiffe://corp.example//alice"),
	 .what = NOT_ID("spiffe://corp.example//alice", "the path has an empty segment"),
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "trailing slash",
	 URI("spiffe://corp.example/alice/"),
	 .what = NOT_ID("spiffe://corp.example/alice/", "the path ends in a slash"),
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "no path",
	 URI("spiffe://corp.example"),
	 .what = NOT_ID("spiffe://corp.example", "the path is missing"),
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "wildcard",
	 URI("spiffe://corp.example/*"),
	 .what = NOT_ID("spiffe://corp.example/*", "it has a wildcard"),
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "NUL",
	 .leaf = {SAN(san_nul)},
	 .what = NOT_ID("spiffe://corp.example/a?.b", "it has an embedded NUL"),
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "UTF-16",
	 .leaf = {SAN(san_bmp)},
	 .what = NOT_ID("?s?p?i?f?f?e?:?/?/?c?/?a?b", "it does not begin with spiffe://"),
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "not IA5",
	 .leaf = {SAN(san_high)},
	 .what = NOT_ID("spiffe://corp.example/??", "it has a character that is not allowed"),
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "constructed name",
	 .leaf = {SAN(san_constructed)},
	 .what = "certificate has a subject alternative name that is not DER",
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "bytes after the names",
	 .leaf = {SAN(san_trailing)},
	 .what = "certificate has a subject alternative name that is not DER",
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "garbage SAN",
	 .leaf = {SAN(san_garbage)},
	 .what = "certificate has an unreadable subject alternative name",
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "65 names",
	 LEAF(.dns_count = 64),
	 .what = "certificate has 65 names, more than 64",
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "10000 names",
	 LEAF(.dns_count = 10000),
	 .what = "certificate is larger than 16384 bytes",
	 .tls_what =
		 "the peer sent a larger handshake message, such as one of certificates, than is accepted",
	 .alert = SSL_AD_ILLEGAL_PARAMETER},
	{.name = "5000 names",
	 LEAF(.dns_count = 5000),
	 .what = "certificate is larger than 16384 bytes",
	 .tls_what =
		 "the peer sent a larger handshake message, such as one of certificates, than is accepted",
	 .alert = SSL_AD_ILLEGAL_PARAMETER},

	// Leaf rules.
	{.name = "version 1",
	 LEAF(.version_1 = true),
	 .what = "certificate is not of version 3",
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "long serial",
	 LEAF(.serial = serial_long, .serial_size = 21),
	 .what = "certificate has a serial number of more than 20 bytes",
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "extension twice",
	 LEAF(.twice = true),
	 .what = "certificate has the extension X509v3 Extended Key Usage twice",
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "CA",
	 LEAF(.basic_constraints = "critical,CA:TRUE"),
	 .what = OF_ALICE "is a CA certificate",
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "CA that signs",
	 LEAF(.basic_constraints = "critical,CA:TRUE",
	      .key_usage = "critical,digitalSignature,keyCertSign"),
	 .what = OF_ALICE "is a CA certificate",
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "keyCertSign",
	 LEAF(.key_usage = "critical,digitalSignature,keyCertSign"),
	 .what = OF_ALICE "has the key usage keyCertSign, as a CA has",
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "cRLSign",
	 LEAF(.key_usage = "critical,digitalSignature,cRLSign"),
	 .what = OF_ALICE "has the key usage cRLSign, as a CA has",
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "no key usage",
	 LEAF(.key_usage = ""),
	 .what = OF_ALICE "has no keyUsage",
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "key usage not critical",
	 LEAF(.key_usage = "digitalSignature"),
	 .what = OF_ALICE "has a keyUsage that is not critical",
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "no digitalSignature",
	 LEAF(.key_usage = "critical,keyAgreement"),
	 .what = OF_ALICE "has no key usage digitalSignature",
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "no extended key usage",
	 LEAF(.extended_key_usage = ""),
	 .what = OF_ALICE "has no extendedKeyUsage",
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "any extended key usage",
	 LEAF(.extended_key_usage = "anyExtendedKeyUsage"),
	 .what = OF_ALICE "has no extended key usage serverAuth and clientAuth",
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "server only",
	 LEAF(.extended_key_usage = "serverAuth"),
	 .what = OF_ALICE "has no extended key usage clientAuth",
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "client only",
	 LEAF(.extended_key_usage = "clientAuth"),
	 .what = OF_ALICE "has no extended key usage serverAuth",
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "RSA 1024",
	 LEAF(.key = "RSA-1024"),
	 .what = OF_ALICE "has an RSA key of 1024 bits",
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "explicit curve",
	 LEAF(.key = "explicit"),
	 .what = OF_ALICE "has a key on a curve that is not a named one",
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "other curve",
	 LEAF(.key = "secp256k1"),
	 .what = OF_ALICE "has a key of the kind secp256k1",
	 .no_handshake = true,
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "SHA-1",
	 LEAF(.digest = "SHA1"),
	 .what = OF_ALICE "is signed with ecdsa-with-SHA1",
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "Ed448",
	 LEAF(.key = "Ed448"),
	 .what = OF_ALICE "has a key of the kind ED448",
	 .no_handshake = true,
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "critical extension",
	 LEAF(.unknown_critical = true),
	 .what = OF_ALICE "has a critical extension that is not understood",
	 .alert = SSL_AD_CERTIFICATE_UNKNOWN},
	{.name = "altered",
	 LEAF(.altered = true),
	 .what = OF_ALICE "has a signature that does not fit its issuer's key",
	 .alert = SSL_AD_DECRYPT_ERROR},

	// Path.
	{.name = "expired",
	 LEAF(.not_before_s = -9 * DAY, .not_after_s = -3 * DAY - 60),
	 .what = OF_ALICE "expired 3 days ago",
	 .once_s = -5 * DAY,
	 .alert = SSL_AD_CERTIFICATE_EXPIRED},
	{.name = "not yet valid",
	 LEAF(.not_before_s = 270, .not_after_s = DAY),
	 .what = OF_ALICE "is not valid for another 4 min (is this clock behind?)",
	 .once_s = 3600,
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "expired intermediate",
	 LEAF(.not_before_s = -9 * DAY, .not_after_s = DAY),
	 .issuer = by_expired,
	 .what = "CA certificate \"CN=corp old\" above " ALICE " expired 2 days ago",
	 .once_s = -5 * DAY,
	 .alert = SSL_AD_CERTIFICATE_EXPIRED},
	{.name = "future intermediate",
	 LEAF(.not_before_s = -60, .not_after_s = 4 * DAY),
	 .issuer = by_future,
	 .what = "CA certificate \"CN=corp next\" above " ALICE
		 " is not valid for another 2 days (is this clock behind?)",
	 .once_s = 3 * DAY,
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "weak intermediate",
	 LEAF(.dns = NULL),
	 .issuer = by_weak,
	 .what = "CA certificate \"CN=corp weak\" above " ALICE " has a key that is too weak",
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "other curve above",
	 LEAF(.dns = NULL),
	 .issuer = by_odd,
	 .what = "certificate \"CN=corp odd\" has a key of the kind secp256k1",
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "explicit curve above",
	 LEAF(.dns = NULL),
	 .issuer = by_unnamed,
	 .what = "CA certificate \"CN=corp unnamed\" above " ALICE
		 " has a key on a curve that is not a named one",
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "SHA-1 above",
	 LEAF(.dns = NULL),
	 .issuer = by_sha1,
	 .what = "CA certificate \"CN=corp sha1\" above " ALICE
		 " is signed with a digest that is too weak",
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "altered above",
	 LEAF(.dns = NULL),
	 .issuer = by_altered,
	 .what = "CA certificate \"CN=corp altered\" above " ALICE
		 " has a signature that does not fit its issuer's key",
	 .alert = SSL_AD_DECRYPT_ERROR},
	{.name = "CA without keyCertSign",
	 LEAF(.dns = NULL),
	 .issuer = by_mute,
	 .what = "CA certificate \"CN=corp mute\" above " ALICE " may not sign certificates",
	 .alert = SSL_AD_UNKNOWN_CA},
	{.name = "keyCertSign without CA",
	 LEAF(.dns = NULL),
	 .issuer = by_no_ca,
	 .what = "CA certificate \"CN=corp no CA\" above " ALICE " may not sign certificates",
	 .alert = SSL_AD_UNKNOWN_CA},
	{.name = "signed by a leaf",
	 LEAF(.dns = NULL),
	 .issuer = by_laptop,
	 .what = "CA certificate \"CN=test\" above " ALICE " may not sign certificates",
	 .alert = SSL_AD_UNKNOWN_CA},
	{.name = "critical extension above",
	 LEAF(.dns = NULL),
	 .issuer = by_riddle,
	 .what = "CA certificate \"CN=corp riddle\" above " ALICE
		 " has a critical extension that is not understood",
	 .alert = SSL_AD_CERTIFICATE_UNKNOWN},
	{.name = "certificate policy demanded",
	 LEAF(.dns = NULL),
	 .issuer = by_strict,
	 .what = OF_ALICE "is not issued under a policy that its CAs demand",
	 .alert = SSL_AD_CERTIFICATE_UNKNOWN},
	{.name = "path length",
	 LEAF(.dns = NULL),
	 .issuer = by_below,
	 .what = "CA certificate \"CN=corp issuing\" above " ALICE
		 " may not stand above so many others (path length)",
	 .alert = SSL_AD_UNKNOWN_CA},
	{.name = "four intermediates",
	 LEAF(.dns = NULL),
	 .issuer = by_stair_4,
	 .what = "the peer sent 5 certificates",
	 .alert = SSL_AD_UNKNOWN_CA},
	{.name = "twenty intermediates",
	 LEAF(.dns = NULL),
	 .issuer = by_stair_20,
	 .what = "the peer sent 21 certificates",
	 .alert = SSL_AD_UNKNOWN_CA},
	{.name = "64 kB chain",
	 LEAF(.dns = NULL),
	 .issuer = by_fat,
	 .what = "the peer sent a CA certificate of more than 16384 bytes",
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "one intermediate four times",
	 LEAF(.dns = NULL),
	 .sent = send_twice,
	 .what = "the peer sent 5 certificates",
	 .alert = SSL_AD_UNKNOWN_CA},
	{.name = "intermediate missing",
	 LEAF(.dns = NULL),
	 .sent = send_nothing,
	 .once_s = 1,
	 .what = NO_ISSUING,
	 .alert = SSL_AD_UNKNOWN_CA},
	{.name = "junk instead of the intermediate",
	 LEAF(.dns = NULL),
	 .sent = send_junk,
	 .once_s = 1,
	 .what = NO_ISSUING,
	 .alert = SSL_AD_UNKNOWN_CA},
	{.name = "namesake instead of the intermediate",
	 LEAF(.dns = NULL),
	 .sent = send_namesake,
	 .once_s = 1,
	 .what = NO_ISSUING,
	 .alert = SSL_AD_UNKNOWN_CA},
	{.name = "namesake CA",
	 LEAF(.dns = NULL),
	 .issuer = by_namesake,
	 .what = "CA certificate \"CN=corp issuing\" above " ALICE
		 " is signed by an unknown CA (issuer CN=corp root; trust domain corp.example has 1 CA certificate)",
	 .alert = SSL_AD_UNKNOWN_CA},
	{.name = "namesake CA without key identifiers",
	 LEAF(.no_key_identifiers = true),
	 .issuer = by_namesake,
	 .sent = send_real,
	 .what = OF_ALICE "has a signature that does not fit its issuer's key",
	 .alert = SSL_AD_DECRYPT_ERROR},
	{.name = "CAs that sign each other",
	 LEAF(.dns = NULL),
	 .issuer = by_loop,
	 .what = "CA certificate \"CN=loop B\" above " ALICE
		 " is signed by an unknown CA (issuer CN=loop A; trust domain corp.example has 1 CA certificate)",
	 .alert = SSL_AD_UNKNOWN_CA},
	{.name = "unknown CA",
	 LEAF(.dns = NULL),
	 .issuer = by_stranger,
	 .what = OF_ALICE "is signed by an unknown CA (issuer CN=stranger root; trust domain "
			  "corp.example has 1 CA certificate)",
	 .once_s = 1,
	 .alert = SSL_AD_UNKNOWN_CA},
	{.name = "signed by itself",
	 LEAF(.dns = NULL),
	 .issuer = by_nobody,
	 .what = OF_ALICE "is signed by an unknown CA (issuer CN=test; trust domain corp.example "
			  "has 1 CA certificate)",
	 .alert = SSL_AD_UNKNOWN_CA},
	{.name = "our domain, the partner's CA",
	 LEAF(.dns = NULL),
	 .issuer = by_partner,
	 .what = OF_ALICE "is signed by an unknown CA (issuer CN=partner root; trust domain "
			  "corp.example has 1 CA certificate)",
	 .once_s = 1,
	 .alert = SSL_AD_UNKNOWN_CA},
	{.name = "the partner's domain, our CA",
	 URI("spiffe://partner.example/gateway"),
	 .issuer = by_root,
	 .what = "certificate of spiffe://partner.example/gateway is signed by an unknown CA "
		 "(issuer CN=corp root; trust domain partner.example has 1 CA certificate)",
	 .once_s = 1,
	 .alert = SSL_AD_UNKNOWN_CA},
	{.name = "foreign domain",
	 URI("spiffe://other.example/gateway"),
	 .issuer = by_root,
	 .what = "trust domain of spiffe://other.example/gateway is not trusted here",
	 .once_s = 1,
	 .alert = SSL_AD_UNKNOWN_CA},
	{.name = "name constraint",
	 LEAF(.dns = NULL),
	 .issuer = by_narrow,
	 .what = OF_ALICE "has a name that its CA may not sign for (name constraints)",
	 .alert = SSL_AD_CERTIFICATE_UNKNOWN},
	{.name = "excluded name",
	 LEAF(.dns = NULL),
	 .issuer = by_excluding,
	 .what = OF_ALICE "has a name that its CA may not sign for (name constraints)",
	 .alert = SSL_AD_CERTIFICATE_UNKNOWN},

	// Revocation.
	{.name = "identity denied",
	 URI(WORLD_LOST),
	 .what = WORLD_LOST " was revoked by its CA 3 days ago (keyCompromise, denial 1)",
	 .once_s = 1,
	 .alert = SSL_AD_CERTIFICATE_REVOKED},
	{.name = "serial number denied",
	 LEAF(.serial = (const uint8_t *)WORLD_DENIED_SERIAL, .serial_size = 4),
	 .what = ALICE " was revoked by its CA 3 days ago (certificate 61616161, keyCompromise, "
		       "denial 2)",
	 .once_s = 1,
	 .alert = SSL_AD_CERTIFICATE_REVOKED},
	{.name = "on a revocation list",
	 LEAF(.serial = (const uint8_t *)WORLD_LISTED_SERIAL, .serial_size = 4),
	 .what = "the certificate of " ALICE " was revoked 3 days ago by CN=corp issuing",
	 .once_s = 1,
	 .alert = SSL_AD_CERTIFICATE_REVOKED},
	{.name = "intermediate on a revocation list",
	 LEAF(.dns = NULL),
	 .issuer = by_withdrawn,
	 .what = "a CA certificate above " ALICE
		 " was revoked 3 days ago by CN=corp root (key compromise)",
	 .once_s = 1,
	 .alert = SSL_AD_CERTIFICATE_REVOKED},
	{.name = "revocation list never read",
	 URI("spiffe://late.example/a"),
	 .issuer = by_root,
	 .what = "whether spiffe://late.example/a was revoked is not known: the list could not be "
		 "read yet",
	 .once_s = 1,
	 .alert = SSL_AD_CERTIFICATE_REVOKED},
	{.name = "revocation list too old",
	 URI("spiffe://old.example/a"),
	 .issuer = by_root,
	 .what = "whether spiffe://old.example/a was revoked is not known: the list is 2 days too "
		 "old",
	 .once_s = 1,
	 .alert = SSL_AD_CERTIFICATE_REVOKED},
};
const size_t refusal_count = sizeof(refusals) / sizeof(refusals[0]);

struct fixture *refusal_leaf(const struct refusal *refusal, const struct world *world)
{
	const struct fixture *issuer = refusal->issuer ? refusal->issuer(world) : world->issuing;

	return fixture_issue(issuer, &refusal->leaf);
}

STACK_OF(X509) * refusal_sent(const struct refusal *refusal, const struct world *world,
			      const struct fixture *leaf)
{
	return refusal->sent ? refusal->sent(world) : fixture_chain(leaf);
}
