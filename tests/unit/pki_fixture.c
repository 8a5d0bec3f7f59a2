// SPDX-License-Identifier: Apache-2.0

#include "unit/pki_fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "base/clock.h"
#include "base/error.h"
#include "pki/credential.h"
#include "pki/tls.h"
#include "pki/trust.h"
#include "unit/must.h"

static EVP_PKEY *explicit_key(void)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(tls_library(), "EC", NULL);
	EVP_PKEY *key = NULL;

	must(context && EVP_PKEY_keygen_init(context) == 1);
	must(EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context, NID_X9_62_prime256v1) == 1);
	must(EVP_PKEY_CTX_set_ec_param_enc(context, OPENSSL_EC_EXPLICIT_CURVE) == 1);
	must(EVP_PKEY_keygen(context, &key) == 1);
	EVP_PKEY_CTX_free(context);
	return key;
}

static EVP_PKEY *make_key(const char *kind)
{
	EVP_PKEY *key;

	if (!kind)
		kind = "P-256";
	if (strcmp(kind, "explicit") == 0)
		key = explicit_key();
	else if (strcmp(kind, "Ed25519") == 0 || strcmp(kind, "Ed448") == 0)
		key = EVP_PKEY_Q_keygen(tls_library(), NULL, kind);
	else if (strncmp(kind, "RSA-", 4) == 0)
		key = EVP_PKEY_Q_keygen(tls_library(), NULL, "RSA",
					(size_t)strtoul(kind + 4, NULL, 10));
	else
		key = EVP_PKEY_Q_keygen(tls_library(), NULL, "EC", kind);
	must(key);
	return key;
}

static void add_name(GENERAL_NAMES *names, int type, const char *text)
{
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_IA5STRING *value = ASN1_IA5STRING_new();

	must(name && value && ASN1_STRING_set(value, text, -1));
	GENERAL_NAME_set0_value(name, type, value);
	must(sk_GENERAL_NAME_push(names, name));
}

static void add_raw(X509 *certificate, const char *oid, bool critical, const void *der, size_t size)
{
	ASN1_OCTET_STRING *octets = ASN1_OCTET_STRING_new();
	ASN1_OBJECT *object = OBJ_txt2obj(oid, 0);

	must(object && octets && ASN1_OCTET_STRING_set(octets, der, (int)size));
	X509_EXTENSION *extension = X509_EXTENSION_create_by_OBJ(NULL, object, critical, octets);
	must(extension && X509_add_ext(certificate, extension, -1));
	X509_EXTENSION_free(extension);
	ASN1_OCTET_STRING_free(octets);
	ASN1_OBJECT_free(object);
}

static void add_names(X509 *certificate, const struct fixture_options *options)
{
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	char text[64];

	if (options->san) {
		add_raw(certificate, SN_subject_alt_name, false, options->san, options->san_size);
		sk_GENERAL_NAME_free(names);
		return;
	}
	for (size_t i = 0; i < FIXTURE_URIS_MAX && options->uris[i]; i++)
		add_name(names, GEN_URI, options->uris[i]);
	if (options->dns)
		add_name(names, GEN_DNS, options->dns);
	for (unsigned i = 0; i < options->dns_count; i++) {
		snprintf(text, sizeof(text), "n%u.example", i);
		add_name(names, GEN_DNS, text);
	}
	if (options->email)
		add_name(names, GEN_EMAIL, options->email);
	if (sk_GENERAL_NAME_num(names) > 0)
		must(X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, 0) == 1);
	sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
}

static void add_extension(X509 *certificate, const X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;

	if (!value || !*value)
		return;
	X509V3_set_ctx_nodb(&context);
	X509V3_set_ctx(&context, (X509 *)issuer, certificate, NULL, NULL, 0);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	must(extension && X509_add_ext(certificate, extension, -1));
	X509_EXTENSION_free(extension);
}

// x509v3_config(5) would want a file for this one.
static void add_policies(X509 *certificate, const char *oids)
{
	CERTIFICATEPOLICIES *policies = CERTIFICATEPOLICIES_new();
	char *copy = strdup(oids), *rest = copy, *oid;

	must(policies && copy);
	while ((oid = strsep(&rest, ","))) {
		POLICYINFO *policy = POLICYINFO_new();
		must(policy);
		policy->policyid = OBJ_txt2obj(oid, 1);
		must(policy->policyid && sk_POLICYINFO_push(policies, policy));
	}
	must(X509_add1_ext_i2d(certificate, NID_certificate_policies, policies, 0, 0) == 1);
	CERTIFICATEPOLICIES_free(policies);
	free(copy);
}

static const char *or_else(const char *value, const char *fallback)
{
	return value ? value : fallback;
}

