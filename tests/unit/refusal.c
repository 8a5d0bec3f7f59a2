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

static struct fixture *intermediate(const struct fixture *root, const char *name, const char *key,
				    int64_t not_before_s, int64_t not_after_s)
{
	struct fixture_options options = {
		.subject = name,
		.key = key,
		.basic_constraints = "critical,CA:TRUE,pathlen:0",
		.key_usage = "critical,keyCertSign,cRLSign",
		.extended_key_usage = "",
		.name_constraints = "critical,permitted;URI:corp.example",
		.not_before_s = not_before_s,
		.not_after_s = not_after_s,
	};

	return fixture_issue(root, &options);
}

static struct trust *load_trust(const struct world *world)
{
	_cleanup_(fixture_directory_freep) char *directory = fixture_directory();
	_cleanup_(freep) char *corp = fixture_path(directory, "corp.crt");
	_cleanup_(freep) char *partner = fixture_path(directory, "partner.crt");
	struct trust_source sources[] = {{.domain = "corp.example", .path = corp},
					 {.domain = "partner.example", .path = partner}};
	struct trust *trust = NULL;

	fixture_write_certificate(world->root, false, corp);
	fixture_write_certificate(world->partner, false, partner);
	if (trust_load(tls_library(), sources, 2, clock_wall(), &trust, NULL) < 0)
		abort();
	return trust;
}

struct world *world_new(void)
{
	struct world *world = calloc(1, sizeof(*world));
	char name[32];

	if (!world)
		abort();
	world->root = fixture_root("corp root");
	world->issuing = fixture_intermediate(world->root, "corp issuing", "corp.example", 0);
	world->expired = intermediate(world->root, "corp old", NULL, -9 * DAY, -2 * DAY - 60);
	world->future = intermediate(world->root, "corp next", NULL, 2 * DAY + 60, 9 * DAY);
	world->narrow = fixture_intermediate(world->root, "corp dev", "dev.corp.example", 0);
	world->weak = intermediate(world->root, "corp weak", "RSA-1024", -DAY, 9 * DAY);
	world->odd = intermediate(world->root, "corp odd", "secp256k1", -DAY, 9 * DAY);
	world->unnamed = intermediate(world->root, "corp unnamed", "explicit", -DAY, 9 * DAY);
	world->below = fixture_intermediate(world->issuing, "corp below", NULL, -1);
	const struct fixture *above = world->root;
	for (size_t i = 0; i < sizeof(world->stairs) / sizeof(world->stairs[0]); i++) {
		snprintf(name, sizeof(name), "stair %zu", i + 1);
		world->stairs[i] = fixture_intermediate(above, name, NULL, -1);
		above = world->stairs[i];
	}
	world->partner = fixture_root("partner root");
	world->stranger = fixture_root("stranger root");
	world->trust = load_trust(world);
	return world;
}

struct world *world_free(struct world *world)
{
	trust_put(world->trust);
	for (size_t i = 0; i < sizeof(world->stairs) / sizeof(world->stairs[0]); i++)
		fixture_free(world->stairs[i]);
	fixture_free(world->stranger);
	fixture_free(world->partner);
	fixture_free(world->below);
	fixture_free(world->unnamed);
	fixture_free(world->odd);
	fixture_free(world->weak);
	fixture_free(world->narrow);
	fixture_free(world->future);
	fixture_free(world->expired);
	fixture_free(world->issuing);
	fixture_free(world->root);
	free(world);
	return NULL;
}

static const struct fixture *by_root(const struct world *world)
{
	return world->root;
}

static const struct fixture *by_expired(const struct world *world)
{
	return world->expired;
}

static const struct fixture *by_future(const struct world *world)
{
	return world->future;
}

static const struct fixture *by_weak(const struct world *world)
{
	return world->weak;
}

static const struct fixture *by_narrow(const struct world *world)
{
	return world->narrow;
}

