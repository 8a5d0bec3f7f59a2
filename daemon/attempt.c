// SPDX-License-Identifier: Apache-2.0

#include "daemon/attempt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/job.h"
#include "daemon/config.h"
#include "pki/bundle.h"
#include "pki/ca.h"
#include "pki/certificate.h"
#include "pki/credential.h"
#include "pki/probation.h"
#include "pki/tls.h"
#include "pki/trust.h"

struct attempt {
	enum attempt_kind kind;
	struct job *job;
	void (*done)(void *data);
	void *data;
	char *url, *server, *server_trust; // as in struct config_renewal
	char *ca;			   // directory, where no URL is set
	char *ca_passphrase;		   // file of that one
	char *certificate, *key, *trust_path;
	uint32_t mark;
	struct credential *credential;
	struct trust *trust;
	struct attempt_result result;
};

static bool is_cancelled(const void *data)
{
	return job_cancelled(data);
}

static struct est_client client_of(const struct attempt *attempt, struct job *job)
{
	return (struct est_client){
		.url = attempt->url,
		.identity = attempt->server,
		.trust = attempt->trust,
		.ca = attempt->server_trust,
		.credential = attempt->credential,
		.mark = attempt->mark,
		.cancelled = is_cancelled,
		.data = job,
	};
}

static int fetch_trust(const struct attempt *attempt, struct job *job, STACK_OF(X509) * *ret,
		       struct error *error)
{
	_cleanup_(ca_closep) struct ca *ca = NULL;
	struct est_client client = client_of(attempt, job);

	if (attempt->url)
		return est_cacerts(&client, ret, error);
	int r = ca_open(attempt->ca, &ca, error);
	return r < 0 ? r : ca_announce(ca, ret, error);
}

// From here on the new file is what a new certificate is judged by.
static int load_trust(struct attempt *attempt, struct error *error)
{
	_cleanup_(trust_putp) struct trust *fresh = NULL;
	struct trust *trust;

	int r = trust_load_file(tls_library(), credential_identity(attempt->credential),
				attempt->trust_path, clock_wall(), &fresh, error);
	if (r < 0)
		return r;
	if (trust_revise(fresh, trust_revocation(attempt->trust), &trust) < 0)
		return error_set(error, ENOMEM, "out of memory");
	trust_put(attempt->trust);
	attempt->trust = trust;
	return 0;
}

// A web server among others, whom the CAs of the web vouch for, does not get to say whom we trust.
static int refresh_trust(struct attempt *attempt, struct job *job, struct error *error)
{
	_cleanup_(certificates_freep) STACK_OF(X509) *offered = NULL;
	bool changed = false;

	if (attempt->url && !attempt->server)
		return 0;
	int r = fetch_trust(attempt, job, &offered, error);
	if (r == 0)
		r = bundle_update(attempt->trust_path, offered, attempt->credential, clock_wall(),
				  &changed, error);
	if (r < 0 || !changed)
		return r;
	attempt->result.trust_changed = true;
	return load_trust(attempt, error);
}

static int look_at_trust(struct attempt *attempt, struct job *job)
{
	struct error error = {0};
	int r = refresh_trust(attempt, job, &error);

	if (r < 0)
		attempt->result.trust_error = error;
	return r;
}

static int install(struct attempt *attempt, const struct obtained *obtained, struct error *error)
{
	struct probation files = {attempt->certificate, attempt->key};
	int r = probation_begin(&files, attempt->credential, obtained, clock_wall(), error);

	attempt->result.installed = r == 0;
	return r;
}

static int renew(struct attempt *attempt, struct job *job, struct error *error)
{
	struct attempt_result *result = &attempt->result;
	struct est_client client = client_of(attempt, job);
	const char *identity = credential_identity(attempt->credential);
	struct obtained obtained = {0};

	int r = attempt->url ? obtain(&client, identity, attempt->trust, clock_wall(), &obtained,
				      &result->meta, error)
			     : obtain_here(attempt->ca, attempt->ca_passphrase,
					   credential_leaf(attempt->credential), attempt->trust,
					   clock_wall(), &obtained, error);
	if (r < 0)
		return r;
	if (obtained_check_begun(&obtained, clock_wall(), error) < 0) {
		result->held = obtained;
		return 0;
	}
	r = install(attempt, &obtained, error);
	obtained_done(&obtained);
	return r;
}

static void run(struct job *job, void *data)
{
	struct attempt *attempt = data;
	struct attempt_result *result = &attempt->result;
	struct probation files = {attempt->certificate, attempt->key};

	switch (attempt->kind) {
	case ATTEMPT_RENEW:
		// A certificate by the CA of today is worth having where its bundle is not.
		look_at_trust(attempt, job);
		result->r = renew(attempt, job, &result->error);
		return;
	case ATTEMPT_INSTALL:
		result->r = install(attempt, &result->held, &result->error);
		if (result->r == 0)
			obtained_done(&result->held);
		return;
	case ATTEMPT_TRUST:
		result->r = look_at_trust(attempt, job);
		return;
	case ATTEMPT_UNDO:
		result->r = probation_undo(&files, clock_wall(), &result->error);
		result->installed = result->r == 0;
		return;
	}
}

static void on_done(void *data)
{
	const struct attempt *attempt = data;

	attempt->done(attempt->data);
}

// NULL stays NULL.
static bool copy(char **to, const char *from)
{
	*to = from ? strdup(from) : NULL;
	return *to || !from;
}

static bool copy_config(struct attempt *attempt, const struct config *config)
{
	attempt->mark = config->interface.mark;
	return copy(&attempt->url, config->renewal.url) &&
	       copy(&attempt->server, config->renewal.identity) &&
	       copy(&attempt->server_trust, config->renewal.trust) &&
	       copy(&attempt->ca, config->gateway.ca) &&
	       copy(&attempt->ca_passphrase, config->gateway.ca_passphrase) &&
	       copy(&attempt->certificate, config->node.certificate) &&
	       copy(&attempt->key, config->node.key) &&
	       copy(&attempt->trust_path, config->node.trust);
}

int attempt_new(sd_event *event, enum attempt_kind kind, const struct config *config,
		struct credential *credential, struct trust *trust, struct obtained *held,
		void (*done)(void *data), void *data, struct attempt **ret)
{
	_cleanup_(attempt_freep) struct attempt *attempt = calloc(1, sizeof(*attempt));

	if (!attempt || !copy_config(attempt, config))
		return -ENOMEM;
	attempt->kind = kind;
	attempt->credential = credential_get(credential);
	attempt->trust = trust_get(trust);
	attempt->done = done;
	attempt->data = data;
	if (held)
		attempt->result.held = *held;
	int r = job_new(event, &(struct job_work){run, on_done, attempt, false}, &attempt->job);
	if (r < 0) {
		attempt->result.held = (struct obtained){0};
		return r;
	}
	if (held)
		*held = (struct obtained){0};
	*ret = take(attempt);
	return 0;
}

struct attempt *attempt_free(struct attempt *attempt)
{
	if (!attempt)
		return NULL;
	job_free(attempt->job);
	obtained_done(&attempt->result.held);
	credential_put(attempt->credential);
	trust_put(attempt->trust);
	free(attempt->url);
	free(attempt->server);
	free(attempt->server_trust);
	free(attempt->ca);
	free(attempt->ca_passphrase);
	free(attempt->certificate);
	free(attempt->key);
	free(attempt->trust_path);
	free(attempt);
	return NULL;
}

enum attempt_kind attempt_kind(const struct attempt *attempt)
{
	return attempt->kind;
}

struct attempt_result *attempt_result(struct attempt *attempt)
{
	return &attempt->result;
}
