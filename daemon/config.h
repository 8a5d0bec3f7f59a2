// SPDX-License-Identifier: Apache-2.0
// The configuration as one immutable object, or all that is wrong with it. Files: FILE, then FILE's sibling directory
// NAME.d/*.conf in order ("mutun.conf" -> "mutun.d/"). Groups are merged, lists and arrays are appended, a scalar set twice
// is an error. libconfig's @include is refused: the library ends the process when it includes a directory.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/log.h"

struct arena;
struct config_errors;
struct error;
struct pin_key;
struct policy_test;
struct rules;
struct zone;

#define CONFIG_PATH "/etc/mutun/mutun.conf"

struct config_name {	   // makes an identity of a name that is none
	char *dns, *email; // one of the two
	char *identity;
};

struct config_pin {
	char *identity; // pattern
	struct pin_key *keys;
	unsigned key_count;
};

struct config_federation { // another trust domain
	char *domain, *trust;
	struct config_name *names;
	unsigned name_count;
	bool require_staple;
};

struct config_node {
	char *certificate; // paths; relative ones are relative to the file that names them
	char *key;
	char *trust;
	struct config_federation *federation;
	unsigned federation_count;
	struct config_name *names; // of the own trust domain
	unsigned name_count;
	struct config_pin *pins;
	unsigned pin_count;
	bool require_staple; // of the own trust domain
	char *staple;	     // file with the OCSP answer about the own certificate; NULL: none
	char *responder;     // URL where it comes from instead; NULL: none
	uint32_t mark;	     // of requests: interface.mark
	char *state;	     // directory for leases, default /var/lib/mutun
	bool http;	     // is spoken beside our own protocol: gateway.ca is set
};

struct config_interface {
	char *name;		// "mutun0"
	unsigned mtu;		// 1280-65000, default 1420
	unsigned workers;	// 0: one per core but one; at most 64
	unsigned table;		// routing table of the kernel, 19797
	unsigned rule_priority; // 1-32000, 19797
	unsigned mark;		// firewall mark of the daemon's own packets, 0x4d54
	bool only_openssl;	// crypto = "openssl"
};

struct config_offload { // what the kernel may do; all true by default
	bool tso;
	bool uso;
	bool join;
	bool segment;
	bool gro;
	bool steer;
};

struct config_translation {
	struct prefix from; // at the site
	struct prefix to;   // for all others; of the same length
};

struct config_dns {
	struct prefix *servers; // full length
	unsigned server_count;
	char **domains;
	unsigned domain_count;
};

struct config_profile { // what identities get that match; what is zero is as for all
	char **matches; // patterns, and names such as "group:contractors"
	unsigned match_count;
	struct prefix *pools;
	unsigned pool_count;
	struct prefix *routes;
	unsigned route_count;
	struct config_dns dns;
	unsigned mtu;	    // 65000: as for all
	uint64_t bandwidth; // bits per second
};

struct config_peer { // what one identity gets from the gateway, beyond a lease
	char *identity;
	struct prefix *addresses; // fixed, full length
	unsigned address_count;
	struct prefix *networks; // site prefixes behind it, sorted
	unsigned network_count;
	unsigned metric; // of these
	struct config_translation *translations;
	unsigned translation_count;
};

struct config_gateway {
	bool enabled; // a gateway group is there
	struct endpoint *listen;
	unsigned listen_count;
	struct prefix *pools;
	unsigned pool_count;
	char **admit; // identity patterns; none: the own trust domain, spiffe://DOMAIN/**
	unsigned admit_count;
	struct prefix *routes; // pushed to every client: networks behind the gateway
	unsigned route_count;
	struct config_peer *peers; // from `sites` and `clients`, each identity once, sorted by it
	unsigned peer_count;
	unsigned keepalive_s;	  // 1-3600, default 15
	unsigned reauth_within_s; // 0-3600, default 30: spread of REAUTH
	unsigned max_sessions;	  // 1-60000, default 10000
	struct config_dns dns;
	struct config_profile *profiles; // the first that matches wins, field by field
	unsigned profile_count;
	char *ca;	     // directory of the CA that is served; NULL: none
	char *ca_passphrase; // file with the passphrase of its keys; NULL: none
};

struct config_renewal { // of this node's certificate, by EST
	char *url;	// NULL: the certificate comes from elsewhere
	char *identity; // pattern that the server must match; NULL: it is a web server like others
	char *trust;	// its CA certificates then; NULL: those of the system
};

