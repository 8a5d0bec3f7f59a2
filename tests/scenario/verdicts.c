// SPDX-License-Identifier: Apache-2.0
// What a node would do with packets, many in a second: the real configuration, filter, parser and flows, without a tunnel around
// them. For test_policy.py, which has a model beside it.
//
//   verdicts PEERS   a line for each session: "link" or "peer", identity, issuer ("-": none), "hardware" or "-", units (joined by
//                 commas, "-": none), prefixes (likewise); separated by tabs. "own" in place of "peer": the node's own addresses
//
// From standard input, numbers big-endian:
//   R size(16) path      from now on this policy; answer: 0, or 1, size (16), errors
//   T seconds(32)        so much later
//   F                    writes all answers
//   P session(8) size(16) packet
//                        from that session (in order, 255: out of the TUN device); answer: drop(8), with 0x80: its sender is told
// The first thing written: the names of drops, joined by spaces, and a new line.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/buffer.h"
#include "base/error.h"
#include "daemon/config.h"
#include "server/policy.h"
#include "tun/dataplane.h"
#include "tun/guard.h"
#include "tun/inner.h"
#include "tun/note.h"
#include "tun/pass.h"
#include "tun/route.h"
#include "tun/session.h"
#include "tun/worker.h"

#define SESSIONS_MAX 16u
#define OWN_MAX	     8u
#define FIELDS	     6u
#define TEXT_MAX     4096
#define PACKET_MAX   2048u
#define RUN	     7u // packets in one
#define OUTSIDE	     255u
#define TOLD	     0x80u

struct judge {
	struct dataplane *dataplane;
	struct worker *worker;
	struct session *sessions[SESSIONS_MAX];
	unsigned session_count;
	unsigned packets;
};

static void require(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "verdicts: %s\n", what);
	exit(1);
}

static void read_bytes(void *ret, size_t size)
{
	require(fread(ret, 1, size, stdin) == size, "input ends within a record");
}

static unsigned read_u16(void)
{
	uint8_t bytes[2];
	read_bytes(bytes, sizeof(bytes));
	return (unsigned)bytes[0] << 8 | bytes[1];
}

// --- sessions

static char *copy_word(const char *text)
{
	return strcmp(text, "-") == 0 ? NULL : strdup(text);
}

static void set_facts(struct subject *subject, char *fields[FIELDS])
{
	struct facts facts = {
		.issuer = copy_word(fields[2]),
		.units = calloc(FACTS_UNITS_MAX, sizeof(char *)),
		.hardware = strcmp(fields[3], "hardware") == 0,
	};
	for (char *rest = fields[4], *unit; (unit = strsep(&rest, ","));)
		if (strcmp(unit, "-") != 0)
			facts.units[facts.unit_count++] = strdup(unit);
	subject_set_facts(subject, &facts);
}

static void set_own(struct judge *judge, char *rest)
{
	struct addr own[OWN_MAX];
	struct prefix prefix;
	unsigned count = 0;
	for (char *text; (text = strsep(&rest, ",")); own[count++] = prefix.addr)
		require(count < OWN_MAX && prefix_parse(text, &prefix) == 0, "own addresses");
	require(guard_set_own(dataplane_guard(judge->dataplane), own, count) == 0, "own addresses");
}

static void add_session(struct judge *judge, char *line)
{
	char *fields[FIELDS];
	struct session *session;
	struct prefix prefix;
	for (unsigned i = 0; i < FIELDS; i++)
		require((fields[i] = strsep(&line, "\t\n")), "a session has too few fields");
	if (strcmp(fields[0], "own") == 0) {
		set_own(judge, fields[5]);
		return;
	}
	bool link = strcmp(fields[0], "link") == 0;
	require(judge->session_count < SESSIONS_MAX, "too many sessions");
	require(session_new(judge->dataplane, link, fields[1], NULL, 25, &session) == 0, "session");
	set_facts(session->subject, fields);
	for (char *rest = fields[5], *text; (text = strsep(&rest, ","));) {
		require(prefix_parse(text, &prefix) == 0, "a prefix is none");
		require(routes_add(dataplane_routes(judge->dataplane), &prefix, 1, session) == 0,
			"a prefix is there twice");
	}
	judge->sessions[judge->session_count++] = session;
}

