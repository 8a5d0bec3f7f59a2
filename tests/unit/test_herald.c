// SPDX-License-Identifier: Apache-2.0
// Nodes on one loop, with real channels between them, that tell each other of denials.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "pki/denial_signer.h"
#include "pki/denial_store.h"
#include "pki/trust.h"
#include "tun/connection.h"
#include "tun/herald.h"
#include "unit/context_fixture.h"
#include "unit/denial_fixture.h"
#include "unit/listen_fixture.h"

#define DENY_A	      "deny identity spiffe://corp.example/a 0 keyCompromise"
#define DENY_B	      "deny identity spiffe://corp.example/b 0 superseded"
#define DENY_C	      "deny identity spiffe://corp.example/c 0 superseded"
#define PATIENCE_MS   20000u
#define QUIET_MS      60u
#define MANY	      2000u
#define IDLE_PATIENCE 100000u

struct node;

// One end of a channel.
struct end {
	struct node *node;
	struct connection *connection;
	struct herald_line *line;
	bool open;
	unsigned denies; // that came
	int result;	 // of the last
};

struct node {
	struct denial_store *store;
	struct herald *herald;
	struct trust *trust;
};

static struct fixture *root, *issuing, *second, *foreign_root, *foreign;
static struct tls_context *server, *client;
static sd_event *event;

static int set_up(void **state)
{
	(void)state;
	root = fixture_root("root");
	issuing = fixture_intermediate(root, "issuing", FIXTURE_DOMAIN, 0);
	second = fixture_intermediate(root, "second", FIXTURE_DOMAIN, 0);
	foreign_root = fixture_root("foreign");
	foreign = fixture_intermediate(foreign_root, "foreign", FIXTURE_DOMAIN, 0);
	struct fixture *gateway = fixture_leaf(root, FIXTURE_GATEWAY);
	struct fixture *alice = fixture_leaf(root, FIXTURE_ALICE);
	server = fixture_context(TLS_SERVER, gateway, root);
	client = fixture_context(TLS_CLIENT, alice, root);
	fixture_free(gateway);
	fixture_free(alice);
	return server && client && sd_event_new(&event) >= 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	sd_event_unref(event);
	tls_context_put(server);
	tls_context_put(client);
	fixture_free(foreign);
	fixture_free(foreign_root);
	fixture_free(second);
	fixture_free(issuing);
	fixture_free(root);
	return 0;
}

// --- nodes and channels

static void on_changed(const char *domain, void *data)
{
	const struct node *node = data;
	assert_string_equal(domain, FIXTURE_DOMAIN);
	if (node->herald)
		herald_changed(node->herald);
}

static struct trust *trust_of(void *data)
{
	return ((struct node *)data)->trust;
}

static void node_start(struct node *node)
{
	struct herald_tools tools = {.event = event, .trust = trust_of, .data = node};
	*node = (struct node){.trust = fixture_trust(FIXTURE_DOMAIN, root)};
	node->store = denial_store_new(on_changed, node);
	tools.store = node->store;
	assert_int_equal(herald_new(&tools, &node->herald), 0);
}

static void node_stop(struct node *node)
{
	herald_free(node->herald);
	denial_store_free(node->store);
	trust_put(node->trust);
}

static void on_event(struct connection *connection, const struct channel_event *what, void *data)
{
	struct end *end = data;
	struct error error;
	(void)connection;
	if (what->type == CHANNEL_OPEN)
		end->open = true;
	if (what->type != CHANNEL_MESSAGE || what->message.type != MESSAGE_DENY)
		return;
	end->denies++;
	end->result = herald_line_heard(end->line, &what->message.deny, &error);
}

static void spin(void)
{
	assert_true(sd_event_run(event, 1000) >= 0);
}

