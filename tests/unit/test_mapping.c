// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "pki/credential.h"
#include "pki/mapping.h"
#include "pki/names.h"
#include "pki/tls.h"
#include "pki/trust.h"
#include "pki/verify.h"
#include "unit/pki_fixture.h"

#define LINKERD "linkerd.example"
#define CORP	"corp.example"

static const struct mapping_rule linkerd_rule = {
	MAPPING_DNS, "*.*.serviceaccount.identity.linkerd.cluster.local",
	"spiffe://" LINKERD "/ns/$2/sa/$1"};

static void judges_rules(void **state)
{
	static const struct {
		struct mapping_rule rule;
		const char *domain;
		const char *what; // NULL: good
	} lines[] = {
		{{MAPPING_DNS, "*.dev.corp.example", "spiffe://corp.example/dev/$1"}, CORP, NULL},
		{{MAPPING_DNS, "gw.corp.example", "spiffe://corp.example/gateway/hq"}, CORP, NULL},
		{{MAPPING_EMAIL, "*@corp.example", "spiffe://corp.example/user/$1"}, CORP, NULL},
		{{MAPPING_EMAIL, "*@*.corp.example", "spiffe://corp.example/$2/user-$1"},
		 NULL,
		 NULL},
		{{MAPPING_DNS, "", "spiffe://corp.example/x"},
		 CORP,
		 "\"\" is no pattern of a DNS name: it must have 1 to 254 characters"},
		{{MAPPING_DNS, "*", "spiffe://corp.example/$1"},
		 CORP,
		 "\"*\" is no pattern of a DNS name: its last label must not be a wildcard"},
		{{MAPPING_DNS, "dev.*", "spiffe://corp.example/$1"},
		 CORP,
		 "\"dev.*\" is no pattern of a DNS name: its last label must not be a wildcard"},
		{{MAPPING_DNS, "corp.example.", "spiffe://corp.example/x"},
		 CORP,
		 "\"corp.example.\" is no pattern of a DNS name: its last label is missing"},
		{{MAPPING_DNS, "a..example", "spiffe://corp.example/x"},
		 CORP,
		 "\"a..example\" is no pattern of a DNS name: its labels must be \"*\" or of the "
		 "characters a-z, 0-9, \"-\" and \"_\""},
		{{MAPPING_DNS, "web-*.example", "spiffe://corp.example/$1"},
		 CORP,
		 "\"web-*.example\" is no pattern of a DNS name: its labels must be \"*\" or of the "
		 "characters a-z, 0-9, \"-\" and \"_\""},
		{{MAPPING_DNS, "Web.example", "spiffe://corp.example/x"},
		 CORP,
		 "\"Web.example\" is no pattern of a DNS name: its labels must be \"*\" or of the "
		 "characters a-z, 0-9, \"-\" and \"_\""},
		{{MAPPING_DNS, "a@corp.example", "spiffe://corp.example/x"},
		 CORP,
		 "\"a@corp.example\" is no pattern of a DNS name: its labels must be \"*\" or of the "
		 "characters a-z, 0-9, \"-\" and \"_\""},
		{{MAPPING_EMAIL, "corp.example", "spiffe://corp.example/x"},
		 CORP,
		 "\"corp.example\" is no pattern of an e-mail address: it has no \"@\""},
		{{MAPPING_EMAIL, "*@", "spiffe://corp.example/$1"},
		 CORP,
		 "\"*@\" is no pattern of an e-mail address: its last label is missing"},
		{{MAPPING_DNS, "*.*.*.*.*.*.*.*.*.*.example", "spiffe://corp.example/$1"},
		 CORP,
		 "\"*.*.*.*.*.*.*.*.*.*.example\" is no pattern of a DNS name: it has more than 9 "
		 "wildcards"},
		{{MAPPING_DNS, "*.*.example", "spiffe://corp.example/$1"},
		 CORP,
		 "the identity does not use $2: what differs in the name must differ in the identity"},
		{{MAPPING_DNS, "*.example", "spiffe://corp.example/$1/$2"},
		 CORP,
		 "the identity uses a $ beyond the 1 wildcards of the name"},
		{{MAPPING_DNS, "*.example", "spiffe://corp.example/$1/$x"},
		 CORP,
		 "the identity uses a $ beyond the 1 wildcards of the name"},
		{{MAPPING_DNS, "*.example", "spiffe://$1/x"},
		 NULL,
		 "the trust domain must be written out"},
		{{MAPPING_DNS, "*.example", "spiffe://a.$1/x"},
		 NULL,
		 "the trust domain must be written out"},
		{{MAPPING_DNS, "*.example", "spiffe://corp.example/$1/../x"},
		 CORP,
		 "\"spiffe://corp.example/x/../x\" is not a SPIFFE ID: the path has a \".\" or \"..\" "
		 "segment"},
		{{MAPPING_DNS, "*.example", "https://corp.example/$1"},
		 CORP,
		 "\"https://corp.example/x\" is not a SPIFFE ID: it does not begin with spiffe://"},
		{{MAPPING_DNS, "*.example", "spiffe://other.example/$1"},
		 CORP,
		 "the identity is not of the trust domain corp.example"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct error error = {0};
		int r = mapping_rule_check(&lines[i].rule, lines[i].domain, &error);
		assert_string_equal(error.what, lines[i].what ? lines[i].what : "");
		assert_int_equal(r, lines[i].what ? -EINVAL : 0);
	}
}

struct name {
	int type;
	const char *text;
	int size; // -1: as strlen()
};

static void add_name(GENERAL_NAMES *names, const struct name *name)
{
	GENERAL_NAME *entry = GENERAL_NAME_new();
	ASN1_IA5STRING *value = ASN1_IA5STRING_new();

	assert_true(ASN1_STRING_set(value, name->text, name->size ? name->size : -1));
	GENERAL_NAME_set0_value(entry, name->type, value);
	sk_GENERAL_NAME_push(names, entry);
}

static void maps_exactly_one_name(void **state)
{
	static const struct mapping_rule rules[] = {
		{MAPPING_DNS, "*.dev.corp.example", "spiffe://corp.example/dev/$1"},
		{MAPPING_DNS, "*.eu.dev.corp.example", "spiffe://corp.example/eu/$1"},
		{MAPPING_DNS, "a.dev.corp.example", "spiffe://corp.example/special"},
		{MAPPING_EMAIL, "*@corp.example", "spiffe://corp.example/user/$1"},
		{MAPPING_EMAIL, "Root@ops.corp.example", "spiffe://corp.example/root"},
	};
#define NO_RULE(count) "has no URI name, and no rule for any of its " count " other names"
	static const struct {
		struct name names[3];
		const char *identity; // NULL: refused
		const char *what;
	} lines[] = {
		{{{GEN_DNS, "b.dev.corp.example", 0}}, "spiffe://corp.example/dev/b", NULL},
		{{{GEN_DNS, "B-2.Dev.CORP.example", 0}}, "spiffe://corp.example/dev/b-2", NULL},
		{{{GEN_DNS, "b.eu.dev.corp.example", 0}}, "spiffe://corp.example/eu/b", NULL},
		{{{GEN_DNS, "b.dev.corp.example", 0}, {GEN_DNS, "www.example.org", 0}},
		 "spiffe://corp.example/dev/b",
		 NULL},
		{{{GEN_EMAIL, "Alice.Smith@CORP.example", 0}},
		 "spiffe://corp.example/user/Alice.Smith",
		 NULL},
		{{{GEN_EMAIL, "Root@ops.corp.example", 0}}, "spiffe://corp.example/root", NULL},
		{{{GEN_EMAIL, "root@ops.corp.example", 0}}, NULL, NO_RULE("1")},
		// What is not wholly the same is not the same.
		{{{GEN_DNS, "dev.corp.example", 0}}, NULL, NO_RULE("1")},
		{{{GEN_DNS, "xb.dev.corp.example.org", 0}}, NULL, NO_RULE("1")},
		{{{GEN_DNS, "b.xdev.corp.example", 0}}, NULL, NO_RULE("1")},
		{{{GEN_DNS, "b.dev.corp.example.", 0}}, NULL, NO_RULE("1")},
		{{{GEN_DNS, ".dev.corp.example", 0}}, NULL, NO_RULE("1")},
		{{{GEN_DNS, "*.dev.corp.example", 0}}, NULL, NO_RULE("1")},
		{{{GEN_DNS, "b/c.dev.corp.example", 0}}, NULL, NO_RULE("1")},
		{{{GEN_EMAIL, "a/../b@corp.example", 0}}, NULL, NO_RULE("1")},
		{{{GEN_EMAIL, "..@corp.example", 0}}, NULL, NO_RULE("1")},
		{{{GEN_EMAIL, "a@b@corp.example", 0}}, NULL, NO_RULE("1")},
		{{{GEN_EMAIL, "@corp.example", 0}}, NULL, NO_RULE("1")},
		{{{GEN_EMAIL, "a+b@corp.example", 0}}, NULL, NO_RULE("1")},
		// A rule sees names of its own type only.
		{{{GEN_EMAIL, "x@b.dev.corp.example", 0}}, NULL, NO_RULE("1")},
		{{{GEN_DNS, "alice@corp.example", 0}}, NULL, NO_RULE("1")},
		{{{GEN_EMAIL, "b.dev.corp.example", 0}}, NULL, "has a malformed e-mail address"},
		{{{GEN_X400, "b.dev.corp.example", 0}}, NULL, NO_RULE("1")},
		// Exactly one.
		{{{GEN_DNS, "b.dev.corp.example", 0}, {GEN_DNS, "c.dev.corp.example", 0}},
		 NULL,
		 "has no URI name, and rules make 2 identities of its names"},
		{{{GEN_DNS, "b.dev.corp.example", 0}, {GEN_DNS, "b.dev.corp.example", 0}},
		 NULL,
		 "has no URI name, and rules make 2 identities of its names"},
		{{{GEN_DNS, "b.dev.corp.example", 0}, {GEN_EMAIL, "b@corp.example", 0}},
		 NULL,
		 "has no URI name, and rules make 2 identities of its names"},
		{{{GEN_DNS, "a.dev.corp.example", 0}},
		 NULL,
		 "has no URI name, and rules make 2 identities of its names"},
		// Whoever reads it otherwise than we do must not be helped by us.
		{{{GEN_DNS, "b.dev.corp.example\0.evil.example", 32}},
		 NULL,
		 "has a malformed DNS name"},
		{{{GEN_DNS, "b.dev.corp.example", 0}, {GEN_DNS, "\xc3\xa9.example", 0}},
		 NULL,
		 "has a malformed DNS name"},
		{{{GEN_DNS, "b .dev.corp.example", 0}}, NULL, "has a malformed DNS name"},
	};
	struct mapping *mapping = NULL;

	(void)state;
	assert_int_equal(mapping_new(rules, sizeof(rules) / sizeof(rules[0]), &mapping), 0);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		_cleanup_(GENERAL_NAMES_freep) GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
		_cleanup_(freep) char *identity = NULL;
		struct error error = {0};
		for (unsigned n = 0; n < 3 && lines[i].names[n].text; n++)
			if (lines[i].names[n].type != GEN_X400)
				add_name(names, &lines[i].names[n]);
			else // of a type that no rule has
				add_name(names, &(struct name){GEN_URI, lines[i].names[n].text, 0});
		int r = mapping_identity(mapping, names, &identity, &error);
		if (lines[i].what)
			assert_string_equal(error.what, lines[i].what);
		else
			assert_string_equal(identity, lines[i].identity);
		assert_int_equal(r, lines[i].what ? -EINVAL : 0);
	}
	assert_null(mapping_free(mapping));
	assert_null(mapping_free(NULL));
}

