// SPDX-License-Identifier: Apache-2.0

#include "server/est_service.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <openssl/crypto.h>
#include <openssl/x509.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "pki/ca.h"
#include "pki/ca_enrol.h"
#include "pki/certificate.h"
#include "pki/est.h"
#include "pki/issuer.h"
#include "pki/verify.h"
#include "server/gate.h"

#define WARN_EVERY_S   86400
#define BUSY_RETRY_S   5u
#define BROKEN_RETRY_S 60u
// Tokens that are none, from one source: after a burst of so many, one per second.
#define WRONG_TOKENS  20u
#define WRONG_RETRY_S 30u

DEFINE_CLEANUP(X509 *, X509_free);

struct est_service {
	char *directory, *passphrase_path;
	struct ca *ca;	     // open from one request to the next, as long as nobody changes it
	time_t warned;	     // that what signs comes to its end
	struct gate *tokens; // where each token that is none counts as a start
};

// --- refusals

static void refuse(struct est_answer *answer, enum est_status status, const struct error *error)
{
	answer->status = status;
	answer->type = "text/plain; charset=utf-8";
	if (asprintf(&answer->body, "%s\n", error->what) < 0)
		answer->body = NULL;
}

// The CA's answer in the terms of HTTP (RFC 7030, 4.2.3).
static void refuse_by(struct est_answer *answer, int r, const struct error *error)
{
	static const struct error cannot = {.what = "the CA cannot sign at the moment"};

	switch (r) {
	case -EACCES:
		answer->authenticate = true;
		refuse(answer, EST_UNAUTHORIZED, error);
		return;
	case -EPERM:
		refuse(answer, EST_FORBIDDEN, error);
		return;
	case -EINVAL:
		refuse(answer, EST_MALFORMED, error);
		return;
	case -EAGAIN:
		answer->retry_after_s = CA_OFTEN_S;
		refuse(answer, EST_TOO_OFTEN, error);
		return;
	default:
		// What is wrong with the CA is for its operator, who finds it in the log.
		answer->retry_after_s = r == -EBUSY ? BUSY_RETRY_S : BROKEN_RETRY_S;
		refuse(answer, EST_UNAVAILABLE, &cannot);
		return;
	}
}

// --- what needs no look at the body

enum operation { CACERTS, CSRATTRS, SIMPLEENROLL, SIMPLEREENROLL, OPERATIONS };

static const struct {
	const char *name;
	const char *method;
} operations[OPERATIONS] = {
	[CACERTS] = {"cacerts", "GET"},
	[CSRATTRS] = {"csrattrs", "GET"},
	[SIMPLEENROLL] = {"simpleenroll", "POST"},
	[SIMPLEREENROLL] = {"simplereenroll", "POST"},
};

// OPERATIONS: none of ours. There are no labels (RFC 7030, 3.2.2).
static enum operation find_operation(const char *url)
{
	static const char path[] = EST_PATH "/";
	unsigned i = 0;

	if (strncmp(url, path, sizeof(path) - 1) != 0)
		return OPERATIONS;
	while (i < OPERATIONS && strcmp(url + sizeof(path) - 1, operations[i].name) != 0)
		i++;
	return (enum operation)i;
}

// Only the media type counts, not its parameters (RFC 8951, 3).
static bool is_pkcs10(const char *type)
{
	size_t size = sizeof(EST_TYPE_P10) - 1;

	return type && strncasecmp(type, EST_TYPE_P10, size) == 0 &&
	       (type[size] == '\0' || strchr("; \t", type[size]));
}

static bool too_large(const struct est_request *request)
{
	return request->too_large ||
	       (request->length && strtoull(request->length, NULL, 10) > EST_BODY_MAX);
}

bool est_service_refuses(const struct est_request *request, struct est_answer *ret)
{
	enum operation operation = find_operation(request->url);
	struct error error = {0};

	*ret = (struct est_answer){.close = true};
	if (operation == OPERATIONS) {
		error_set(&error, ENOENT, "there is nothing here");
		refuse(ret, EST_NOTHING_HERE, &error);
	} else if (strcmp(request->method, operations[operation].method) != 0) {
		ret->allow = operations[operation].method;
		error_set(&error, EINVAL, "this takes %s", ret->allow);
		refuse(ret, EST_WRONG_METHOD, &error);
	} else if (too_large(request)) {
		error_set(&error, EFBIG, "more than %u bytes", EST_BODY_MAX);
		refuse(ret, EST_TOO_LARGE, &error);
	} else if (operation >= SIMPLEENROLL && !is_pkcs10(request->type)) {
		error_set(&error, EINVAL, "the content type must be " EST_TYPE_P10);
		refuse(ret, EST_MALFORMED, &error);
	} else {
		return false;
	}
	return true;
}

