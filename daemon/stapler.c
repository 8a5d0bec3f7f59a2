// SPDX-License-Identifier: Apache-2.0

#include "daemon/stapler.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/job.h"
#include "base/log.h"
#include "daemon/config.h"
#include "pki/http.h"
#include "pki/verify.h"
#include "pki/watch.h"

#define AGAIN_FIRST_S	   5u	// after the first failure, twice as long after each more ...
#define AGAIN_MOST_S	   600u // ... up to this
#define REFRESH_LEAST_S	   5
#define REFRESH_MOST_S	   86400
#define RESPONDER_WITHIN_S 20u

struct answer {
	uint8_t *der; // NULL: none
	size_t size;
	struct staple staple;
};

// One request, on a thread of its own.
struct question {
	char *url;
	uint32_t mark;
	struct verdict *own;
	struct job *job;
	struct answer answer;
	struct error error; // code 0: answered
};

struct stapler {
	struct stapler_tools tools;
	char *file, *url; // at most one; NULL: not set
	uint32_t mark;
	struct verdict *own;
	struct watch *watch;
	struct question *question; // under way
	sd_event_source *timer;	   // next question, or the end of the answer
	struct answer answer;
	unsigned failures; // in a row
	struct error problem;
};

static void answer_done(struct answer *answer)
{
	free(answer->der);
	*answer = (struct answer){0};
}

// Reads what came about `own`. On success the bytes are the answer's.
static int answer_read(struct answer *answer, uint8_t *der, size_t size, const struct verdict *own,
		       struct error *error)
{
	struct error reason = {0};
	int r = staple_read(der, size, verdict_leaf(own), verdict_issuer_certificate(own),
			    clock_wall(), &answer->staple, &reason);

	if (r < 0)
		return error_set(error, EINVAL, "the OCSP answer %s", reason.what);
	if (answer->staple.next_update <= clock_wall())
		return error_set(error, EINVAL, "the OCSP answer has expired");
	answer->der = der;
	answer->size = size;
	return 0;
}

static struct question *question_free(struct question *question)
{
	if (!question)
		return NULL;
	job_free(question->job);
	verdict_put(question->own);
	answer_done(&question->answer);
	free(question->url);
	free(question);
	return NULL;
}

// --- when

static int on_timer(sd_event_source *source, uint64_t usec, void *data);

static void arm(struct stapler *stapler, int64_t seconds)
{
	uint64_t usec = (uint64_t)(seconds > 0 ? seconds : 0) * 1000000;

	stapler->timer = sd_event_source_disable_unref(stapler->timer);
	if (sd_event_add_time_relative(stapler->tools.event, &stapler->timer, CLOCK_BOOTTIME, usec,
				       0, on_timer, stapler) < 0)
		log_error("OCSP: out of memory, the answer will not be renewed");
}

static int64_t half_of_life(const struct staple *staple)
{
	int64_t wait = ((int64_t)staple->this_update + (int64_t)staple->next_update) / 2 -
		       (int64_t)clock_wall();

	if (wait < REFRESH_LEAST_S)
		return REFRESH_LEAST_S;
	return wait < REFRESH_MOST_S ? wait : REFRESH_MOST_S;
}

static unsigned again_in_s(unsigned failures)
{
	unsigned wait = AGAIN_FIRST_S;

	while (--failures > 0 && wait < AGAIN_MOST_S)
		wait *= 2;
	return wait < AGAIN_MOST_S ? wait : AGAIN_MOST_S;
}

static void arm_next(struct stapler *stapler)
{
	const struct staple *staple = &stapler->answer.staple;
	int64_t end = (int64_t)staple->next_update - (int64_t)clock_wall();
	int64_t wait = end;

	if (stapler->url) {
		wait = stapler->failures ? again_in_s(stapler->failures) : half_of_life(staple);
		if (stapler->answer.der && end < wait)
			wait = end;
	}
	if (stapler->url || stapler->answer.der)
		arm(stapler, wait);
}

// --- what comes