static void refuses_a_name_that_makes_no_identity(void **state)
{
	static const struct mapping_rule rule = {MAPPING_EMAIL, "*@corp.example",
						 "spiffe://corp.example/$1"};
	_cleanup_(GENERAL_NAMES_freep) GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	_cleanup_(mapping_freep) struct mapping *mapping = NULL;
	char name[300];
	char *identity = NULL;
	struct error error = {0};

	(void)state;
	assert_int_equal(mapping_new(&rule, 1, &mapping), 0);
	memset(name, 'a', sizeof(name));
	snprintf(name + 260, sizeof(name) - 260, "@corp.example");
	add_name(names, &(struct name){GEN_EMAIL, name, 0});
	assert_int_equal(mapping_identity(mapping, names, &identity, &error), -EINVAL);
	assert_string_equal(error.what, "has a malformed e-mail address");
	assert_null(identity);
}

// What each of these systems puts into a certificate: Istio security/pkg/pki/util/generate_cert.go, Consul
// agent/connect/ca/provider_consul.go, Linkerd pkg/tls/ca.go.
static void takes_what_service_meshes_issue(void **state)
{
	static const struct {
		struct fixture_options leaf;
		const char *domain;
		const char *identity;
	} lines[] = {
		{{.uris = {"spiffe://cluster.local/ns/prod/sa/web"},
		  .key = "RSA-2048",
		  .key_usage = "critical,digitalSignature,keyEncipherment"},
		 "cluster.local",
		 "spiffe://cluster.local/ns/prod/sa/web"},
		{{.uris = {"spiffe://11111111-2222-3333-4444-555555555555.consul/ns/default/dc/dc1/svc/web"},
		  .dns = "web.svc.default.11111111.consul",
		  .key_usage =
			  "critical,dataEncipherment,keyAgreement,digitalSignature,keyEncipherment",
		  .extended_key_usage = "clientAuth,serverAuth"},
		 "11111111-2222-3333-4444-555555555555.consul",
		 "spiffe://11111111-2222-3333-4444-555555555555.consul/ns/default/dc/dc1/svc/web"},
		{{.dns = "web.prod.serviceaccount.identity.linkerd.cluster.local",
		  .basic_constraints = "",
		  .key_usage = "critical,digitalSignature,keyEncipherment"},
		 LINKERD,
		 "spiffe://" LINKERD "/ns/prod/sa/web"},
	};
	_cleanup_(fixture_freep) struct fixture *root = fixture_root("mesh root");
	_cleanup_(fixture_directory_freep) char *directory = fixture_directory();
	_cleanup_(freep) char *path = fixture_path(directory, "trust.crt");

	(void)state;
	fixture_write_certificate(root, false, path);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		_cleanup_(fixture_freep) struct fixture *leaf = fixture_issue(root, &lines[i].leaf);
		_cleanup_(trust_putp) struct trust *trust = NULL;
		_cleanup_(verdict_putp) struct verdict *verdict = NULL;
		struct trust_source source = {.domain = lines[i].domain,
					      .path = path,
					      .rules = &linkerd_rule,
					      .rule_count = lines[i].leaf.uris[0] ? 0 : 1};
		struct error error = {0};
		assert_int_equal(trust_load(tls_library(), &source, 1, clock_wall(), &trust, NULL),
				 0);
		verify_chain(trust, leaf->certificate, NULL, VERIFY_PEER_IS_CLIENT, clock_wall(),
			     &verdict, NULL, &error);
		assert_string_equal(error.what, "");
		assert_string_equal(verdict_identity(verdict), lines[i].identity);
	}
}

