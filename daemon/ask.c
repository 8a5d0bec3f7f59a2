// SPDX-License-Identifier: Apache-2.0

#include "daemon/ask.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/error.h"
#include "daemon/command.h"

#define ANSWER_MAX (64u << 20)

static const char *socket_path;
static unsigned patience_s = 15;

static const char *socket_to_ask(void)
{
	const char *path = socket_path ? socket_path : getenv("MUTUN_SOCKET");
	return path ? path : ASK_SOCKET;
}

void ask_set_socket(const char *path)
{
	socket_path = path;
}

void ask_set_patience(unsigned seconds)
{
	patience_s = seconds;
}

static int open_socket(struct error *error)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	struct timeval wait = {.tv_sec = patience_s};
	const char *path = socket_to_ask();
	if (strlen(path) >= sizeof(name.sun_path))
		return error_set(error, ENAMETOOLONG, "the socket path %s is too long", path);
	memcpy(name.sun_path, path, strlen(path));
	_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_set(error, errno, "cannot make a socket: %m");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	if (connect(fd, (struct sockaddr *)&name, sizeof(name)) < 0) {
		error_set(error, ECONNREFUSED, "no mutund is running at %s: %m", path);
		return error_remedy(error, "start it with: systemctl start mutund "
					   "(or name its socket with --socket)");
	}
	return take_fd(&fd);
}

static int send_request(int fd, json_t *request)
{
	char *line = json_dumps(request, JSON_COMPACT);
	if (!line)
		return -ENOMEM;
	size_t size = strlen(line);
	line[size] = '\n'; // in place of the NUL: the length says where it ends
	ssize_t n = send(fd, line, size + 1, MSG_NOSIGNAL);
	free(line);
	// Who is turned away at once is told why all the same.
	return n == (ssize_t)size + 1 || (n < 0 && errno == EPIPE) ? 0 : -EIO;
}

static json_t *receive_answer(int fd)
{
	struct buffer buffer;
	json_t *answer = NULL;
	buffer_init(&buffer, ANSWER_MAX, false);
	for (;;) {
		uint8_t chunk[16384];
		ssize_t n = recv(fd, chunk, sizeof(chunk), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || buffer_put(&buffer, chunk, (size_t)n) < 0)
			break;
	}
	if (buffer.size > 0)
		answer = json_loadb((const char *)buffer_head(&buffer), buffer.size, 0, NULL);
	buffer_done(&buffer);
	return answer;
}

static int refused(const json_t *answer, struct error *error)
{
	const char *why = json_string_value(json_object_get(answer, "error"));
	error_set(error, EREMOTEIO, "%s", why ? why : "mutund refused without a reason");
	return -EREMOTEIO;
}

// Takes the request. Returns a descriptor from which the answer comes.
static int put_request(json_t *request, struct error *error)
{
	_cleanup_(closep) int fd = open_socket(error);
	int r = fd < 0 ? fd : send_request(fd, request);
	json_decref(request);
	if (fd < 0)
		return fd;
	return r < 0 ? error_set(error, -r, "mutund at %s takes no question", socket_to_ask())
		     : take_fd(&fd);
}

int ask(json_t *request, json_t **ret, struct error *error)
{
	_cleanup_(closep) int fd = put_request(request, error);
	if (fd < 0)
		return fd;
	json_auto_t *answer = receive_answer(fd);
	if (!answer)
		return error_set(error, EIO, "mutund at %s gave no answer", socket_to_ask());
	if (!json_is_true(json_object_get(answer, "ok")))
		return refused(answer, error);
	*ret = json_incref(json_object_get(answer, "result"));
	return 0;
}

// Waits at most until then (CLOCK_NEVER). 0: the next bytes are in `buffer`; -ENODATA: no more will come; -ETIMEDOUT.
static int receive_some(int fd, struct buffer *buffer, uint64_t until_ms)
{
	uint8_t chunk[16384];
	uint64_t now = clock_ms();
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	if (now >= until_ms)
		return -ETIMEDOUT;
	uint64_t left = until_ms == CLOCK_NEVER ? INT_MAX : until_ms - now;
	int n = poll(&wait, 1, left < INT_MAX ? (int)left : INT_MAX);
	if (n <= 0)
		return n < 0 && errno != EINTR ? -errno : 0;
	ssize_t got = recv(fd, chunk, sizeof(chunk), 0);
	if (got <= 0)
		return got < 0 && errno == EINTR ? 0 : -ENODATA;
	return buffer_put(buffer, chunk, (size_t)got);
}

