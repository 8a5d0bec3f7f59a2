// SPDX-License-Identifier: Apache-2.0
// Against a server on loopback that gives one canned answer and keeps what it was asked.

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/error.h"
#include "pki/http.h"

#define REQUEST_MAX 4096

struct canned {
	int fd;
	const char *answer; // NULL: none, the connection stays open until the client goes
	char asked[REQUEST_MAX];
	char url[64];
	pthread_t thread;
};

static void *serve(void *data)
{
	struct canned *canned = data;
	int fd = accept(canned->fd, NULL, NULL);
	size_t size = 0;
	ssize_t n;

	if (fd < 0)
		return NULL;
	while (size < REQUEST_MAX - 1 && !strstr(canned->asked, "\r\n\r\n")) {
		n = read(fd, canned->asked + size, REQUEST_MAX - 1 - size);
		if (n <= 0)
			break;
		size += (size_t)n;
	}
	if (canned->answer)
		(void)!write(fd, canned->answer, strlen(canned->answer));
	else
		while (read(fd, canned->asked, 1) > 0)
			;
	close(fd);
	return NULL;
}

static void canned_start(struct canned *canned, const char *answer)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(addr);

	*canned = (struct canned){.answer = answer};
	canned->fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(canned->fd, (struct sockaddr *)&addr, size), 0);
	assert_int_equal(listen(canned->fd, 1), 0);
	assert_int_equal(getsockname(canned->fd, (struct sockaddr *)&addr, &size), 0);
	snprintf(canned->url, sizeof(canned->url), "http://127.0.0.1:%u/list.crl",
		 ntohs(addr.sin_port));
	assert_int_equal(pthread_create(&canned->thread, NULL, serve, canned), 0);
}

// Also where nobody came.
static void canned_stop(struct canned *canned)
{
	shutdown(canned->fd, SHUT_RDWR);
	close(canned->fd);
	pthread_join(canned->thread, NULL);
}

static int ask(struct canned *canned, size_t body_max, struct http_answer *ret, struct error *error)
{
	static const char *const headers[] = {"If-None-Match: \"seven\"", NULL};
	struct http_client client = {.plain = true, .body_max = body_max};
	struct http_request request = {.url = canned->url, .headers = headers};
	int r = http_perform(&client, &request, ret, error);

	canned_stop(canned);
	return r;
}

static void an_answer_is_read(void **state)
{
	struct canned canned;
	struct http_answer answer = {0};
	struct error error = {0};

	(void)state;
	canned_start(&canned, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"eight\"\r\n"
			      "Last-Modified: Thu, 01 Jan 2026 00:00:10 GMT\r\n"
			      "Date: Thu, 01 Jan 2026 00:01:00 GMT\r\n\r\nhello");
	assert_int_equal(ask(&canned, 5, &answer, &error), 0);
	assert_int_equal(answer.status, 200);
	assert_int_equal(answer.size, 5);
	assert_string_equal(answer.body, "hello");
	assert_string_equal(answer.tag, "\"eight\"");
	assert_int_equal(answer.modified, 1767225610);
	assert_int_equal(answer.date, 1767225660);
	assert_int_equal(http_judge(&answer, canned.url, &error), 0);
	assert_non_null(strstr(canned.asked, "GET /list.crl HTTP/1.1\r\n"));
	assert_non_null(strstr(canned.asked, "If-None-Match: \"seven\"\r\n"));
	// Nothing that a server could make larger than it is, and no word about this host.
	assert_null(strstr(canned.asked, "Accept-Encoding"));
	http_answer_done(&answer);
}

static void an_empty_answer_and_a_later_one(void **state)
{
	struct canned canned;
	struct http_answer answer = {0};
	struct error error = {0};

	(void)state;
	canned_start(&canned, "HTTP/1.1 304 Not Modified\r\n\r\n");
	assert_int_equal(ask(&canned, 5, &answer, &error), 0);
	assert_int_equal(answer.status, 304);
	assert_null(answer.body);
	assert_int_equal(answer.date, 0);
	http_answer_done(&answer);

	canned_start(&canned, "HTTP/1.1 503 Busy\r\nRetry-After: 17\r\nContent-Length: 9\r\n\r\n"
			      "not today");
	assert_int_equal(ask(&canned, 9, &answer, &error), 0);
	assert_int_equal(answer.retry_after_s, 17);
	assert_int_equal(http_judge(&answer, canned.url, &error), -EAGAIN);
	assert_non_null(strstr(error.what, "not today"));
	http_answer_done(&answer);
}