struct config_list {	  // a revocation list
	char *file, *url; // one of them
	char *domain;	  // NULL: the own one
	char *issuer;	  // NULL: in the trust bundle
	bool hard;
	unsigned grace_s;
	unsigned refresh_min_s, refresh_max_s;
};

struct config_revocation {
	char *denials; // file of a list of denials; NULL: none
	struct config_list *lists;
	unsigned list_count;
};

struct config_target {
	char *host; // name or address, without brackets
	uint16_t port;
};

struct config_link {
	char *name;
	struct config_target *to; // in order of preference
	unsigned to_count;
	char *identity;		      // pattern that the gateway must match
	struct prefix *accept_routes; // `accept`: what the gateway may push; none: everything
	unsigned accept_route_count;
};

struct config_audit {
	char *file;	   // NULL: to the journal alone
	unsigned size_mib; // 1-65536, default 64
	unsigned keep;	   // 0-1000, default 8
	unsigned sample_s; // 1-86400, default 60: between records of equal denials
};

struct config_group_peer { // an entry of a group, on its way into the model
	char *identity, *issuer, *unit;
	bool hardware;
};

struct config_rule { // as it is written, on its way into the model
	char *name;
	char **from, **to, **allow, **deny, **hours;
	unsigned from_count, to_count, allow_count, deny_count, hour_count;
	bool log, reject;
	char *expires, *zone;
};

struct config_test { // likewise
	char *name, *from, *to, *unit, *issuer, *at;
	char **allow, **deny;
	unsigned allow_count, deny_count;
	bool hardware, inbound;
};

struct config_zone { // a time zone that some rule names
	const char *name;
	struct zone *zone;
};

struct config_policy {
	bool enabled;		   // a policy group is there
	struct config_rule *rules; // these three are gone once the model is there
	struct config_rule *inbound;
	struct config_test *tests;
	unsigned rule_count, inbound_count, test_count;
	bool reject;		   // "refuse"
	unsigned flows_per_peer;   // 16-16777216, default 16384
	unsigned flows;		   // 1024-67108864, default 1048576
	const struct rules *model; // never NULL; without a policy group what holds then
	const struct policy_test *trials;
	unsigned trial_count;
	struct arena *arena; // of model and trials
	struct config_zone *zones;
	unsigned zone_count;
};

struct config {
	unsigned references; // beside the first one
	struct config_node node;
	struct config_interface interface;
	struct config_offload offload;
	struct config_renewal renewal;
	struct config_revocation revocation;
	struct config_gateway gateway;
	struct config_policy policy;
	struct config_link *links;
	unsigned link_count;
	struct config_audit audit;
	enum log_level log_level;	// "log = { level = "info"; }"
	char *control_socket;		// default /run/mutun/mutund.sock
	struct config_errors *warnings; // what is not wrong but hardly meant; never NULL
};

// All errors of one load, in the order of the files.
struct config_errors *config_errors_free(struct config_errors *errors);
DEFINE_CLEANUP(struct config_errors *, config_errors_free);
size_t config_errors_count(const struct config_errors *errors);
const struct error *config_errors_at(const struct config_errors *errors, size_t position);

// Reads and checks everything that can be checked without touching the host (files of certificates are not opened). Returns a new
// object, or -EINVAL and all errors in a new `ret_errors` (never NULL then), or -ENOMEM and NULL.
int config_load(const char *path, struct config **ret, struct config_errors **ret_errors);
// The same of a configuration or of files that hold nothing but a policy; then the rest is zero.
int config_load_policy(const char *path, struct config **ret, struct config_errors **ret_errors);
// As config_load(), from memory, with `path` only named in errors; for tests and fuzzing.
int config_parse(const char *text, const char *path, struct config **ret,
		 struct config_errors **ret_errors);
struct config *config_get(struct config *config); // one reference more; for one thread
struct config *config_put(struct config *config); // takes NULL, returns NULL
DEFINE_CLEANUP(struct config *, config_put);

// Of two settings that may be unset: both are, or they are equal.
bool config_same_text(const char *a, const char *b);
// -EBUSY and the first setting that differs and cannot be changed without a restart in `error`. 0: all can.
int config_reloadable(const struct config *old, const struct config *new, struct error *error);