static void add_extensions(struct fixture *fixture, const struct fixture_options *options)
{
	X509 *certificate = fixture->certificate;
	const X509 *issuer = fixture->issuer ? fixture->issuer->certificate : certificate;
	const char *usage = or_else(options->extended_key_usage, "serverAuth,clientAuth");

	add_extension(certificate, issuer, NID_basic_constraints,
		      or_else(options->basic_constraints, "critical,CA:FALSE"));
	add_extension(certificate, issuer, NID_key_usage,
		      or_else(options->key_usage, "critical,digitalSignature"));
	add_extension(certificate, issuer, NID_ext_key_usage, usage);
	if (options->twice)
		add_extension(certificate, issuer, NID_ext_key_usage, usage);
	add_extension(certificate, issuer, NID_name_constraints, options->name_constraints);
	add_extension(certificate, issuer, NID_policy_constraints, options->policy_constraints);
	if (options->any_policy)
		add_raw(certificate, SN_certificate_policies, false,
			"\x30\x08\x30\x06\x06\x04\x55\x1d\x20\x00", 10);
	if (options->policies)
		add_policies(certificate, options->policies);
	if (options->unknown_critical)
		add_raw(certificate, "1.3.6.1.4.1.55555.1", true, "\x05", 2);
	add_names(certificate, options);
	if (options->no_key_identifiers)
		return;
	add_extension(certificate, issuer, NID_subject_key_identifier, "hash");
	add_extension(certificate, issuer, NID_authority_key_identifier, "keyid");
}

static void set_names(struct fixture *fixture, const char *subject, const char *const *units)
{
	X509_NAME *name = X509_get_subject_name(fixture->certificate);

	must(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)subject,
					-1, -1, 0));
	for (unsigned i = 0; i < FIXTURE_UNITS_MAX && units[i]; i++)
		must(X509_NAME_add_entry_by_txt(name, "OU", MBSTRING_UTF8,
						(const unsigned char *)units[i], -1, -1, 0));
	must(X509_set_issuer_name(
		fixture->certificate,
		fixture->issuer ? X509_get_subject_name(fixture->issuer->certificate) : name));
}

static void set_serial(X509 *certificate, const struct fixture_options *options)
{
	uint8_t serial[20];

	must(RAND_bytes(serial, sizeof(serial)) == 1);
	serial[0] = (uint8_t)((serial[0] & 0x7f) | 0x40);
	must(ASN1_STRING_set(X509_get_serialNumber(certificate),
			     options->serial ? options->serial : serial,
			     (int)(options->serial ? options->serial_size : sizeof(serial))));
}

static void set_times(X509 *certificate, const struct fixture_options *options)
{
	bool usual = options->not_before_s == 0 && options->not_after_s == 0;
	time_t now = clock_wall();

	must(ASN1_TIME_set(X509_getm_notBefore(certificate),
			   now + (usual ? -300 : options->not_before_s)));
	must(ASN1_TIME_set(X509_getm_notAfter(certificate),
			   now + (usual ? 86400 : options->not_after_s)));
}

// As a peer would see it: OpenSSL judges a certificate that was decoded otherwise than one that was put together.
static void read_back(struct fixture *fixture, bool altered)
{
	unsigned char *der = NULL;
	int size = i2d_X509(fixture->certificate, &der);
	const unsigned char *at = der;

	must(size > 0);
	if (altered)
		der[size - 1] ^= 1; // the signature is what comes last

	X509_free(fixture->certificate);
	fixture->certificate = X509_new_ex(tls_library(), NULL);
	must(fixture->certificate && d2i_X509(&fixture->certificate, &at, size));
	OPENSSL_free(der);
}

struct fixture *fixture_issue(const struct fixture *issuer, const struct fixture_options *options)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	must(fixture);
	fixture->key = options->same_key ? options->same_key->key : make_key(options->key);
	if (options->same_key)
		EVP_PKEY_up_ref(fixture->key);
	fixture->issuer = issuer;
	fixture->certificate = X509_new_ex(tls_library(), NULL);
	must(fixture->certificate);
	X509 *certificate = fixture->certificate;
	must(X509_set_version(certificate, options->version_1 ? X509_VERSION_1 : X509_VERSION_3));
	set_serial(certificate, options);
	set_times(certificate, options);
	set_names(fixture, or_else(options->subject, "test"), options->units);
	must(X509_set_pubkey(certificate, fixture->key));
	if (!options->version_1)
		add_extensions(fixture, options);

	EVP_PKEY *signer = issuer ? issuer->key : fixture->key;
	const EVP_MD *digest = EVP_PKEY_is_a(signer, "ED25519") || EVP_PKEY_is_a(signer, "ED448")
				       ? NULL
				       : EVP_get_digestbyname(or_else(options->digest, "SHA256"));
	must(X509_sign(certificate, signer, digest) > 0);
	read_back(fixture, options->altered);
	return fixture;
}