// Two domains, each with rules and a CA of its own.
struct pair {
	struct fixture *corp, *partner;
	struct trust *trust;
};

static struct pair pair_new(void)
{
	static const struct mapping_rule corp_rules[] = {
		{MAPPING_DNS, "*.corp.example", "spiffe://corp.example/host/$1"}};
	static const struct mapping_rule partner_rules[] = {
		{MAPPING_DNS, "*.partner.example", "spiffe://partner.example/host/$1"},
		{MAPPING_EMAIL, "*@partner.example", "spiffe://partner.example/user/$1"}};
	_cleanup_(fixture_directory_freep) char *directory = fixture_directory();
	_cleanup_(freep) char *corp = fixture_path(directory, "corp.crt");
	_cleanup_(freep) char *partner = fixture_path(directory, "partner.crt");
	struct pair pair = {.corp = fixture_root("corp root"),
			    .partner = fixture_root("partner root")};
	struct trust_source sources[] = {
		{.domain = "corp.example", .path = corp, .rules = corp_rules, .rule_count = 1},
		{.domain = "partner.example",
		 .path = partner,
		 .rules = partner_rules,
		 .rule_count = 2},
	};

	fixture_write_certificate(pair.corp, false, corp);
	fixture_write_certificate(pair.partner, false, partner);
	assert_int_equal(trust_load(tls_library(), sources, 2, clock_wall(), &pair.trust, NULL), 0);
	return pair;
}

