// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "base/buffer.h"

static void reads_big_endian(void **state)
{
	static const uint8_t bytes[] = {1,  2,	3,  4,	5,  6,	7,  8,	9,  10,
					11, 12, 13, 14, 15, 16, 17, 18, 19, 20};
	struct reader reader = reader_over(bytes, sizeof(bytes));

	(void)state;
	assert_int_equal(reader_u8(&reader), 0x01);
	assert_int_equal(reader_u16(&reader), 0x0203);
	assert_int_equal(reader_u24(&reader), 0x040506);
	assert_int_equal(reader_u32(&reader), 0x0708090a);
	assert_true(reader_u64(&reader) == UINT64_C(0x0b0c0d0e0f101112));
	assert_ptr_equal(reader_bytes(&reader, 2), bytes + 18);
	assert_ptr_equal(reader_bytes(&reader, 0), bytes + 20);
	assert_int_equal(reader.left, 0);
	assert_false(reader.failed);
}

static void a_short_read_fails_for_good(void **state)
{
	static const uint8_t bytes[] = {1, 2, 3};

	(void)state;
	for (size_t size = 0; size < 4; size++) {
		// An exact copy, so that a sanitizer sees a read past the end.
		_cleanup_(freep) uint8_t *copy = malloc(size ? size : 1);
		assert_non_null(copy);
		memcpy(copy, bytes, size < 3 ? size : 3);
		struct reader reader = reader_over(copy, size < 3 ? size : 3);
		assert_int_equal(reader_u32(&reader), 0);
		assert_true(reader.failed);
		assert_int_equal(reader_u8(&reader), 0);
		assert_null(reader_bytes(&reader, 0));
		assert_true(reader.failed);
	}
	struct reader reader = reader_over(bytes, 3);
	assert_null(reader_bytes(&reader, SIZE_MAX));
	reader = reader_over(NULL, 0);
	assert_int_equal(reader_u8(&reader), 0);
	assert_true(reader.failed);
}

static void writes_big_endian(void **state)
{
	static const uint8_t expected[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,	10,
					   11, 12, 13, 14, 15, 16, 17, 18, 'a', 'b'};
	struct buffer buffer;

	(void)state;
	buffer_init(&buffer, 1000, false);
	assert_null(buffer_head(&buffer));
	assert_int_equal(buffer_put_u8(&buffer, 1), 0);
	assert_int_equal(buffer_put_u16(&buffer, 0x0203), 0);
	assert_int_equal(buffer_put_u24(&buffer, 0x040506), 0);
	assert_int_equal(buffer_put_u32(&buffer, 0x0708090a), 0);
	assert_int_equal(buffer_put_u64(&buffer, UINT64_C(0x0b0c0d0e0f101112)), 0);
	assert_int_equal(buffer_put(&buffer, "ab", 2), 0);
	assert_int_equal(buffer_put(&buffer, NULL, 0), 0);
	assert_int_equal(buffer.size, sizeof(expected));
	assert_memory_equal(buffer_head(&buffer), expected, sizeof(expected));
	buffer_done(&buffer);
}

static void never_passes_its_maximum(void **state)
{
	struct buffer buffer;
	uint8_t bytes[100] = {7};

	(void)state;
	buffer_init(&buffer, 100, true);
	assert_int_equal(buffer_put(&buffer, bytes, 99), 0);
	assert_int_equal(buffer_put(&buffer, bytes, 2), -ENOBUFS);
	assert_int_equal(buffer_put_u16(&buffer, 1), -ENOBUFS);
	assert_int_equal(buffer_put(&buffer, bytes, SIZE_MAX), -ENOBUFS);
	assert_null(buffer_reserve(&buffer, 2));
	assert_int_equal(buffer.size, 99);
	assert_int_equal(buffer_put_u8(&buffer, 9), 0);
	assert_int_equal(buffer_put_u8(&buffer, 9), -ENOBUFS);
	// What was taken from the front makes room at the end.
	buffer_consume(&buffer, 60);
	assert_int_equal(buffer_put(&buffer, bytes, 60), 0);
	assert_int_equal(buffer.size, 100);
	assert_int_equal(buffer_head(&buffer)[39], 9);
	buffer_done(&buffer);
	assert_null(buffer_head(&buffer));
}

static void queue_in(struct buffer *buffer, size_t size, uint8_t *next)
{
	uint8_t *room = buffer_reserve(buffer, size);
	for (size_t i = 0; room && i < size; i++)
		room[i] = (*next)++;
	buffer_commit(buffer, room ? size : 0);
}

