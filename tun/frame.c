// SPDX-License-Identifier: Apache-2.0

#include "tun/frame.h"

#include <errno.h>

#include "base/error.h"

void frame_reader_init(struct frame_reader *reader)
{
	// A frame that lacks one byte, and room for more.
	buffer_init(&reader->input, FRAME_HEADER + FRAME_MAX + FRAME_INPUT, false);
	reader->taken = 0;
}

void frame_reader_done(struct frame_reader *reader)
{
	buffer_done(&reader->input);
	reader->taken = 0;
}

static void drop_taken(struct frame_reader *reader)
{
	buffer_consume(&reader->input, reader->taken);
	reader->taken = 0;
}

uint8_t *frame_reader_reserve(struct frame_reader *reader)
{
	drop_taken(reader);
	return buffer_reserve(&reader->input, FRAME_INPUT);
}

void frame_reader_commit(struct frame_reader *reader, size_t size)
{
	buffer_commit(&reader->input, size);
}

void frame_reader_rest(struct frame_reader *reader)
{
	drop_taken(reader);
	if (reader->input.size == 0)
		buffer_done(&reader->input);
}

int frame_reader_next(struct frame_reader *reader, struct frame *ret, struct error *error)
{
	drop_taken(reader);
	struct reader cursor = reader_over(buffer_head(&reader->input), reader->input.size);
	unsigned type = reader_u8(&cursor);
	if (cursor.failed)
		return 0;
	if (type != FRAME_MESSAGE && type != FRAME_PACKET)
		return error_set(error, EPROTO, "unknown frame type %u", type);
	size_t size = reader_u24(&cursor);
	if (cursor.failed)
		return 0;
	if (size > FRAME_MAX)
		return error_set(error, EPROTO, "a frame of %zu bytes; %u is the most", size,
				 FRAME_MAX);
	const uint8_t *data = reader_bytes(&cursor, size);
	if (cursor.failed)
		return 0;
	reader->taken = FRAME_HEADER + size;
	*ret = (struct frame){.type = (enum frame_type)type, .data = data, .size = size};
	return 1;
}

int frame_put(struct buffer *buffer, enum frame_type type, const void *data, size_t size)
{
	if (size > FRAME_MAX)
		return -EMSGSIZE;
	uint8_t *room = buffer_reserve(buffer, FRAME_HEADER + size);
	if (!room)
		return FRAME_HEADER + size > buffer->max - buffer->size ? -ENOBUFS : -ENOMEM;
	int r = buffer_put_u8(buffer, (uint8_t)type);
	if (r == 0)
		r = buffer_put_u24(buffer, (uint32_t)size);
	return r < 0 ? r : buffer_put(buffer, data, size);
}