static void begin(struct judge *judge, const char *path)
{
	struct dataplane_options options = {.workers = 0, .mtu = 1400};
	char line[TEXT_MAX];
	FILE *file = fopen(path, "re");
	require(file, "no file of peers");
	require(dataplane_new(&options, &judge->dataplane, NULL) == 0, "data plane");
	judge->worker = calloc(1, sizeof(*judge->worker));
	require(judge->worker, "worker");
	judge->worker->dataplane = judge->dataplane;
	judge->worker->notes = notes_new(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
	judge->worker->now_ms = 1000000;
	require(judge->worker->notes, "notes");
	while (fgets(line, sizeof(line), file))
		add_session(judge, line);
	fclose(file);
	for (unsigned drop = 0; drop <= DROP_LAST; drop++)
		printf("%s%c", drop_name((enum drop)drop), drop == DROP_LAST ? '\n' : ' ');
}

static void end(struct judge *judge)
{
	pass_flush(judge->worker);
	for (unsigned i = 0; i < judge->session_count; i++)
		session_free(judge->sessions[i]);
	dataplane_free(judge->dataplane);
	notes_free(judge->worker->notes);
	free(judge->worker);
}

// --- records

static void refuse_policy(const struct config_errors *errors)
{
	char all[8192] = "", text[ERROR_TEXT_MAX];
	size_t size = 0;
	for (size_t i = 0; i < config_errors_count(errors); i++) {
		error_text(config_errors_at(errors, i), text, sizeof(text));
		int more = snprintf(all + size, sizeof(all) - size, "%s\n", text);
		size += more > 0 && size + (size_t)more < sizeof(all) ? (size_t)more : 0;
	}
	putchar(1);
	putchar((int)(size >> 8));
	putchar((int)(size & 0xff));
	fwrite(all, 1, size, stdout);
}

static void load_policy(struct judge *judge)
{
	_cleanup_(config_putp) struct config *config = NULL;
	_cleanup_(config_errors_freep) struct config_errors *errors = NULL;
	struct filter *filter;
	struct error error;
	char path[TEXT_MAX];
	unsigned size = read_u16();
	require(size < sizeof(path), "path");
	read_bytes(path, size);
	path[size] = '\0';
	if (config_load_policy(path, &config, &errors) < 0) {
		refuse_policy(errors);
		return;
	}
	pass_flush(judge->worker);
	require(policy_compile(config->policy.model, time(NULL), &filter, &error) == 0, "compile");
	require(dataplane_set_filter(judge->dataplane, filter) == 0, "publish");
	putchar(0);
}

static void pass_time(struct judge *judge)
{
	uint64_t seconds = (uint64_t)read_u16() << 16;
	seconds |= read_u16();
	pass_flush(judge->worker);
	judge->worker->now_ms += seconds * 1000;
}

// The steps of tun/ingress.c and tun/egress.c.
static enum drop judge_packet(struct judge *judge, struct session *from, const uint8_t *packet,
			      size_t size, bool *ret_told)
{
	const struct routes *routes = dataplane_routes(judge->dataplane);
	struct inner inner;
	enum drop drop = inner_parse(packet, size, &inner);
	*ret_told = false;
	if (drop != DROP_NONE)
		return drop;
	if (from && route_lookup(routes, &inner.source) != from)
		return DROP_SOURCE;
	struct pass pass = {
		.from = from,
		.to = route_lookup(routes, &inner.destination),
		.inner = &inner,
		.packet = packet,
		.size = size,
		.packets = 1,
	};
	if (!from && !pass.to)
		return DROP_ROUTE;
	drop = pass_judge(judge->worker, &pass);
	*ret_told = drop == DROP_POLICY && pass.reject;
	return drop;
}

static void take_packet(struct judge *judge)
{
	uint8_t number, buffer[PACKET_MAX];
	bool told;
	read_bytes(&number, 1);
	unsigned size = read_u16();
	require(size <= sizeof(buffer), "a packet is too long");
	require(number == OUTSIDE || number < judge->session_count, "no such session");
	read_bytes(buffer, size);
	// A copy of its size, so that a sanitizer sees a step past the end.
	_cleanup_(freep) uint8_t *packet = malloc(size + !size);
	require(packet, "memory");
	memcpy(packet, buffer, size);
	struct session *from = number == OUTSIDE ? NULL : judge->sessions[number];
	enum drop drop = judge_packet(judge, from, packet, size, &told);
	putchar((int)((unsigned)drop | (told ? TOLD : 0)));
	if (++judge->packets % RUN == 0)
		pass_flush(judge->worker);
}

int main(int argc, char **argv)
{
	struct judge judge = {0};
	int record;
	require(argc == 2, "verdicts PEERS");
	begin(&judge, argv[1]);
	fflush(stdout);
	while ((record = getchar()) != EOF) {
		switch (record) {
		case 'R':
			load_policy(&judge);
			break;
		case 'T':
			pass_time(&judge);
			break;
		case 'P':
			take_packet(&judge);
			break;
		case 'F':
			fflush(stdout);
			break;
		default:
			require(false, "no such record");
		}
	}
	fflush(stdout);
	end(&judge);
	return 0;
}