static void pair_done(struct pair *pair)
{
	trust_put(pair->trust);
	fixture_free(pair->corp);
	fixture_free(pair->partner);
}

static void expect(const struct pair *pair, const struct fixture *issuer,
		   const struct fixture_options *options, const char *identity, const char *what)
{
	_cleanup_(fixture_freep) struct fixture *leaf = fixture_issue(issuer, options);
	_cleanup_(verdict_putp) struct verdict *verdict = NULL;
	struct error error = {0};
	int r = verify_chain(pair->trust, leaf->certificate, NULL, VERIFY_PEER_IS_SERVER,
			     clock_wall(), &verdict, NULL, &error);

	assert_string_equal(error.what, what ? what : "");
	assert_int_equal(r, what ? -EACCES : 0);
	if (!what)
		assert_string_equal(verdict_identity(verdict), identity);
}

static void judges_a_mapped_name_by_the_store_of_its_domain(void **state)
{
	_cleanup_(pair_done) struct pair pair = pair_new();
	struct fixture_options corp = {.dns = "db.corp.example"};
	struct fixture_options partner = {.dns = "db.partner.example"};
	struct fixture_options person = {.email = "eve@partner.example",
					 .dns = "eve.laptops.example"};
	struct fixture_options uri = {.uris = {"spiffe://corp.example/x"},
				      .dns = "db.partner.example"};
	struct fixture_options uris = {
		.uris = {"spiffe://corp.example/x", "spiffe://corp.example/y"},
		.dns = "db.corp.example"};
	struct fixture_options odd = {.uris = {"https://db.corp.example/"},
				      .dns = "db.corp.example"};
	struct fixture_options nobody = {.dns = "db.corp.example.org"};
	struct fixture_options client = {.email = "bob@partner.example",
					 .extended_key_usage = "clientAuth"};

	(void)state;
	expect(&pair, pair.corp, &corp, "spiffe://corp.example/host/db", NULL);
	expect(&pair, pair.partner, &partner, "spiffe://partner.example/host/db", NULL);
	expect(&pair, pair.partner, &person, "spiffe://partner.example/user/eve", NULL);
	// A CA of one domain cannot speak for the other, whatever its certificate says.
	expect(&pair, pair.partner, &corp, NULL,
	       "certificate of spiffe://corp.example/host/db is signed by an unknown CA (issuer "
	       "CN=partner root; trust domain corp.example has 1 CA certificate)");
	expect(&pair, pair.corp, &person, NULL,
	       "certificate of spiffe://partner.example/user/eve is signed by an unknown CA (issuer "
	       "CN=corp root; trust domain partner.example has 1 CA certificate)");
	// With a URI name the others count for nothing, be it good or not.
	expect(&pair, pair.corp, &uri, "spiffe://corp.example/x", NULL);
	expect(&pair, pair.corp, &uris, NULL, "certificate has 2 URI names");
	expect(&pair, pair.corp, &odd, NULL,
	       "\"https://db.corp.example/\" is not a SPIFFE ID: it does not begin with spiffe://");
	expect(&pair, pair.corp, &nobody, NULL,
	       "certificate has no URI name, and no rule for any of its 1 other names");
	// The leaf rules are the same for all.
	expect(&pair, pair.partner, &client, NULL,
	       "certificate of spiffe://partner.example/user/bob has no extended key usage serverAuth");
}

