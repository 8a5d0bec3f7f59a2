// SPDX-License-Identifier: Apache-2.0
// An answer on the control socket that goes on, one JSON value a line, until it is complete or its client goes. What is waiting is
// bounded: a table is written as fast as its reader takes it, while of things that happen a slow reader loses some, and is told
// how many: {"lost": 12}. Who has all has {"complete": true} as the last line: without it, the daemon stopped in the middle.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>

#include "base/buffer.h"

#define FEED_BUFFER (1u << 20)	// bytes that wait
#define FEED_LOW    (64u << 10) // fewer: a table is asked for more

struct error;
struct feed;

struct feed_source {
	// There is room: puts some lines, for at most a few milliseconds. false: that was all, and the end is said. NULL: lines come when
	// something happens.
	bool (*more)(struct feed *feed, void *data);
	// The feed is over, the client gone or all said: the last call.
	void (*gone)(void *data);
	void *data;
};

// Within the connection that it goes out on.
struct feed {
	bool open;
	bool later;  // what a feed says first has not been decided when it opens
	bool ending; // when all is out
	struct feed_source source;
	struct buffer out;
	uint64_t lost;			  // lines, since the reader was last told
	void (*woken)(struct feed *feed); // there is something to write
};

// For commands. From now on the answer is a feed.
void feed_open(struct feed *feed, const struct feed_source *source);
// In place of it, where even the first word takes its time: nothing is said until feed_answer() or feed_begin(), one of them, once. `gone`
// as in struct feed_source.
void feed_later(struct feed *feed, void (*gone)(void *data), void *data);
// Takes the result; NULL: refused, for this reason. No more follows.
void feed_answer(struct feed *feed, json_t *result, const struct error *error);
// More follows: `more` as in struct feed_source, with the data of feed_later().
void feed_begin(struct feed *feed, bool (*more)(struct feed *feed, void *data));
// Takes the line (NULL: out of memory). false: there is no room; it is lost, and counted.
bool feed_put(struct feed *feed, json_t *line);
// For `more`: whether another line belongs into this turn, which began then (clock_ns()).
bool feed_goes_on(const struct feed *feed, uint64_t begin_ns);
// That was all: the end is said.
void feed_complete(struct feed *feed);
// Nothing more is put, whatever is missing.
void feed_end(struct feed *feed);

// For the connection.
void feed_init(struct feed *feed, void (*woken)(struct feed *feed));
void feed_done(struct feed *feed);
// Asks a table for more where there is room. After what was waiting has been written.
void feed_fill(struct feed *feed);
