// SPDX-License-Identifier: Apache-2.0

#include "tun/stir.h"

#include <errno.h>
#include <sys/eventfd.h>

#include "base/cleanup.h"

#define WORDS (STIR_SLOTS / 64)

int stir_init(struct stir *stir)
{
	stir->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return stir->fd < 0 ? -errno : 0;
}

void stir_done(struct stir *stir)
{
	closep(&stir->fd);
}

void stir_set(struct stir *stir, unsigned slot)
{
	atomic_fetch_or_explicit(&stir->words[slot / 64], UINT64_C(1) << slot % 64,
				 memory_order_release);
	(void)eventfd_write(stir->fd, 1);
}

static void take_word(struct stir *stir, unsigned word, void (*each)(unsigned slot, void *data),
		      void *data)
{
	uint64_t bits = atomic_exchange_explicit(&stir->words[word], 0, memory_order_acquire);
	for (; bits; bits &= bits - 1)
		each(word * 64 + (unsigned)__builtin_ctzll(bits), data);
}

void stir_take(struct stir *stir, unsigned max, void (*each)(unsigned slot, void *data), void *data)
{
	eventfd_t woken;
	// Before looking, so that what comes meanwhile wakes us again.
	if (eventfd_read(stir->fd, &woken) < 0)
		return;
	for (unsigned i = 0; i < WORDS; i++) {
		unsigned word = stir->next_word;
		if (atomic_load_explicit(&stir->words[word], memory_order_relaxed) == 0) {
			stir->next_word = (word + 1) % WORDS;
			continue;
		}
		if (max-- == 0) {
			(void)eventfd_write(stir->fd, 1);
			return;
		}
		take_word(stir, word, each, data);
		stir->next_word = (word + 1) % WORDS;
	}
}
