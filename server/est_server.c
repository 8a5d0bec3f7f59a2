// SPDX-License-Identifier: Apache-2.0

#include "server/est_server.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <microhttpd.h>
#include <openssl/crypto.h>
#include <urcu/list.h>

#include "base/error.h"
#include "base/log.h"
#include "pki/ca.h"
#include "pki/ca_enrol.h"
#include "pki/certificate.h"
#include "pki/est.h"
#include "pki/token.h"

#define CONNECTIONS_MAX 128u
#define IDLE_S		10u
#define MEMORY_MAX	32768u // of one connection: headers and the answer's, not the body
#define BUSY_RETRY_S	5u
#define BROKEN_RETRY_S	60u

DEFINE_CLEANUP(X509 *, X509_free);

static void stack_freep(STACK_OF(X509) * *stack)
{
	sk_X509_pop_free(*stack, X509_free);
}

// Who speaks on a socket. In `arrivals` from est_server_add() until the HTTP thread takes it up.
struct caller {
	struct cds_list_head list;
	int fd;
	struct endpoint peer;
	X509 *certificate;
};

struct est_server {
	char *directory;
	struct MHD_Daemon *http;
	pthread_mutex_t lock;
	struct cds_list_head arrivals; // under the lock
};

// One request.
struct exchange {
	char *body;
	size_t size;
	bool too_large;
};

// What is answered.
struct answer {
	unsigned status;
	const char *type;
	char *body; // new
	unsigned retry_after_s;
	bool authenticate; // say how
	const char *allow; // the methods
};

static void caller_free(struct caller *caller)
{
	X509_free(caller->certificate);
	free(caller);
}

// --- what is asked

static void refuse(struct answer *answer, unsigned status, const struct error *error)
{
	answer->status = status;
	answer->type = "text/plain; charset=utf-8";
	if (asprintf(&answer->body, "%s\n", error->what) < 0)
		answer->body = NULL;
}

// The CA's answer to a request, in the terms of HTTP (RFC 7030, 4.2.3).
static void refuse_by(struct answer *answer, int r, const struct error *error)
{
	static const struct error cannot = {.what = "the CA cannot sign at the moment"};

	switch (r) {
	case -EACCES:
		answer->authenticate = true;
		refuse(answer, MHD_HTTP_UNAUTHORIZED, error);
		return;
	case -EPERM:
		refuse(answer, MHD_HTTP_FORBIDDEN, error);
		return;
	case -EINVAL:
		refuse(answer, MHD_HTTP_BAD_REQUEST, error);
		return;
	default:
		// What is wrong with the CA is for its operator, who finds it in the log.
		answer->retry_after_s = r == -EBUSY ? BUSY_RETRY_S : BROKEN_RETRY_S;
		refuse(answer, MHD_HTTP_SERVICE_UNAVAILABLE, &cannot);
		return;
	}
}

static int put_certs(struct answer *answer, STACK_OF(X509) * certificates)
{
	int r = est_write_certs(certificates, &answer->body);

	answer->status = MHD_HTTP_OK;
	answer->type = EST_TYPE_CERTS;
	return r;
}

// The certificates above the devices' own, the issuing one first.
static int get_cacerts(struct ca *ca, struct answer *answer, struct error *error)
{
	_cleanup_(stack_freep) STACK_OF(X509) *stack = NULL;
	int r = ca_trust(ca, &stack, error);

	if (r < 0)
		return r;
	X509_up_ref(ca_certificate(ca));
	if (!sk_X509_unshift(stack, ca_certificate(ca))) {
		X509_free(ca_certificate(ca));
		return error_set(error, ENOMEM, "out of memory");
	}
	r = put_certs(answer, stack);
	return r < 0 ? error_set(error, -r, "out of memory") : 0;
}

// The password of "Basic" (RFC 7617, 2), new; NULL: there is none.
static char *basic_password(struct MHD_Connection *connection)
{
	const char *value = MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
							MHD_HTTP_HEADER_AUTHORIZATION);
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

static int sign(struct ca *ca, struct MHD_Connection *connection, const struct caller *caller,
		bool again, const uint8_t *der, size_t size, X509 **ret, struct error *error)
{
	if (again)
		return caller->certificate
			       ? ca_renew(ca, caller->certificate, der, size, ret, error)
			       : error_set(error, EACCES,
					   "renewal takes the certificate that is to be renewed");
	char *password = basic_password(connection);
	if (!password)
		return error_set(error, EACCES, "enrolment takes a token");
	int r = ca_enrol(ca, password, der, size, ret, error);
	OPENSSL_cleanse(password, strlen(password));
	free(password);
	return r;
}

static void log_signed(const struct caller *caller, bool again, const X509 *leaf)
{
	char peer[ENDPOINT_TEXT_MAX], serial[SERIAL_TEXT_MAX];
	char *identity = NULL;

	certificate_identity(leaf, &identity, NULL);
	log_info("%s %s for %s: serial %s", identity ? identity : "?",
		 again ? "renewed its certificate" : "enrolled", endpoint_text(&caller->peer, peer),
		 certificate_serial(leaf, serial));
	free(identity);
}

