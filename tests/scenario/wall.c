// SPDX-License-Identifier: Apache-2.0
// A wall clock that a test can set while a programme runs: preloaded, it adds the number of seconds in the file $WALL_OFFSET (eight
// bytes, in the order of the machine) to what the kernel says. Monotonic clocks and timers stay true, as where the real one is
// set; libfaketime moves timers of CLOCK_BOOTTIME, too, which then end in 1969.

#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int64_t offset(void)
{
	static _Atomic(const volatile int64_t *) mapped;
	const volatile int64_t *at = atomic_load(&mapped);

	if (!at) {
		const char *path = getenv("WALL_OFFSET");
		int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
		void *map = mmap(NULL, sizeof(*at), PROT_READ, MAP_SHARED, fd, 0);
		if (map == MAP_FAILED)
			abort();
		close(fd);
		atomic_store(&mapped, map);
		at = map;
	}
	return *at;
}

int clock_gettime(clockid_t clock, struct timespec *ret)
{
	static _Atomic(void *) real;
	void *next = atomic_load(&real);

	if (!next) {
		next = dlsym(RTLD_NEXT, "clock_gettime");
		atomic_store(&real, next);
	}
	int r = ((int (*)(clockid_t, struct timespec *))next)(clock, ret);
	if (r == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		ret->tv_sec += offset();
	return r;
}

time_t time(time_t *ret)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (ret)
		*ret = now.tv_sec;
	return now.tv_sec;
}

int gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
	struct timespec now;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	*ret = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
	return 0;
}