// Another certificate over a CA's key, signed by `signer`. Decoded, as a peer would send it.
static X509 *cross_sign(const struct fixture *ca, const struct fixture *signer,
			const char *constraint)
{
	X509 *bridge = X509_dup(ca->certificate);
	unsigned char *der = NULL;

	assert_true(X509_set_issuer_name(bridge, X509_get_subject_name(signer->certificate)));
	int at = X509_get_ext_by_NID(bridge, NID_authority_key_identifier, -1);
	X509_EXTENSION_free(X509_delete_ext(bridge, at));
	if (constraint) {
		X509_EXTENSION *extension =
			X509V3_EXT_conf_nid(NULL, NULL, NID_name_constraints, constraint);
		assert_true(X509_add_ext(bridge, extension, -1));
		X509_EXTENSION_free(extension);
	}
	assert_true(X509_sign(bridge, signer->key, EVP_sha256()) > 0);
	int size = i2d_X509(bridge, &der);
	const unsigned char *from = der;
	X509_free(bridge);
	bridge = d2i_X509(NULL, &from, size);
	OPENSSL_free(der);
	return bridge;
}

static void expect_through(const struct pair *pair, const struct fixture_options *options,
			   X509 *bridge, const char *what)
{
	_cleanup_(fixture_freep) struct fixture *leaf = fixture_issue(pair->partner, options);
	_cleanup_(verdict_putp) struct verdict *verdict = NULL;
	STACK_OF(X509) *chain = sk_X509_new_null();
	struct error error = {0};

	sk_X509_push(chain, bridge);
	verify_chain(pair->trust, leaf->certificate, chain, VERIFY_PEER_IS_SERVER, clock_wall(),
		     &verdict, NULL, &error);
	assert_string_equal(error.what, what);
	sk_X509_free(chain);
}

