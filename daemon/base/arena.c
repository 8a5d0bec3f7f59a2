// SPDX-License-Identifier: Apache-2.0

#include "base/arena.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define BLOCK_SIZE 16384u
#define ALIGNMENT  _Alignof(max_align_t)

struct block {
	struct block *next;
	size_t used, size;
	_Alignas(max_align_t) char bytes[];
};

struct arena {
	struct block *blocks; // the first is the one that is filled
};

struct arena *arena_new(void)
{
	return calloc(1, sizeof(struct arena));
}

struct arena *arena_free(struct arena *arena)
{
	while (arena && arena->blocks) {
		struct block *block = arena->blocks;
		arena->blocks = block->next;
		free(block);
	}
	free(arena);
	return NULL;
}

static bool has_room(const struct block *block, size_t bytes)
{
	return block && block->size - block->used >= bytes;
}

static struct block *add_block(struct arena *arena, size_t bytes)
{
	size_t size = bytes > BLOCK_SIZE ? bytes : BLOCK_SIZE;
	struct block *block = calloc(1, sizeof(*block) + size);
	if (!block)
		return NULL;
	block->size = size;
	block->next = arena->blocks;
	arena->blocks = block;
	return block;
}

void *arena_alloc(struct arena *arena, size_t count, size_t size)
{
	size_t bytes;
	if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX / 2)
		return NULL;
	bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	struct block *block = arena->blocks;
	if (!has_room(block, bytes))
		block = add_block(arena, bytes);
	if (!block)
		return NULL;
	void *object = block->bytes + block->used;
	block->used += bytes;
	return object;
}

void *arena_copy(struct arena *arena, const void *from, size_t count, size_t size)
{
	void *object = arena_alloc(arena, count, size);
	if (object && count)
		memcpy(object, from, count * size);
	return object;
}

char *arena_text(struct arena *arena, const char *text)
{
	return arena_copy(arena, text, strlen(text) + 1, 1);
}
