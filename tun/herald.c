// SPDX-License-Identifier: Apache-2.0
// Of each peer it is known how far it knows each list. A long list goes in pieces, the next when the peer has said that it took the
// one before.

#include "tun/herald.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/slices.h"
#include "pki/denial_signer.h"
#include "pki/denial_store.h"
#include "pki/denials.h"
#include "pki/trust.h"
#include "tun/connection.h"

#define FAULTS_MAX 3u // lists of one channel whose signer is not known here
// Messages of one peer that bring nothing and cost us all the same: at once, and in each second.
#define IDLE_BURST 200u
#define IDLE_RATE  20u

struct herald {
	struct herald_tools tools;
	sd_event_source *source;
	struct herald_line **lines;
	size_t count, capacity;
	size_t cursor; // lines before it are still to be told
};

struct herald_line {
	struct herald *herald;
	size_t place;
	struct connection *const *channel;
	char *name;
	const struct connection
		*spoken; // what was said, was said there; NULL: the peer does not speak DENY
	unsigned faults;
	unsigned idle; // messages that may still bring nothing, as of `idle_ms`
	uint64_t idle_ms;
	struct {
		uint64_t number; // how far the peer knows the list of this place in the store
		uint64_t said;	 // how far it said so itself
		uint64_t have;	 // how long our own was when it last brought nothing
		bool waits;	 // for its word, before it gets more
		bool asked;	 // it was asked for all of its own
	} known[DENIAL_STORE_MAX];
};

// --- out

static void state_of(const struct denials *denials, struct message_list *ret)
{
	const char *domain = denials_domain(denials);
	*ret = (struct message_list){.number = denials_number(denials)};
	memcpy(ret->domain, domain, strlen(domain) + 1);
	memcpy(ret->head, denials_last(denials)->hash, sizeof(ret->head));
}

void herald_say(const struct herald *herald, struct message_denials *ret)
{
	const struct denial_entry *entry;
	ret->count = 0;
	ret->said = herald != NULL;
	for (size_t i = 0; herald && (entry = denial_store_at(herald->tools.store, i)); i++)
		state_of(entry->denials, &ret->lists[ret->count++]);
}

static bool may_speak(const struct herald_line *line)
{
	return *line->channel && *line->channel == line->spoken;
}

// What this node has, or that it wants everything (`from_start`).
static void send_state(const struct herald_line *line, const char *domain, bool from_start)
{
	const struct denials *own = denial_store_find(line->herald->tools.store, domain);
	struct message message = {.type = MESSAGE_DENY};
	if (!may_speak(line))
		return;
	memcpy(message.deny.list.domain, domain, strlen(domain) + 1);
	if (own && !from_start)
		state_of(own, &message.deny.list);
	connection_send(*line->channel, &message);
}

// A piece of what the peer lacks.
static void send_entries(struct herald_line *line, size_t place)
{
	const struct denials *denials = denial_store_at(line->herald->tools.store, place)->denials;
	const struct denial *last;
	struct message message = {.type = MESSAGE_DENY};
	struct buffer text;
	buffer_init(&text, MESSAGE_DENY_MAX + DENIAL_TEXT_MAX + 1, false);
	int r = denials_text(denials, line->known[place].number, MESSAGE_DENY_MAX, &text, &last);
	if (r == 0)
		r = buffer_put(&text, "", 1);
	if (r == 0) {
		state_of(denials, &message.deny.list);
		message.deny.entries = (char *)buffer_head(&text);
		message.deny.signature = last->signature;
		message.deny.signer = (char *)denial_signer_text(last->signer);
		message.deny.more = last->number < denials_number(denials);
		r = connection_send(*line->channel, &message);
	}
	if (r == 0) {
		line->known[place].number = last->number;
		line->known[place].waits = message.deny.more;
	}
	buffer_done(&text);
}

static void tell(struct herald_line *line)
{
	const struct denial_entry *entry;
	if (!may_speak(line))
		return;
	for (size_t i = 0; (entry = denial_store_at(line->herald->tools.store, i)); i++)
		if (!line->known[i].waits && line->known[i].number < denials_number(entry->denials))
			send_entries(line, i);
}

static int on_slice(sd_event_source *source, uint64_t usec, void *data)
{
	struct herald *herald = data;
	uint64_t until = clock_ns() + SLICES_NS;
	(void)usec;
	while (herald->cursor > 0 && clock_ns() < until)
		tell(herald->lines[--herald->cursor]);
	if (herald->cursor > 0)
		slices_go_on(source);
	return 0;
}

void herald_changed(struct herald *herald)
{
	herald->cursor = herald->count;
	slices_go_on(herald->source);
}

// --- in