// Corp's root has signed the key of partner's, as bridges and roll-overs do. What lies beside a leaf is only ever a help on the
// way to an anchor of the leaf's own domain, and how far it goes is what its name constraints say.
static void is_not_led_astray_by_cross_signing(void **state)
{
	_cleanup_(pair_done) struct pair pair = pair_new();
	X509 *narrow =
		cross_sign(pair.partner, pair.corp, "critical,permitted;DNS:partner.example");
	X509 *back = cross_sign(pair.corp, pair.partner, NULL);
	struct fixture_options corp = {.dns = "db.corp.example"};
	struct fixture_options partner = {.dns = "db.partner.example"};

	(void)state;
	expect_through(&pair, &partner, narrow, "");
	expect_through(&pair, &partner, back, "");
	expect_through(
		&pair, &corp, narrow,
		"certificate of spiffe://corp.example/host/db has a name that its CA may not "
		"sign for (name constraints)");
	// The wrong way round: partner's signature over corp's key makes no corp names of partner's.
	expect_through(&pair, &corp, back,
		       "certificate of spiffe://corp.example/host/db is signed by an unknown CA "
		       "(issuer CN=partner root; trust domain corp.example has 1 CA certificate)");
	X509_free(narrow);
	X509_free(back);
}

static void names_this_node_by_its_own_rules(void **state)
{
	static const struct mapping_rule rule = {MAPPING_DNS, "*.corp.example",
						 "spiffe://corp.example/host/$1"};
	struct fixture_options options = {.dns = "db.corp.example"};
	_cleanup_(fixture_freep) struct fixture *root = fixture_root("corp root");
	_cleanup_(fixture_freep) struct fixture *leaf = fixture_issue(root, &options);
	_cleanup_(fixture_directory_freep) char *directory = fixture_directory();
	_cleanup_(freep) char *certificate = fixture_path(directory, "node.crt");
	_cleanup_(freep) char *key = fixture_path(directory, "node.key");
	_cleanup_(mapping_freep) struct mapping *mapping = NULL;
	_cleanup_(credential_putp) struct credential *credential = NULL;
	struct credential *none = NULL;
	struct error error = {0};

	(void)state;
	fixture_write_certificate(leaf, false, certificate);
	fixture_write_key(leaf, key);
	assert_int_equal(mapping_new(&rule, 1, &mapping), 0);
	assert_int_equal(credential_load_mapped(tls_library(), mapping, certificate, key,
						clock_wall(), &credential, NULL),
			 0);
	assert_string_equal(credential_identity(credential), "spiffe://corp.example/host/db");
	assert_int_equal(
		credential_load(tls_library(), certificate, key, clock_wall(), &none, &error),
		-EINVAL);
	assert_string_equal(error.what, "certificate has no URI name");
}

