// SPDX-License-Identifier: Apache-2.0
// Issuers that take each other's place: what nodes believe at each step, whom a step would cut off, and every point at which the
// power may go.

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "pki/ca_rotate.h"
#include "pki/certificate.h"
#include "pki/journal.h"
#include "pki/pem.h"
#include "pki/readiness.h"
#include "unit/ca_fixture.h"

#define BOB "spiffe://corp.example/laptop/bob"

// --- the file system, which fails or ends the process at the call that is asked for (link option --wrap)

enum fault { FAULT_NONE, FAULT_CRASH, FAULT_ERROR };
static enum fault fault;
static unsigned calls, fault_at;

int __real_rename(const char *from, const char *to);
int __real_link(const char *from, const char *to);
int __real_unlink(const char *path);
int __wrap_rename(const char *from, const char *to);
int __wrap_link(const char *from, const char *to);
int __wrap_unlink(const char *path);
int __wrap_fsync(int fd);

static bool fails(void)
{
	if (fault == FAULT_NONE || ++calls != fault_at)
		return false;
	if (fault == FAULT_CRASH)
		_exit(9);
	errno = EIO;
	return true;
}

int __wrap_rename(const char *from, const char *to)
{
	return fails() ? -1 : __real_rename(from, to);
}

int __wrap_link(const char *from, const char *to)
{
	return fails() ? -1 : __real_link(from, to);
}

int __wrap_unlink(const char *path)
{
	return fails() ? -1 : __real_unlink(path);
}

// The power stays on.
int __wrap_fsync(int fd)
{
	(void)fd;
	return 0;
}

// --- words

typedef int (*step_function)(const char *directory, const struct ca_rotate_options *options,
			     struct error *error);

static int take_step(struct place *place, step_function step)
{
	struct ca_rotate_options options = {.who = "tester", .force = true};
	return step(place->ca, &options, &place->error);
}

// trust.crt of now, as a file of a node that has it.
static char *copy_trust(struct place *place, const char *name)
{
	char line[400];
	snprintf(line, sizeof(line), "cp %s/trust.crt %s/%s", place->ca, place->directory, name);
	assert_int_equal(system(line), 0);
	return in(place, name);
}

static void make_ca(struct place *place)
{
	expect_done(place, ca_init(place->ca, DOMAIN, &place->error));
	copy_trust(place, "old.crt");
}

static void issue_to(struct place *place, const char *identity, const char *name,
		     int64_t lifetime_s)
{
	_cleanup_(ca_closep) struct ca *ca = open_ca(place);
	expect_done(place, issue(place, ca, identity, name, lifetime_s));
}

static STACK_OF(X509) * certificates(struct place *place, const char *name)
{
	STACK_OF(X509) *stack = NULL;
	expect_done(place, pem_read_certificates(in(place, name), &stack, &place->error));
	return stack;
}

static int count_of(struct place *place, const char *name)
{
	STACK_OF(X509) *stack = certificates(place, name);
	int count = sk_X509_num(stack);
	sk_X509_pop_free(stack, X509_free);
	return count;
}

static const char *name_of(struct place *place, const char *name, char text[100])
{
	STACK_OF(X509) *stack = certificates(place, name);
	certificate_name(X509_get_subject_name(sk_X509_value(stack, 0)), text, 100);
	sk_X509_pop_free(stack, X509_free);
	return text;
}

static void expect_name(struct place *place, const char *name, const char *text)
{
	char found[100];
	assert_string_equal(name_of(place, name, found), text);
}

static struct rotation rotation_of(struct place *place)
{
	_cleanup_(ca_closep) struct ca *ca = open_ca(place);
	struct rotation rotation;
	expect_done(place, rotation_read(ca_journal(ca), &rotation, &place->error));
	return rotation;
}

// --- what signs leaves