// The place in the store; DENIAL_STORE_MAX: there is none.
static size_t place_of(const struct herald_line *line, const char *domain)
{
	const struct denial_entry *entry;
	for (size_t i = 0; (entry = denial_store_at(line->herald->tools.store, i)); i++)
		if (strcmp(denials_domain(entry->denials), domain) == 0)
			return i;
	return DENIAL_STORE_MAX;
}

// What the peer says it has: all that follows is new to it, or, where it has something else, everything is.
static void note_state(struct herald_line *line, size_t place, const struct message_list *state)
{
	const struct denials *own = denial_store_at(line->herald->tools.store, place)->denials;
	const struct denial *same = denials_at(own, state->number);
	bool ahead = state->number > denials_number(own);
	bool fits = same && memcmp(same->hash, state->head, DENIAL_HASH_SIZE) == 0;
	line->known[place].number = ahead || fits ? state->number : 0;
	line->known[place].said = state->number;
	line->known[place].waits = false;
}

void herald_line_open(struct herald_line *line, const struct message_denials *said)
{
	if (!line)
		return;
	memset(line->known, 0, sizeof(line->known));
	line->faults = 0;
	line->spoken = said->said ? *line->channel : NULL;
	for (unsigned i = 0; i < said->count; i++) {
		size_t place = place_of(line, said->lists[i].domain);
		if (place < DENIAL_STORE_MAX)
			note_state(line, place, &said->lists[i]);
	}
	tell(line);
}

static void entries_done(struct denial **entries, size_t count)
{
	for (size_t i = 0; i < count; i++)
		denial_put(entries[i]);
	free(entries);
}

// The lines as entries; the last is signed. -EPROTO.
static int read_entries(const struct message_deny *deny, struct denial ***ret, size_t *ret_count,
			struct error *error)
{
	struct denial **entries = calloc(MESSAGE_ENTRIES_MAX, sizeof(struct denial *));
	size_t count = 0;
	int r = entries ? 0 : -ENOMEM;
	for (const char *at = deny->entries; r == 0 && *at; at += strcspn(at, "\n") + 1) {
		r = count < MESSAGE_ENTRIES_MAX
			    ? denial_parse(at, strcspn(at, "\n"), &entries[count], error)
			    : -E2BIG;
		count += r == 0;
	}
	if (r == 0 && count == 0)
		r = -EINVAL;
	if (r == 0) {
		struct denial *last = entries[count - 1];
		last->signature = strdup(deny->signature);
		last->signer = denial_signer_new(deny->signer, strlen(deny->signer));
		r = last->signature && last->signer ? 0 : -ENOMEM;
	}
	if (r < 0) {
		entries_done(entries, count);
		return r == -ENOMEM ? r : -EPROTO;
	}
	*ret = entries;
	*ret_count = count;
	return 0;
}

// The list of the peer does not follow ours. Only all of it can tell which of the two to believe: it is asked for that once.
static int settle_fork(struct herald_line *line, size_t place, const char *domain, uint64_t first,
		       int r, struct error *error)
{
	char text[ERROR_TEXT_MAX];
	if (first > 1 && place < DENIAL_STORE_MAX && !line->known[place].asked) {
		line->known[place].asked = true;
		send_state(line, domain, true);
		return 0;
	}
	if (first == 1 && r == -EKEYREJECTED)
		return -EPROTO;
	denial_store_fault(line->herald->tools.store, domain, error);
	log_limited(LOG_LEVEL_ERROR, "%s: %s", line->name, error_text(error, text, sizeof(text)));
	return 0;
}

// The peer may trust a CA certificate that we do not: that is nobody's fault, a few times.
static int leave_aside(struct herald_line *line, const struct error *error)
{
	char text[ERROR_TEXT_MAX];
	log_limited(LOG_LEVEL_WARNING, "denials from %s are not taken: %s", line->name,
		    error_text(error, text, sizeof(text)));
	return ++line->faults > FAULTS_MAX ? -EPROTO : 0;
}

static int refuse(struct herald_line *line, const char *domain, uint64_t first, int r,
		  struct error *error)
{
	size_t place = place_of(line, domain);
	switch (-r) {
	case ENOENT:
		send_state(line, domain, false);
		return 0;
	case EKEYREJECTED:
	case ENOTUNIQ:
		return settle_fork(line, place, domain, first, r, error);
	case EACCES:
		return leave_aside(line, error);
	case ENOMEM:
		return 0;
	default:
		return -EPROTO;
	}
}

