// SPDX-License-Identifier: Apache-2.0

#include "base/rcu.h"

#include <urcu-qsbr.h>

// ThreadSanitizer does not see liburcu's barriers: tell it what a grace period orders.
#if defined(__SANITIZE_THREAD__)
#define TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TSAN 1
#endif
#endif
#ifdef TSAN
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
static char grace;
#define READER_LETS_GO() __tsan_release(&grace)
#define WRITER_WAITED()	 __tsan_acquire(&grace)
#else
#define READER_LETS_GO()
#define WRITER_WAITED()
#endif

void rcu_reader_register(void)
{
	urcu_qsbr_register_thread();
}

void rcu_reader_unregister(void)
{
	READER_LETS_GO();
	urcu_qsbr_unregister_thread();
}

void rcu_reader_quiescent(void)
{
	READER_LETS_GO();
	urcu_qsbr_quiescent_state();
}

void rcu_reader_offline(void)
{
	READER_LETS_GO();
	urcu_qsbr_thread_offline();
}

void rcu_reader_online(void)
{
	urcu_qsbr_thread_online();
}

void rcu_wait(void)
{
	urcu_qsbr_synchronize_rcu();
	WRITER_WAITED();
}