static void test_issuing(void **state)
{
	struct place *place = *state;
	make_ca(place);
	issue_to(place, ALICE, "alice", DAY_S);
	expect_done(place, take_step(place, ca_rotate_issuing));
	issue_to(place, BOB, "bob", DAY_S);
	expect_name(place, "ca/issuing.crt", "CN=issuing CA 2,O=corp.example");
	expect_name(place, "ca/issuing.1.crt", "CN=issuing CA,O=corp.example");
	assert_int_equal(access(in(place, "ca/issuing.1.key"), F_OK), 0);
	assert_int_equal(access(in(place, "ca/issuing.next.key"), F_OK), -1);
	assert_int_equal(count_of(place, "ca/trust.crt"), 1);
	expect_done(place, judge(place, in(place, "old.crt"), "alice"));
	expect_done(place, judge(place, in(place, "old.crt"), "bob"));
	expect_done(place, take_step(place, ca_rotate_issuing));
	expect_name(place, "ca/issuing.crt", "CN=issuing CA 3,O=corp.example");
	expect_name(place, "ca/issuing.2.crt", "CN=issuing CA 2,O=corp.example");
	assert_int_equal(rotation_of(place).step, ROTATION_NONE);
}

static void test_root_key_elsewhere(void **state)
{
	struct place *place = *state;
	struct ca_rotate_options options = {.root_key_path = in(place, "ca/issuing.key")};
	make_ca(place);
	assert_int_equal(rename(in(place, "ca/root.key"), in(place, "safe.key")), 0);
	assert_int_equal(take_step(place, ca_rotate_issuing), -ENOENT);
	assert_non_null(strstr(place->error.remedy, "--root-key"));
	assert_int_equal(take_step(place, ca_rotate_prepare), -ENOENT);
	assert_int_equal(ca_rotate_issuing(place->ca, &options, &place->error), -EKEYREJECTED);
	expect_what(&place->error, "not the key of the root");
	expect_name(place, "ca/issuing.crt", "CN=issuing CA,O=corp.example");
	options.root_key_path = in(place, "safe.key");
	expect_done(place, ca_rotate_issuing(place->ca, &options, &place->error));
	expect_name(place, "ca/issuing.crt", "CN=issuing CA 2,O=corp.example");
	assert_int_equal(access(in(place, "ca/root.key"), F_OK), -1);
}

// The kinds of the keys follow those before, unless another is asked for.
static void test_kinds(void **state)
{
	struct place *place = *state;
	struct ca_options made = {.domain = DOMAIN, .key = PROFILE_P384};
	struct ca_rotate_options options = {.has_key = true, .key = PROFILE_ED25519};
	expect_done(place, ca_make(place->ca, &made, &place->error));
	expect_done(place, take_step(place, ca_rotate_issuing));
	_cleanup_(ca_closep) struct ca *ca = open_ca(place);
	assert_int_equal(EVP_PKEY_get_bits(ca_key(ca)), 384);
	expect_done(place, ca_rotate_issuing(place->ca, &options, &place->error));
	_cleanup_(ca_closep) struct ca *later = open_ca(place);
	assert_true(EVP_PKEY_is_a(ca_key(later), "ED25519"));
	expect_done(place, issue(place, later, ALICE, "alice", DAY_S));
	expect_done(place, judge(place, in(place, "ca/trust.crt"), "alice"));
}

static void test_encrypted_stays_encrypted(void **state)
{
	struct place *place = *state;
	expect_done(place, file_write(in(place, "secret"), "swordfish", 9, 0600));
	struct ca_options made = {.domain = DOMAIN, .passphrase_path = in(place, "secret")};
	struct ca_rotate_options options = {.passphrase_path = in(place, "secret")};
	expect_done(place, ca_make(place->ca, &made, &place->error));
	assert_int_equal(take_step(place, ca_rotate_issuing), -ENOKEY);
	assert_non_null(strstr(place->error.remedy, "--passphrase-file"));
	expect_done(place, ca_rotate_issuing(place->ca, &options, &place->error));
	expect_done(place, ca_rotate_prepare(place->ca, &options, &place->error));
	static const char *const keys[] = {"ca/issuing.key", "ca/root.next.key"};
	for (size_t i = 0; i < 2; i++) {
		EVP_PKEY *key = NULL;
		assert_int_equal(pem_read_key(in(place, keys[i]), &key, &place->error), -ENOKEY);
	}
	_cleanup_(ca_closep) struct ca *ca = open_ca(place);
	expect_done(place, ca_unlock(ca, in(place, "secret"), &place->error));
	expect_done(place, issue(place, ca, ALICE, "alice", DAY_S));
}

