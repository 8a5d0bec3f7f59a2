// SPDX-License-Identifier: Apache-2.0

#include "base/buffer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <openssl/crypto.h>

#define BUFFER_FIRST 256u

struct reader reader_over(const void *data, size_t size)
{
	return (struct reader){.data = data, .left = size};
}

const uint8_t *reader_bytes(struct reader *reader, size_t size)
{
	if (reader->failed || size > reader->left) {
		reader->failed = true;
		return NULL;
	}
	const uint8_t *bytes = reader->data;
	reader->data += size;
	reader->left -= size;
	return bytes;
}

static uint64_t read_big_endian(struct reader *reader, size_t size)
{
	const uint8_t *bytes = reader_bytes(reader, size);
	uint64_t value = 0;
	for (size_t i = 0; bytes && i < size; i++)
		value = value << 8 | bytes[i];
	return value;
}

uint8_t reader_u8(struct reader *reader)
{
	return (uint8_t)read_big_endian(reader, 1);
}

uint16_t reader_u16(struct reader *reader)
{
	return (uint16_t)read_big_endian(reader, 2);
}

uint32_t reader_u24(struct reader *reader)
{
	return (uint32_t)read_big_endian(reader, 3);
}

uint32_t reader_u32(struct reader *reader)
{
	return (uint32_t)read_big_endian(reader, 4);
}

uint64_t reader_u64(struct reader *reader)
{
	return read_big_endian(reader, 8);
}

void buffer_init(struct buffer *buffer, size_t max, bool secret)
{
	*buffer = (struct buffer){.max = max, .secret = secret};
}

void buffer_done(struct buffer *buffer)
{
	if (buffer->secret && buffer->data)
		OPENSSL_cleanse(buffer->data, buffer->capacity);
	free(buffer->data);
	buffer->data = NULL;
	buffer->start = buffer->size = buffer->capacity = 0;
}

static void move_to_front(struct buffer *buffer)
{
	if (buffer->start == 0)
		return;
	memmove(buffer->data, buffer->data + buffer->start, buffer->size);
	if (buffer->secret)
		OPENSSL_cleanse(buffer->data + buffer->size, buffer->start);
	buffer->start = 0;
}

static int grow(struct buffer *buffer, size_t needed)
{
	size_t capacity = buffer->capacity ? buffer->capacity : BUFFER_FIRST;
	while (capacity < needed)
		capacity *= 2;
	if (capacity > buffer->max)
		capacity = buffer->max;
	uint8_t *data = malloc(capacity);
	if (!data)
		return -ENOMEM;
	if (buffer->size)
		memcpy(data, buffer->data + buffer->start, buffer->size);
	size_t size = buffer->size;
	buffer_done(buffer);
	buffer->data = data;
	buffer->size = size;
	buffer->capacity = capacity;
	return 0;
}

static int make_room(struct buffer *buffer, size_t size)
{
	if (size > buffer->max - buffer->size)
		return -ENOBUFS;
	size_t needed = buffer->size + size;
	if (needed > buffer->capacity)
		return grow(buffer, needed);
	if (buffer->start + needed > buffer->capacity)
		move_to_front(buffer);
	return 0;
}

int buffer_put(struct buffer *buffer, const void *data, size_t size)
{
	int r = make_room(buffer, size);
	if (r < 0 || size == 0)
		return r;
	memcpy(buffer->data + buffer->start + buffer->size, data, size);
	buffer->size += size;
	return 0;
}

static int put_big_endian(struct buffer *buffer, uint64_t value, size_t size)
{
	uint8_t bytes[8];
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(value >> (8 * (size - 1 - i)));
	return buffer_put(buffer, bytes, size);
}

int buffer_put_u8(struct buffer *buffer, uint8_t value)
{
	return put_big_endian(buffer, value, 1);
}

int buffer_put_u16(struct buffer *buffer, uint16_t value)
{
	return put_big_endian(buffer, value, 2);
}

int buffer_put_u24(struct buffer *buffer, uint32_t value)
{
	return put_big_endian(buffer, value, 3);
}

int buffer_put_u32(struct buffer *buffer, uint32_t value)
{
	return put_big_endian(buffer, value, 4);
}

int buffer_put_u64(struct buffer *buffer, uint64_t value)
{
	return put_big_endian(buffer, value, 8);
}

uint8_t *buffer_reserve(struct buffer *buffer, size_t size)
{
	if (make_room(buffer, size) < 0)
		return NULL;
	return buffer->data ? buffer->data + buffer->start + buffer->size : NULL;
}

void buffer_commit(struct buffer *buffer, size_t size)
{
	buffer->size += size;
}

uint8_t *buffer_head(const struct buffer *buffer)
{
	return buffer->data ? buffer->data + buffer->start : NULL;
}

void buffer_consume(struct buffer *buffer, size_t size)
{
	if (buffer->secret && size)
		OPENSSL_cleanse(buffer->data + buffer->start, size);
	buffer->start += size;
	buffer->size -= size;
	if (buffer->size == 0)
		buffer->start = 0;
}

int file_read(const char *path, size_t max, char **ret, size_t *ret_size)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat info;
	if (fd < 0 || fstat(fd, &info) < 0)
		return -errno;
	if (!S_ISREG(info.st_mode))
		return S_ISDIR(info.st_mode) ? -EISDIR : -EINVAL;
	if ((uintmax_t)info.st_size > max)
		return -EFBIG;
	// The file may grow while it is read: one byte more than it may have tells.
	size_t room = (size_t)info.st_size + 1;
	_cleanup_(freep) char *text = malloc(room + 1);
	size_t size = 0;
	if (!text)
		return -ENOMEM;
	for (;;) {
		ssize_t n = read(fd, text + size, room - size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		size += (size_t)n;
		if (n == 0 || size == room)
			break;
	}
	if (size == room)
		return size > max ? -EFBIG : -EAGAIN;
	text[size] = '\0';
	*ret = take(text);
	*ret_size = size;
	return 0;
}

static int write_all(int fd, const uint8_t *data, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, data, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		size -= (size_t)n;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

static int sync_directory(const char *path)
{
	_cleanup_(freep) char *directory = strdup(path);
	if (!directory)
		return -ENOMEM;
	char *slash = strrchr(directory, '/');
	if (slash)
		slash[slash == directory] = '\0';
	_cleanup_(closep) int fd =
		open(slash ? directory : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

int file_write(const char *path, const void *data, size_t size, unsigned mode)
{
	_cleanup_(freep) char *temporary = NULL;
	if (asprintf(&temporary, "%s.XXXXXX.new", path) < 0)
		return -ENOMEM;
	_cleanup_(closep) int fd = mkostemps(temporary, 4, O_CLOEXEC); // 0600 until it is complete
	if (fd < 0)
		return -errno;
	int r = write_all(fd, data, size);
	if (r == 0 && fchmod(fd, mode) < 0)
		r = -errno;
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r < 0) {
		unlink(temporary);
		return r;
	}
	return sync_directory(path);
}