// --- certificates

static int put_certs(struct est_answer *answer, STACK_OF(X509) * certificates, struct error *error)
{
	if (est_write_certs(certificates, &answer->body) < 0)
		return error_set(error, ENOMEM, "out of memory");
	answer->status = EST_OK;
	answer->type = EST_TYPE_CERTS;
	return 0;
}

// The certificates above the devices' own, the issuing one first. While one root follows another, both are among them.
static int answer_cacerts(struct ca *ca, struct est_answer *answer, struct error *error)
{
	_cleanup_(certificates_freep) STACK_OF(X509) *stack = NULL;
	int r = ca_announce(ca, &stack, error);

	return r < 0 ? r : put_certs(answer, stack, error);
}

// What the device shows above its own comes along (RFC 7030, 4.2.3, lets us). Takes `leaf`.
static int put_leaf(struct ca *ca, X509 *leaf, struct est_answer *answer, struct error *error)
{
	_cleanup_(X509_freep) X509 *mine = leaf;
	_cleanup_(certificates_freep) STACK_OF(X509) *stack = sk_X509_new_null();

	if (!stack || !sk_X509_push(stack, leaf))
		return error_set(error, ENOMEM, "out of memory");
	take(mine);
	if (ca_push_chain(ca, stack) < 0)
		return error_set(error, ENOMEM, "out of memory");
	return put_certs(answer, stack, error);
}

// The password of "Basic" (RFC 7617, 2), new; NULL: there is none.
static char *basic_password(const char *value)
{
	uint8_t *pair = NULL;
	size_t size;
	char *password = NULL;

	if (!value || strncasecmp(value, "Basic ", 6) != 0 ||
	    est_decode(value + 6, strlen(value + 6), &pair, &size) < 0)
		return NULL;
	uint8_t *colon = memchr(pair, ':', size);
	if (colon && !memchr(pair, '\0', size))
		password = strndup((char *)colon + 1, size - (size_t)(colon + 1 - pair));
	OPENSSL_cleanse(pair, size);
	free(pair);
	return password;
}

static int enrol(struct est_service *service, struct ca *ca, const struct est_request *request,
		 const uint8_t *der, size_t size, X509 **ret, struct est_answer *answer,
		 struct error *error)
{
	char *password = basic_password(request->authorization);
	struct gate_ticket ticket;

	if (!password)
		return error_set(error, EACCES, "enrolment takes a token");
	int r = -EAGAIN;
	if (gate_enter(service->tokens, &request->peer.addr, clock_ms(), &ticket) == GATE_PASS) {
		r = ca_enrol(ca, password, der, size, ret, error);
		gate_leave(service->tokens, ticket, r != -EACCES, clock_ms());
		answer->close = r == -EACCES;
	} else {
		answer->close = true;
		error_set(error, EAGAIN, "too many tokens that are none came from this address");
	}
	OPENSSL_cleanse(password, strlen(password));
	free(password);
	return r;
}

static int renew(struct ca *ca, const struct est_request *request, const uint8_t *der, size_t size,
		 X509 **ret, struct error *error)
{
	if (!request->verdict)
		return error_set(error, EPERM,
				 "renewal takes the certificate that is to be renewed");
	if (!request->admitted)
		return error_set(error, EPERM, "%.*s is not admitted here", 200,
				 verdict_identity(request->verdict));
	return ca_renew(ca, verdict_leaf(request->verdict), verdict_above(request->verdict), der,
			size, ret, error);
}

static void log_signed(const struct est_request *request, bool again, const X509 *leaf)
{
	char peer[ENDPOINT_TEXT_MAX], serial[SERIAL_TEXT_MAX];
	_cleanup_(freep) char *identity = NULL;

	certificate_identity(leaf, &identity, NULL);
	log_info("%s %s for %s: serial %s", identity ? identity : "?",
		 again ? "renewed its certificate" : "enrolled",
		 endpoint_text(&request->peer, peer), certificate_serial(leaf, serial));
}

