// SPDX-License-Identifier: Apache-2.0

#include "daemon/draft.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/job.h"
#include "daemon/config.h"
#include "daemon/terms.h"

static int load(struct draft *draft)
{
	int r = config_load(draft->path, &draft->config, &draft->errors);
	if (r < 0 && draft->errors)
		draft->error = *config_errors_at(draft->errors, 0);
	else if (r < 0)
		error_set(&draft->error, ENOMEM, "out of memory");
	return r;
}

static int make_terms(struct draft *draft)
{
	if (!draft->config->gateway.enabled)
		return 0;
	draft->terms = terms_new(draft->config);
	return draft->terms ? 0 : error_set(&draft->error, ENOMEM, "out of memory");
}

static int compare(struct draft *draft)
{
	const struct rules *before = draft->before->policy.model;
	const struct rule_net own = {.prefixes = draft->own, .prefix_count = draft->own_count};
	char digest[POLICY_DIGEST_SIZE];
	int r = policy_digest(before, digest);
	if (r == 0 && strcmp(digest, draft->policy.digest) != 0)
		r = reach_compare(before, draft->config->policy.model, draft->policy.at,
				  own.prefix_count ? &own : NULL, draft->most, &draft->reach);
	return r < 0 ? error_set(&draft->error, -r, "out of memory") : 0;
}

// On the job's thread. Configurations that were there before are only read, and never change.
static void run(struct job *job, void *data)
{
	struct draft *draft = data;
	int r = draft->config ? 0 : load(draft);
	if (r == 0)
		r = policy_make(draft->config->policy.model, clock_wall(), &draft->policy,
				&draft->error);
	if (r == 0)
		r = make_terms(draft);
	if (r == 0 && draft->before && !atomic_load(&draft->unwanted) && !job_cancelled(job))
		compare(draft);
}

static int copy_own(struct draft *draft, const struct draft_wish *wish)
{
	draft->own = calloc(wish->own_count + 1u, sizeof(*draft->own));
	if (!draft->own)
		return -ENOMEM;
	draft->own_count = wish->own_count;
	for (unsigned i = 0; i < wish->own_count; i++)
		draft->own[i] = prefix_of(&wish->own[i]);
	return 0;
}

static void leave(struct draft *draft)
{
	if (!draft->drafts)
		return;
	draft->drafts->count--;
	draft->drafts = NULL;
	*draft->at = draft->next;
	if (draft->next)
		draft->next->at = draft->at;
}

static void on_done(void *data)
{
	struct draft *draft = data;
	leave(draft);
	if (draft->done)
		draft->done(draft, draft->data);
	else
		draft_free(draft);
}

int draft_new(sd_event *event, struct drafts *drafts, const struct draft_wish *wish,
	      struct draft **ret, struct error *error)
{
	_cleanup_(draft_freep) struct draft *draft = calloc(1, sizeof(*draft));
	if (!draft)
		return error_set(error, ENOMEM, "out of memory");
	draft->config = wish->config ? config_get(wish->config) : NULL;
	draft->before = wish->before ? config_get(wish->before) : NULL;
	draft->most = wish->most;
	draft->path = strdup(wish->path);
	draft->done = wish->done;
	draft->data = wish->data;
	const struct job_work work = {
		.run = run,
		.done = on_done,
		.data = draft,
		.urgent = true,
	};
	int r = draft->path ? copy_own(draft, wish) : -ENOMEM;
	if (r == 0)
		r = job_new(event, &work, &draft->job);
	if (r < 0)
		return error_set(error, -r, "cannot begin to read: %s", strerror(-r));
	draft->drafts = drafts;
	draft->at = &drafts->first;
	draft->next = drafts->first;
	if (draft->next)
		draft->next->at = &draft->next;
	drafts->first = draft;
	drafts->count++;
	*ret = take(draft);
	return 0;
}

struct draft *draft_free(struct draft *draft)
{
	if (!draft)
		return NULL;
	if (draft->drafts) {
		draft->done = NULL;
		atomic_store(&draft->unwanted, true);
		return NULL;
	}
	job_free(draft->job);
	policy_made_done(&draft->policy);
	config_errors_free(draft->errors);
	reach_done(&draft->reach);
	terms_free(draft->terms);
	config_put(draft->config);
	config_put(draft->before);
	free(draft->own);
	free(draft->path);
	free(draft);
	return NULL;
}

void drafts_done(struct drafts *drafts)
{
	while (drafts->first) {
		struct draft *draft = drafts->first;
		leave(draft);
		draft_free(draft);
	}
}
