// SPDX-License-Identifier: Apache-2.0

#include "daemon/credentials.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "daemon/config.h"
#include "daemon/config_trust.h"
#include "daemon/stapler.h"
#include "pki/certificate.h"
#include "pki/credential.h"
#include "pki/key_uri.h"
#include "pki/mapping.h"
#include "pki/revocation.h"
#include "pki/trust.h"
#include "pki/verify.h"
#include "pki/watch.h"

// A set that was half written is looked at again: after 200 ms, 1 s, 5 s, then once a minute.
static const unsigned again_ms[] = {200, 1000, 5000, 60000};
#define AGAIN_COUNT (sizeof(again_ms) / sizeof(again_ms[0]))

// One judged set.
struct set {
	struct credential *credential;
	struct trust *trust;
	struct tls_context *contexts[2];
};

struct credentials {
	sd_event *event;
	credentials_changed changed;
	void *data;
	const struct config_node *node;
	struct watch *watch;
	struct set set;
	struct stapler *stapler;
	struct revocation *revocation; // NULL: nothing is revoked
	struct error problem;
	struct error revoked; // of our own certificate; code 0: it is not
	unsigned failures;    // in a row
};

static void set_done(struct set *set)
{
	tls_context_put(set->contexts[TLS_CLIENT]);
	tls_context_put(set->contexts[TLS_SERVER]);
	trust_put(set->trust);
	credential_put(set->credential);
	*set = (struct set){0};
}

static void add_remedy(const struct config_node *node, bool revoked, struct error *error)
{
	if (!error || error->remedy[0])
		return;
	if (revoked)
		error_remedy(error, "whoever runs the CA can give this node another one");
	else
		error_remedy(error, "certificate and trust (%s) must belong together", node->trust);
}

// Our own certificate, judged as our peers will: what we would not believe ourselves is no use to show.
static int judge_own(const struct config_node *node, const struct set *set, struct error *error)
{
	static const enum verify_role roles[] = {VERIFY_PEER_IS_CLIENT, VERIFY_PEER_IS_SERVER};
	for (unsigned i = 0; i < 2; i++) {
		_cleanup_(verdict_putp) struct verdict *verdict = NULL;
		int code;
		int r = verify_chain(set->trust, credential_leaf(set->credential),
				     credential_chain(set->credential), roles[i], clock_wall(),
				     &verdict, &code, error);
		if (r < 0) {
			error_where(error, "%s", node->certificate);
			add_remedy(node, code == X509_V_ERR_CERT_REVOKED, error);
			return r;
		}
	}
	return 0;
}

// Contexts for credential and trust of the set.
static int make_contexts(const struct config_node *node, struct set *set, struct error *error)
{
	int r = tls_context_new(TLS_CLIENT, set->credential, set->trust, &set->contexts[TLS_CLIENT],
				error);
	if (r == 0)
		r = tls_context_new(TLS_SERVER, set->credential, set->trust,
				    &set->contexts[TLS_SERVER], error);
	if (r == 0 && node->http)
		tls_context_allow_http(set->contexts[TLS_SERVER]);
	return r;
}

static int revise(struct set *set, struct revocation *revocation, struct error *error)
{
	struct trust *trust;
	if (trust_revise(set->trust, revocation, &trust) < 0)
		return error_set(error, ENOMEM, "out of memory");
	trust_put(set->trust);
	set->trust = trust;
	return 0;
}

static int load_set(const struct config_node *node, struct revocation *revocation, struct set *ret,
		    struct error *error)
{
	_cleanup_(mapping_freep) struct mapping *mapping = NULL;
	struct set set = {0};
	int r = config_trust_mapping(node, &mapping);
	if (r < 0)
		return error_set(error, -r, "out of memory");
	r = credential_load_mapped(tls_library(), mapping, node->certificate, node->key,
				   clock_wall(), &set.credential, error);
	if (r == 0)
		r = config_trust_load(node, credential_identity(set.credential), &set.trust, error);
	if (r == 0)
		r = judge_own(node, &set, error);
	if (r == 0 && revocation)
		r = revise(&set, revocation, error);
	if (r == 0)
		r = make_contexts(node, &set, error);
	if (r < 0) {
		set_done(&set);
		return r;
	}
	*ret = set;
	return 0;
}

