// SPDX-License-Identifier: Apache-2.0
// Frames in a byte stream (PROTOCOL.md, "Channel"): 1 byte type, 3 bytes big-endian length, so many bytes.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

struct error;

#define FRAME_HEADER 4u
#define FRAME_MAX    65535u // bytes after the header

enum frame_type { FRAME_MESSAGE = 1, FRAME_PACKET = 2 };

struct frame {
	enum frame_type type;
	const uint8_t *data; // borrowed until the next call into the reader
	size_t size;	     // 0..FRAME_MAX
};

// Bytes in, frames out.
struct frame_reader {
	struct buffer input;
	size_t taken; // bytes of `input` that the frame handed out last occupies
};

void frame_reader_init(struct frame_reader *reader);
void frame_reader_done(struct frame_reader *reader);
// Room for FRAME_INPUT more bytes, to be written and claimed with frame_reader_commit(). It is always there once
// frame_reader_next() returned 0. NULL: out of memory, or frames were not taken out.
#define FRAME_INPUT 16384u
uint8_t *frame_reader_reserve(struct frame_reader *reader);
void frame_reader_commit(struct frame_reader *reader, size_t size);
// Gives memory back where nothing is held.
void frame_reader_rest(struct frame_reader *reader);
// 1: a frame; 0: its end has yet to come; -EPROTO: none of ours, for good.
int frame_reader_next(struct frame_reader *reader, struct frame *ret, struct error *error);

// Appends a frame. -EMSGSIZE past FRAME_MAX; -ENOBUFS, -ENOMEM as for buffer_put(); then nothing was appended.
int frame_put(struct buffer *buffer, enum frame_type type, const void *data, size_t size);
