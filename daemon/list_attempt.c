// SPDX-License-Identifier: Apache-2.0

#include "daemon/list_attempt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/evp.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hex.h"
#include "base/job.h"
#include "base/log.h"
#include "pki/crl.h"
#include "pki/tls.h"
#include "pki/trust.h"

#define FETCH_MAX_S 900u
#define COPY_MODE   0600

char *list_attempt_copy(const char *directory, const char *domain, const char *place)
{
	_cleanup_(freep) char *text = NULL;
	unsigned char digest[32];
	char name[HEX_TEXT_MAX(16)], *path;

	if (asprintf(&text, "%s %s", domain, place) < 0) {
		text = NULL;
		return NULL;
	}
	if (EVP_Q_digest(tls_library(), "SHA256", NULL, text, strlen(text), digest, NULL) != 1)
		return NULL;
	hex_text(digest, 16, name);
	return asprintf(&path, "%s/%s.crl", directory, name) < 0 ? NULL : path;
}

struct bytes {
	char *data;
	size_t size;
	bool unchanged; // since the last time; there is no data
};

static void bytes_done(struct bytes *bytes)
{
	free(bytes->data);
}

static bool is_cancelled(const void *data)
{
	return data && job_cancelled(data);
}

static int read_file(const struct list_attempt *attempt, struct bytes *ret, struct error *error)
{
	int r = file_read(attempt->file, CRL_FILE_MAX, &ret->data, &ret->size);

	if (r == 0)
		return 0;
	error_set(error, -r, "it cannot be read: %s", strerror(-r));
	return error_where(error, "%.180s", attempt->file);
}

static int fetch(struct list_attempt *attempt, const struct job *job, struct bytes *ret,
		 struct error *error)
{
	_cleanup_(http_answer_done) struct http_answer answer = {0};
	char match[HTTP_TAG_MAX + 32], since[64];
	const char *headers[3] = {NULL};
	unsigned count = 0;
	struct tm tm;
	struct http_client client = {
		.mark = attempt->mark,
		.total_s = FETCH_MAX_S,
		.body_max = CRL_FILE_MAX,
		.plain = true,
		.cancelled = is_cancelled,
		.data = job,
	};
	struct http_request request = {.url = attempt->url, .headers = headers};

	if (attempt->tag[0]) {
		snprintf(match, sizeof(match), "If-None-Match: %s", attempt->tag);
		headers[count++] = match;
	}
	if (attempt->modified && gmtime_r(&attempt->modified, &tm)) {
		strftime(since, sizeof(since), "If-Modified-Since: %a, %d %b %Y %H:%M:%S GMT", &tm);
		headers[count] = since;
	}
	int r = http_perform(&client, &request, &answer, error);
	if (r < 0)
		return r;
	attempt->retry_after_s = answer.retry_after_s;
	ret->unchanged = headers[0] && answer.status == 304;
	if (ret->unchanged)
		return 0;
	r = http_judge(&answer, attempt->url, error);
	if (r < 0)
		return r;
	memcpy(attempt->tag, answer.tag, sizeof(attempt->tag));
	attempt->modified = answer.modified;
	ret->data = take(answer.body);
	ret->size = answer.size;
	return 0;
}

static int judge(const struct list_attempt *attempt, const struct bytes *bytes, struct crl **ret,
		 struct error *error)
{
	struct crl_scope scope = {attempt->trust, attempt->domain, attempt->issuers};
	_cleanup_(crl_putp) struct crl *crl = NULL;
	int r = crl_read(bytes->data, bytes->size, &scope, clock_wall(), &crl, error);

	if (r == 0 && attempt->issuers)
		r = crl_check_issuer(crl, sk_X509_value(attempt->issuers, 0), error);
	if (r == 0)
		r = crl_check_newer(crl, attempt->old, error);
	if (r == -ESTALE && attempt->copy)
		error_remedy(error, "if that is meant, remove %.150s and restart the daemon",
			     attempt->copy);
	if (r < 0)
		return error_where(error, "%.180s", attempt->url ? attempt->url : attempt->file);
	*ret = take(crl);
	return 0;
}

// What cannot be kept is in use all the same.
static void keep_copy(const struct list_attempt *attempt, const struct bytes *bytes)
{
	int r = attempt->copy ? file_write(attempt->copy, bytes->data, bytes->size, COPY_MODE) : 0;

	if (r < 0)
		log_warning("the revocation list is not kept for the next start: %s: %s",
			    attempt->copy, strerror(-r));
}

void list_attempt_run(struct list_attempt *attempt, const struct job *job)
{
	_cleanup_(bytes_done) struct bytes bytes = {0};
	_cleanup_(crl_putp) struct crl *crl = NULL;
	struct error *error = &attempt->error;
	int r = attempt->url ? fetch(attempt, job, &bytes, error)
			     : read_file(attempt, &bytes, error);

	if (r == 0 && !bytes.unchanged)
		r = judge(attempt, &bytes, &crl, error);
	attempt->result = r;
	if (r < 0 || bytes.unchanged)
		return;
	if (attempt->old && !attempt->afresh && crl_same(crl, attempt->old))
		return;
	keep_copy(attempt, &bytes);
	attempt->crl = take(crl);
}

void list_attempt_done(struct list_attempt *attempt)
{
	trust_put(attempt->trust);
	crl_put(attempt->old);
	crl_put(attempt->crl);
	*attempt = (struct list_attempt){0};
}