static int sign(struct est_service *service, struct ca *ca, bool again,
		const struct est_request *request, struct est_answer *answer, struct error *error)
{
	_cleanup_(freep) uint8_t *der = NULL;
	X509 *leaf = NULL;
	size_t size;

	int r = est_decode(request->body ? request->body : "", request->size, &der, &size);
	if (r < 0)
		return error_set(error, EINVAL, "the body is not the base64 of a request");
	r = again ? renew(ca, request, der, size, &leaf, error)
		  : enrol(service, ca, request, der, size, &leaf, answer, error);
	if (r < 0)
		return r;
	log_signed(request, again, leaf);
	return put_leaf(ca, leaf, answer, error);
}

static void warn_of_end(struct est_service *service, const struct ca *ca)
{
	time_t now = clock_wall(), from, to;
	char words[32];

	if (certificate_lifetime(ca_certificate(ca), &from, &to) < 0 || to - now > ISSUER_WARN_S ||
	    now - service->warned < WARN_EVERY_S)
		return;
	service->warned = now;
	log_warning("the CA in %s signs nothing after %s: mutun ca rotate %s issuing",
		    service->directory, clock_words(to - now, words, sizeof(words)),
		    service->directory);
}

// The CA, borrowed.
static int current_ca(struct est_service *service, struct ca **ret, struct error *error)
{
	if (service->ca && !ca_is_current(service->ca))
		service->ca = ca_close(service->ca);
	if (!service->ca) {
		_cleanup_(ca_closep) struct ca *ca = NULL;
		int r = ca_open(service->directory, &ca, error);
		if (r == 0)
			r = ca_unlock(ca, service->passphrase_path, error);
		if (r < 0)
			return r;
		service->ca = take(ca);
	}
	warn_of_end(service, service->ca);
	*ret = service->ca;
	return 0;
}

static int carry_out(struct est_service *service, enum operation operation,
		     const struct est_request *request, struct est_answer *answer,
		     struct error *error)
{
	struct ca *ca;

	if (operation == CSRATTRS) { // none: any key that nodes accept will do
		answer->status = EST_EMPTY;
		return 0;
	}
	int r = current_ca(service, &ca, error);
	if (r < 0)
		return r == -EBUSY ? r : -EIO; // not the fault of who asks
	r = operation == CACERTS
		    ? answer_cacerts(ca, answer, error)
		    : sign(service, ca, operation == SIMPLEREENROLL, request, answer, error);
	// What is wrong with the CA may be right when it is opened anew.
	if (r < 0 && r != -EACCES && r != -EPERM && r != -EINVAL && r != -EAGAIN)
		service->ca = ca_close(service->ca);
	return r;
}

void est_service_answer(struct est_service *service, const struct est_request *request,
			struct est_answer *ret)
{
	enum operation operation = find_operation(request->url);
	struct error error = {0};
	char text[ERROR_TEXT_MAX], peer[ENDPOINT_TEXT_MAX];

	if (est_service_refuses(request, ret))
		return;
	*ret = (struct est_answer){0};
	int r = carry_out(service, operation, request, ret, &error);
	if (r == 0)
		return;
	log_limited(LOG_LEVEL_WARNING, "%s for %s refused: %s", operations[operation].name,
		    endpoint_text(&request->peer, peer), error_text(&error, text, sizeof(text)));
	refuse_by(ret, r, &error);
	if (r == -EAGAIN && ret->close)
		ret->retry_after_s = WRONG_RETRY_S;
}

int est_service_new(const char *directory, const char *passphrase_path, struct est_service **ret,
		    struct error *error)
{
	static const struct gate_limits limits = {.half_open = GATE_ENTRIES,
						  .half_open_source = GATE_ENTRIES,
						  .starts_per_second = 1,
						  .starts_burst = WRONG_TOKENS};
	_cleanup_(est_service_freep) struct est_service *service = calloc(1, sizeof(*service));
	struct ca *ca;

	if (!service || !(service->directory = strdup(directory)) ||
	    (passphrase_path && !(service->passphrase_path = strdup(passphrase_path))) ||
	    !(service->tokens = gate_new(&limits)))
		return error_set(error, ENOMEM, "out of memory");
	int r = current_ca(service, &ca, error);
	if (r < 0)
		return r;
	*ret = take(service);
	return 0;
}

struct est_service *est_service_free(struct est_service *service)
{
	if (!service)
		return NULL;
	ca_close(service->ca);
	gate_free(service->tokens);
	free(service->passphrase_path);
	free(service->directory);
	free(service);
	return NULL;
}
