// SPDX-License-Identifier: Apache-2.0

#include "unit/refusal_world.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "pki/crl.h"
#include "pki/crl_list.h"
#include "pki/revocation.h"
#include "pki/tls.h"
#include "pki/trust.h"
#include "unit/crl_fixture.h"
#include "unit/denial_fixture.h"

#define DAY INT64_C(86400)

// The profile of an issuing CA, for a month before and after now.
static struct fixture_options ca_options(const char *name)
{
	return (struct fixture_options){
		.subject = name,
		.basic_constraints = "critical,CA:TRUE,pathlen:0",
		.key_usage = "critical,keyCertSign,cRLSign",
		.extended_key_usage = "",
		.name_constraints = "critical,permitted;URI:corp.example",
		.not_before_s = -30 * DAY,
		.not_after_s = 30 * DAY,
	};
}

static struct fixture *root(const char *name)
{
	struct fixture_options options = ca_options(name);

	options.basic_constraints = "critical,CA:TRUE";
	options.name_constraints = NULL;
	options.not_before_s = -60 * DAY;
	options.not_after_s = 60 * DAY;
	return fixture_issue(NULL, &options);
}

static struct fixture *ca(const struct fixture *issuer, const char *name)
{
	struct fixture_options options = ca_options(name);

	return fixture_issue(issuer, &options);
}

static void make_wrong_times_and_names(struct world *world)
{
	struct fixture_options options = ca_options("corp old");

	options.not_after_s = -2 * DAY - 60;
	world->expired = fixture_issue(world->root, &options);
	options = ca_options("corp next");
	options.not_before_s = 2 * DAY + 60;
	world->future = fixture_issue(world->root, &options);
	options = ca_options("corp dev");
	options.name_constraints = "critical,permitted;URI:dev.corp.example";
	world->narrow = fixture_issue(world->root, &options);
	options = ca_options("corp others");
	options.name_constraints = "critical,excluded;URI:corp.example";
	world->excluding = fixture_issue(world->root, &options);
}

static void make_wrong_keys(struct world *world)
{
	struct fixture_options options = ca_options("corp weak");

	options.key = "RSA-1024";
	world->weak = fixture_issue(world->root, &options);
	options = ca_options("corp odd");
	options.key = "secp256k1";
	world->odd = fixture_issue(world->root, &options);
	options = ca_options("corp unnamed");
	options.key = "explicit";
	world->unnamed = fixture_issue(world->root, &options);
	options = ca_options("corp sha1");
	options.digest = "SHA1";
	world->sha1 = fixture_issue(world->root, &options);
	options = ca_options("corp altered");
	options.altered = true;
	world->altered = fixture_issue(world->root, &options);
}

static void make_wrong_extensions(struct world *world)
{
	struct fixture_options options = ca_options("corp mute");

	options.key_usage = "critical,cRLSign";
	world->mute = fixture_issue(world->root, &options);
	options = ca_options("corp no CA");
	options.basic_constraints = "critical,CA:FALSE";
	world->no_ca = fixture_issue(world->root, &options);
	options = ca_options("corp strict");
	options.policy_constraints = "critical,requireExplicitPolicy:0";
	options.any_policy = true;
	world->strict = fixture_issue(world->root, &options);
	options = ca_options("corp withdrawn");
	world->withdrawn = fixture_issue(world->root, &options);
	options = ca_options("corp riddle");
	options.unknown_critical = true;
	world->riddle = fixture_issue(world->root, &options);
}

// What no honest CA builds.
static void make_wrong_towers(struct world *world)
{
	struct fixture_options options;
	const struct fixture *above = world->root;
	char name[32];

	for (size_t i = 0; i < STAIRS; i++) {
		snprintf(name, sizeof(name), "stair %zu", i + 1);
		world->stairs[i] = fixture_intermediate(above, name, NULL, -1);
		above = world->stairs[i];
	}
	above = world->root;
	for (size_t i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "fat %zu", i + 1);
		options = ca_options(name);
		options.basic_constraints = "critical,CA:TRUE";
		options.dns_count = 1430;
		world->fat[i] = fixture_issue(above, &options);
		above = world->fat[i];
	}
	world->below = fixture_intermediate(world->issuing, "corp below", NULL, -1);
	world->laptop = fixture_leaf(world->issuing, "spiffe://corp.example/laptop/eve");

	world->loop_seed = root("loop A");
	world->loop[1] = fixture_intermediate(world->loop_seed, "loop B", NULL, -1);
	options = ca_options("loop A");
	options.basic_constraints = "critical,CA:TRUE";
	options.same_key = world->loop_seed;
	world->loop[0] = fixture_issue(world->loop[1], &options);
}

// Who is trusted for a domain.
struct anchor {
	const char *domain;
	const struct fixture *ca;
};

#define ANCHORS_MAX 20

static struct trust *load_trust(const struct anchor *anchors, unsigned count)
{
	_cleanup_(fixture_directory_freep) char *directory = fixture_directory();
	struct trust_source sources[ANCHORS_MAX] = {0};
	char *paths[ANCHORS_MAX], name[16];
	struct trust *trust = NULL;

	for (unsigned i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "%u.crt", i);
		paths[i] = fixture_path(directory, name);
		fixture_write_certificate(anchors[i].ca, false, paths[i]);
		sources[i].domain = anchors[i].domain;
		sources[i].path = paths[i];
	}
	if (trust_load(tls_library(), sources, count, clock_wall(), &trust, NULL) < 0)
		abort();
	for (unsigned i = 0; i < count; i++)
		free(paths[i]);
	return trust;
}

