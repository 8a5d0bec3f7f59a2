// SPDX-License-Identifier: Apache-2.0

#include "daemon/ask.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/buffer.h"
#include "base/error.h"

#define ANSWER_MAX (64u << 20)
#define WAIT_S	   15

static const char *socket_path;

static const char *socket_to_ask(void)
{
	const char *path = socket_path ? socket_path : getenv("MUTUN_SOCKET");
	return path ? path : ASK_SOCKET;
}

void ask_set_socket(const char *path)
{
	socket_path = path;
}

static int open_socket(struct error *error)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	struct timeval wait = {.tv_sec = WAIT_S};
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
	return n == (ssize_t)size + 1 ? 0 : -EIO;
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

int ask(json_t *request, json_t **ret, struct error *error)
{
	_cleanup_(closep) int fd = open_socket(error);
	if (fd < 0) {
		json_decref(request);
		return fd;
	}
	int r = send_request(fd, request);
	json_decref(request);
	json_t *answer = r < 0 ? NULL : receive_answer(fd);
	if (!answer)
		return error_set(error, EIO, "mutund at %s gave no answer", socket_to_ask());
	if (json_is_true(json_object_get(answer, "ok"))) {
		*ret = json_incref(json_object_get(answer, "result"));
		json_decref(answer);
		return 0;
	}
	const char *why = json_string_value(json_object_get(answer, "error"));
	error_set(error, EREMOTEIO, "%s", why ? why : "mutund refused without a reason");
	json_decref(answer);
	return -EREMOTEIO;
}
