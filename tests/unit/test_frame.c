// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "base/error.h"
#include "tun/frame.h"

static void feed(struct frame_reader *reader, const void *data, size_t size)
{
	uint8_t *room = frame_reader_reserve(reader);
	assert_non_null(room);
	assert_true(size <= FRAME_INPUT);
	memcpy(room, data, size);
	frame_reader_commit(reader, size);
}

static void assert_none(struct frame_reader *reader)
{
	struct frame frame;
	assert_int_equal(frame_reader_next(reader, &frame, NULL), 0);
}

static void assert_frame(struct frame_reader *reader, enum frame_type type, const void *data,
			 size_t size)
{
	struct frame frame;
	assert_int_equal(frame_reader_next(reader, &frame, NULL), 1);
	assert_int_equal(frame.type, type);
	assert_int_equal(frame.size, size);
	assert_memory_equal(frame.data, data, size);
}

static void test_split_at_every_byte(void **unused)
{
	struct buffer stream;
	(void)unused;
	buffer_init(&stream, 4096, false);
	assert_int_equal(frame_put(&stream, FRAME_MESSAGE, "{}", 2), 0);
	assert_int_equal(frame_put(&stream, FRAME_PACKET, "", 0), 0);
	assert_int_equal(frame_put(&stream, FRAME_PACKET, "packet", 6), 0);
	for (size_t cut = 0; cut <= stream.size; cut++) {
		struct frame_reader reader;
		struct frame frame;
		unsigned count = 0;
		frame_reader_init(&reader);
		feed(&reader, buffer_head(&stream), cut);
		while (frame_reader_next(&reader, &frame, NULL) == 1)
			count++;
		assert_int_equal(count, (cut >= 6) + (cut >= 10) + (cut >= 20));
		feed(&reader, buffer_head(&stream) + cut, stream.size - cut);
		if (count < 1)
			assert_frame(&reader, FRAME_MESSAGE, "{}", 2);
		if (count < 2)
			assert_frame(&reader, FRAME_PACKET, "", 0);
		if (count < 3)
			assert_frame(&reader, FRAME_PACKET, "packet", 6);
		assert_none(&reader);
		frame_reader_rest(&reader);
		assert_null(reader.input.data);
		frame_reader_done(&reader);
	}
	buffer_done(&stream);
}

static void test_byte_by_byte(void **unused)
{
	static const uint8_t stream[] = {2, 0, 0, 3, 7, 8, 9, 1, 0, 0, 1, 'x'};
	struct frame_reader reader;
	(void)unused;
	frame_reader_init(&reader);
	for (size_t i = 0; i < sizeof(stream); i++) {
		feed(&reader, stream + i, 1);
		if (i == 6)
			assert_frame(&reader, FRAME_PACKET, "\x07\x08\x09", 3);
		if (i == 11)
			assert_frame(&reader, FRAME_MESSAGE, "x", 1);
		assert_none(&reader);
	}
	frame_reader_done(&reader);
}

static void test_lengths(void **unused)
{
	static const size_t sizes[] = {0, 1, 2, 255, 256, 16383, 16384, 65534, FRAME_MAX};
	uint8_t *data = calloc(1, FRAME_MAX);
	(void)unused;
	assert_non_null(data);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct frame_reader reader;
		struct buffer stream;
		buffer_init(&stream, FRAME_HEADER + FRAME_MAX, false);
		frame_reader_init(&reader);
		memset(data, (int)i + 1, FRAME_MAX);
		assert_int_equal(frame_put(&stream, FRAME_PACKET, data, sizes[i]), 0);
		assert_int_equal(stream.size, FRAME_HEADER + sizes[i]);
		while (stream.size > 0) {
			size_t piece = stream.size < FRAME_INPUT ? stream.size : FRAME_INPUT;
			assert_none(&reader);
			feed(&reader, buffer_head(&stream), piece);
			buffer_consume(&stream, piece);
		}
		assert_frame(&reader, FRAME_PACKET, data, sizes[i]);
		assert_none(&reader);
		frame_reader_done(&reader);
		buffer_done(&stream);
	}
	free(data);
}

static void test_refuses(void **unused)
{
	static const struct {
		uint8_t bytes[4];
		size_t size;
		const char *what;
	} cases[] = {
		{{1, 1, 0, 0}, 4, "a frame of 65536 bytes; 65535 is the most"},
		{{2, 0xff, 0xff, 0xff}, 4, "a frame of 16777215 bytes; 65535 is the most"},
		{{0}, 1, "unknown frame type 0"},
		{{3}, 1, "unknown frame type 3"},
		{{255, 255, 255, 255}, 4, "unknown frame type 255"},
	};
	(void)unused;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct frame_reader reader;
		struct error error = {0};
		struct frame frame;
		frame_reader_init(&reader);
		feed(&reader, cases[i].bytes, cases[i].size);
		assert_int_equal(frame_reader_next(&reader, &frame, &error), -EPROTO);
		assert_string_equal(error.what, cases[i].what);
		assert_int_equal(frame_reader_next(&reader, &frame, NULL), -EPROTO);
		frame_reader_done(&reader);
	}
}

static void test_put_refuses(void **unused)
{
	struct buffer stream;
	(void)unused;
	uint8_t *data = calloc(1, FRAME_MAX + 1);
	assert_non_null(data);
	buffer_init(&stream, 100, false);
	assert_int_equal(frame_put(&stream, FRAME_PACKET, data, FRAME_MAX + 1), -EMSGSIZE);
	assert_int_equal(frame_put(&stream, FRAME_PACKET, data, 97), -ENOBUFS);
	assert_int_equal(stream.size, 0);
	assert_int_equal(frame_put(&stream, FRAME_PACKET, data, 96), 0);
	assert_int_equal(stream.size, 100);
	assert_int_equal(frame_put(&stream, FRAME_PACKET, data, 0), -ENOBUFS);
	buffer_done(&stream);
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split_at_every_byte),
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_put_refuses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