struct fixture *fixture_free(struct fixture *fixture)
{
	if (!fixture)
		return NULL;
	X509_free(fixture->certificate);
	EVP_PKEY_free(fixture->key);
	free(fixture);
	return NULL;
}

struct fixture *fixture_root(const char *name)
{
	struct fixture_options options = {
		.subject = name,
		.basic_constraints = "critical,CA:TRUE",
		.key_usage = "critical,keyCertSign,cRLSign",
		.extended_key_usage = "",
		.not_before_s = -86400,
		.not_after_s = INT64_C(3650) * 86400,
	};

	return fixture_issue(NULL, &options);
}

struct fixture *fixture_intermediate(const struct fixture *issuer, const char *name,
				     const char *constraint, int pathlen)
{
	char constraints[300] = "", basic[64] = "critical,CA:TRUE";

	if (constraint)
		snprintf(constraints, sizeof(constraints), "critical,permitted;URI:%s", constraint);
	if (pathlen >= 0)
		snprintf(basic, sizeof(basic), "critical,CA:TRUE,pathlen:%d", pathlen);
	struct fixture_options options = {
		.subject = name,
		.basic_constraints = basic,
		.key_usage = "critical,keyCertSign,cRLSign",
		.extended_key_usage = "",
		.name_constraints = constraints,
		.not_before_s = -86400,
		.not_after_s = INT64_C(90) * 86400,
	};
	return fixture_issue(issuer, &options);
}

struct fixture *fixture_leaf(const struct fixture *issuer, const char *identity)
{
	struct fixture_options options = {.uris = {identity}};

	return fixture_issue(issuer, &options);
}

STACK_OF(X509) * fixture_chain(const struct fixture *fixture)
{
	STACK_OF(X509) *chain = sk_X509_new_null();

	must(chain);
	for (const struct fixture *f = fixture->issuer; f && f->issuer; f = f->issuer)
		must(sk_X509_push(chain, f->certificate));
	return chain;
}

char *fixture_directory(void)
{
	char *directory = strdup("/tmp/mutun-test-XXXXXX");

	must(directory && mkdtemp(directory));
	return directory;
}

char *fixture_path(const char *directory, const char *name)
{
	char *path;

	must(asprintf(&path, "%s/%s", directory, name) > 0);
	return path;
}

char *fixture_directory_free(char *directory)
{
	DIR *dir = directory ? opendir(directory) : NULL;

	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		char *path = fixture_path(directory, entry->d_name);
		unlink(path);
		free(path);
	}
	if (dir) {
		closedir(dir);
		rmdir(directory);
	}
	free(directory);
	return NULL;
}

void fixture_write_certificate(const struct fixture *fixture, bool chain, const char *path)
{
	FILE *file = fopen(path, "we");

	must(file && PEM_write_X509(file, fixture->certificate));
	for (const struct fixture *f = fixture->issuer; chain && f && f->issuer; f = f->issuer)
		must(PEM_write_X509(file, f->certificate));
	must(fclose(file) == 0);
}

void fixture_write_key(const struct fixture *fixture, const char *path)
{
	FILE *file = fopen(path, "we");

	must(file && PEM_write_PKCS8PrivateKey(file, fixture->key, NULL, NULL, 0, NULL, NULL));
	must(fclose(file) == 0);
}

void fixture_write_text(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	must(file && fputs(text, file) >= 0);
	must(fclose(file) == 0);
}

struct credential *fixture_credential(const struct fixture *leaf)
{
	_cleanup_(fixture_directory_freep) char *directory = fixture_directory();
	_cleanup_(freep) char *certificate = fixture_path(directory, "node.crt");
	_cleanup_(freep) char *key = fixture_path(directory, "node.key");
	struct credential *credential = NULL;
	struct error error = {0};

	fixture_write_certificate(leaf, true, certificate);
	fixture_write_key(leaf, key);
	if (credential_load(tls_library(), certificate, key, clock_wall(), &credential, &error) < 0)
		fprintf(stderr, "%s\n", error.what);
	must(credential);
	return credential;
}

struct trust *fixture_trust(const char *domain, const struct fixture *ca)
{
	_cleanup_(fixture_directory_freep) char *directory = fixture_directory();
	_cleanup_(freep) char *path = fixture_path(directory, "trust.crt");
	struct trust_source source = {.domain = domain, .path = path};
	struct trust *trust = NULL;
	struct error error = {0};

	fixture_write_certificate(ca, false, path);
	if (trust_load(tls_library(), &source, 1, clock_wall(), &trust, &error) < 0)
		fprintf(stderr, "%s\n", error.what);
	must(trust);
	return trust;
}