// A channel between two nodes, both ends of which have said what they know. `speaks`: the second knows DENY.
static void join(struct node *a, struct node *b, struct end *near, struct end *far, bool speaks)
{
	struct message_denials said;
	struct endpoint endpoint;
	_cleanup_(closep) int listener = listen_here(&endpoint);
	*near = (struct end){.node = a};
	*far = (struct end){.node = b};
	assert_int_equal(connection_dial(event, &endpoint, 0, client, NULL, on_event, near,
					 &near->connection),
			 0);
	int fd = accept(listener, NULL, NULL);
	assert_int_equal(connection_accept(event, fd, server, on_event, far, &far->connection), 0);
	uint64_t until = clock_ms() + PATIENCE_MS;
	while ((!near->open || !far->open) && clock_ms() < until)
		spin();
	near->line = herald_line_new(a->herald, &near->connection, "near");
	far->line = herald_line_new(b->herald, &far->connection, "far");
	herald_say(a->herald, &said);
	herald_line_open(far->line, &said);
	herald_say(speaks ? b->herald : NULL, &said);
	herald_line_open(near->line, &said);
}

static void part(struct end *near, struct end *far)
{
	herald_line_free(near->line);
	herald_line_free(far->line);
	connection_free(near->connection);
	connection_free(far->connection);
}

static uint64_t known(const struct node *node)
{
	return denials_number(denial_store_find(node->store, FIXTURE_DOMAIN));
}

static void wait_known(const struct node *node, uint64_t number)
{
	uint64_t until = clock_ms() + PATIENCE_MS;
	while (known(node) != number && clock_ms() < until)
		spin();
	assert_int_equal(known(node), number);
}

static void wait_quiet(void)
{
	uint64_t until = clock_ms() + QUIET_MS;
	while (clock_ms() < until)
		sd_event_run(event, 1000);
}

// The node learns of more, from its CA.
static void learn(struct node *node, const char *const *words, size_t count,
		  const struct fixture *signer)
{
	_cleanup_(denials_putp) struct denials *list =
		fixture_denials(denial_store_find(node->store, FIXTURE_DOMAIN), FIXTURE_DOMAIN,
				words, count, signer);
	assert_int_equal(denial_store_put(node->store, list, "CA"), 0);
}

// --- tests

static void what_is_known_is_told(void **state)
{
	static const char *const first[] = {DENY_A, DENY_B};
	static const char *const then[] = {DENY_C};
	struct node a, b, c;
	struct end ab, ba, bc, cb;
	(void)state;
	node_start(&a);
	node_start(&b);
	node_start(&c);
	learn(&a, first, 2, issuing);
	join(&a, &b, &ab, &ba, true);
	wait_known(&b, 2);
	join(&b, &c, &bc, &cb, true);
	wait_known(&c, 2);
	// At once, from one to the next and back.
	learn(&a, then, 1, issuing);
	wait_known(&c, 3);
	learn(&c, first, 1, second);
	wait_known(&a, 4);
	wait_quiet();
	assert_int_equal(ba.result | ab.result | bc.result | cb.result, 0);
	// Nobody is told what he told.
	assert_int_equal(ba.denies, 2);
	assert_int_equal(ab.denies, 1);
	assert_string_equal(denial_store_at(c.store, 0)->source, "CA");
	assert_string_equal(denial_store_at(b.store, 0)->source, "near");
	part(&bc, &cb);
	part(&ab, &ba);
	node_stop(&c);
	node_stop(&b);
	node_stop(&a);
}

static void an_older_peer_is_left_alone(void **state)
{
	static const char *const words[] = {DENY_A};
	struct node a, b;
	struct end ab, ba;
	(void)state;
	node_start(&a);
	node_start(&b);
	learn(&a, words, 1, issuing);
	join(&a, &b, &ab, &ba, false);
	learn(&a, words, 1, issuing);
	wait_quiet();
	assert_int_equal(ba.denies, 0);
	part(&ab, &ba);
	node_stop(&b);
	node_stop(&a);
}