static int enrol(struct ca *ca, struct MHD_Connection *connection, const struct caller *caller,
		 bool again, const struct exchange *exchange, struct answer *answer,
		 struct error *error)
{
	_cleanup_(freep) uint8_t *der = NULL;
	_cleanup_(stack_freep) STACK_OF(X509) *stack = sk_X509_new_null();
	_cleanup_(X509_freep) X509 *leaf = NULL;
	size_t size;

	int r = est_decode(exchange->body ? exchange->body : "", exchange->size, &der, &size);
	if (r < 0)
		return error_set(error, EINVAL, "the body is not the base64 of a request");
	r = sign(ca, connection, caller, again, der, size, &leaf, error);
	if (r < 0)
		return r;
	log_signed(caller, again, leaf);
	// The issuing certificate comes along: the device shows both (RFC 7030, 4.2.3, lets us).
	if (!stack || !sk_X509_push(stack, leaf))
		return error_set(error, ENOMEM, "out of memory");
	take(leaf);
	X509_up_ref(ca_certificate(ca));
	if (!sk_X509_push(stack, ca_certificate(ca))) {
		X509_free(ca_certificate(ca));
		return error_set(error, ENOMEM, "out of memory");
	}
	r = put_certs(answer, stack);
	return r < 0 ? error_set(error, -r, "out of memory") : 0;
}

enum operation { CACERTS, CSRATTRS, SIMPLEENROLL, SIMPLEREENROLL, OPERATIONS };

static const struct {
	const char *name;
	const char *method;
} operations[OPERATIONS] = {
	[CACERTS] = {"cacerts", MHD_HTTP_METHOD_GET},
	[CSRATTRS] = {"csrattrs", MHD_HTTP_METHOD_GET},
	[SIMPLEENROLL] = {"simpleenroll", MHD_HTTP_METHOD_POST},
	[SIMPLEREENROLL] = {"simplereenroll", MHD_HTTP_METHOD_POST},
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
static bool is_pkcs10(struct MHD_Connection *connection)
{
	const char *type = MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
						       MHD_HTTP_HEADER_CONTENT_TYPE);
	size_t size = sizeof(EST_TYPE_P10) - 1;

	return type && strncasecmp(type, EST_TYPE_P10, size) == 0 &&
	       (type[size] == '\0' || strchr("; \t", type[size]));
}

static int carry_out(const struct est_server *server, enum operation operation,
		     struct MHD_Connection *connection, const struct caller *caller,
		     const struct exchange *exchange, struct answer *answer, struct error *error)
{
	_cleanup_(ca_closep) struct ca *ca = NULL;
	bool post = operation == SIMPLEENROLL || operation == SIMPLEREENROLL;

	if (operation == CSRATTRS) { // none: any key that nodes accept will do
		answer->status = MHD_HTTP_NO_CONTENT;
		return 0;
	}
	if (post && !is_pkcs10(connection))
		return error_set(error, EINVAL, "the content type must be " EST_TYPE_P10);
	int r = ca_open(server->directory, &ca, error);
	if (r < 0)
		return r == -EBUSY ? r : -EIO; // not the fault of who asks
	if (!post)
		return get_cacerts(ca, answer, error);
	return enrol(ca, connection, caller, operation == SIMPLEREENROLL, exchange, answer, error);
}

static void judge(const struct est_server *server, struct MHD_Connection *connection,
		  const struct caller *caller, const char *url, const char *method,
		  const struct exchange *exchange, struct answer *answer)
{
	enum operation operation = find_operation(url);
	struct error error = {0};
	char text[ERROR_TEXT_MAX], peer[ENDPOINT_TEXT_MAX];

	if (operation == OPERATIONS) {
		error_set(&error, ENOENT, "there is nothing here");
		refuse(answer, MHD_HTTP_NOT_FOUND, &error);
		return;
	}
	if (strcmp(method, operations[operation].method) != 0) {
		answer->allow = operations[operation].method;
		error_set(&error, EINVAL, "this takes %s", answer->allow);
		refuse(answer, MHD_HTTP_METHOD_NOT_ALLOWED, &error);
		return;
	}
	if (exchange->too_large) {
		error_set(&error, EFBIG, "more than %u bytes", EST_BODY_MAX);
		refuse(answer, MHD_HTTP_CONTENT_TOO_LARGE, &error);
		return;
	}
	int r = carry_out(server, operation, connection, caller, exchange, answer, &error);
	if (r == 0)
		return;
	log_limited(LOG_LEVEL_WARNING, "%s for %s refused: %s", operations[operation].name,
		    endpoint_text(&caller->peer, peer), error_text(&error, text, sizeof(text)));
	refuse_by(answer, r, &error);
}

// --- HTTP

