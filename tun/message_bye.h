// SPDX-License-Identifier: Apache-2.0
// BYE: why a channel ends. Part of tun/message.h.
#pragma once

#include <stdbool.h>
#include <jansson.h>

struct fields;
struct message_bye;

// For message_encode() and message_decode(). False: out of memory.
bool message_bye_encode(const struct message_bye *bye, json_t *object);
void message_bye_decode(struct fields *fields, struct message_bye *ret);
