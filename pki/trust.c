// SPDX-License-Identifier: Apache-2.0
// The stores hold everything in memory and have no look-ups into directories or URIs: OpenSSL 3.0 crashes in those under
// threads (openssl issues 28171, 30310).

#include "pki/trust.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/sha.h>

#include "base/buffer.h"
#include "base/error.h"
#include "pki/certificate.h"
#include "pki/identity.h"
#include "pki/mapping.h"
#include "pki/pins.h"
#include "pki/revocation.h"

struct digest {
	uint8_t bytes[SHA256_DIGEST_LENGTH];
};

struct trust_domain {
	char *name;
	X509_STORE *store;
	struct digest *digests; // of its certificates; sorted, each once, when loading is done
	size_t count;
	bool require_staple;
};

struct trust {
	atomic_uint references;
	OSSL_LIB_CTX *library;
	struct trust_domain *domains;
	size_t count;
	struct mapping *mapping; // NULL: none
	struct pins *pins;	 // NULL: none
	uint8_t fingerprint[SHA256_DIGEST_LENGTH];
	struct revocation *revocation;
	struct trust *base; // whose domains these are; NULL: our own
};

static struct trust_domain *find(const struct trust *trust, const char *domain, size_t length)
{
	for (size_t i = 0; i < trust->count; i++) {
		struct trust_domain *d = &trust->domains[i];
		if (strlen(d->name) == length && memcmp(d->name, domain, length) == 0)
			return d;
	}
	return NULL;
}

// Several sources may name one trust domain. `trust->domains` has room for one per source.
static struct trust_domain *find_or_add(struct trust *trust, const char *name)
{
	struct trust_domain *domain = find(trust, name, strlen(name));
	if (domain)
		return domain;

	domain = &trust->domains[trust->count];
	domain->name = strdup(name);
	domain->store = X509_STORE_new();
	trust->count++;
	return domain->name && domain->store ? domain : NULL;
}

static int add_certificate(struct trust_domain *domain, X509 *certificate, struct error *error)
{
	struct digest *digests =
		reallocarray(domain->digests, domain->count + 1, sizeof(*domain->digests));
	unsigned char *der = NULL;

	if (!digests)
		return error_set(error, ENOMEM, "out of memory");
	domain->digests = digests;
	int size = i2d_X509(certificate, &der);
	if (size < 0 || !X509_STORE_add_cert(domain->store, certificate)) {
		OPENSSL_free(der);
		return error_set(error, ENOMEM, "out of memory");
	}
	bool good = SHA256(der, (size_t)size, digests[domain->count].bytes) != NULL;
	OPENSSL_free(der);
	if (!good)
		return error_set(error, ENOMEM, "out of memory");
	domain->count++;
	return 0;
}

// `now` in the lifetime's end of at least one.
static int check_lifetimes(STACK_OF(X509) * stack, time_t now, struct error *error)
{
	time_t not_before, not_after, latest = 0;

	for (int i = 0; i < sk_X509_num(stack); i++) {
		if (certificate_lifetime(sk_X509_value(stack, i), &not_before, &not_after) < 0)
			return error_set(error, EINVAL, "CA certificate %d has unreadable times",
					 i + 1);
		if (not_after > latest)
			latest = not_after;
	}
	if (latest > now)
		return 0;

	char text[32];
	struct tm tm;
	gmtime_r(&latest, &tm);
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M UTC", &tm);
	error_set(error, EINVAL, "all %d CA certificates have expired, the last on %s",
		  sk_X509_num(stack), text);
	error_remedy(error, "get the current bundle from the CA, or correct this machine's clock");
	return -EINVAL;
}

static int add_bundle(struct trust *trust, struct trust_domain *domain, const char *text,
		      size_t size, time_t now, struct error *error)
{
	_cleanup_(certificates_freep) STACK_OF(X509) *stack = NULL;

	int r = certificate_read_pem(trust->library, text, size, &stack, error);
	if (r < 0)
		return r;
	for (int i = 0; i < sk_X509_num(stack); i++) {
		r = certificate_check_ca(sk_X509_value(stack, i), error);
		if (r < 0)
			return r;
	}
	r = check_lifetimes(stack, now, error);
	if (r < 0)
		return r;
	for (int i = 0; i < sk_X509_num(stack); i++) {
		r = add_certificate(domain, sk_X509_value(stack, i), error);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_source(struct trust *trust, const struct trust_source *source, time_t now,
		      struct error *error)
{
	_cleanup_(freep) char *text = NULL;
	size_t size;

	int r = identity_domain_check(source->domain, error);
	for (size_t i = 0; r == 0 && i < source->rule_count; i++)
		r = mapping_rule_check(&source->rules[i], source->domain, error);
	if (r < 0)
		return r;
	r = file_read(source->path, TRUST_FILE_MAX, &text, &size);
	if (r < 0) {
		error_set(error, -r, "trust bundle cannot be read: %s", strerror(-r));
		error_where(error, "%s", source->path);
		return r;
	}
	struct trust_domain *domain = find_or_add(trust, source->domain);
	if (!domain)
		return error_set(error, ENOMEM, "out of memory");
	domain->require_staple |= source->require_staple;
	r = add_bundle(trust, domain, text, size, now, error);
	if (r < 0)
		error_where(error, "%s", source->path);
	return r;
}

static int compare_digests(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct digest));
}

