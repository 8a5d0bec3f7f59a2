// SPDX-License-Identifier: Apache-2.0

#include "daemon/control.h"

#include <errno.h>
#include <libgen.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <jansson.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/log.h"
#include "daemon/feed.h"
#include "daemon/request.h"

#define REQUEST_MAX    4096u
#define ANSWER_MAX     (64u << 20)
#define CLIENT_LIFE_US 10000000u

// How many there may be, of everybody; of those who may only look, so that they never keep out who may act; and of one of those.
struct places {
	unsigned all, looking, of_one;
};
static const struct places connection_places = {32, 24, 8};
static const struct places feed_places = {16, 8, 4};

struct control {
	sd_event *event;
	sd_event_source *source;
	struct engine *engine;
	char *path;
	int fd;
	struct client *clients;
};

struct client {
	struct control *control;
	struct client *next, **at;
	sd_event_source *source;
	sd_event_source *timer;
	int fd;
	struct ucred peer;
	bool answered;
	bool silent; // it has shut down its side, and may still read
	struct buffer request, answer;
	struct feed feed;
};

static struct client *client_free(struct client *client)
{
	*client->at = client->next;
	if (client->next)
		client->next->at = client->at;
	feed_done(&client->feed);
	sd_event_source_disable_unref(client->source);
	sd_event_source_disable_unref(client->timer);
	closep(&client->fd);
	buffer_done(&client->request);
	buffer_done(&client->answer);
	free(client);
	return NULL;
}

// --- who has a place

static bool may_act(const struct ucred *peer)
{
	return peer->uid == 0 || peer->uid == geteuid();
}

// `feeds`: among those whose answer goes on.
static bool has_place(const struct control *control, const struct ucred *peer, bool feeds)
{
	const struct places *places = feeds ? &feed_places : &connection_places;
	unsigned all = 0, looking = 0, own = 0;
	for (const struct client *client = control->clients; client; client = client->next) {
		if (feeds && !client->feed.open)
			continue;
		all++;
		looking += !may_act(&client->peer);
		own += client->peer.uid == peer->uid;
	}
	return all < places->all &&
	       (may_act(peer) || (looking < places->looking && own < places->of_one));
}

// --- connections

// For what else it may say, and for room to write. That it is gone comes by itself.
static int await(const struct client *client, bool writes)
{
	uint32_t events = (client->silent ? 0 : EPOLLIN) | (writes ? EPOLLOUT : 0);
	return sd_event_source_set_io_events(client->source, events);
}

static json_t *run(struct client *client, const json_t *body, struct error *error)
{
	const struct control *control = client->control;
	struct request request = {
		.engine = control->engine,
		.body = body,
		.feed = &client->feed,
		.crowded = !has_place(control, &client->peer, true),
		.may_act = may_act(&client->peer),
		.uid = client->peer.uid,
		.pid = client->peer.pid,
	};
	return request_run(&request, error);
}

static int answer(struct client *client, const json_t *request)
{
	char text[ERROR_TEXT_MAX];
	struct error error = {0};
	json_t *result = request ? run(client, request, &error) : NULL;
	client->answered = true;
	if (client->feed.open)
		sd_event_source_set_enabled(client->timer, SD_EVENT_OFF);
	if (client->feed.later) {
		json_decref(result);
		return await(client, true);
	}
	if (!request)
		error_set(&error, EINVAL, "the request is not a JSON object on one line");
	json_t *reply = result ? json_pack("{s:b,s:o}", "ok", 1,
					   client->feed.open ? "feed" : "result", result)
			       : json_pack("{s:b,s:s}", "ok", 0, "error",
					   error_text(&error, text, sizeof(text)));
	char *line = reply ? json_dumps(reply, JSON_COMPACT) : NULL;
	json_decref(reply);
	int r = line ? buffer_put(&client->answer, line, strlen(line)) : -ENOMEM;
	free(line);
	if (r == 0)
		r = buffer_put(&client->answer, "\n", 1);
	return r < 0 ? r : sd_event_source_set_io_events(client->source, EPOLLOUT);
}