// A key at a URI follows a key in a file, and a file a URI.
static void test_uris(void **state)
{
	struct place *place = *state;
	char uri[160];
	struct ca_rotate_options options = {.issuing_uri = uri};
	EVP_PKEY *key = NULL;
	make_ca(place);
	expect_done(place, profile_key(&key, &place->error));
	expect_done(place, pem_write_key(in(place, "token.key"), key, &place->error));
	EVP_PKEY_free(key);
	snprintf(uri, sizeof(uri), "file:%s/token.key", place->directory);
	expect_done(place, ca_rotate_issuing(place->ca, &options, &place->error));
	assert_int_equal(access(in(place, "ca/issuing.key"), F_OK), -1);
	assert_int_equal(access(in(place, "ca/issuing.1.key"), F_OK), 0);
	issue_to(place, ALICE, "alice", DAY_S);
	expect_done(place, judge(place, in(place, "old.crt"), "alice"));
	assert_int_equal(ca_rotate_issuing(place->ca, &options, &place->error), -EINVAL);
	expect_what(&place->error, "in use");
	assert_int_equal(take_step(place, ca_rotate_issuing), -EINVAL);
	assert_non_null(strstr(place->error.remedy, "--issuing-key-uri"));
	options = (struct ca_rotate_options){.has_key = true};
	expect_done(place, ca_rotate_issuing(place->ca, &options, &place->error));
	assert_int_equal(access(in(place, "ca/issuing.uri"), F_OK), -1);
	assert_int_equal(access(in(place, "ca/issuing.2.uri"), F_OK), 0);
	issue_to(place, BOB, "bob", DAY_S);
}

// --- the root

struct told {
	char text[2000];
};

static void tell(const char *identity, const char *why, void *data)
{
	struct told *told = data;
	size_t at = strlen(told->text);
	snprintf(told->text + at, sizeof(told->text) - at, "%s %s\n", identity, why);
}

static void hear(struct place *place, struct readiness *readiness, const char *identity,
		 const char *bundle, time_t seen)
{
	STACK_OF(X509) *stack = certificates(place, bundle);
	char text[4][ROTATION_HASH_TEXT];
	const char *anchors[4];
	for (int i = 0; i < sk_X509_num(stack); i++)
		anchors[i] = rotation_hash(sk_X509_value(stack, i), text[i]);
	assert_int_equal(
		readiness_add(readiness, identity, anchors, (size_t)sk_X509_num(stack), seen), 0);
	sk_X509_pop_free(stack, X509_free);
}

// A step that strands exactly these.
static void expect_strands(struct place *place, step_function step, struct readiness *readiness,
			   const char *whom)
{
	struct told told = {""};
	struct ca_rotate_options options = {
		.readiness = readiness, .stranded = tell, .data = &told};
	int r = step(place->ca, &options, &place->error);
	if (r != (*whom ? -ENOTEMPTY : 0) || strcmp(told.text, whom) != 0)
		fail_msg("%d, and these are stranded:\n%snot:\n%s", r, told.text, whom);
}