static void fail(struct stapler *stapler, const struct error *error)
{
	char text[ERROR_TEXT_MAX];

	stapler->failures++;
	if (memcmp(&stapler->problem, error, sizeof(*error)) != 0)
		log_warning("no new OCSP answer about our certificate: %s",
			    error_text(error, text, sizeof(text)));
	stapler->problem = *error;
}

// Whether it is news.
static bool succeed(struct stapler *stapler, struct answer *answer)
{
	bool same = stapler->answer.der && stapler->answer.size == answer->size &&
		    memcmp(stapler->answer.der, answer->der, answer->size) == 0;

	stapler->failures = 0;
	stapler->problem.code = 0;
	answer_done(&stapler->answer);
	stapler->answer = *answer;
	*answer = (struct answer){0};
	if (stapler->answer.staple.state != STAPLE_GOOD)
		log_warning("the OCSP responder says of our certificate: %s",
			    staple_state_name(stapler->answer.staple.state));
	return !same;
}

// Whether what is in the file is news.
static bool read_file(struct stapler *stapler)
{
	struct answer answer = {0};
	struct error error = {0};
	_cleanup_(freep) char *der = NULL;
	size_t size;
	bool news = false;
	int r = file_read(stapler->file, STAPLE_MAX, &der, &size);

	if (r < 0)
		error_set(&error, -r, "the OCSP answer cannot be read: %s", strerror(-r));
	else
		r = answer_read(&answer, (uint8_t *)der, size, stapler->own, &error);
	if (r < 0) {
		error_where(&error, "%s", stapler->file);
		fail(stapler, &error);
	} else {
		der = NULL; // the answer's
		news = succeed(stapler, &answer);
	}
	arm_next(stapler);
	return news;
}

static bool cancelled(const void *data)
{
	return job_cancelled(data);
}

static int ask(struct job *job, struct question *question, struct http_answer *answer)
{
	static const char *const headers[] = {"Content-Type: application/ocsp-request",
					      "Accept: application/ocsp-response", "Expect:", NULL};
	_cleanup_(freep) uint8_t *body = NULL;
	struct http_client client = {
		.unverified = true, // the answer is signed in itself
		.plain = true,
		.mark = question->mark,
		.total_s = RESPONDER_WITHIN_S,
		.body_max = STAPLE_MAX,
		.cancelled = cancelled,
		.data = job,
	};
	struct http_request request = {.url = question->url, .headers = headers};

	if (staple_request(verdict_leaf(question->own), verdict_issuer_certificate(question->own),
			   &body, &request.size) < 0)
		return error_set(&question->error, ENOMEM, "out of memory");
	request.body = body;
	int r = http_perform(&client, &request, answer, &question->error);
	return r < 0 ? r : http_judge(answer, question->url, &question->error);
}

static void run(struct job *job, void *data)
{
	struct question *question = data;
	struct http_answer http = {0};
	int r = ask(job, question, &http);

	if (r == 0)
		r = answer_read(&question->answer, (uint8_t *)http.body, http.size, question->own,
				&question->error);
	if (r == 0)
		http.body = NULL; // the answer's
	else if (!question->error.where[0])
		error_where(&question->error, "%.180s", question->url);
	http_answer_done(&http);
}

static void start_question(struct stapler *stapler);

static void done(void *data)
{
	struct stapler *stapler = data;
	struct question *question = take(stapler->question);
	bool stale = question->own != stapler->own, news = false;

	if (!stale && question->error.code)
		fail(stapler, &question->error);
	else if (!stale)
		news = succeed(stapler, &question->answer);
	question_free(question);
	if (!stale)
		arm_next(stapler);
	else if (stapler->url)
		start_question(stapler);
	if (news)
		stapler->tools.changed(stapler->tools.data);
}

static void run_question(struct job *job, void *data)
{
	run(job, ((struct stapler *)data)->question);
}

