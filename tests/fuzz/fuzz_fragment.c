// SPDX-License-Identifier: Apache-2.0
// Fragments, against a map of bytes for each packet. The input is a row of records: control (bit 0: the policy denies, bit 1: a second
// later than the one before, bits 2-3: peer), length (16 bits, big-endian), packet.

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "tun/fragment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define UNITS 8192u

struct model {
	uint64_t began_ms;
	struct inner first;
	unsigned peer, end, filled;
	enum drop verdict;
	bool over;
	bool units[UNITS];
};

static struct model models[FRAGMENT_SHARE];
static unsigned model_count;

static void check(bool condition)
{
	if (!condition)
		abort();
}

static struct model *model_find(unsigned peer, const struct inner *inner, uint64_t now_ms)
{
	for (unsigned i = 0; i < model_count; i++) {
		struct model *model = &models[i];
		bool ipv4 = inner->source.family == AF_INET;
		if (!model->over && model->peer == peer && model->first.id == inner->id &&
		    addr_equal(&model->first.source, &inner->source) &&
		    addr_equal(&model->first.destination, &inner->destination) &&
		    (!ipv4 || model->first.protocol == inner->protocol) &&
		    now_ms - model->began_ms <= FRAGMENT_MS)
			return model;
	}
	return NULL;
}

static enum drop model_take(struct model *model, const struct inner *inner)
{
	unsigned begin = inner->offset / 8, end = (inner->offset + inner->length + 7u) / 8;
	bool wrong = model->end && (inner->last || end > model->end);
	if (model->verdict != DROP_NONE)
		return model->verdict;
	for (unsigned i = begin; i < UNITS; i++)
		wrong |= model->units[i] && (i < end || inner->last);
	if (wrong) {
		model->verdict = DROP_OVERLAP;
		return DROP_OVERLAP;
	}
	memset(model->units + begin, true, end - begin);
	model->filled += end - begin;
	model->end = inner->last ? end : model->end;
	model->over = model->filled == model->end;
	return DROP_NONE;
}

static enum drop model_judge(unsigned peer, const struct inner *inner, enum drop verdict,
			     uint64_t now_ms)
{
	struct model *model = model_find(peer, inner, now_ms);
	if (inner->part == INNER_LATER)
		return model ? model_take(model, inner) : DROP_FRAGMENT;
	if (model) {
		model->verdict = DROP_OVERLAP;
		return DROP_OVERLAP;
	}
	model = &models[model_count++];
	memset(model, 0, sizeof(*model));
	model->peer = peer;
	model->first = *inner;
	model->verdict = verdict;
	model->began_ms = now_ms;
	return model_take(model, inner);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fragments *fragments;
	static uint64_t now_ms = 1;
	struct reader reader = reader_over(data, size);
	unsigned pieces = 0;
	if (!fragments)
		fragments = fragments_new();
	check(fragments);
	// What was before is over.
	now_ms += FRAGMENT_MS + 1;
	model_count = 0;
	// Fewer than there is room for: what is pushed out, the model does not know.
	while (reader.left && model_count < FRAGMENT_SHARE && pieces < FRAGMENT_RANGES) {
		uint8_t control = reader_u8(&reader);
		size_t length = reader_u16(&reader);
		const uint8_t *packet = reader_bytes(&reader, length);
		unsigned peer = control >> 2 & 3;
		enum drop verdict = control & 1 ? DROP_POLICY : DROP_NONE;
		struct inner inner;
		if (!packet)
			break;
		now_ms += control & 2 ? 1000 : 0;
		if (inner_parse(packet, length, &inner) != DROP_NONE || inner.part == INNER_WHOLE)
			continue;
		pieces++;
		struct flow_key key = {0};
		enum drop drop =
			inner.part == INNER_FIRST
				? fragment_first(fragments, peer, &inner, &key, verdict, now_ms)
				: fragment_later(fragments, peer, &inner, now_ms, &key);
		check(drop == model_judge(peer, &inner, verdict, now_ms));
	}
	return 0;
}