// Gives the contexts of a set, which nobody shares yet, the OCSP answer about its certificate.
static int staple(struct credentials *credentials, const struct config_node *node, struct set *set,
		  struct error *error)
{
	_cleanup_(verdict_putp) struct verdict *own = NULL;
	size_t size;
	int r = 0;
	// What we would not believe ourselves needs none.
	if (verify_chain(set->trust, credential_leaf(set->credential),
			 credential_chain(set->credential), VERIFY_PEER_IS_CLIENT, clock_wall(),
			 &own, NULL, NULL) == 0)
		r = stapler_set(credentials->stapler, node, own, error);
	if (r < 0)
		return r;
	const uint8_t *der = stapler_answer(credentials->stapler, &size);
	for (unsigned i = 0; der && i < 2; i++)
		if (tls_context_set_staple(set->contexts[i], der, size) < 0)
			return error_set(error, ENOMEM, "out of memory");
	return 0;
}

// What is new in a set, in words; NULL: nothing.
static const char *difference(const struct set *old, const struct set *new)
{
	bool certificate = memcmp(credential_fingerprint(old->credential),
				  credential_fingerprint(new->credential), 32) != 0;
	bool trust = memcmp(trust_fingerprint(old->trust), trust_fingerprint(new->trust), 32) != 0;
	if (certificate)
		return trust ? "certificate and trust of this node renewed"
			     : "certificate of this node renewed";
	return trust ? "trust of this node changed" : NULL;
}

static bool same_staple(const struct config_node *a, const struct config_node *b)
{
	return config_same_text(a->staple, b->staple) &&
	       config_same_text(a->responder, b->responder);
}

static bool same_files(const struct config_node *a, const struct config_node *b)
{
	return strcmp(a->certificate, b->certificate) == 0 && strcmp(a->key, b->key) == 0 &&
	       config_trust_same(a, b) && a->http == b->http && same_staple(a, b);
}

// Peers will refuse us; nothing here depends on it.
static void judge_revoked(struct credentials *credentials, const struct set *set)
{
	char text[ERROR_TEXT_MAX];
	struct error error = {0};
	bool before = credentials->revoked.code != 0;
	if (judge_own(credentials->node, set, &error) == 0)
		error.code = 0;
	credentials->revoked = error;
	if (error.code && !before)
		log_error("peers will not believe this node any more: %s",
			  error_text(&error, text, sizeof(text)));
}

// Puts the set that lies in the files into use when it is good and new. `ret_reason`: what is new, NULL: nothing.
static int adopt(struct credentials *credentials, const struct config_node *node,
		 const char **ret_reason, struct error *error)
{
	struct set set = {0};
	int r = load_set(node, credentials->revocation, &set, error);
	if (r < 0)
		return r;
	const char *before = credential_identity(credentials->set.credential);
	const char *after = credential_identity(set.credential);
	if (strcmp(before, after) != 0) {
		error_set(error, EPERM, "the new certificate is for %s", after);
		error_where(error, "%s", node->certificate);
		error_expected(error, "%s", before);
		error_remedy(error, "a node changes its identity only when it is restarted");
		set_done(&set);
		return -EPERM;
	}
	*ret_reason = difference(&credentials->set, &set);
	if (!*ret_reason && node->http != credentials->node->http)
		*ret_reason = "enrolment service switched";
	if (!*ret_reason && !same_staple(node, credentials->node))
		*ret_reason = "source of this node's OCSP answers changed";
	r = *ret_reason ? staple(credentials, node, &set, error) : 0;
	if (!*ret_reason || r < 0) {
		set_done(&set);
		return r;
	}
	judge_revoked(credentials, &set);
	set_done(&credentials->set);
	credentials->set = set;
	return 0;
}

static void on_changed(void *data)
{
	struct credentials *credentials = data;
	char text[ERROR_TEXT_MAX], words[32];
	const char *reason;
	struct error error = {0};
	if (adopt(credentials, credentials->node, &reason, &error) < 0) {
		unsigned wait = credentials->failures < AGAIN_COUNT ? credentials->failures
								    : AGAIN_COUNT - 1;
		credentials->failures++;
		if (memcmp(&error, &credentials->problem, sizeof(error)) != 0)
			log_warning("the new credentials are not used, the old ones stay: %s",
				    error_text(&error, text, sizeof(text)));
		credentials->problem = error;
		watch_again(credentials->watch, again_ms[wait]);
		return;
	}
	credentials->failures = 0;
	credentials->problem.code = 0;
	if (!reason)
		return;
	log_info("%s: serial %s, expires in %s", reason,
		 certificate_serial(credential_leaf(credentials->set.credential), text),
		 clock_words(credential_not_after(credentials->set.credential) - clock_wall(),
			     words, sizeof(words)));
	credentials->changed(reason, credentials->data);
}

