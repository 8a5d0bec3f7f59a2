// SPDX-License-Identifier: Apache-2.0

#include "pki/est_client.h"

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <curl/curl.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "pki/est.h"
#include "pki/tls.h"
#include "pki/tls_http.h"
#include "pki/token.h"

#define CONNECT_MS 10000L
#define TOTAL_MS   30000L

DEFINE_CLEANUP(CURL *, curl_easy_cleanup);
DEFINE_CLEANUP(struct curl_slist *, curl_slist_free_all);

struct call {
	const struct est_client *client;
	struct tls_http tls;
	char *body;
	size_t size;
	bool too_large;
	char curl_error[CURL_ERROR_SIZE];
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void curl_init(void)
{
	tls_library(); // before libcurl can make OpenSSL read its configuration file
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

static void call_done(struct call *call)
{
	free(call->body);
}

static size_t on_body(char *data, size_t unit, size_t count, void *user)
{
	struct call *call = user;
	size_t size = unit * count;
	char *body = size <= EST_BODY_MAX - call->size ? realloc(call->body, call->size + size + 1)
						       : NULL;

	if (!body) {
		call->too_large = true;
		return 0;
	}
	memcpy(body + call->size, data, size);
	call->body = body;
	call->size += size;
	body[call->size] = '\0';
	return size;
}

static int on_progress(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	const struct est_client *client = ((struct call *)user)->client;

	(void)a;
	(void)b;
	(void)c;
	(void)d;
	return client->cancelled && client->cancelled(client->data);
}

// Beside the tunnel, never through it.
static int on_socket(void *user, curl_socket_t fd, curlsocktype purpose)
{
	const struct est_client *client = ((struct call *)user)->client;

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

static void set_up(CURL *curl, struct call *call, const char *url)
{
	const struct est_client *client = call->client;
	bool by_name = !client->unverified && !client->identity;

	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
	curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(curl, CURLOPT_PROXY, ""); // from the environment: not ours to trust
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, TOTAL_MS);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, call->curl_error);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, call);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, call);
	curl_easy_setopt(curl, CURLOPT_SOCKOPTFUNCTION, on_socket);
	curl_easy_setopt(curl, CURLOPT_SOCKOPTDATA, call);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, by_name ? 1L : 0L);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, by_name ? 2L : 0L);
	curl_easy_setopt(curl, CURLOPT_SSL_SESSIONID_CACHE, 0L);
	curl_easy_setopt(curl, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(curl, CURLOPT_SSL_CTX_FUNCTION, on_ssl);
	curl_easy_setopt(curl, CURLOPT_SSL_CTX_DATA, call);
	if (by_name && client->ca)
		curl_easy_setopt(curl, CURLOPT_CAINFO, client->ca);
	if (client->password) {
		curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
		curl_easy_setopt(curl, CURLOPT_USERNAME, TOKEN_USER);
		curl_easy_setopt(curl, CURLOPT_PASSWORD, client->password);
	}
}

// Why there is no answer.
static int no_answer(const struct call *call, const char *url, CURLcode code, struct error *error)
{
	if (call->tls.refused) {
		*error = call->tls.error;
		error->code = EKEYREJECTED;
	} else if (code == CURLE_ABORTED_BY_CALLBACK) {
		error_set(error, ECANCELED, "given up");
	} else if (code == CURLE_PEER_FAILED_VERIFICATION) {
		error_set(error, EKEYREJECTED, "the server did not prove itself: %s",
			  call->curl_error);
	} else if (call->too_large) {
		error_set(error, EFBIG, "the answer is larger than %u bytes", EST_BODY_MAX);
	} else {
		error_set(error, EHOSTUNREACH, "no answer: %s",
			  call->curl_error[0] ? call->curl_error : curl_easy_strerror(code));
	}
	return error_where(error, "%.180s", url);
}

// The first line of what the server says, if it is text.
static const char *sentence(const struct call *call, char text[200])
{
	size_t n = 0;

	while (n < 199 && n < call->size && isprint((unsigned char)call->body[n])) {
		text[n] = call->body[n];
		n++;
	}
	text[n] = '\0';
	return n > 0 && text[0] != '<' ? text : "it gives no reason";
}

static int judge_status(const struct call *call, const char *url, long status, struct error *error)
{
	char text[200];

	switch (status) {
	case 200:
		return 0;
	case 202:
	case 429:
	case 503:
		error_set(error, EAGAIN, "the server says later (%ld): %s", status,
			  sentence(call, text));
		break;
	case 401:
		error_set(error, EACCES, "the server does not accept who we are: %s",
			  sentence(call, text));
		break;
	case 403:
		error_set(error, EPERM, "the server refuses: %s", sentence(call, text));
		break;
	default:
		error_set(error, status >= 400 && status < 500 ? EINVAL : EPROTO,
			  "the server answers %ld: %s", status, sentence(call, text));
		break;
	}
	return error_where(error, "%.180s", url);
}

static int perform(struct call *call, const char *operation, const char *body,
		   unsigned *ret_retry_after_s, struct error *error)
{
	_cleanup_(curl_easy_cleanupp) CURL *curl = NULL;
	_cleanup_(curl_slist_free_allp) struct curl_slist *headers = NULL;
	_cleanup_(freep) char *url = make_url(call->client->url, operation);
	curl_off_t retry = 0;
	long status = 0;

	pthread_once(&once, curl_init);
	curl = curl_easy_init();
	if (!url || !curl)
		return error_set(error, ENOMEM, "out of memory");
	call->tls = (struct tls_http){.identity = call->client->identity,
				      .trust = call->client->trust,
				      .credential = call->client->credential};
	set_up(curl, call, url);
	if (body) {
		headers = curl_slist_append(NULL, "Content-Type: " EST_TYPE_P10);
		// Servers of before RFC 8951 refuse a request without it.
		headers = curl_slist_append(headers, "Content-Transfer-Encoding: base64");
		headers = curl_slist_append(headers, "Expect:");
		curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
	}
	CURLcode code = curl_easy_perform(curl);
	if (code != CURLE_OK)
		return no_answer(call, url, code, error);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &retry);
	if (ret_retry_after_s)
		*ret_retry_after_s = retry > 0 && retry < UINT32_MAX ? (unsigned)retry : 0;
	return judge_status(call, url, status, error);
}

int est_cacerts(const struct est_client *client, STACK_OF(X509) * *ret, struct error *error)
{
	_cleanup_(call_done) struct call call = {.client = client};
	int r = perform(&call, "cacerts", NULL, NULL, error);

	return r < 0 ? r : est_read_certs(call.body ? call.body : "", call.size, ret, error);
}

int est_enroll(const struct est_client *client, bool again, const uint8_t *der, size_t size,
	       STACK_OF(X509) * *ret, unsigned *ret_retry_after_s, struct error *error)
{
	_cleanup_(call_done) struct call call = {.client = client};
	_cleanup_(freep) char *body = est_encode(der, size, true);

	*ret_retry_after_s = 0;
	if (!body)
		return error_set(error, ENOMEM, "out of memory");
	int r = perform(&call, again ? "simplereenroll" : "simpleenroll", body, ret_retry_after_s,
			error);
	return r < 0 ? r : est_read_certs(call.body ? call.body : "", call.size, ret, error);
}
