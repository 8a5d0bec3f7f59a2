// SPDX-License-Identifier: Apache-2.0

#include "pki/spot.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define SYMLINKS_MAX 40 // as the kernel has it (path_resolution(7))
#define DIRECTORY_EVENTS                                                                    \
	(IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ATTRIB | \
	 IN_DELETE_SELF | IN_MOVE_SELF)

void spots_done(struct spots *spots)
{
	for (size_t i = 0; i < spots->count; i++)
		free(spots->list[i].name);
	free(spots->list);
	*spots = (struct spots){0};
}

bool spots_have(const struct spots *spots, int wd, const char *name)
{
	for (size_t i = 0; i < spots->count; i++)
		if (spots->list[i].wd == wd && (!name || strcmp(spots->list[i].name, name) == 0))
			return true;
	return false;
}

static int spots_add(struct spots *spots, int wd, const char *name)
{
	if (spots_have(spots, wd, name))
		return 0;
	struct spot *list = reallocarray(spots->list, spots->count + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	spots->list = list;
	list[spots->count].name = strdup(name);
	if (!list[spots->count].name)
		return -ENOMEM;
	list[spots->count++].wd = wd;
	return 0;
}

// Both were made by the same walk: the order is the same when nothing changed.
bool spots_equal(const struct spots *a, const struct spots *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (a->list[i].wd != b->list[i].wd || strcmp(a->list[i].name, b->list[i].name) != 0)
			return false;
	return true;
}

// Where a walk stands: `done` is a directory ("" for the root), `todo` what is still to be looked up below it.
struct walk {
	char done[PATH_MAX];
	char todo[PATH_MAX];
	char component[NAME_MAX + 1];
	unsigned symlinks;
};

// Takes the next component off `todo`. False when there is none.
static int walk_next(struct walk *walk)
{
	const char *start = walk->todo + strspn(walk->todo, "/");
	size_t size = strcspn(start, "/");

	if (size == 0)
		return 0;
	if (size > NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(walk->component, start, size);
	walk->component[size] = '\0';
	memmove(walk->todo, start + size, strlen(start + size) + 1);
	return 1;
}

static void walk_up(struct walk *walk)
{
	char *slash = strrchr(walk->done, '/');

	if (slash)
		*slash = '\0';
}

static int walk_down(struct walk *walk, const char *component)
{
	size_t size = strlen(walk->done), more = strlen(component);

	if (size + more + 2 > sizeof(walk->done))
		return -ENAMETOOLONG;
	walk->done[size] = '/';
	memcpy(walk->done + size + 1, component, more + 1);
	return 0;
}

// The target takes the place of the component.
static int walk_link(struct walk *walk, const char *target)
{
	size_t size = strlen(target), left = strlen(walk->todo);

	if (++walk->symlinks > SYMLINKS_MAX)
		return -ELOOP;
	if (size + left + 2 > sizeof(walk->todo))
		return -ENAMETOOLONG;
	memmove(walk->todo + size + 1, walk->todo, left + 1);
	memcpy(walk->todo, target, size);
	walk->todo[size] = '/';
	if (target[0] == '/')
		walk->done[0] = '\0';
	return 0;
}

// Watches `name` in `directory`. A directory that went away meanwhile is no error: the one above it is watched too.
static int add_spot(struct spots *spots, int fd, const char *directory, const char *name)
{
	int wd = inotify_add_watch(fd, *directory ? directory : "/", DIRECTORY_EVENTS | IN_ONLYDIR);
	if (wd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == EACCES || errno == ELOOP))
		return 0;
	return wd < 0 ? -errno : spots_add(spots, wd, name);
}

// The directory of the end of a walk, and in its parent its own name, for a directory that is moved or made anew.
static int add_end(struct spots *spots, int fd, struct walk *walk)
{
	int r = add_spot(spots, fd, walk->done, walk->component);
	char *slash = strrchr(walk->done, '/');

	if (r < 0 || !slash)
		return r;
	*slash = '\0';
	return add_spot(spots, fd, walk->done, slash + 1);
}

int spots_add_path(struct spots *spots, int fd, const char *path)
{
	struct walk walk = {0};
	char target[PATH_MAX];
	int r;

	size_t length = strlen(path);
	if (length >= sizeof(walk.todo))
		return -ENAMETOOLONG;
	memcpy(walk.todo, path, length + 1);
	while ((r = walk_next(&walk)) > 0) {
		if (strcmp(walk.component, ".") == 0)
			continue;
		if (strcmp(walk.component, "..") == 0) {
			walk_up(&walk);
			continue;
		}
		size_t before = strlen(walk.done);
		r = walk_down(&walk, walk.component);
		if (r < 0)
			return r;
		ssize_t size = readlink(walk.done, target, sizeof(target) - 1);
		bool last = walk.todo[strspn(walk.todo, "/")] == '\0';
		if (size < 0 && errno == EINVAL && !last)
			continue; // a directory, or a file in its place: then the next look-up fails
		walk.done[before] = '\0';
		if (size < 0)
			return add_end(spots, fd, &walk);
		target[size] = '\0';
		if ((r = add_spot(spots, fd, walk.done, walk.component)) < 0 ||
		    (r = walk_link(&walk, target)) < 0)
			return r == -ELOOP ? 0 : r;
	}
	return r;
}
