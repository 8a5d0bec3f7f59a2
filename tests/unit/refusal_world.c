// SPDX-License-Identifier: Apache-2.0

#include "unit/refusal_world.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "pki/tls.h"
#include "pki/trust.h"

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
	world->strict = fixture_issue(world->root, &options);
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

static struct trust *load_lenient(const struct world *world)
{
	static const char *const domains[] = {"corp.example", "partner.example", "other.example"};
	const struct fixture *const anchors[] = {world->root, world->issuing, world->partner,
						 world->stranger};
	_cleanup_(fixture_directory_freep) char *directory = fixture_directory();
	struct trust_source sources[12];
	char name[16];
	struct trust *trust = NULL;

	for (unsigned i = 0; i < 12; i++) {
		snprintf(name, sizeof(name), "%u.crt", i);
		sources[i] = (struct trust_source){.domain = domains[i / 4],
						   .path = fixture_path(directory, name)};
		fixture_write_certificate(anchors[i % 4], false, sources[i].path);
	}
	if (trust_load(tls_library(), sources, 12, clock_wall(), &trust, NULL) < 0)
		abort();
	for (unsigned i = 0; i < 12; i++)
		free((char *)sources[i].path);
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
	world->trust = load_trust(world);
	world->lenient = load_lenient(world);
	return world;
}

struct world *world_free(struct world *world)
{
	struct fixture *all[] = {
		world->root,	world->issuing,	  world->expired,	world->future,
		world->narrow,	world->excluding, world->weak,		world->odd,
		world->unnamed, world->sha1,	  world->mute,		world->no_ca,
		world->strict,	world->riddle,	  world->altered,	world->fat[0],
		world->fat[1],	world->fat[2],	  world->below,		world->laptop,
		world->loop[0], world->loop[1],	  world->loop_seed,	world->namesake,
		world->partner, world->stranger,  world->namesake_root,
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