static int compare_domains(const void *a, const void *b)
{
	const struct trust_domain *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static void remove_duplicates(struct trust_domain *domain)
{
	size_t kept = 0;

	qsort(domain->digests, domain->count, sizeof(*domain->digests), compare_digests);
	for (size_t i = 0; i < domain->count; i++)
		if (i == 0 || compare_digests(&domain->digests[i], &domain->digests[kept - 1]) != 0)
			domain->digests[kept++] = domain->digests[i];
	domain->count = kept;
}

static bool hash_text(EVP_MD_CTX *hash, const char *text)
{
	return EVP_DigestUpdate(hash, text, strlen(text) + 1);
}

// The name with its NUL, then the counts: no two sets give the same bytes.
static bool hash_domain(EVP_MD_CTX *hash, const struct trust_domain *domain)
{
	return hash_text(hash, domain->name) &&
	       (!domain->require_staple || hash_text(hash, "staple")) &&
	       EVP_DigestUpdate(hash, &domain->count, sizeof(domain->count)) &&
	       EVP_DigestUpdate(hash, domain->digests, domain->count * sizeof(*domain->digests));
}

static bool hash_source(EVP_MD_CTX *hash, const struct trust_source *source)
{
	bool good = EVP_DigestUpdate(hash, &source->rule_count, sizeof(source->rule_count)) &&
		    EVP_DigestUpdate(hash, &source->pin_count, sizeof(source->pin_count));

	for (size_t i = 0; good && i < source->rule_count; i++) {
		const struct mapping_rule *rule = &source->rules[i];
		good = EVP_DigestUpdate(hash, &rule->type, sizeof(rule->type)) &&
		       hash_text(hash, rule->name) && hash_text(hash, rule->identity);
	}
	for (size_t i = 0; good && i < source->pin_count; i++) {
		const struct pin *pin = &source->pins[i];
		good = hash_text(hash, pin->identity) &&
		       EVP_DigestUpdate(hash, &pin->count, sizeof(pin->count)) &&
		       EVP_DigestUpdate(hash, pin->keys, pin->count * sizeof(*pin->keys));
	}
	return good;
}

static int seal(struct trust *trust, const struct trust_source *sources, size_t count)
{
	EVP_MD_CTX *hash = EVP_MD_CTX_new();
	EVP_MD *sha256 = EVP_MD_fetch(trust->library, "SHA256", NULL);
	bool good = hash && sha256 && EVP_DigestInit_ex(hash, sha256, NULL);

	qsort(trust->domains, trust->count, sizeof(*trust->domains), compare_domains);
	for (size_t i = 0; good && i < trust->count; i++) {
		remove_duplicates(&trust->domains[i]);
		good = hash_domain(hash, &trust->domains[i]);
	}
	for (size_t i = 0; good && i < count; i++)
		if (sources[i].rule_count + sources[i].pin_count > 0)
			good = hash_source(hash, &sources[i]);
	good = good && EVP_DigestFinal_ex(hash, trust->fingerprint, NULL);
	EVP_MD_free(sha256);
	EVP_MD_CTX_free(hash);
	return good ? 0 : -ENOMEM;
}

// The rules and the pins of all sources, each in one object.
static int gather(struct trust *trust, const struct trust_source *sources, size_t count)
{
	size_t rule_count = 0, pin_count = 0;

	for (size_t i = 0; i < count; i++) {
		rule_count += sources[i].rule_count;
		pin_count += sources[i].pin_count;
	}
	_cleanup_(freep) struct mapping_rule *rules = calloc(rule_count + 1, sizeof(*rules));
	_cleanup_(freep) struct pin *pins = calloc(pin_count + 1, sizeof(*pins));
	if (!rules || !pins)
		return -ENOMEM;
	rule_count = pin_count = 0;
	for (size_t i = 0; i < count; i++) {
		for (size_t n = 0; n < sources[i].rule_count; n++)
			rules[rule_count++] = sources[i].rules[n];
		for (size_t n = 0; n < sources[i].pin_count; n++)
			pins[pin_count++] = sources[i].pins[n];
	}
	int r = rule_count ? mapping_new(rules, rule_count, &trust->mapping) : 0;
	return r == 0 && pin_count ? pins_new(pins, pin_count, &trust->pins) : r;
}

int trust_load(OSSL_LIB_CTX *library, const struct trust_source *sources, size_t count, time_t now,
	       struct trust **ret, struct error *error)
{
	_cleanup_(trust_putp) struct trust *trust = calloc(1, sizeof(*trust));

	if (!trust)
		return error_set(error, ENOMEM, "out of memory");
	atomic_init(&trust->references, 1);
	trust->library = library;
	if (count == 0)
		return error_set(error, EINVAL, "no trust bundle is named");
	trust->domains = calloc(count, sizeof(*trust->domains));
	if (!trust->domains)
		return error_set(error, ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++) {
		int r = add_source(trust, &sources[i], now, error);
		if (r < 0)
			return r;
	}
	if (gather(trust, sources, count) < 0 || seal(trust, sources, count) < 0)
		return error_set(error, ENOMEM, "out of memory");
	*ret = take(trust);
	return 0;
}

int trust_load_file(OSSL_LIB_CTX *library, const char *identity, const char *path, time_t now,
		    struct trust **ret, struct error *error)
{
	const char *domain;
	size_t length = identity_domain(identity, &domain);
	_cleanup_(freep) char *own = strndup(domain, length);
	struct trust_source source = {.domain = own, .path = path};

	return own ? trust_load(library, &source, 1, now, ret, error)
		   : error_set(error, ENOMEM, "out of memory");
}

struct trust *trust_get(struct trust *trust)
{
	atomic_fetch_add_explicit(&trust->references, 1, memory_order_relaxed);
	return trust;
}

static void domains_free(struct trust *trust)
{
	for (size_t i = 0; i < trust->count; i++) {
		free(trust->domains[i].name);
		free(trust->domains[i].digests);
		X509_STORE_free(trust->domains[i].store);
	}
	free(trust->domains);
	mapping_free(trust->mapping);
	pins_free(trust->pins);
}

struct trust *trust_put(struct trust *trust)
{
	if (!trust || atomic_fetch_sub_explicit(&trust->references, 1, memory_order_acq_rel) != 1)
		return NULL;
	revocation_put(trust->revocation);
	if (trust->base)
		trust_put(trust->base);
	else
		domains_free(trust);
	free(trust);
	return NULL;
}

int trust_revise(struct trust *trust, struct revocation *revocation, struct trust **ret)
{
	struct trust *revised = malloc(sizeof(*revised));

	if (!revised)
		return -ENOMEM;
	*revised = *trust;
	atomic_init(&revised->references, 1);
	revised->base = trust_get(trust->base ? trust->base : trust);
	revised->revocation = revocation ? revocation_get(revocation) : NULL;
	*ret = revised;
	return 0;
}

struct revocation *trust_revocation(const struct trust *trust)
{
	return trust->revocation;
}

OSSL_LIB_CTX *trust_library(const struct trust *trust)
{
	return trust->library;
}

const struct mapping *trust_mapping(const struct trust *trust)
{
	return trust->mapping;
}

bool trust_requires_staple(const struct trust *trust, const char *domain, size_t length)
{
	const struct trust_domain *found = find(trust, domain, length);

	return found && found->require_staple;
}

const struct pins *trust_pins(const struct trust *trust)
{
	return trust->pins;
}

X509_STORE *trust_store(const struct trust *trust, const char *domain, size_t length)
{
	const struct trust_domain *found = find(trust, domain, length);

	return found ? found->store : NULL;
}

size_t trust_domain_count(const struct trust *trust, const char *domain, size_t length)
{
	const struct trust_domain *found = find(trust, domain, length);

	return found ? found->count : 0;
}

size_t trust_anchors(const struct trust *trust, const char *domain, size_t length,
		     uint8_t (*ret)[TRUST_ANCHOR_SIZE], size_t max)
{
	const struct trust_domain *found = find(trust, domain, length);
	size_t count = found ? found->count : 0;

	if (count > max)
		count = max;
	for (size_t i = 0; i < count; i++)
		memcpy(ret[i], found->digests[i].bytes, TRUST_ANCHOR_SIZE);
	return count;
}

bool trust_has_anchor(const struct trust *trust, const char *domain, size_t length,
		      const uint8_t hash[TRUST_ANCHOR_SIZE])
{
	const struct trust_domain *found = find(trust, domain, length);

	return found &&
	       bsearch(hash, found->digests, found->count, sizeof(struct digest), compare_digests);
}

const char *trust_domains(const struct trust *trust, char *text, size_t size)
{
	size_t at = 0;

	text[0] = '\0';
	for (size_t i = 0; i < trust->count && at < size; i++) {
		int length = snprintf(text + at, size - at, "%s%s", i ? ", " : "",
				      trust->domains[i].name);
		at += (size_t)length;
	}
	return text;
}

const uint8_t *trust_fingerprint(const struct trust *trust)
{
	return trust->fingerprint;
}

size_t trust_count(const struct trust *trust)
{
	size_t count = 0;

	for (size_t i = 0; i < trust->count; i++)
		count += trust->domains[i].count;
	return count;
}