// The next whole line of what has come; NULL: there is none yet.
static json_t *take_line(struct buffer *buffer)
{
	const char *text = (const char *)buffer_head(buffer);
	const char *end = buffer->size ? memchr(text, '\n', buffer->size) : NULL;
	if (!end)
		return NULL;
	size_t size = (size_t)(end - text);
	json_t *line = json_loadb(text, size, JSON_DECODE_ANY, NULL);
	buffer_consume(buffer, size + 1);
	return line ? line : json_null();
}

static int next_line(int fd, struct buffer *buffer, uint64_t until_ms, json_t **ret)
{
	int r = 0;
	while (r == 0 && !(*ret = take_line(buffer)))
		r = receive_some(fd, buffer, until_ms);
	return r;
}

static int follow(int fd, struct buffer *buffer, unsigned for_s,
		  bool (*each)(const json_t *line, void *data), void *data, struct error *error)
{
	uint64_t until_ms = for_s ? clock_ms() + for_s * UINT64_C(1000) : CLOCK_NEVER;
	json_auto_t *first = NULL;
	bool go_on = true;
	int r = next_line(fd, buffer, clock_ms() + patience_s * UINT64_C(1000), &first);
	if (r < 0)
		return error_set(error, EIO, "mutund at %s gave no answer", socket_to_ask());
	if (!json_is_true(json_object_get(first, "ok")))
		return refused(first, error);
	while (go_on) {
		json_t *line;
		r = next_line(fd, buffer, until_ms, &line);
		if (r == -ETIMEDOUT)
			return 0;
		if (r < 0)
			return error_set(error, EIO,
					 "mutund at %s stopped in the middle of its answer",
					 socket_to_ask());
		go_on = !json_object_get(line, "complete") && each(line, data);
		json_decref(line);
	}
	return 0;
}

int ask_feed(json_t *request, unsigned for_s, bool (*each)(const json_t *line, void *data),
	     void *data, struct error *error)
{
	struct buffer buffer;
	_cleanup_(closep) int fd = put_request(request, error);
	if (fd < 0)
		return fd;
	buffer_init(&buffer, ANSWER_MAX, false);
	int r = follow(fd, &buffer, for_s, each, data, error);
	buffer_done(&buffer);
	return r;
}

bool ask_lost(const json_t *line)
{
	const json_t *lost = json_object_get(line, "lost");
	if (lost)
		fprintf(stderr, "mutun: %" JSON_INTEGER_FORMAT " lines are missing here\n",
			json_integer_value(lost));
	return lost;
}

int ask_failed(const struct error *error)
{
	char text[ERROR_TEXT_MAX];
	fprintf(stderr, "mutun: %s\n", error_text(error, text, sizeof(text)));
	return error->code == ECONNREFUSED ? COMMAND_NO_DAEMON : COMMAND_REFUSED;
}

const char *ask_text(const json_t *object, const char *member)
{
	const char *text = json_string_value(json_object_get(object, member));
	return text ? text : "";
}

const char *ask_word(const json_t *object, const char *member)
{
	const char *text = json_string_value(json_object_get(object, member));
	return text ? text : "-";
}

json_int_t ask_number(const json_t *object, const char *member)
{
	return json_integer_value(json_object_get(object, member));
}

const char *ask_list(const json_t *object, const char *member, char *text, size_t size)
{
	size_t at = 0;
	size_t i;
	json_t *item;
	text[0] = '\0';
	json_array_foreach (json_object_get(object, member), i, item) {
		int n = snprintf(text + at, size - at, "%s%s", at ? " " : "",
				 json_string_value(item));
		if (n < 0 || (size_t)n >= size - at) {
			text[at] = '\0';
			break;
		}
		at += (size_t)n;
	}
	return text;
}

const char *ask_bytes(json_int_t bytes, char *text, size_t size)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double value = (double)bytes;
	unsigned unit = 0;
	while (value >= 1024 && unit < 4) {
		value /= 1024;
		unit++;
	}
	snprintf(text, size, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return text;
}