static struct trust *load_lenient(const struct world *world)
{
	static const char *const domains[] = {"corp.example", "partner.example", "other.example",
					      "late.example", "old.example"};
	const struct fixture *const cas[] = {world->root, world->issuing, world->partner,
					     world->stranger};
	struct anchor anchors[ANCHORS_MAX];

	for (unsigned i = 0; i < ANCHORS_MAX; i++)
		anchors[i] = (struct anchor){domains[i / 4], cas[i % 4]};
	return load_trust(anchors, ANCHORS_MAX);
}

static void add_list(struct revocation *revocation, struct trust *trust, const char *domain,
		     const struct fixture *signer, const struct fixture *others,
		     const struct crl_fixture_options *options)
{
	struct crl_list list = {.name = "list", .domain = domain, .hard = true};
	STACK_OF(X509) *issuers = sk_X509_new_null();
	struct crl_scope scope = {trust, domain, issuers};
	size_t size;
	uint8_t *der = options ? crl_fixture(signer, options, &size) : NULL;

	if (!issuers || !sk_X509_push(issuers, others->certificate) ||
	    (der && crl_read(der, size, &scope, clock_wall(), &list.crl, NULL) < 0) ||
	    revocation_add_list(revocation, &list) < 0)
		abort();
	crl_put(list.crl);
	sk_X509_free(issuers);
	free(der);
}

static void add_lists(const struct world *world, struct revocation *revocation, struct trust *trust)
{
	const ASN1_INTEGER *serial = X509_get0_serialNumber(world->withdrawn->certificate);
	struct crl_fixture_entry of_root = {.serial = ASN1_STRING_get0_data(serial),
					    .size = (size_t)ASN1_STRING_length(serial),
					    .at_s = -3 * DAY - 60,
					    .reason = 1};
	struct crl_fixture_entry of_issuing = {.serial = (const uint8_t *)WORLD_LISTED_SERIAL,
					       .size = 4,
					       .at_s = -3 * DAY - 60,
					       .reason = CRL_FIXTURE_NO_REASON};
	struct crl_fixture_options
		root_list = {.entries = &of_root, .count = 1, .this_s = -60, .next_s = 90 * DAY},
		list = {.entries = &of_issuing, .count = 1, .this_s = -60, .next_s = 90 * DAY},
		old = {.this_s = -5 * DAY, .next_s = -2 * DAY - 60};

	add_list(revocation, trust, "corp.example", world->root, world->issuing, &root_list);
	add_list(revocation, trust, "corp.example", world->issuing, world->issuing, &list);
	add_list(revocation, trust, "old.example", world->root, world->issuing, &old);
	add_list(revocation, trust, "late.example", world->root, world->issuing, NULL);
}

static void add_denials(const struct world *world, struct revocation *revocation)
{
	struct fixture_options options = {.serial = (const uint8_t *)WORLD_DENIED_SERIAL,
					  .serial_size = 4};
	_cleanup_(fixture_freep) struct fixture *leaf = fixture_issue(world->issuing, &options);
	_cleanup_(freep) char *serial = fixture_deny_serial(leaf);
	const char *const words[] = {"deny identity " WORLD_LOST " 0 keyCompromise", serial};
	struct denial *entries[2];
	struct denials *denials = NULL;

	for (unsigned i = 0; i < 2; i++)
		entries[i] = fixture_denial("corp.example", i + 1, clock_wall() - 3 * DAY - 60,
					    words[i], i ? entries[0]->hash : NULL, world->issuing);
	if (denials_append(NULL, "corp.example", entries, 2, &denials, NULL) < 0 ||
	    revocation_add_denials(revocation, denials) < 0)
		abort();
	denials_put(denials);
	denial_put(entries[0]);
	denial_put(entries[1]);
}

static struct trust *load_strict(const struct world *world)
{
	const struct anchor anchors[] = {{"corp.example", world->root},
					 {"partner.example", world->partner},
					 {"late.example", world->root},
					 {"old.example", world->root}};
	_cleanup_(trust_putp) struct trust *bare = load_trust(anchors, 4);
	_cleanup_(revocation_putp) struct revocation *revocation = revocation_new();
	struct trust *trust = NULL;

	if (!revocation)
		abort();
	add_denials(world, revocation);
	add_lists(world, revocation, bare);
	if (trust_revise(bare, revocation, &trust) < 0)
		abort();
	return trust;
}

struct world *world_new(void)
{
	struct world *world = calloc(1, sizeof(*world));

	if (!world)
		abort();
	world->root = root("corp root");
	world->issuing = ca(world->root, "corp issuing");
	world->namesake_root = root("corp root");
	world->namesake = ca(world->namesake_root, "corp issuing");
	world->partner = root("partner root");
	world->stranger = root("stranger root");
	make_wrong_times_and_names(world);
	make_wrong_keys(world);
	make_wrong_extensions(world);
	make_wrong_towers(world);
	world->trust = load_strict(world);
	world->lenient = load_lenient(world);
	return world;
}

struct world *world_free(struct world *world)
{
	struct fixture *all[] = {
		world->root,	 world->issuing,   world->expired,  world->future,
		world->narrow,	 world->excluding, world->weak,	    world->odd,
		world->unnamed,	 world->sha1,	   world->mute,	    world->no_ca,
		world->strict,	 world->withdrawn, world->riddle,   world->altered,
		world->fat[0],	 world->fat[1],	   world->fat[2],   world->below,
		world->laptop,	 world->loop[0],   world->loop[1],  world->loop_seed,
		world->namesake, world->partner,   world->stranger, world->namesake_root,
	};

	trust_put(world->trust);
	trust_put(world->lenient);
	for (size_t i = 0; i < STAIRS; i++)
		fixture_free(world->stairs[i]);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		fixture_free(all[i]);
	free(world);
	return NULL;
}