static void too_much_is_refused(void **state)
{
	static const char *const answers[] = {
		"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello!",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n3\r\nlo!\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\n\r\nhello!",
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct canned canned;
		struct http_answer answer = {0};
		struct error error = {0};
		canned_start(&canned, answers[i]);
		assert_int_equal(ask(&canned, 5, &answer, &error), -EFBIG);
		assert_null(answer.body);
		assert_non_null(strstr(error.where, canned.url));
	}
}

static void a_short_answer_is_none(void **state)
{
	struct canned canned;
	struct http_answer answer = {0};
	struct error error = {0};

	(void)state;
	canned_start(&canned, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhello");
	assert_int_equal(ask(&canned, 1000, &answer, &error), -EHOSTUNREACH);
	assert_null(answer.body);
}

static void redirects_are_not_followed(void **state)
{
	struct canned canned;
	struct http_answer answer = {0};
	struct error error = {0};

	(void)state;
	canned_start(&canned, "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n"
			      "Content-Length: 0\r\n\r\n");
	assert_int_equal(ask(&canned, 5, &answer, &error), 0);
	assert_int_equal(answer.status, 302);
	assert_int_equal(http_judge(&answer, canned.url, &error), -EPROTO);
	assert_non_null(strstr(error.remedy, "redirect"));
	http_answer_done(&answer);
}

static void the_environment_has_no_say(void **state)
{
	struct canned canned;
	struct http_answer answer = {0};

	(void)state;
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("all_proxy", "http://127.0.0.1:1", 1);
	canned_start(&canned, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(ask(&canned, 5, &answer, NULL), 0);
	unsetenv("http_proxy");
	unsetenv("all_proxy");
	http_answer_done(&answer);
}

static void plain_http_must_be_allowed(void **state)
{
	struct canned canned;
	struct http_client client = {.body_max = 10};
	struct http_answer answer = {0};
	struct error error = {0};

	(void)state;
	canned_start(&canned, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	struct http_request request = {.url = canned.url};
	assert_int_equal(http_perform(&client, &request, &answer, &error), -EHOSTUNREACH);
	canned_stop(&canned);
	assert_string_equal(canned.asked, "");
	client.plain = true;
	request.url = "file:///etc/hostname";
	assert_int_equal(http_perform(&client, &request, &answer, &error), -EHOSTUNREACH);
}

static bool is_true(const void *data)
{
	return atomic_load((const atomic_bool *)data);
}

static void a_silent_server_is_left(void **state)
{
	struct canned canned;
	atomic_bool cancelled = true;
	struct http_client client = {
		.plain = true, .body_max = 10, .cancelled = is_true, .data = &cancelled};
	struct http_answer answer = {0};
	struct error error = {0};

	(void)state;
	canned_start(&canned, NULL);
	struct http_request request = {.url = canned.url};
	assert_int_equal(http_perform(&client, &request, &answer, &error), -ECANCELED);
	canned_stop(&canned);

	canned_start(&canned, NULL);
	client = (struct http_client){.plain = true, .body_max = 10, .total_s = 1};
	request.url = canned.url;
	assert_int_equal(http_perform(&client, &request, &answer, &error), -EHOSTUNREACH);
	canned_stop(&canned);
}

static void a_body_is_posted(void **state)
{
	struct canned canned;
	struct http_client client = {.plain = true, .body_max = 10};
	struct http_answer answer = {0};

	(void)state;
	canned_start(&canned, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	struct http_request request = {.url = canned.url, .body = "\0abc", .size = 4};
	assert_int_equal(http_perform(&client, &request, &answer, NULL), 0);
	canned_stop(&canned);
	assert_non_null(strstr(canned.asked, "POST /list.crl"));
	assert_non_null(strstr(canned.asked, "Content-Length: 4\r\n"));
	http_answer_done(&answer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_is_read),
		cmocka_unit_test(an_empty_answer_and_a_later_one),
		cmocka_unit_test(too_much_is_refused),
		cmocka_unit_test(a_short_answer_is_none),
		cmocka_unit_test(redirects_are_not_followed),
		cmocka_unit_test(the_environment_has_no_say),
		cmocka_unit_test(plain_http_must_be_allowed),
		cmocka_unit_test(a_silent_server_is_left),
		cmocka_unit_test(a_body_is_posted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