static enum MHD_Result send_answer(struct MHD_Connection *connection, struct answer *answer)
{
	char retry[16];
	struct MHD_Response *response = MHD_create_response_from_buffer(
		answer->body ? strlen(answer->body) : 0, answer->body ? answer->body : "",
		answer->body ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
	if (!response) {
		free(answer->body);
		return MHD_NO;
	}
	if (answer->type)
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer->type);
	if (answer->status == MHD_HTTP_OK) // clients of before RFC 8951 look for it
		MHD_add_response_header(response, "Content-Transfer-Encoding", "base64");
	if (answer->allow)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, answer->allow);
	if (answer->authenticate)
		MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE,
					"Basic realm=\"mutun enrolment\"");
	snprintf(retry, sizeof(retry), "%u", answer->retry_after_s);
	if (answer->retry_after_s)
		MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, retry);
	enum MHD_Result done = MHD_queue_response(connection, answer->status, response);
	MHD_destroy_response(response);
	return done;
}

static void add_to_body(struct exchange *exchange, const char *data, size_t size)
{
	char *body = NULL;

	if (!exchange->too_large && size <= EST_BODY_MAX - exchange->size)
		body = realloc(exchange->body, exchange->size + size);
	if (!body) {
		exchange->too_large = true;
		return;
	}
	memcpy(body + exchange->size, data, size);
	exchange->body = body;
	exchange->size += size;
}

static enum MHD_Result on_request(void *data, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_size, void **state)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct exchange *exchange = *state;
	struct answer answer = {0};

	(void)version;
	if (!info || !info->socket_context)
		return MHD_NO;
	if (!exchange) {
		*state = calloc(1, sizeof(*exchange));
		return *state ? MHD_YES : MHD_NO;
	}
	if (*upload_size) {
		add_to_body(exchange, upload, *upload_size);
		*upload_size = 0;
		return MHD_YES;
	}
	judge(data, connection, info->socket_context, url, method, exchange, &answer);
	return send_answer(connection, &answer);
}

static void on_completed(void *data, struct MHD_Connection *connection, void **state,
			 enum MHD_RequestTerminationCode why)
{
	struct exchange *exchange = *state;

	(void)data;
	(void)connection;
	(void)why;
	if (!exchange)
		return;
	free(exchange->body);
	free(exchange);
	*state = NULL;
}

static struct caller *take_arrival(struct est_server *server, int fd)
{
	struct caller *caller, *found = NULL;

	pthread_mutex_lock(&server->lock);
	cds_list_for_each_entry (caller, &server->arrivals, list)
		if (caller->fd == fd)
			found = caller;
	if (found)
		cds_list_del(&found->list);
	pthread_mutex_unlock(&server->lock);
	return found;
}

static void on_connection(void *data, struct MHD_Connection *connection, void **socket_state,
			  enum MHD_ConnectionNotificationCode what)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		*socket_state = info ? take_arrival(data, info->connect_fd) : NULL;
	} else if (*socket_state) {
		caller_free(*socket_state);
		*socket_state = NULL;
	}
}

int est_server_new(const char *directory, struct est_server **ret, struct error *error)
{
	struct est_server *plain = calloc(1, sizeof(*plain));

	if (!plain)
		return error_set(error, ENOMEM, "out of memory");
	pthread_mutex_init(&plain->lock, NULL);
	CDS_INIT_LIST_HEAD(&plain->arrivals);
	_cleanup_(est_server_freep) struct est_server *server = plain;
	server->directory = strdup(directory);
	if (!server->directory)
		return error_set(error, ENOMEM, "out of memory");
	// A CA that cannot be opened now is told now.
	struct ca *ca;
	int r = ca_open(directory, &ca, error);
	if (r < 0)
		return r;
	ca_close(ca);
	server->http = MHD_start_daemon(
		MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC, 0, NULL,
		NULL, on_request, server, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
		MHD_OPTION_CONNECTION_TIMEOUT, IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)MEMORY_MAX, MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_END);
	if (!server->http)
		return error_set(error, ENOMEM, "the HTTP service cannot be started");
	*ret = take(server);
	return 0;
}

struct est_server *est_server_free(struct est_server *server)
{
	struct caller *caller, *next;

	if (!server)
		return NULL;
	if (server->http)
		MHD_stop_daemon(server->http);
	cds_list_for_each_entry_safe (caller, next, &server->arrivals, list)
		caller_free(caller);
	pthread_mutex_destroy(&server->lock);
	free(server->directory);
	free(server);
	return NULL;
}

int est_server_add(struct est_server *server, int fd, const struct endpoint *peer,
		   X509 *certificate)
{
	static const struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct caller *caller = calloc(1, sizeof(*caller));

	if (!caller) {
		close(fd);
		return -ENOMEM;
	}
	caller->fd = fd;
	caller->peer = *peer;
	caller->certificate = certificate;
	if (certificate)
		X509_up_ref(certificate);
	pthread_mutex_lock(&server->lock);
	cds_list_add(&caller->list, &server->arrivals);
	pthread_mutex_unlock(&server->lock);
	if (MHD_add_connection(server->http, fd, (const struct sockaddr *)&address,
			       sizeof(address)) == MHD_YES)
		return 0;
	// It closes the socket, also when it fails.
	int r = errno ? -errno : -ENOMEM;
	caller = take_arrival(server, fd);
	if (caller)
		caller_free(caller);
	return r;
}
