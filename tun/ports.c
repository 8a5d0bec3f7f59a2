// SPDX-License-Identifier: Apache-2.0
// The ports that rules name cut 0..65535 into spans in which the same rules hold. A span is found by halves among those that begin
// with the same high byte.

#include "tun/ports.h"

#include <string.h>

#define PROTOCOLS 256u
#define PORTS	  65536u

struct spans {
	uint32_t of_high[257]; // which span the port `high byte << 8` is in
	unsigned count;
	struct ruleset **sets;
	uint16_t begins[]; // the first is 0
};

struct ports {
	struct ruleset *any;
	struct ruleset *whole[PROTOCOLS]; // all ports of it
	struct spans *spans[PROTOCOLS];
};

// A rule's use of one protocol.
struct use {
	uint8_t protocol;
	uint16_t first, last;
	uint32_t number;
};

// Where one begins or ends to hold.
struct edge {
	uint32_t at;
	uint32_t number;
	bool begin;
};

// What is needed only while they are made.
struct builder {
	size_t words;
	uint64_t *bits;
	uint32_t *held; // by rule: how many of its services hold here
	struct use *uses;
	size_t use_count;
	struct edge *edges;
};

static int compare_uses(const void *a, const void *b)
{
	const struct use *x = a, *y = b;
	return x->protocol - y->protocol;
}

static int compare_edges(const void *a, const void *b)
{
	const struct edge *x = a, *y = b;
	return (x->at > y->at) - (x->at < y->at);
}

// The uses of one protocol each, in order; those of all protocols are in the bits.
static void list_uses(struct builder *builder, const struct rule_order *order)
{
	for (unsigned n = 0; n < order->count; n++) {
		const struct rule *rule = order->rules[n];
		for (unsigned i = 0; i < rule->service_count; i++) {
			const struct rule_service *service = &rule->services[i];
			if (service->any_protocol)
				ruleset_bit(builder->bits, n);
			for (unsigned p = 0; p < 2 && !service->any_protocol; p++)
				if (p == 0 || service->protocols[p] != 0)
					builder->uses[builder->use_count++] = (struct use){
						.protocol = service->protocols[p],
						.first = service->first,
						.last = service->last,
						.number = n,
					};
		}
	}
	qsort(builder->uses, builder->use_count, sizeof(*builder->uses), compare_uses);
}

static int take_bits(struct builder *builder, struct ruleset **ret)
{
	int r = ruleset_new(builder->bits, builder->words, ret);
	memset(builder->bits, 0, builder->words * sizeof(*builder->bits));
	return r;
}

static void pass_edge(struct builder *builder, const struct edge *edge)
{
	uint32_t *held = &builder->held[edge->number];
	*held += edge->begin ? 1 : UINT32_MAX;
	if (*held > 0)
		ruleset_bit(builder->bits, edge->number);
	else
		builder->bits[edge->number / 64] &= ~(UINT64_C(1) << (edge->number % 64));
}

static size_t list_edges(struct builder *builder, const struct use *uses, size_t count)
{
	size_t edges = 0;
	for (size_t i = 0; i < count; i++) {
		if (uses[i].first > uses[i].last ||
		    (uses[i].first == 0 && uses[i].last == PORTS - 1))
			continue;
		builder->edges[edges++] = (struct edge){uses[i].first, uses[i].number, true};
		builder->edges[edges++] = (struct edge){uses[i].last + 1u, uses[i].number, false};
	}
	qsort(builder->edges, edges, sizeof(*builder->edges), compare_edges);
	return edges;
}

static struct spans *spans_free(struct spans *spans)
{
	for (unsigned i = 0; spans && i < spans->count; i++)
		ruleset_free(spans->sets[i]);
	if (spans)
		free(spans->sets);
	free(spans);
	return NULL;
}
DEFINE_CLEANUP(struct spans *, spans_free);

static void index_spans(struct spans *spans)
{
	unsigned at = 0;
	for (unsigned high = 0; high < 257; high++) {
		while (at + 1 < spans->count && spans->begins[at + 1] <= high << 8)
			at++;
		spans->of_high[high] = at;
	}
}