static void a_long_list_goes_in_pieces(void **state)
{
	struct node a, b;
	struct end ab, ba;
	(void)state;
	node_start(&a);
	node_start(&b);
	for (unsigned i = 0; i < MANY / 10; i++) {
		char text[10][96];
		const char *words[10];
		for (unsigned j = 0; j < 10; j++) {
			snprintf(text[j], sizeof(text[j]),
				 "deny identity spiffe://corp.example/laptop/%u 0 unspecified",
				 i * 10 + j);
			words[j] = text[j];
		}
		learn(&a, words, 10, issuing);
	}
	join(&a, &b, &ab, &ba, true);
	wait_known(&b, MANY);
	assert_true(ba.denies > 2);
	part(&ab, &ba);
	node_stop(&b);
	node_stop(&a);
}

static void deny(struct end *end, const struct denials *list, uint64_t from, int expected)
{
	const struct denial *last;
	struct message_deny message = {0};
	struct buffer text;
	struct error error = {0};
	buffer_init(&text, 1 << 16, false);
	assert_int_equal(denials_text(list, from, 1 << 15, &text, &last), 0);
	assert_int_equal(buffer_put(&text, "", 1), 0);
	strcpy(message.list.domain, FIXTURE_DOMAIN);
	message.entries = (char *)buffer_head(&text);
	message.signature = last->signature;
	message.signer = (char *)denial_signer_text(last->signer);
	assert_int_equal(herald_line_heard(end->line, &message, &error), expected);
	buffer_done(&text);
}

static void what_is_forged_changes_nothing(void **state)
{
	static const char *const ours[] = {DENY_A};
	static const char *const theirs[] = {DENY_B};
	struct node a, b;
	struct end ab, ba;
	struct error error;
	(void)state;
	node_start(&a);
	node_start(&b);
	learn(&b, ours, 1, issuing);
	join(&a, &b, &ab, &ba, true);
	wait_known(&a, 1);
	struct denials *mine = denial_store_find(b.store, FIXTURE_DOMAIN);
	// Signed by a CA that is not trusted here: that may be nobody's fault, a few times.
	_cleanup_(denials_putp) struct denials *strange =
		fixture_denials(mine, FIXTURE_DOMAIN, theirs, 1, foreign);
	for (unsigned i = 0; i < 3; i++)
		deny(&ba, strange, 1, 0);
	deny(&ba, strange, 1, -EPROTO);
	// A line that is none.
	struct message_deny message = {.list.domain = FIXTURE_DOMAIN,
				       .entries = "2 1 nothing\n",
				       .signature = "",
				       .signer = ""};
	assert_int_equal(herald_line_heard(ba.line, &message, &error), -EPROTO);
	// A whole list under a signature that is not its own.
	struct message_denials said = {.said = true};
	const struct denial *last = denials_last(mine);
	char line[128];
	herald_line_open(ba.line, &said);
	snprintf(line, sizeof(line), "1 %lld " DENY_C "\n", (long long)last->time);
	message.entries = line;
	message.signature = last->signature;
	message.signer = (char *)denial_signer_text(last->signer);
	assert_int_equal(herald_line_heard(ba.line, &message, &error), -EPROTO);
	assert_non_null(strstr(error.what, "signature"));
	// Of a domain that is not trusted here.
	strcpy(message.list.domain, "other.example");
	assert_int_equal(herald_line_heard(ba.line, &message, &error), 0);
	assert_int_equal(known(&b), 1);
	assert_ptr_equal(denial_store_find(b.store, FIXTURE_DOMAIN), mine);
	part(&ab, &ba);
	node_stop(&b);
	node_stop(&a);
}