static void start_question(struct stapler *stapler)
{
	struct job_work work = {.run = run_question, .done = done, .data = stapler};
	struct question *question = calloc(1, sizeof(*question));
	struct error error;

	if (question) {
		question->url = strdup(stapler->url);
		question->own = verdict_get(stapler->own);
		question->mark = stapler->mark;
		stapler->question = question;
	}
	int r = question && question->url ? job_new(stapler->tools.event, &work, &question->job)
					  : -ENOMEM;
	if (r == 0)
		return;
	stapler->question = question_free(question);
	error_set(&error, -r, "no thread for a request: %s", strerror(-r));
	fail(stapler, &error);
	arm_next(stapler);
}

static bool drop_expired(struct stapler *stapler)
{
	if (!stapler->answer.der || stapler->answer.staple.next_update > clock_wall())
		return false;
	log_warning("the OCSP answer about our certificate has expired, and there is no newer one");
	answer_done(&stapler->answer);
	return true;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *data)
{
	struct stapler *stapler = data;
	bool dropped = drop_expired(stapler);

	(void)source;
	(void)usec;
	if (stapler->url && !stapler->question)
		start_question(stapler);
	else if (stapler->answer.der)
		arm_next(stapler);
	if (dropped)
		stapler->tools.changed(stapler->tools.data);
	return 0;
}

static void on_file(void *data)
{
	struct stapler *stapler = data;

	if (read_file(stapler))
		stapler->tools.changed(stapler->tools.data);
}

// --- life

int stapler_new(const struct stapler_tools *tools, struct stapler **ret)
{
	struct stapler *stapler = calloc(1, sizeof(*stapler));

	if (!stapler)
		return -ENOMEM;
	stapler->tools = *tools;
	*ret = stapler;
	return 0;
}

// Forgets sources, certificate and answer. A question under way comes to its end by itself: nobody waits for it.
static void clear(struct stapler *stapler)
{
	stapler->watch = watch_free(stapler->watch);
	stapler->timer = sd_event_source_disable_unref(stapler->timer);
	answer_done(&stapler->answer);
	free(take(stapler->file));
	free(take(stapler->url));
	stapler->own = verdict_put(stapler->own);
	stapler->failures = 0;
	stapler->problem = (struct error){0};
}

struct stapler *stapler_free(struct stapler *stapler)
{
	if (!stapler)
		return NULL;
	question_free(stapler->question);
	clear(stapler);
	free(stapler);
	return NULL;
}

static bool same(const struct stapler *stapler, const struct config_node *node,
		 const struct verdict *own)
{
	return stapler->own && config_same_text(stapler->file, node->staple) &&
	       config_same_text(stapler->url, node->responder) && stapler->mark == node->mark &&
	       X509_cmp(verdict_leaf(stapler->own), verdict_leaf(own)) == 0 &&
	       X509_cmp(verdict_issuer_certificate(stapler->own),
			verdict_issuer_certificate(own)) == 0;
}

static int copy(struct stapler *stapler, const struct config_node *node)
{
	stapler->file = node->staple ? strdup(node->staple) : NULL;
	stapler->url = node->responder ? strdup(node->responder) : NULL;
	stapler->mark = node->mark;
	return (node->staple && !stapler->file) || (node->responder && !stapler->url) ? -ENOMEM : 0;
}

int stapler_set(struct stapler *stapler, const struct config_node *node, struct verdict *own,
		struct error *error)
{
	if (same(stapler, node, own))
		return 0;
	clear(stapler);
	stapler->own = verdict_get(own);
	int r = copy(stapler, node);
	if (r == 0 && stapler->file) {
		const char *path = stapler->file;
		r = watch_new(stapler->tools.event, &path, 1, on_file, stapler, &stapler->watch);
	}
	if (r < 0)
		return error_set(error, -r, "cannot watch for OCSP answers: %s", strerror(-r));
	if (stapler->file)
		read_file(stapler);
	else if (stapler->url && !stapler->question)
		start_question(stapler);
	return 0;
}

const uint8_t *stapler_answer(const struct stapler *stapler, size_t *ret_size)
{
	*ret_size = stapler->answer.size;
	return stapler->answer.der;
}

const struct staple *stapler_staple(const struct stapler *stapler)
{
	return &stapler->answer.staple;
}

const struct error *stapler_problem(const struct stapler *stapler)
{
	return &stapler->problem;
}