static void test_whole_roll_over(void **state)
{
	struct place *place = *state;
	_cleanup_(readiness_freep) struct readiness *readiness = readiness_new();
	time_t now = clock_wall();
	clock_set_wall(now);
	make_ca(place);
	issue_to(place, ALICE, "alice", 3600);
	issue_to(place, BOB, "bob", 7200);

	expect_done(place, take_step(place, ca_rotate_prepare));
	assert_int_equal(count_of(place, "ca/trust.crt"), 2);
	expect_name(place, "ca/issuing.crt", "CN=issuing CA,O=corp.example");
	copy_trust(place, "both.crt");

	// Nobody is cut off: not who was never heard, nor who has only the old root.
	hear(place, readiness, ALICE, "old.crt", now - 60);
	expect_strands(place, ca_rotate_activate, readiness,
		       ALICE " did not trust the new root when it was heard 1 min ago\n" BOB
			     " was never heard to say what it trusts\n");
	hear(place, readiness, ALICE, "both.crt", now - 1);
	hear(place, readiness, BOB, "both.crt", now - 1);
	hear(place, readiness, BOB, "old.crt", now - 5); // of another gateway, older
	assert_int_equal(rotation_of(place).step, ROTATION_PREPARED);
	expect_strands(place, ca_rotate_activate, readiness, "");
	assert_int_equal(rotation_of(place).step, ROTATION_ACTIVATED);
	expect_name(place, "ca/issuing.crt", "CN=issuing CA 2,O=corp.example");
	expect_name(place, "ca/root.crt", "CN=root CA 2,O=corp.example");
	expect_name(place, "ca/root.1.crt", "CN=root CA,O=corp.example");
	assert_int_equal(access(in(place, "ca/root.1.key"), F_OK), 0);

	// A new leaf is believed by all; an old one by who has the old root.
	issue_to(place, ALICE, "alice2", 7000);
	assert_int_equal(count_of(place, "alice2.crt"), 3);
	expect_done(place, judge(place, in(place, "old.crt"), "alice2"));
	expect_done(place, judge(place, in(place, "both.crt"), "alice2"));
	expect_done(place, judge(place, in(place, "both.crt"), "alice"));
	STACK_OF(X509) *roots = certificates(place, "ca/root.crt");
	expect_done(place, pem_write_certificate(in(place, "new.crt"), sk_X509_value(roots, 0),
						 NULL, &place->error));
	sk_X509_pop_free(roots, X509_free);
	expect_done(place, judge(place, in(place, "new.crt"), "alice2"));
	assert_int_equal(judge(place, in(place, "new.crt"), "alice"), -EACCES);

	expect_strands(place, ca_rotate_finish, readiness,
		       ALICE " its certificate below the old root is valid for 1 h\n" BOB
			     " its certificate below the old root is valid for 2 h\n");
	issue_to(place, BOB, "bob2", 30000);
	clock_set_wall(now + 3601);
	expect_strands(place, ca_rotate_finish, readiness,
		       BOB " its certificate below the old root is valid for 59 min\n");
	// Heard again, he has put the new one into use.
	hear(place, readiness, BOB, "both.crt", now + 3600);
	// What signs leaves may be replaced meanwhile, and its leaves are new ones as well.
	expect_done(place, take_step(place, ca_rotate_issuing));
	issue_to(place, ALICE, "alice3", 3600);
	assert_int_equal(count_of(place, "alice3.crt"), 3);
	expect_done(place, judge(place, in(place, "old.crt"), "alice3"));
	expect_strands(place, ca_rotate_finish, readiness, "");

	assert_int_equal(count_of(place, "ca/trust.crt"), 1);
	expect_name(place, "ca/trust.crt", "CN=root CA 2,O=corp.example");
	issue_to(place, ALICE, "alice4", 3600);
	assert_int_equal(count_of(place, "alice4.crt"), 2);
	expect_done(place, judge(place, in(place, "ca/trust.crt"), "alice4"));
	expect_done(place, judge(place, in(place, "ca/trust.crt"), "bob2"));
	assert_int_equal(judge(place, in(place, "old.crt"), "alice4"), -EACCES);

	// And once more.
	expect_done(place, take_step(place, ca_rotate_prepare));
	expect_done(place, take_step(place, ca_rotate_activate));
	expect_name(place, "ca/root.crt", "CN=root CA 3,O=corp.example");
	expect_name(place, "ca/root.2.crt", "CN=root CA 2,O=corp.example");
}

static void expect_refused(struct place *place, step_function step, const char *what)
{
	assert_int_equal(take_step(place, step), -EPERM);
	expect_what(&place->error, what);
	assert_true(place->error.remedy[0]);
}

