// SPDX-License-Identifier: Apache-2.0

#include "pki/http.h"

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <curl/curl.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "pki/tls.h"
#include "pki/tls_http.h"

#define CONNECT_MS 10000L
#define TOTAL_S	   30u
// A transfer that is allowed to last longer than that must not stand still: bytes in a second, over seconds.
#define SLOW_BYTES 512L
#define SLOW_S	   30L

DEFINE_CLEANUP(CURL *, curl_easy_cleanup);
DEFINE_CLEANUP(struct curl_slist *, curl_slist_free_all);

struct call {
	const struct http_client *client;
	struct tls_http tls;
	struct http_answer answer;
	size_t capacity;
	bool too_large;
	char curl_error[CURL_ERROR_SIZE];
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void curl_init(void)
{
	tls_library(); // before libcurl can make OpenSSL read its configuration file
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

void http_answer_done(struct http_answer *answer)
{
	free(answer->body);
	*answer = (struct http_answer){0};
}

static void call_done(struct call *call)
{
	http_answer_done(&call->answer);
}

static bool make_room(struct call *call, size_t size)
{
	size_t wanted = call->answer.size + size + 1;
	size_t capacity = call->capacity ? call->capacity : 4096;

	if (wanted <= call->capacity)
		return true;
	while (capacity < wanted)
		capacity *= 2;
	char *body = realloc(call->answer.body, capacity);
	if (!body)
		return false;
	call->answer.body = body;
	call->capacity = capacity;
	return true;
}

static size_t on_body(char *data, size_t unit, size_t count, void *user)
{
	struct call *call = user;
	struct http_answer *answer = &call->answer;
	size_t size = unit * count;

	call->too_large = size > call->client->body_max - answer->size;
	if (call->too_large || !make_room(call, size))
		return CURL_WRITEFUNC_ERROR;
	memcpy(answer->body + answer->size, data, size);
	answer->size += size;
	answer->body[answer->size] = '\0';
	return size;
}

static int on_progress(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	const struct http_client *client = ((struct call *)user)->client;

	(void)a;
	(void)b;
	(void)c;
	(void)d;
	return client->cancelled && client->cancelled(client->data);
}

// Beside the tunnel, never through it. Not so the look-up of a name: libcurl asks getaddrinfo(3), as client/resolve.c does, whose
// sockets are the resolver's own.
static int on_socket(void *user, curl_socket_t fd, curlsocktype purpose)
{
	const struct http_client *client = ((struct call *)user)->client;

	(void)purpose;
	if (client->mark &&
	    setsockopt(fd, SOL_SOCKET, SO_MARK, &client->mark, sizeof(client->mark)) < 0 &&
	    errno != EPERM)
		return CURL_SOCKOPT_ERROR;
	return CURL_SOCKOPT_OK;
}

static CURLcode on_ssl(CURL *curl, void *ssl, void *user)
{
	struct call *call = user;

	(void)curl;
	return tls_http_prepare(ssl, &call->tls) == 0 ? CURLE_OK : CURLE_SSL_CERTPROBLEM;
}

static void set_tls(CURL *curl, struct call *call)
{
	const struct http_client *client = call->client;
	bool by_name = !client->unverified && !client->identity;

	call->tls = (struct tls_http){.identity = client->identity,
				      .trust = client->trust,
				      .credential = client->credential};
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, by_name ? 1L : 0L);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, by_name ? 2L : 0L);
	curl_easy_setopt(curl, CURLOPT_SSL_SESSIONID_CACHE, 0L);
	curl_easy_setopt(curl, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(curl, CURLOPT_SSL_CTX_FUNCTION, on_ssl);
	curl_easy_setopt(curl, CURLOPT_SSL_CTX_DATA, call);
	if (by_name && client->ca)
		curl_easy_setopt(curl, CURLOPT_CAINFO, client->ca);
}

static void set_limits(CURL *curl, struct call *call)
{
	unsigned total_s = call->client->total_s ? call->client->total_s : TOTAL_S;

	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)total_s);
	if (total_s > TOTAL_S) {
		curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, SLOW_BYTES);
		curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, SLOW_S);
	}
	curl_easy_setopt(curl, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)call->client->body_max);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, call);
}

static void set_up(CURL *curl, struct call *call, const struct http_request *request)
{
	const struct http_client *client = call->client;

	curl_easy_setopt(curl, CURLOPT_URL, request->url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, client->plain ? "http,https" : "https");
	curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(curl, CURLOPT_PROXY, ""); // from the environment: not ours to trust
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, call->curl_error);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, call);
	curl_easy_setopt(curl, CURLOPT_SOCKOPTFUNCTION, on_socket);
	curl_easy_setopt(curl, CURLOPT_SOCKOPTDATA, call);
	set_limits(curl, call);
	set_tls(curl, call);
	if (client->password) {
		curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
		curl_easy_setopt(curl, CURLOPT_USERNAME, client->user);
		curl_easy_setopt(curl, CURLOPT_PASSWORD, client->password);
	}
	if (request->body) {
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->size);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body);
	}
}