// Another answer for the certificate in use.
static void on_staple(void *data)
{
	static const char reason[] = "OCSP answer about the certificate of this node renewed";
	struct credentials *credentials = data;
	struct set set = {.credential = credential_get(credentials->set.credential),
			  .trust = trust_get(credentials->set.trust)};
	char text[ERROR_TEXT_MAX];
	struct error error;
	int r = make_contexts(credentials->node, &set, &error);
	if (r == 0)
		r = staple(credentials, credentials->node, &set, &error);
	if (r < 0) {
		log_error("%s", error_text(&error, text, sizeof(text)));
		set_done(&set);
		return;
	}
	set_done(&credentials->set);
	credentials->set = set;
	log_info("%s", reason);
	credentials->changed(reason, credentials->data);
}

static int start_watch(struct credentials *credentials, const struct config_node *node,
		       struct watch **ret, struct error *error)
{
	const char *paths[3 + 64];
	size_t count = 0;
	paths[count++] = node->certificate;
	if (!key_uri_is(node->key))
		paths[count++] = node->key;
	paths[count++] = node->trust;
	for (unsigned i = 0; i < node->federation_count && i < 64; i++)
		paths[count++] = node->federation[i].trust;
	int r = watch_new(credentials->event, paths, count, on_changed, credentials, ret);
	return r < 0 ? error_set(error, -r, "cannot watch the credential files: %s", strerror(-r))
		     : 0;
}

int credentials_new(sd_event *event, const struct config_node *node, credentials_changed changed,
		    void *data, struct credentials **ret, struct error *error)
{
	_cleanup_(credentials_freep) struct credentials *credentials =
		calloc(1, sizeof(*credentials));
	if (!credentials)
		return error_set(error, ENOMEM, "out of memory");
	credentials->event = event;
	credentials->node = node;
	credentials->changed = changed;
	credentials->data = data;
	struct stapler_tools tools = {event, on_staple, credentials};
	if (stapler_new(&tools, &credentials->stapler) < 0)
		return error_set(error, ENOMEM, "out of memory");
	// Watch first: a change between the first look and the watch must not go unseen.
	int r = start_watch(credentials, node, &credentials->watch, error);
	if (r == 0)
		r = load_set(node, NULL, &credentials->set, error);
	if (r == 0)
		r = staple(credentials, node, &credentials->set, error);
	if (r < 0)
		return r;
	*ret = take(credentials);
	return 0;
}

struct credentials *credentials_free(struct credentials *credentials)
{
	if (!credentials)
		return NULL;
	watch_free(credentials->watch);
	stapler_free(credentials->stapler);
	set_done(&credentials->set);
	revocation_put(credentials->revocation);
	free(credentials);
	return NULL;
}

bool credentials_differ(const struct credentials *credentials, const struct config_node *node)
{
	return !same_files(credentials->node, node);
}

int credentials_reload(struct credentials *credentials, const struct config_node *node,
		       const char **ret_reason, struct error *error)
{
	_cleanup_(watch_freep) struct watch *watch = NULL;
	*ret_reason = NULL;
	if (same_files(credentials->node, node)) {
		// What lies in them is the watch's business: a bad set there must not stand in the way of other changes.
		credentials->node = node;
		watch_again(credentials->watch, 0);
		return 0;
	}
	int r = start_watch(credentials, node, &watch, error);
	if (r == 0)
		r = adopt(credentials, node, ret_reason, error);
	if (r < 0)
		return r;
	watch_free(credentials->watch);
	credentials->watch = take(watch);
	credentials->node = node;
	credentials->problem.code = 0;
	return 0;
}

void credentials_look(struct credentials *credentials)
{
	watch_again(credentials->watch, 0);
}

int credentials_set_revocation(struct credentials *credentials, struct revocation *revocation)
{
	struct set set = {.credential = credential_get(credentials->set.credential),
			  .trust = trust_get(credentials->set.trust)};
	int r = revise(&set, revocation, NULL);
	if (r == 0)
		r = make_contexts(credentials->node, &set, NULL);
	if (r == 0)
		r = staple(credentials, credentials->node, &set, NULL);
	if (r < 0) {
		set_done(&set);
		return -ENOMEM;
	}
	judge_revoked(credentials, &set);
	set_done(&credentials->set);
	credentials->set = set;
	struct revocation *old = credentials->revocation;
	credentials->revocation = revocation ? revocation_get(revocation) : NULL;
	revocation_put(old);
	return 0;
}

struct tls_context *credentials_context(const struct credentials *credentials, enum tls_role role)
{
	return credentials->set.contexts[role];
}

struct credential *credentials_credential(const struct credentials *credentials)
{
	return credentials->set.credential;
}

struct trust *credentials_trust(const struct credentials *credentials)
{
	return credentials->set.trust;
}

const struct error *credentials_problem(const struct credentials *credentials)
{
	return &credentials->problem;
}

const struct error *credentials_disbelieved(const struct credentials *credentials)
{
	return &credentials->revoked;
}

const struct stapler *credentials_stapler(const struct credentials *credentials)
{
	return credentials->stapler;
}