static void queue_out(struct buffer *buffer, size_t size, uint8_t *next)
{
	size = size < buffer->size ? size : buffer->size;
	for (size_t i = 0; i < size; i++)
		assert_int_equal(buffer_head(buffer)[i], (*next)++);
	buffer_consume(buffer, size);
}

// Random pieces beside the numbers that they must hold.
static void is_a_queue(void **state)
{
	struct buffer buffer;
	uint32_t seed = 1;
	uint8_t in = 0, out = 0;

	(void)state;
	buffer_init(&buffer, 5000, true);
	for (unsigned i = 0; i < 20000; i++) {
		seed = seed * 1664525u + 1013904223u;
		size_t size = (seed >> 16) % 300 + 1;
		if (seed >> 31)
			queue_in(&buffer, size, &in);
		else
			queue_out(&buffer, size, &out);
		assert_true(buffer.size <= 5000 && buffer.capacity <= 5000);
	}
	buffer_done(&buffer);
}

static void secrets_are_wiped_when_consumed(void **state)
{
	struct buffer buffer;

	(void)state;
	buffer_init(&buffer, 100, true);
	assert_int_equal(buffer_put(&buffer, "secret word", 11), 0);
	const uint8_t *at = buffer_head(&buffer);
	buffer_consume(&buffer, 7);
	for (unsigned i = 0; i < 7; i++)
		assert_int_equal(at[i], 0);
	assert_memory_equal(buffer_head(&buffer), "word", 4);
	buffer_done(&buffer);
}

static char *path_in(const char *directory, const char *name)
{
	char *path;
	assert_true(asprintf(&path, "%s/%s", directory, name) > 0);
	return path;
}

static void files_are_written_whole(void **state)
{
	char directory[] = "/tmp/test_buffer.XXXXXX";
	struct stat info;
	size_t size = 0;

	(void)state;
	assert_non_null(mkdtemp(directory));
	_cleanup_(freep) char *path = path_in(directory, "file");
	_cleanup_(freep) char *text = NULL;
	_cleanup_(freep) char *other = NULL;
	assert_int_equal(file_write(path, "first", 5, 0600), 0);
	assert_int_equal(file_write(path, "the\0second", 10, 0640), 0);
	assert_int_equal(stat(path, &info), 0);
	assert_int_equal(info.st_mode & 0777, 0640);
	assert_int_equal(file_read(path, 10, &text, &size), 0);
	assert_int_equal(size, 10);
	assert_memory_equal(text, "the\0second", 11);
	assert_int_equal(file_read(path, 9, &other, &size), -EFBIG);
	assert_int_equal(file_write(path, "", 0, 0600), 0);
	assert_int_equal(file_read(path, 0, &other, &size), 0);
	assert_int_equal(size, 0);
	assert_string_equal(other, "");
	// No temporary file is left, also after a failure.
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(directory), 0);
	assert_int_equal(file_write(path, "x", 1, 0600), -ENOENT);
}

static void only_regular_files_are_read(void **state)
{
	char directory[] = "/tmp/test_buffer.XXXXXX";
	char *text;
	size_t size;

	(void)state;
	assert_non_null(mkdtemp(directory));
	_cleanup_(freep) char *fifo = path_in(directory, "fifo");
	_cleanup_(freep) char *link = path_in(directory, "link");
	assert_int_equal(file_read(fifo, 100, &text, &size), -ENOENT);
	assert_int_equal(file_read(directory, 100, &text, &size), -EISDIR);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(file_read(fifo, 100, &text, &size), -EINVAL); // and does not wait
	assert_int_equal(file_read("/dev/zero", 100, &text, &size), -EINVAL);
	// Over a directory nothing can be written, and the attempt leaves nothing.
	assert_int_equal(mkdir(link, 0700), 0);
	assert_int_equal(file_write(link, "x", 1, 0600), -EISDIR);
	assert_int_equal(rmdir(link), 0);
	assert_int_equal(unlink(fifo), 0);
	assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_big_endian),
		cmocka_unit_test(a_short_read_fails_for_good),
		cmocka_unit_test(writes_big_endian),
		cmocka_unit_test(never_passes_its_maximum),
		cmocka_unit_test(is_a_queue),
		cmocka_unit_test(secrets_are_wiped_when_consumed),
		cmocka_unit_test(files_are_written_whole),
		cmocka_unit_test(only_regular_files_are_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