static const struct fixture *by_odd(const struct world *world)
{
	return world->odd;
}

static const struct fixture *by_unnamed(const struct world *world)
{
	return world->unnamed;
}

static const struct fixture *by_below(const struct world *world)
{
	return world->below;
}

static const struct fixture *by_partner(const struct world *world)
{
	return world->partner;
}

static const struct fixture *by_stranger(const struct world *world)
{
	return world->stranger;
}

static const struct fixture *by_nobody(const struct world *world)
{
	(void)world;
	return NULL;
}

static const struct fixture *by_stair_4(const struct world *world)
{
	return world->stairs[3];
}

static const struct fixture *by_stair_20(const struct world *world)
{
	return world->stairs[19];
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

#define SAN(array)	  .san = (array), .san_size = sizeof(array) - 1
#define LEAF(...)	  .leaf = {.uris = {ALICE}, __VA_ARGS__}
#define URI(text)	  .leaf = {.uris = {text}}
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
	 .tls_what = "the peer sent more certificates than are accepted",
	 .alert = SSL_AD_ILLEGAL_PARAMETER},
	{.name = "5000 names",
	 LEAF(.dns_count = 5000),
	 .what = "certificate is larger than 16384 bytes",
	 .tls_what = "the peer sent more certificates than are accepted",
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

	// Path.
	{.name = "expired",
	 LEAF(.not_before_s = -9 * DAY, .not_after_s = -3 * DAY - 60),
	 .what = OF_ALICE "expired 3 days ago",
	 .alert = SSL_AD_CERTIFICATE_EXPIRED},
	{.name = "not yet valid",
	 LEAF(.not_before_s = 270, .not_after_s = DAY),
	 .what = OF_ALICE "is not valid for another 4 min (is this clock behind?)",
	 .alert = SSL_AD_BAD_CERTIFICATE},
	{.name = "expired intermediate",
	 LEAF(.dns = NULL),
	 .issuer = by_expired,
	 .what = "CA certificate \"CN=corp old\" above " ALICE " expired 2 days ago",
	 .alert = SSL_AD_CERTIFICATE_EXPIRED},
	{.name = "future intermediate",
	 LEAF(.dns = NULL),
	 .issuer = by_future,
	 .what = "CA certificate \"CN=corp next\" above " ALICE
		 " is not valid for another 2 days (is this clock behind?)",
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
	{.name = "unknown CA",
	 LEAF(.dns = NULL),
	 .issuer = by_stranger,
	 .what = OF_ALICE "is signed by an unknown CA (issuer CN=stranger root; trust domain "
			  "corp.example has 1 CA certificate)",
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
	 .alert = SSL_AD_UNKNOWN_CA},
	{.name = "the partner's domain, our CA",
	 URI("spiffe://partner.example/gateway"),
	 .issuer = by_root,
	 .what = "certificate of spiffe://partner.example/gateway is signed by an unknown CA "
		 "(issuer CN=corp root; trust domain partner.example has 1 CA certificate)",
	 .alert = SSL_AD_UNKNOWN_CA},
	{.name = "foreign domain",
	 URI("spiffe://other.example/gateway"),
	 .issuer = by_root,
	 .what = "trust domain of spiffe://other.example/gateway is not trusted here",
	 .alert = SSL_AD_UNKNOWN_CA},
	{.name = "name constraint",
	 LEAF(.dns = NULL),
	 .issuer = by_narrow,
	 .what = OF_ALICE "has a name that its CA may not sign for (name constraints)",
	 .alert = SSL_AD_CERTIFICATE_UNKNOWN},
};
const size_t refusal_count = sizeof(refusals) / sizeof(refusals[0]);

struct fixture *refusal_leaf(const struct refusal *refusal, const struct world *world)
{
	const struct fixture *issuer = refusal->issuer ? refusal->issuer(world) : world->issuing;

	return fixture_issue(issuer, &refusal->leaf);
}
