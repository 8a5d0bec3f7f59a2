// SPDX-License-Identifier: Apache-2.0

#include "daemon/feed.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"

#define TURN_NS UINT64_C(3000000)
#define ROOM	(FEED_BUFFER / 2) // bytes that wait, before the reader has its turn

void feed_init(struct feed *feed, void (*woken)(struct feed *feed))
{
	*feed = (struct feed){.woken = woken};
	buffer_init(&feed->out, FEED_BUFFER, false);
}

void feed_done(struct feed *feed)
{
	if (feed->open && feed->source.gone)
		feed->source.gone(feed->source.data);
	feed->open = false;
	buffer_done(&feed->out);
}

void feed_open(struct feed *feed, const struct feed_source *source)
{
	feed->open = true;
	feed->source = *source;
	if (source->more)
		feed->woken(feed);
}

static bool put(struct feed *feed, const json_t *line)
{
	char *text = line ? json_dumps(line, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	size_t size = text ? strlen(text) : 0;
	bool room = text && feed->out.size + size + 1 <= FEED_BUFFER;
	if (room) {
		text[size] = '\n'; // in place of the NUL: the length says where it ends
		room = buffer_put(&feed->out, text, size + 1) == 0;
	}
	free(text);
	return room;
}

static bool tell_lost(struct feed *feed)
{
	if (feed->lost == 0)
		return true;
	json_t *line = json_pack("{s:I}", "lost", (json_int_t)feed->lost);
	bool told = put(feed, line);
	json_decref(line);
	if (told)
		feed->lost = 0;
	return told;
}

bool feed_put(struct feed *feed, json_t *line)
{
	bool good = tell_lost(feed) && put(feed, line);
	json_decref(line);
	feed->lost += !good;
	feed->woken(feed);
	return good;
}

bool feed_goes_on(const struct feed *feed, uint64_t begin_ns)
{
	return feed->out.size < ROOM && clock_ns() - begin_ns < TURN_NS;
}

void feed_complete(struct feed *feed)
{
	feed_put(feed, json_pack("{s:b}", "complete", 1));
	feed_end(feed);
}

void feed_end(struct feed *feed)
{
	feed->ending = true;
	feed->woken(feed);
}

void feed_later(struct feed *feed, void (*gone)(void *data), void *data)
{
	feed->open = feed->later = true;
	feed->source = (struct feed_source){.gone = gone, .data = data};
}

void feed_answer(struct feed *feed, json_t *result, const struct error *error)
{
	char text[ERROR_TEXT_MAX];
	feed_put(feed, result ? json_pack("{s:b,s:o}", "ok", 1, "result", result)
			      : json_pack("{s:b,s:s}", "ok", 0, "error",
					  error_text(error, text, sizeof(text))));
	feed_end(feed);
}

void feed_begin(struct feed *feed, bool (*more)(struct feed *feed, void *data))
{
	feed_put(feed, json_pack("{s:b,s:b}", "ok", 1, "feed", 1));
	feed->source.more = more;
}

void feed_fill(struct feed *feed)
{
	bool wants = feed->open && feed->source.more && !feed->ending;
	if (wants && feed->out.size < FEED_LOW && !feed->source.more(feed, feed->source.data))
		feed_complete(feed);
}