static void is_part_of_the_trust(void **state)
{
	static const struct mapping_rule one = {MAPPING_DNS, "*.corp.example",
						"spiffe://corp.example/host/$1"};
	static const struct mapping_rule other = {MAPPING_DNS, "*.corp.example",
						  "spiffe://corp.example/node/$1"};
	static const struct mapping_rule foreign = {MAPPING_DNS, "*.corp.example",
						    "spiffe://partner.example/$1"};
	_cleanup_(fixture_freep) struct fixture *root = fixture_root("corp root");
	_cleanup_(fixture_directory_freep) char *directory = fixture_directory();
	_cleanup_(freep) char *path = fixture_path(directory, "trust.crt");
	const struct mapping_rule *rules[] = {NULL, &one, &other};
	struct trust *trusts[3] = {NULL};
	struct trust *none = NULL;
	struct error error = {0};

	(void)state;
	fixture_write_certificate(root, false, path);
	for (int i = 0; i < 3; i++) {
		struct trust_source source = {
			.domain = CORP, .path = path, .rules = rules[i], .rule_count = i ? 1 : 0};
		assert_int_equal(
			trust_load(tls_library(), &source, 1, clock_wall(), &trusts[i], NULL), 0);
		for (int j = 0; j < i; j++)
			assert_memory_not_equal(trust_fingerprint(trusts[i]),
						trust_fingerprint(trusts[j]), 32);
	}
	struct trust_source bad = {
		.domain = CORP, .path = path, .rules = &foreign, .rule_count = 1};
	assert_int_equal(trust_load(tls_library(), &bad, 1, clock_wall(), &none, &error), -EINVAL);
	assert_string_equal(error.what, "the identity is not of the trust domain corp.example");
	assert_null(trust_mapping(trusts[0]));
	for (int i = 0; i < 3; i++)
		trust_put(trusts[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(judges_rules),
		cmocka_unit_test(maps_exactly_one_name),
		cmocka_unit_test(refuses_a_name_that_makes_no_identity),
		cmocka_unit_test(takes_what_service_meshes_issue),
		cmocka_unit_test(judges_a_mapped_name_by_the_store_of_its_domain),
		cmocka_unit_test(is_not_led_astray_by_cross_signing),
		cmocka_unit_test(names_this_node_by_its_own_rules),
		cmocka_unit_test(is_part_of_the_trust),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
