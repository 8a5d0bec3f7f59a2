// SPDX-License-Identifier: Apache-2.0

#include "pki/est_client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "pki/est.h"
#include "pki/http.h"
#include "pki/token.h"

// "URL/.well-known/est/OPERATION", or "URL/OPERATION" where it has a path of its own.
static char *make_url(const char *base, const char *operation)
{
	const char *host = strstr(base, "://");
	size_t size = strlen(base);
	char *url;

	while (size > 0 && base[size - 1] == '/')
		size--;
	bool path = host && memchr(host + 3, '/', size - (size_t)(host + 3 - base));
	return asprintf(&url, "%.*s%s/%s", (int)size, base, path ? "" : EST_PATH, operation) < 0
		       ? NULL
		       : url;
}

static int perform(const struct est_client *client, const char *operation, const char *body,
		   struct http_answer *ret, struct est_meta *ret_meta, struct error *error)
{
	static const char *const headers[] = {
		"Content-Type: " EST_TYPE_P10,
		// Servers of before RFC 8951 refuse a request without it.
		"Content-Transfer-Encoding: base64",
		NULL,
	};
	_cleanup_(freep) char *url = make_url(client->url, operation);
	struct http_client http = {
		.identity = client->identity,
		.trust = client->trust,
		.ca = client->ca,
		.unverified = client->unverified,
		.credential = client->credential,
		.user = TOKEN_USER,
		.password = client->password,
		.mark = client->mark,
		.body_max = EST_BODY_MAX,
		.cancelled = client->cancelled,
		.data = client->data,
	};
	struct http_request request = {
		.url = url,
		.headers = body ? headers : NULL,
		.body = body,
		.size = body ? strlen(body) : 0,
	};

	if (!url)
		return error_set(error, ENOMEM, "out of memory");
	int r = http_perform(&http, &request, ret, error);
	if (r < 0)
		return r;
	if (ret_meta)
		*ret_meta = (struct est_meta){
			.retry_after_s = ret->retry_after_s,
			.dated = ret->date,
			.skew_s = ret->date ? ret->date - clock_wall() : 0,
		};
	return http_judge(ret, url, error);
}

int est_cacerts(const struct est_client *client, STACK_OF(X509) * *ret, struct error *error)
{
	_cleanup_(http_answer_done) struct http_answer answer = {0};
	int r = perform(client, "cacerts", NULL, &answer, NULL, error);

	return r < 0 ? r : est_read_certs(answer.body ? answer.body : "", answer.size, ret, error);
}

int est_enroll(const struct est_client *client, bool again, const uint8_t *der, size_t size,
	       STACK_OF(X509) * *ret, struct est_meta *ret_meta, struct error *error)
{
	_cleanup_(http_answer_done) struct http_answer answer = {0};
	_cleanup_(freep) char *body = est_encode(der, size, true);

	*ret_meta = (struct est_meta){0};
	if (!body)
		return error_set(error, ENOMEM, "out of memory");
	int r = perform(client, again ? "simplereenroll" : "simpleenroll", body, &answer, ret_meta,
			error);
	return r < 0 ? r : est_read_certs(answer.body ? answer.body : "", answer.size, ret, error);
}
