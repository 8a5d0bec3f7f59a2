// SPDX-License-Identifier: Apache-2.0

#include "daemon/heard.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "daemon/ask.h"
#include "pki/readiness.h"

#define ANCHORS_MAX 64

int heard_ask(json_t **ret, struct error *error)
{
	json_t *request = json_pack("{s:s}", "command", "readiness");

	return request ? ask(request, ret, error) : error_set(error, ENOMEM, "out of memory");
}

static int add_node(struct readiness *readiness, const json_t *node, struct error *error)
{
	const char *identity = json_string_value(json_object_get(node, "identity"));
	const json_t *list = json_object_get(node, "anchors");
	const json_t *seen = json_object_get(node, "seen");
	const char *anchors[ANCHORS_MAX];
	size_t count = 0, i;
	const json_t *anchor;

	json_array_foreach (list, i, anchor) {
		if (count < ANCHORS_MAX && json_string_length(anchor) == ROTATION_HASH_TEXT - 1)
			anchors[count++] = json_string_value(anchor);
	}
	if (!identity || !json_is_integer(seen) || (!json_is_array(list) && !json_is_null(list)) ||
	    count != json_array_size(list))
		return error_set(error, EINVAL, "a node that cannot be read");
	int r = readiness_add(readiness, identity, json_is_array(list) ? anchors : NULL, count,
			      (time_t)json_integer_value(seen));
	return r < 0 ? error_set(error, -r, "out of memory") : 0;
}

static int add_answer(struct readiness *readiness, const json_t *answer, struct error *error)
{
	const json_t *nodes = json_object_get(answer, "nodes");
	const json_t *node;
	size_t i;

	if (!json_is_array(nodes)) {
		error_set(error, EINVAL, "this is no answer of \"mutun ca readiness --json\"");
		return -EINVAL;
	}
	json_array_foreach (nodes, i, node) {
		int r = add_node(readiness, node, error);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_file(struct readiness *readiness, const char *path, struct error *error)
{
	json_error_t fault;
	json_auto_t *answer = json_load_file(path, JSON_REJECT_DUPLICATES, &fault);
	int r = answer ? add_answer(readiness, answer, error)
		       : error_set(error, EINVAL, "it cannot be read: %s", fault.text);

	return r < 0 ? error_where(error, "%s", path) : 0;
}

int heard_read(const char *const *paths, unsigned files, struct readiness **ret, bool *ret_asked,
	       struct error *error)
{
	_cleanup_(readiness_freep) struct readiness *readiness = readiness_new();
	json_auto_t *answer = NULL;
	int r = readiness ? 0 : error_set(error, ENOMEM, "out of memory");

	for (unsigned i = 0; r == 0 && i < files; i++)
		r = add_file(readiness, paths[i], error);
	if (r < 0)
		return r;
	r = heard_ask(&answer, error);
	*ret_asked = r == 0;
	if (r == 0)
		r = add_answer(readiness, answer, error);
	else if (r == -ECONNREFUSED && files > 0)
		r = 0;
	if (r == -ECONNREFUSED)
		error_remedy(error,
			     "on the gateways: mutun ca readiness --json >FILE; here: --from FILE");
	if (r == 0)
		*ret = take(readiness);
	return r;
}