static void test_order(void **state)
{
	struct place *place = *state;
	make_ca(place);
	expect_refused(place, ca_rotate_activate, "not begun");
	expect_refused(place, ca_rotate_finish, "not begun");
	expect_refused(place, ca_rotate_abort, "not begun");
	expect_done(place, take_step(place, ca_rotate_prepare));
	struct rotation first = rotation_of(place);
	expect_done(place, take_step(place, ca_rotate_prepare)); // goes on, and finds all done
	assert_string_equal(rotation_of(place).new, first.new);
	assert_string_equal(first.who, "tester");
	expect_refused(place, ca_rotate_finish, "prepared");
	expect_done(place, take_step(place, ca_rotate_abort));
	assert_int_equal(count_of(place, "ca/trust.crt"), 1);
	assert_int_equal(access(in(place, "ca/root.next.key"), F_OK), -1);
	assert_int_equal(access(in(place, "ca/root.next.crt"), F_OK), -1);
	expect_done(place, take_step(place, ca_rotate_abort));
	expect_refused(place, ca_rotate_activate, "aborted");
	expect_done(place, take_step(place, ca_rotate_prepare));
	assert_string_not_equal(rotation_of(place).new, first.new);
	expect_done(place, take_step(place, ca_rotate_activate));
	expect_refused(place, ca_rotate_prepare, "activated");
	expect_refused(place, ca_rotate_abort, "activated");
	expect_done(place, take_step(place, ca_rotate_finish));
	expect_done(place, take_step(place, ca_rotate_finish));
	expect_refused(place, ca_rotate_abort, "finished");
}

// A prepared root that is lost can still be given up.
static void test_abort_of_a_loss(void **state)
{
	struct place *place = *state;
	make_ca(place);
	expect_done(place, take_step(place, ca_rotate_prepare));
	assert_int_equal(unlink(in(place, "ca/root.next.crt")), 0);
	assert_int_equal(take_step(place, ca_rotate_activate), -ENOENT);
	assert_non_null(strstr(place->error.remedy, "abort"));
	expect_done(place, take_step(place, ca_rotate_abort));
	assert_int_equal(count_of(place, "ca/trust.crt"), 1);
	issue_to(place, ALICE, "alice", 3600);
}

// The new root's key is away between the steps, and the old one's, too.
static void test_keys_away(void **state)
{
	struct place *place = *state;
	struct ca_rotate_options options = {.force = true};
	make_ca(place);
	assert_int_equal(rename(in(place, "ca/root.key"), in(place, "old.key")), 0);
	options.root_key_path = in(place, "old.key");
	expect_done(place, ca_rotate_prepare(place->ca, &options, &place->error));
	assert_int_equal(rename(in(place, "ca/root.next.key"), in(place, "new.key")), 0);
	assert_int_equal(take_step(place, ca_rotate_activate), -ENOENT);
	options.root_key_path = in(place, "old.key");
	assert_int_equal(ca_rotate_activate(place->ca, &options, &place->error), -EKEYREJECTED);
	options.root_key_path = in(place, "new.key");
	expect_done(place, ca_rotate_activate(place->ca, &options, &place->error));
	options.root_key_path = in(place, "new.key");
	expect_done(place, ca_rotate_issuing(place->ca, &options, &place->error));
	expect_done(place, take_step(place, ca_rotate_finish));
	issue_to(place, ALICE, "alice", 3600);
	expect_done(place, judge(place, in(place, "ca/trust.crt"), "alice"));
	assert_int_equal(access(in(place, "ca/root.key"), F_OK), -1);
}

static void test_alone(void **state)
{
	struct place *place = *state;
	make_ca(place);
	_cleanup_(closep) int fd = open(place->ca, O_RDONLY | O_DIRECTORY);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(take_step(place, ca_rotate_prepare), -EBUSY);
	assert_int_equal(flock(fd, LOCK_UN), 0);
	expect_done(place, take_step(place, ca_rotate_prepare));
}

// What else the operator put into trust.crt stays there.
static void test_foreign_trust(void **state)
{
	struct place *place = *state;
	_cleanup_(fixture_freep) struct fixture *other = fixture_root("other");
	make_ca(place);
	STACK_OF(X509) *stack = certificates(place, "ca/trust.crt");
	X509_up_ref(other->certificate);
	sk_X509_push(stack, other->certificate);
	expect_done(place, pem_write_certificates(in(place, "ca/trust.crt"), stack, &place->error));
	sk_X509_pop_free(stack, X509_free);
	expect_done(place, take_step(place, ca_rotate_prepare));
	assert_int_equal(count_of(place, "ca/trust.crt"), 3);
	expect_done(place, take_step(place, ca_rotate_activate));
	expect_done(place, take_step(place, ca_rotate_finish));
	assert_int_equal(count_of(place, "ca/trust.crt"), 2);
	expect_name(place, "ca/trust.crt", "CN=other");
}