// Two nodes with lists that go apart ask each other for all of it, find it out, and keep what they have.
static void of_two_histories_each_keeps_its_own(void **state)
{
	static const char *const common[] = {DENY_A};
	static const char *const ours[] = {DENY_B};
	static const char *const theirs[] = {DENY_C, DENY_B};
	struct node a, b;
	struct end ab, ba;
	(void)state;
	node_start(&a);
	node_start(&b);
	learn(&a, common, 1, issuing);
	denial_store_put(b.store, denial_store_find(a.store, FIXTURE_DOMAIN), "CA");
	learn(&a, ours, 1, issuing);
	learn(&b, theirs, 2, second);
	join(&a, &b, &ab, &ba, true);
	wait_quiet();
	assert_int_equal(known(&a), 2);
	assert_int_equal(known(&b), 3);
	assert_int_equal(ab.result | ba.result, 0);
	assert_int_equal(denial_store_at(a.store, 0)->problem.code, ENOTUNIQ);
	assert_true(ab.denies + ba.denies < 8);
	part(&ab, &ba);
	node_stop(&b);
	node_stop(&a);
}

// A gap, as when a channel lost its memory: what is missing is asked for.
static void what_is_missing_is_asked_for(void **state)
{
	static const char *const words[] = {DENY_A, DENY_B, DENY_C};
	struct node a, b;
	struct end ab, ba;
	(void)state;
	node_start(&a);
	node_start(&b);
	join(&a, &b, &ab, &ba, true);
	_cleanup_(denials_putp) struct denials *list =
		fixture_denials(NULL, FIXTURE_DOMAIN, words, 3, issuing);
	assert_int_equal(denial_store_put(a.store, list, "CA"), 0);
	deny(&ba, list, 2, 0);
	assert_int_equal(known(&b), 0);
	wait_known(&b, 3);
	part(&ab, &ba);
	node_stop(&b);
	node_stop(&a);
}

// Says the same until it is refused, which takes a while.
static void expect_refused_in_the_end(struct end *end, const struct message_deny *message)
{
	struct error error = {0};
	unsigned borne = 0;
	while (borne < IDLE_PATIENCE && herald_line_heard(end->line, message, &error) == 0)
		borne++;
	assert_in_range(borne, 100, IDLE_PATIENCE - 1);
	assert_int_equal(error.code, EPROTO);
	assert_non_null(strstr(error.what, "again and again"));
}

static void who_brings_nothing_is_not_heard_forever(void **state)
{
	static const char *const words[] = {DENY_A, DENY_B};
	struct message_deny message = {.list.domain = FIXTURE_DOMAIN};
	const struct denial *last;
	struct buffer text;
	struct node a, b;
	struct end ab, ba;
	(void)state;
	node_start(&a);
	node_start(&b);
	learn(&b, words, 2, issuing);
	join(&a, &b, &ab, &ba, true);
	wait_known(&a, 2);
	// Wants all of it, each time.
	expect_refused_in_the_end(&ba, &message);
	part(&ab, &ba);
	// Brings what is known.
	join(&a, &b, &ab, &ba, true);
	buffer_init(&text, 1 << 16, false);
	assert_int_equal(
		denials_text(denial_store_find(b.store, FIXTURE_DOMAIN), 0, 1 << 15, &text, &last),
		0);
	assert_int_equal(buffer_put(&text, "", 1), 0);
	message.entries = (char *)buffer_head(&text);
	message.signature = last->signature;
	message.signer = (char *)denial_signer_text(last->signer);
	expect_refused_in_the_end(&ba, &message);
	buffer_done(&text);
	part(&ab, &ba);
	node_stop(&b);
	node_stop(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_known_is_told),
		cmocka_unit_test(an_older_peer_is_left_alone),
		cmocka_unit_test(a_long_list_goes_in_pieces),
		cmocka_unit_test(what_is_forged_changes_nothing),
		cmocka_unit_test(of_two_histories_each_keeps_its_own),
		cmocka_unit_test(what_is_missing_is_asked_for),
		cmocka_unit_test(who_brings_nothing_is_not_heard_forever),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
