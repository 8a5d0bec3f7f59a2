// SPDX-License-Identifier: Apache-2.0
// Keeps the OCSP answer about this node's own certificate current: read from a file whenever somebody writes it, or asked of a
// responder, again at half of its life. What cannot be believed never takes the place of what can.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "pki/staple.h"

struct config_node;
struct error;
struct stapler;
struct verdict;

struct stapler_tools {
	sd_event *event;
	// stapler_answer() is another one. On the loop's thread.
	void (*changed)(void *data);
	void *data;
};

int stapler_new(const struct stapler_tools *tools, struct stapler **ret);
struct stapler *stapler_free(struct stapler *stapler); // takes NULL, returns NULL
DEFINE_CLEANUP(struct stapler *, stapler_free);

// Where answers come from (node.staple, node.responder) and about which certificate; a reference of `own` is taken. An answer that
// is not about that certificate is dropped at once; a file is read at once. Does not call `changed`.
int stapler_set(struct stapler *stapler, const struct config_node *node, struct verdict *own,
		struct error *error);

// DER, borrowed until the next change; NULL: there is none that is good to show.
const uint8_t *stapler_answer(const struct stapler *stapler, size_t *ret_size);
const struct staple *stapler_staple(const struct stapler *stapler); // what it says
// Why there is none, or no newer one; code 0: nothing is wrong.
const struct error *stapler_problem(const struct stapler *stapler);