// --- interruptions

static void copy_ca(struct place *place, const char *from, const char *to)
{
	char line[500];
	snprintf(line, sizeof(line), "rm -rf %s/%s && cp -a %s/%s %s/%s", place->directory, to,
		 place->directory, from, place->directory, to);
	assert_int_equal(system(line), 0);
}

static void expect_works(struct place *place, const char *when, unsigned at)
{
	struct ca *ca = NULL;
	char text[ERROR_TEXT_MAX];
	int r = ca_open(place->ca, &ca, &place->error);
	if (r == 0)
		r = issue(place, ca, ALICE, "alice", 3600);
	ca_close(ca);
	if (r == 0)
		r = judge(place, in(place, "ca/trust.crt"), "alice");
	if (r < 0)
		fail_msg("%s, call %u: %s", when, at,
			 error_text(&place->error, text, sizeof(text)));
}

// Returns whether the step came to its end before the call at which it was to be interrupted.
static bool interrupt(struct place *place, step_function step, enum fault how, unsigned at)
{
	int status = 0;
	if (how == FAULT_ERROR) {
		calls = 0;
		fault_at = at;
		fault = how;
		int r = take_step(place, step);
		fault = FAULT_NONE;
		assert_true(r == 0 || calls >= at);
		return calls < at;
	}
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		calls = 0;
		fault_at = at;
		fault = how;
		_exit(take_step(place, step) == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 9);
	return WEXITSTATUS(status) == 0;
}

// Whether anything is left over from a step.
static void expect_settled(struct place *place, bool prepared)
{
	assert_int_equal(access(in(place, "ca/issuing.next.crt"), F_OK), -1);
	assert_int_equal(access(in(place, "ca/issuing.next.key"), F_OK), -1);
	assert_int_equal(access(in(place, "ca/root.next.crt"), F_OK), prepared ? 0 : -1);
	assert_int_equal(access(in(place, "ca/root.next.key"), F_OK), prepared ? 0 : -1);
}

static void test_interrupted_anywhere(void **state)
{
	static const struct {
		step_function step;
		const char *name;
		enum rotation_step after;
		int trusted;
	} steps[] = {
		{ca_rotate_issuing, "issuing", ROTATION_NONE, 1},
		{ca_rotate_prepare, "prepare", ROTATION_PREPARED, 2},
		{ca_rotate_abort, "abort", ROTATION_ABORTED, 1},
		{ca_rotate_prepare, "prepare again", ROTATION_PREPARED, 2},
		{ca_rotate_activate, "activate", ROTATION_ACTIVATED, 2},
		{ca_rotate_issuing, "issuing in between", ROTATION_ACTIVATED, 2},
		{ca_rotate_finish, "finish", ROTATION_FINISHED, 1},
	};
	struct place *place = *state;
	unsigned points = 0;
	make_ca(place);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		copy_ca(place, "ca", "before");
		bool done[] = {false, false};
		for (unsigned at = 1; !done[0] || !done[1]; at++)
			for (int how = FAULT_CRASH; how <= FAULT_ERROR; how++) {
				copy_ca(place, "before", "ca");
				done[how - 1] =
					interrupt(place, steps[i].step, (enum fault)how, at);
				points++;
				expect_works(place, steps[i].name, at);
				expect_done(place, take_step(place, steps[i].step));
				expect_works(place, steps[i].name, at);
				expect_settled(place, steps[i].after == ROTATION_PREPARED);
				assert_int_equal(rotation_of(place).step, steps[i].after);
				assert_int_equal(count_of(place, "ca/trust.crt"), steps[i].trusted);
			}
	}
	print_message("%u interruptions\n", points);
	fixture_directory_free(strdup(in(place, "before")));
}

#define test(function) cmocka_unit_test_setup_teardown(function, place_setup, place_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_issuing),	  test(test_root_key_elsewhere),
		test(test_kinds),	  test(test_encrypted_stays_encrypted),
		test(test_uris),	  test(test_whole_roll_over),
		test(test_order),	  test(test_abort_of_a_loss),
		test(test_keys_away),	  test(test_alone),
		test(test_foreign_trust), test(test_interrupted_anywhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
