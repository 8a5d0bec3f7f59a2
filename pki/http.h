// SPDX-License-Identifier: Apache-2.0
// HTTP as a client, over libcurl: the one place that makes requests (EST, revocation lists, OCSP). Every call waits for its
// answer: run it on a thread of its own. Only to URLs that were configured, never to one that a certificate or a server names:
// redirects are not followed, the environment's proxy is not used, and nothing is decompressed.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct credential;
struct error;
struct trust;

// How to talk. All borrowed for the call.
struct http_client {
	// How the server proves itself: `identity` (a pattern) against `trust`; or as a web server by its name, with the CA
	// certificates in the file `ca` (NULL: those of the system); or by no means: only to read what is checked otherwise.
	const char *identity;
	struct trust *trust;
	const char *ca;
	bool unverified;
	// How we do: by this certificate, or by name and password, or not at all.
	struct credential *credential;
	const char *user, *password;
	uint32_t mark;	  // of the socket (SO_MARK), 0: none
	unsigned total_s; // longest for the whole call, 0: 30
	size_t body_max;  // bytes of an answer's body
	bool plain;	  // "http://" too, for what is signed in itself
	// Asked about once a second; the call ends soon after it has become true. May be NULL.
	bool (*cancelled)(const void *data);
	const void *data;
};

struct http_request {
	const char *url;
	const char *const *headers; // "Name: value", NULL after the last; may be NULL
	const void *body;	    // POST; NULL: GET
	size_t size;
};

#define HTTP_TAG_MAX 256u // bytes of an entity tag, longer ones are not kept

struct http_answer {
	unsigned status;
	char *body; // NUL-terminated; NULL: empty
	size_t size;
	unsigned retry_after_s;	    // 0: nothing was said
	time_t date;		    // the server's clock, 0: nothing was said
	time_t modified;	    // Last-Modified, 0: nothing was said
	char tag[HTTP_TAG_MAX + 1]; // ETag as it stands, empty: none
};

// 0 whatever the status is. -ECANCELED. -EKEYREJECTED: the server did not prove itself. -EFBIG: the body is larger than allowed.
// -EHOSTUNREACH: no answer. Errors name the URL.
int http_perform(const struct http_client *client, const struct http_request *request,
		 struct http_answer *ret, struct error *error);
void http_answer_done(struct http_answer *answer);

// A status in words, with the server's own sentence: 0 for 200.
//   -EAGAIN  later (202, 429, 503)      -EACCES, -EPERM, -EINVAL  refused (401, 403, another 4xx)      -EPROTO  others
int http_judge(const struct http_answer *answer, const char *url, struct error *error);