// A message that brought nothing. -EPROTO: there were too many of them. Not counted as long as the list grows: two peers may tell
// the same at once.
static int count_idle(struct herald_line *line, const char *domain, struct error *error)
{
	size_t place = place_of(line, domain);
	uint64_t have = denials_number(denial_store_find(line->herald->tools.store, domain));
	if (place < DENIAL_STORE_MAX && have > line->known[place].have) {
		line->known[place].have = have;
		return 0;
	}
	uint64_t now = clock_ms(), more = (now - line->idle_ms) * IDLE_RATE / 1000;
	if (more > 0) {
		line->idle_ms = now;
		line->idle =
			more < IDLE_BURST - line->idle ? line->idle + (unsigned)more : IDLE_BURST;
	}
	if (line->idle == 0)
		return error_set(error, EPROTO, "the same denials come again and again");
	line->idle--;
	return 0;
}

static int take_entries(struct herald_line *line, const struct message_deny *deny,
			struct denial **entries, size_t count, struct error *error)
{
	const struct herald_tools *tools = &line->herald->tools;
	_cleanup_(denials_putp) struct denials *denials = NULL;
	const char *domain = deny->list.domain;
	uint64_t last = entries[count - 1]->number;
	int r = denials_add(denial_store_find(tools->store, domain), domain, entries, count,
			    tools->trust(tools->data), &denials, error);
	if (r < 0 && count_idle(line, domain, error) < 0)
		return -EPROTO;
	if (r < 0 && r != -ESTALE && r != -ERANGE)
		return refuse(line, domain, entries[0]->number, r, error);
	if (r == 0) {
		log_info("denials of %s: %llu are known, from %s", domain,
			 (unsigned long long)denials_number(denials), line->name);
		if (denial_store_put(tools->store, denials, line->name) < 0)
			return 0;
	}
	size_t place = place_of(line, domain);
	if (place < DENIAL_STORE_MAX && line->known[place].number < last)
		line->known[place].number = last;
	if (deny->more)
		send_state(line, domain, false);
	return 0;
}

// Who says that it has no more than before gets the same again.
static int hear_state(struct herald_line *line, const struct message_list *state,
		      struct error *error)
{
	size_t place = place_of(line, state->domain);
	if (place == DENIAL_STORE_MAX)
		return 0;
	if (state->number <= line->known[place].said && count_idle(line, state->domain, error) < 0)
		return -EPROTO;
	note_state(line, place, state);
	tell(line);
	return 0;
}

int herald_line_heard(struct herald_line *line, const struct message_deny *deny,
		      struct error *error)
{
	const char *domain = deny->list.domain;
	struct denial **entries;
	size_t count;
	if (!line || !trust_store(line->herald->tools.trust(line->herald->tools.data), domain,
				  strlen(domain)))
		return 0;
	if (!deny->entries)
		return hear_state(line, &deny->list, error);
	int r = read_entries(deny, &entries, &count, error);
	if (r < 0)
		return r == -ENOMEM ? 0 : r;
	r = take_entries(line, deny, entries, count, error);
	entries_done(entries, count);
	return r;
}

// --- life

int herald_new(const struct herald_tools *tools, struct herald **ret)
{
	_cleanup_(herald_freep) struct herald *herald = calloc(1, sizeof(*herald));
	if (!herald)
		return -ENOMEM;
	herald->tools = *tools;
	int r = slices_new(tools->event, on_slice, herald, &herald->source);
	if (r < 0)
		return r;
	*ret = take(herald);
	return 0;
}

struct herald *herald_free(struct herald *herald)
{
	if (!herald)
		return NULL;
	sd_event_source_disable_unref(herald->source);
	free(herald->lines);
	free(herald);
	return NULL;
}

static int add_line(struct herald *herald, struct herald_line *line)
{
	if (herald->count == herald->capacity) {
		size_t capacity = herald->capacity ? herald->capacity * 2 : 64;
		struct herald_line **lines =
			reallocarray(herald->lines, capacity, sizeof(struct herald_line *));
		if (!lines)
			return -ENOMEM;
		herald->lines = lines;
		herald->capacity = capacity;
	}
	line->place = herald->count;
	herald->lines[herald->count++] = line;
	return 0;
}

struct herald_line *herald_line_new(struct herald *herald, struct connection *const *channel,
				    const char *name)
{
	struct herald_line *line = herald ? calloc(1, sizeof(*line)) : NULL;
	if (!line)
		return NULL;
	line->herald = herald;
	line->channel = channel;
	line->idle = IDLE_BURST;
	line->idle_ms = clock_ms();
	line->name = strdup(name);
	if (line->name && add_line(herald, line) == 0)
		return line;
	free(line->name);
	free(line);
	return NULL;
}

// The last line takes the place, and may be told twice: nothing is sent then.
struct herald_line *herald_line_free(struct herald_line *line)
{
	if (!line)
		return NULL;
	struct herald *herald = line->herald;
	struct herald_line *last = herald->lines[--herald->count];
	herald->lines[line->place] = last;
	last->place = line->place;
	if (herald->cursor > herald->count)
		herald->cursor = herald->count;
	free(line->name);
	free(line);
	return NULL;
}
