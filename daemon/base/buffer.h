// SPDX-License-Identifier: Apache-2.0
// Bytes from outside are touched through a bounded cursor only: a reader over borrowed bytes, and a growing buffer with
// a hard maximum that is wiped on release when it holds secrets.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

// Borrows `data`. A read past the end sets `failed`, which sticks, and returns zero; check it once after the last read.
struct reader {
	const uint8_t *data;
	size_t left;
	bool failed;
};

struct reader reader_over(const void *data, size_t size);
uint8_t reader_u8(struct reader *reader);
uint16_t reader_u16(struct reader *reader); // big-endian, as all of these
uint32_t reader_u24(struct reader *reader);
uint32_t reader_u32(struct reader *reader);
uint64_t reader_u64(struct reader *reader);
// Borrowed until the reader's data goes; NULL when fewer than `size` bytes are left.
const uint8_t *reader_bytes(struct reader *reader, size_t size);

// Bytes [start, start + size) of `data` are held. Zero-initialise with buffer_init().
struct buffer {
	uint8_t *data;
	size_t start;
	size_t size;
	size_t capacity;
	size_t max;
	bool secret;
};

// An empty buffer that grows up to `max` bytes. Nothing is allocated yet.
void buffer_init(struct buffer *buffer, size_t max, bool secret);
void buffer_done(struct buffer *buffer);

// Appends; -ENOBUFS when `max` would be passed, -ENOMEM; on failure nothing was appended.
int buffer_put(struct buffer *buffer, const void *data, size_t size);
int buffer_put_u8(struct buffer *buffer, uint8_t value);
int buffer_put_u16(struct buffer *buffer, uint16_t value);
int buffer_put_u24(struct buffer *buffer, uint32_t value);
int buffer_put_u32(struct buffer *buffer, uint32_t value);
int buffer_put_u64(struct buffer *buffer, uint64_t value);

// Room for `size` more bytes at the end, to be written and then claimed with buffer_commit(); NULL as for buffer_put().
uint8_t *buffer_reserve(struct buffer *buffer, size_t size);
void buffer_commit(struct buffer *buffer, size_t size);

// The first byte held; valid until the buffer changes.
uint8_t *buffer_head(const struct buffer *buffer);
// Drops `size` bytes (at most buffer->size) from the front.
void buffer_consume(struct buffer *buffer, size_t size);

// Reads a whole regular file of at most `max` bytes into a new NUL-terminated block (`ret_size` without the NUL).
// Borrowed errors: -errno of open/read, -EFBIG past `max`.
int file_read(const char *path, size_t max, char **ret, size_t *ret_size);
// Writes atomically: temporary file in the same directory with `mode`, fsync, rename, fsync of the directory.
int file_write(const char *path, const void *data, size_t size, unsigned mode);
#define FILE_WRITE_GLOB \
	".??????.new" // after PATH: the temporary files, which stay when the process is killed
