// SPDX-License-Identifier: Apache-2.0
// Where to look so that a change to a file is seen: the names on the way to it, each with the inotify watch of the directory
// in which it is looked up.
#pragma once

#include <stdbool.h>
#include <stddef.h>

// A name in a watched directory; events with other names concern us not.
struct spot {
	int wd;
	char *name;
};

struct spots {
	struct spot *list;
	size_t count;
};

// Zero is empty.
void spots_done(struct spots *spots);

// Whether `name` is watched in the directory of `wd`; NULL: whether that directory is watched for any name.
bool spots_have(const struct spots *spots, int wd, const char *name);
// Whether both came from the same walks with the same outcome.
bool spots_equal(const struct spots *a, const struct spots *b);

// Walks the absolute `path` as the kernel does and watches with the inotify descriptor `fd`: every directory that holds a
// symbolic link on the way, the directory of the file and its parent, or where the walk stopped the nearest directory that
// exists. -ENOSPC and other errors of inotify_add_watch(2); a file that is not there is none.
int spots_add_path(struct spots *spots, int fd, const char *path);