// NULL: out of memory.
static struct spans *spans_new(struct builder *builder, size_t edges)
{
	_cleanup_(spans_freep) struct spans *spans =
		calloc(1, sizeof(*spans) + (edges + 1) * sizeof(spans->begins[0]));
	if (!spans)
		return NULL;
	spans->sets = calloc(edges + 1, sizeof(struct ruleset *));
	if (!spans->sets)
		return NULL;
	uint32_t begin = 0;
	for (size_t i = 0; begin < PORTS;) {
		while (i < edges && builder->edges[i].at == begin)
			pass_edge(builder, &builder->edges[i++]);
		spans->begins[spans->count] = (uint16_t)begin;
		if (ruleset_new(builder->bits, builder->words, &spans->sets[spans->count]) < 0)
			return NULL;
		spans->count++;
		begin = i < edges ? builder->edges[i].at : PORTS;
	}
	// What holds up to the last port ends behind it.
	memset(builder->bits, 0, builder->words * sizeof(*builder->bits));
	index_spans(spans);
	return take(spans);
}

static bool add_protocol(struct ports *ports, struct builder *builder, const struct use *uses,
			 size_t count)
{
	uint8_t protocol = uses[0].protocol;
	for (size_t i = 0; i < count; i++)
		if (uses[i].first == 0 && uses[i].last == PORTS - 1)
			ruleset_bit(builder->bits, uses[i].number);
	if (take_bits(builder, &ports->whole[protocol]) < 0)
		return false;
	size_t edges = list_edges(builder, uses, count);
	if (edges == 0)
		return true;
	for (size_t i = 0; i < edges; i++)
		builder->held[builder->edges[i].number] = 0;
	ports->spans[protocol] = spans_new(builder, edges);
	return ports->spans[protocol] != NULL;
}

static bool build(struct ports *ports, struct builder *builder, const struct rule_order *order)
{
	list_uses(builder, order);
	if (take_bits(builder, &ports->any) < 0)
		return false;
	for (size_t i = 0, next; i < builder->use_count; i = next) {
		for (next = i + 1; next < builder->use_count; next++)
			if (builder->uses[next].protocol != builder->uses[i].protocol)
				break;
		if (!add_protocol(ports, builder, &builder->uses[i], next - i))
			return false;
	}
	return true;
}

struct ports *ports_new(const struct rule_order *order)
{
	_cleanup_(ports_freep) struct ports *ports = calloc(1, sizeof(*ports));
	size_t services = 0;
	for (unsigned n = 0; n < order->count; n++)
		services += order->rules[n]->service_count;
	struct builder builder = {.words = RULESET_WORDS(order->count)};
	builder.bits = calloc(builder.words + 1, sizeof(*builder.bits));
	builder.held = calloc((size_t)order->count + 1, sizeof(*builder.held));
	builder.uses = calloc(2 * services + 1, sizeof(*builder.uses));
	builder.edges = calloc(4 * services + 1, sizeof(*builder.edges));
	bool good = ports && builder.bits && builder.held && builder.uses && builder.edges &&
		    build(ports, &builder, order);
	free(builder.bits);
	free(builder.held);
	free(builder.uses);
	free(builder.edges);
	return good ? take(ports) : NULL;
}

struct ports *ports_free(struct ports *ports)
{
	if (!ports)
		return NULL;
	ruleset_free(ports->any);
	for (unsigned i = 0; i < PROTOCOLS; i++) {
		ruleset_free(ports->whole[i]);
		spans_free(ports->spans[i]);
	}
	free(ports);
	return NULL;
}

static const struct ruleset *spans_find(const struct spans *spans, uint16_t port)
{
	uint32_t low = spans->of_high[port >> 8], high = spans->of_high[(port >> 8) + 1] + 1;
	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;
		if (spans->begins[middle] <= port)
			low = middle;
		else
			high = middle;
	}
	return spans->sets[low];
}

void ports_find(const struct ports *ports, uint8_t protocol, uint16_t port, struct ruleset_any *any)
{
	ruleset_any_add(any, ports->any);
	ruleset_any_add(any, ports->whole[protocol]);
	if (ports->spans[protocol])
		ruleset_any_add(any, spans_find(ports->spans[protocol], port));
}
