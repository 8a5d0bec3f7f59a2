// SPDX-License-Identifier: Apache-2.0
// The byte stream of a channel in pieces of any size: the first byte seeds the sizes. However it is cut, the same frames come
// out.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tun/frame.h"
#include "tun/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// What came out: how many frames, a sum over them and over what the decoder said, and whether the stream was refused.
struct outcome {
	unsigned frames;
	uint64_t sum;
	bool refused;
};

static void add(struct outcome *outcome, uint64_t value)
{
	outcome->sum = (outcome->sum ^ value) * UINT64_C(0x100000001b3);
}

static void take_frame(struct outcome *outcome, const struct frame *frame)
{
	struct message message;
	outcome->frames++;
	add(outcome, frame->type);
	add(outcome, frame->size);
	for (size_t i = 0; i < frame->size; i++)
		add(outcome, frame->data[i]);
	if (frame->type != FRAME_MESSAGE)
		return;
	if (message_decode(frame->data, frame->size, &message, NULL) < 0)
		return;
	add(outcome, message.type);
	message_done(&message);
}

static struct outcome run(const uint8_t *data, size_t size, uint32_t seed, size_t piece_max)
{
	struct outcome outcome = {0};
	struct frame_reader reader;
	struct frame frame;
	int r = 0;
	frame_reader_init(&reader);
	while (size > 0 && r == 0) {
		seed = seed * 1664525u + 1013904223u;
		size_t piece = 1 + (seed >> 8) % piece_max;
		piece = piece < size ? piece : size;
		uint8_t *room = frame_reader_reserve(&reader);
		if (!room)
			abort(); // it is promised after 0
		memcpy(room, data, piece);
		frame_reader_commit(&reader, piece);
		data += piece;
		size -= piece;
		while ((r = frame_reader_next(&reader, &frame, NULL)) > 0)
			take_frame(&outcome, &frame);
	}
	outcome.refused = r < 0;
	frame_reader_done(&reader);
	return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	struct outcome small = run(data + 1, size - 1, data[0], 1u + data[0] % 16u);
	struct outcome large = run(data + 1, size - 1, data[0], FRAME_INPUT);
	if (small.frames != large.frames || small.sum != large.sum ||
	    small.refused != large.refused)
		abort();
	return 0;
}