static int read_request(struct client *client)
{
	uint8_t chunk[REQUEST_MAX];
	ssize_t n = recv(client->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -ECONNRESET;
	int r = buffer_put(&client->request, chunk, (size_t)n);
	if (r < 0)
		return r;
	const uint8_t *line = buffer_head(&client->request);
	const uint8_t *end = memchr(line, '\n', client->request.size);
	if (!end)
		return 0;
	json_t *request =
		json_loadb((const char *)line, (size_t)(end - line), JSON_REJECT_DUPLICATES, NULL);
	r = answer(client, json_is_object(request) ? request : NULL);
	json_decref(request);
	return r;
}

static int write_buffer(const struct client *client, struct buffer *buffer)
{
	ssize_t n =
		send(client->fd, buffer_head(buffer), buffer->size, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	buffer_consume(buffer, (size_t)n);
	return 0;
}

// 1: everything is out, and nothing more will come.
static int write_feed(struct client *client)
{
	struct feed *feed = &client->feed;
	int r = feed->out.size > 0 ? write_buffer(client, &feed->out) : 0;
	if (r < 0)
		return r;
	feed_fill(feed);
	if (feed->out.size > 0 || (feed->source.more && !feed->ending))
		return 0;
	return feed->ending ? 1 : await(client, false);
}

// 1: everything is out.
static int write_answer(struct client *client)
{
	if (client->answer.size > 0) {
		int r = write_buffer(client, &client->answer);
		return r < 0 || client->answer.size > 0 ? r : !client->feed.open;
	}
	return write_feed(client);
}

// Whatever a client says while its answer goes on is nothing but a sign of life. At the end of it, it may still listen: `nc -N`.
static int read_on(struct client *client)
{
	uint8_t chunk[256];
	ssize_t n = recv(client->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	client->silent = n == 0;
	return n == 0 ? await(client, true) : 0;
}

static int on_client(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	struct client *client = data;
	(void)source;
	(void)fd;
	int r = 0;
	if (!client->answered)
		r = read_request(client);
	else if (revents & (EPOLLHUP | EPOLLERR))
		r = -ECONNRESET;
	else if (revents & EPOLLIN)
		r = read_on(client);
	if (r == 0 && client->answered && (revents & EPOLLOUT))
		r = write_answer(client);
	if (r != 0)
		client_free(client);
	return 0;
}

static void on_feed(struct feed *feed)
{
	const struct client *client =
		(const struct client *)((char *)feed - offsetof(struct client, feed));
	await(client, true);
}

static int on_client_too_slow(sd_event_source *source, uint64_t usec, void *data)
{
	(void)source;
	(void)usec;
	client_free(data);
	return 0;
}

static void add_client(struct control *control, int fd, const struct ucred *peer)
{
	struct client *client = calloc(1, sizeof(*client));
	if (!client) {
		close(fd);
		return;
	}
	client->control = control;
	client->fd = fd;
	client->peer = *peer;
	client->next = control->clients;
	client->at = &control->clients;
	if (client->next)
		client->next->at = &client->next;
	control->clients = client;
	buffer_init(&client->request, REQUEST_MAX, false);
	buffer_init(&client->answer, ANSWER_MAX, false);
	feed_init(&client->feed, on_feed);
	int r = sd_event_add_io(control->event, &client->source, fd, EPOLLIN, on_client, client);
	if (r >= 0)
		r = sd_event_add_time_relative(control->event, &client->timer, CLOCK_MONOTONIC,
					       CLIENT_LIFE_US, 0, on_client_too_slow, client);
	if (r < 0)
		client_free(client);
}

static void turn_away(int fd)
{
	static const char answer[] =
		"{\"ok\": false, \"error\": \"too many ask already; try again soon\"}\n";
	send(fd, answer, sizeof(answer) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
}

static int on_accept(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	struct control *control = data;
	struct ucred peer = {.uid = (uid_t)-1};
	socklen_t size = sizeof(peer);
	(void)source;
	(void)revents;
	int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (client < 0)
		return 0;
	if (getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		peer.uid = (uid_t)-1;
	if (has_place(control, &peer, false))
		add_client(control, client, &peer);
	else
		turn_away(client);
	return 0;
}

// --- life

static int make_directory(const char *path, struct error *error)
{
	_cleanup_(freep) char *copy = strdup(path);
	if (!copy)
		return error_set(error, ENOMEM, "out of memory");
	const char *directory = dirname(copy);
	if (mkdir(directory, 0755) == 0)
		return chmod(directory, 0755) < 0 ? -errno : 0; // whatever the umask
	if (errno != EEXIST)
		return error_set(error, errno, "cannot make the directory %s: %m", directory);
	return 0;
}

// A socket that nobody listens on any more is a dead daemon's.
static int clear_stale(const struct sockaddr_un *name, struct error *error)
{
	_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_set(error, errno, "cannot make a socket: %m");
	if (connect(fd, (const struct sockaddr *)name, sizeof(*name)) == 0) {
		error_set(error, EADDRINUSE, "another mutund listens on %s", name->sun_path);
		return error_remedy(error, "stop it, or set control.socket to another path");
	}
	if (errno == ECONNREFUSED)
		unlink(name->sun_path);
	return 0;
}

static int bind_socket(struct control *control, struct error *error)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	if (strlen(control->path) >= sizeof(name.sun_path))
		return error_set(error, ENAMETOOLONG, "control.socket is longer than %zu bytes",
				 sizeof(name.sun_path) - 1);
	memcpy(name.sun_path, control->path, strlen(control->path));
	int r = make_directory(control->path, error);
	if (r == 0)
		r = clear_stale(&name, error);
	if (r < 0)
		return r;
	control->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (control->fd < 0 || bind(control->fd, (struct sockaddr *)&name, sizeof(name)) < 0 ||
	    chmod(control->path, 0666) < 0 || listen(control->fd, 16) < 0)
		return error_set(error, errno, "cannot listen on %s: %m", control->path);
	return 0;
}

int control_new(sd_event *event, const char *path, struct engine *engine, struct control **ret,
		struct error *error)
{
	struct control *control = calloc(1, sizeof(*control));
	if (!control)
		return error_set(error, ENOMEM, "out of memory");
	control->event = event;
	control->engine = engine;
	control->fd = -1;
	control->path = strdup(path);
	int r = control->path ? bind_socket(control, error)
			      : error_set(error, ENOMEM, "out of memory");
	if (r == 0 &&
	    sd_event_add_io(event, &control->source, control->fd, EPOLLIN, on_accept, control) < 0)
		r = error_set(error, ENOMEM, "out of memory");
	if (r < 0) {
		// The path may be another daemon's: leave it.
		free(control->path);
		control->path = NULL;
		control_free(control);
		return r;
	}
	*ret = control;
	return 0;
}

struct control *control_free(struct control *control)
{
	if (!control)
		return NULL;
	while (control->clients)
		client_free(control->clients);
	sd_event_source_disable_unref(control->source);
	if (control->path)
		unlink(control->path);
	closep(&control->fd);
	free(control->path);
	free(control);
	return NULL;
}
