// SPDX-License-Identifier: Apache-2.0
// Leaving a scope frees what it holds: `_cleanup_(freep) char *text = NULL;`
#pragma once

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(function) __attribute__((cleanup(function)))

// The pointer of the structure that holds `member` at `pointer`.
#define container_of(pointer, type, member) \
	((type *)(void *)((char *)(pointer)-offsetof(type, member)))

// Defines `function##p`, the form that `_cleanup_` wants of a destructor of `type`, a pointer type.
#define DEFINE_CLEANUP(type, function)                                                       \
	static inline void function##p(type *value) /* NOLINT(bugprone-macro-parentheses) */ \
	{                                                                                    \
		function(*value);                                                            \
	}                                                                                    \
	struct cleanup_needs_semicolon

static inline void freep(void *value)
{
	free(*(void **)value);
}

static inline void closep(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

// Hands the value out of a scope that would free it: `return take(text);`
#define take(variable)                                          \
	({                                                      \
		__typeof__(variable) *take_from_ = &(variable); \
		__typeof__(variable) taken_ = *take_from_;      \
		*take_from_ = NULL;                             \
		taken_;                                         \
	})

// The same for a descriptor, which is -1 when it is none.
static inline int take_fd(int *fd)
{
	int taken = *fd;
	*fd = -1;
	return taken;
}
