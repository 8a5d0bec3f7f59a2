// SPDX-License-Identifier: Apache-2.0
// Who speaks on a socket is known by the socket's number: libmicrohttpd has no other way to hand something over. Such a caller
// stands in `arrivals` from est_server_add() until the HTTP thread takes it up.

#include "server/est_server.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <microhttpd.h>
#include <urcu/list.h>

#include "base/error.h"
#include "pki/est.h"
#include "pki/verify.h"
#include "server/est_service.h"

#define CONNECTIONS_MAX 256u
#define IDLE_S		10u
#define MEMORY_MAX	32768u // of one connection: headers and the answer's, not the body
#define STRANGER_MAX	8u     // requests on one connection without a certificate
#define NICENESS	5      // packets first

struct caller {
	struct cds_list_head list;
	int fd;
	struct est_caller is;
	unsigned requests;
};

struct est_server {
	struct est_service *service;
	struct MHD_Daemon *http;
	pthread_mutex_t lock;
	struct cds_list_head arrivals; // under the lock
	bool nice;		       // the HTTP thread's own
};

// One request.
struct exchange {
	char *body;
	size_t size;
	bool too_large;
};

static void caller_free(struct caller *caller)
{
	verdict_put(caller->is.verdict);
	free(caller);
}

static void add_header(struct MHD_Response *response, const char *name, const char *value)
{
	if (value)
		MHD_add_response_header(response, name, value);
}

static enum MHD_Result send_answer(struct MHD_Connection *connection, struct est_answer *answer)
{
	char retry[16];
	struct MHD_Response *response = MHD_create_response_from_buffer(
		answer->body ? strlen(answer->body) : 0, answer->body ? answer->body : "",
		answer->body ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
	if (!response) {
		free(answer->body);
		return MHD_NO;
	}
	snprintf(retry, sizeof(retry), "%u", answer->retry_after_s);
	add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer->type);
	add_header(response, MHD_HTTP_HEADER_ALLOW, answer->allow);
	// Clients of before RFC 8951 look for it.
	add_header(response, "Content-Transfer-Encoding",
		   answer->status == EST_OK ? "base64" : NULL);
	add_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE,
		   answer->authenticate ? "Basic realm=\"mutun enrolment\"" : NULL);
	add_header(response, MHD_HTTP_HEADER_RETRY_AFTER, answer->retry_after_s ? retry : NULL);
	add_header(response, MHD_HTTP_HEADER_CONNECTION, answer->close ? "close" : NULL);
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

static const char *header(struct MHD_Connection *connection, const char *name)
{
	return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static struct est_request request_of(struct MHD_Connection *connection, const char *url,
				     const char *method, const struct caller *caller)
{
	return (struct est_request){
		.url = url,
		.method = method,
		.type = header(connection, MHD_HTTP_HEADER_CONTENT_TYPE),
		.authorization = header(connection, MHD_HTTP_HEADER_AUTHORIZATION),
		.length = header(connection, MHD_HTTP_HEADER_CONTENT_LENGTH),
		.peer = caller->is.peer,
		.verdict = caller->is.verdict,
		.admitted = caller->is.admitted,
	};
}

// The head is here; the body, if any, is to come.
static enum MHD_Result begin(struct MHD_Connection *connection, const struct est_request *request,
			     void **state)
{
	struct est_answer answer;

	if (est_service_refuses(request, &answer))
		return send_answer(connection, &answer);
	*state = calloc(1, sizeof(struct exchange));
	return *state ? MHD_YES : MHD_NO;
}

static enum MHD_Result on_request(void *data, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_size, void **state)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct est_server *server = data;
	struct exchange *exchange = *state;
	struct est_answer answer;

	(void)version;
	if (!info || !info->socket_context)
		return MHD_NO;
	struct caller *caller = info->socket_context;
	if (exchange && *upload_size) {
		add_to_body(exchange, upload, *upload_size);
		*upload_size = 0;
		return MHD_YES;
	}
	struct est_request request = request_of(connection, url, method, caller);
	if (!exchange)
		return begin(connection, &request, state);
	request.body = exchange->body;
	request.size = exchange->size;
	request.too_large = exchange->too_large;
	est_service_answer(server->service, &request, &answer);
	if (++caller->requests >= STRANGER_MAX && !caller->is.verdict)
		answer.close = true;
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
	struct est_server *server = data;

	if (!server->nice)
		server->nice = setpriority(PRIO_PROCESS, 0, NICENESS) == 0; // of this thread alone
	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		*socket_state = info ? take_arrival(server, info->connect_fd) : NULL;
	} else if (*socket_state) {
		caller_free(*socket_state);
		*socket_state = NULL;
	}
}

int est_server_new(const char *directory, const char *passphrase_path, struct est_server **ret,
		   struct error *error)
{
	struct est_server *plain = calloc(1, sizeof(*plain));

	if (!plain)
		return error_set(error, ENOMEM, "out of memory");
	pthread_mutex_init(&plain->lock, NULL);
	CDS_INIT_LIST_HEAD(&plain->arrivals);
	_cleanup_(est_server_freep) struct est_server *server = plain;
	int r = est_service_new(directory, passphrase_path, &server->service, error);
	if (r < 0)
		return r;
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
	est_service_free(server->service);
	free(server);
	return NULL;
}

// A socket of this number that was never taken up is gone: who spoke on it must not be taken for who speaks now.
static void forget_arrival(struct est_server *server, int fd)
{
	struct caller *old = take_arrival(server, fd);

	if (old)
		caller_free(old);
}

int est_server_add(struct est_server *server, int fd, const struct est_caller *is)
{
	static const struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct caller *caller = calloc(1, sizeof(*caller));

	if (!caller) {
		close(fd);
		return -ENOMEM;
	}
	forget_arrival(server, fd);
	caller->fd = fd;
	caller->is = *is;
	if (is->verdict)
		verdict_get(is->verdict);
	pthread_mutex_lock(&server->lock);
	cds_list_add(&caller->list, &server->arrivals);
	pthread_mutex_unlock(&server->lock);
	errno = 0;
	if (MHD_add_connection(server->http, fd, (const struct sockaddr *)&address,
			       sizeof(address)) == MHD_YES)
		return 0;
	// It closes the socket, also when it fails.
	int r = errno ? -errno : -ENOMEM;
	forget_arrival(server, fd);
	return r;
}