// Why there is no answer.
static int no_answer(const struct call *call, const char *url, CURLcode code, struct error *error)
{
	if (call->tls.refused) {
		if (error)
			*error = call->tls.error;
		if (error)
			error->code = EKEYREJECTED;
	} else if (code == CURLE_ABORTED_BY_CALLBACK) {
		error_set(error, ECANCELED, "given up");
	} else if (code == CURLE_PEER_FAILED_VERIFICATION) {
		error_set(error, EKEYREJECTED, "the server did not prove itself: %s",
			  call->curl_error);
	} else if (call->too_large || code == CURLE_FILESIZE_EXCEEDED) {
		error_set(error, EFBIG, "the answer is larger than %zu bytes",
			  call->client->body_max);
	} else {
		error_set(error, EHOSTUNREACH, "no answer: %s",
			  call->curl_error[0] ? call->curl_error : curl_easy_strerror(code));
	}
	return error_where(error, "%.180s", url);
}

// Empty: there is no such header, or it is too long.
static const char *header(CURL *curl, const char *name, char *text, size_t size)
{
	struct curl_header *found;
	bool good = curl_easy_header(curl, name, 0, CURLH_HEADER, -1, &found) == CURLHE_OK &&
		    strlen(found->value) < size;

	snprintf(text, size, "%s", good ? found->value : "");
	return text;
}

static time_t header_time(CURL *curl, const char *name)
{
	char text[64];
	time_t t = curl_getdate(header(curl, name, text, sizeof(text)), NULL);

	return t > 0 ? t : 0;
}

static void read_head(CURL *curl, struct http_answer *answer)
{
	curl_off_t retry = 0;
	long status = 0;

	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &retry);
	answer->status = (unsigned)status;
	answer->retry_after_s = retry > 0 && retry < UINT32_MAX ? (unsigned)retry : 0;
	answer->date = header_time(curl, "Date");
	answer->modified = header_time(curl, "Last-Modified");
	header(curl, "ETag", answer->tag, sizeof(answer->tag));
}

int http_perform(const struct http_client *client, const struct http_request *request,
		 struct http_answer *ret, struct error *error)
{
	_cleanup_(call_done) struct call call = {.client = client};
	_cleanup_(curl_slist_free_allp) struct curl_slist *headers = NULL;
	_cleanup_(curl_easy_cleanupp) CURL *curl = NULL;

	pthread_once(&once, curl_init);
	curl = curl_easy_init();
	if (!curl)
		return error_set(error, ENOMEM, "out of memory");
	set_up(curl, &call, request);
	// No "100 Continue": what is sent is small, and some servers answer it wrongly.
	headers = curl_slist_append(NULL, "Expect:");
	for (unsigned i = 0; request->headers && request->headers[i]; i++)
		headers = curl_slist_append(headers, request->headers[i]);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	CURLcode code = curl_easy_perform(curl);
	if (code != CURLE_OK)
		return no_answer(&call, request->url, code, error);
	read_head(curl, &call.answer);
	*ret = call.answer;
	call.answer = (struct http_answer){0};
	return 0;
}

// The first line of what the server says, if it is text.
static const char *sentence(const struct http_answer *answer, char text[200])
{
	size_t n = 0;

	while (n < 199 && n < answer->size && isprint((unsigned char)answer->body[n])) {
		text[n] = answer->body[n];
		n++;
	}
	text[n] = '\0';
	bool whole = n == 199 || n == answer->size || strchr("\r\n", answer->body[n]);
	return n > 0 && whole && text[0] != '<' ? text : "it gives no reason";
}

int http_judge(const struct http_answer *answer, const char *url, struct error *error)
{
	unsigned status = answer->status;
	char text[200];

	switch (status) {
	case 200:
		return 0;
	case 202:
	case 429:
	case 503:
		error_set(error, EAGAIN, "the server says later (%u): %s", status,
			  sentence(answer, text));
		break;
	case 401:
		error_set(error, EACCES, "the server does not accept who we are: %s",
			  sentence(answer, text));
		break;
	case 403:
		error_set(error, EPERM, "the server refuses: %s", sentence(answer, text));
		break;
	default:
		error_set(error, status >= 400 && status < 500 ? EINVAL : EPROTO,
			  "the server answers %u: %s", status, sentence(answer, text));
		if (status >= 300 && status < 400)
			error_remedy(error, "redirects are not followed: set the URL it leads to");
		break;
	}
	return error_where(error, "%.180s", url);
}
