// SPDX-License-Identifier: Apache-2.0
// A guest of a gateway says HELLO: it is judged, and becomes a member, or continues as one, or hears why not.
#pragma once

struct guest;
struct message_hello;

// `data`: struct gateway. As the `hello` of struct guests.
void arrival_take(struct guest *guest, const struct message_hello *hello, void *data);
