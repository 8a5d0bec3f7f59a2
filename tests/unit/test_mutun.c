// SPDX-License-Identifier: Apache-2.0
// The tool as it is run: what it prints and what it ends with.

#include <ctype.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <ftw.h>
#include <cmocka.h>
#include <jansson.h>

#include "base/buffer.h"
#include "base/cleanup.h"

#define WORDS_MAX  16
#define OUTPUT_MAX 16384

static char directory[] = "/tmp/mutun-test-XXXXXX";
static char output[OUTPUT_MAX]; // stdout and stderr of the last run

// Runs "mutun WORDS" in the test's directory. Returns what it ended with.
static int tool(const char *line)
{
	static char *environment[] = {"PATH=/usr/bin:/bin", "TZ=UTC", "LC_ALL=C",
				      "MUTUN_SOCKET=/nonexistent/mutund.sock", NULL};
	_cleanup_(freep) char *copy = strdup(line);
	char *arguments[WORDS_MAX + 2] = {"mutun"};
	posix_spawn_file_actions_t actions;
	int pipes[2], status, count = 1;
	size_t size = 0;
	pid_t pid;
	char *rest;

	for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
		assert_true(count <= WORDS_MAX);
		arguments[count++] = word;
	}
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
	posix_spawn_file_actions_adddup2(&actions, pipes[1], 1);
	posix_spawn_file_actions_adddup2(&actions, pipes[1], 2);
	posix_spawn_file_actions_addclose(&actions, pipes[0]);
	assert_int_equal(posix_spawn(&pid, TOOL, &actions, NULL, arguments, environment), 0);
	posix_spawn_file_actions_destroy(&actions);
	close(pipes[1]);
	for (ssize_t n; (n = read(pipes[0], output + size, sizeof(output) - 1 - size)) > 0;)
		size += (size_t)n;
	close(pipes[0]);
	output[size] = '\0';
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void expect(const char *line, int code, const char *text)
{
	int r = tool(line);

	if (r != code || !strstr(output, text))
		fail_msg("mutun %s ended with %d, not %d, or did not say \"%s\":\n%s", line, r,
			 code, text, output);
}

static json_t *answer(const char *line)
{
	json_t *json;

	expect(line, 0, "{");
	json = json_loads(output, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(json);
	assert_int_equal(json_integer_value(json_object_get(json, "schema")), 1);
	return json;
}

static const char *text_of(const json_t *json, const char *key)
{
	const char *text = json_string_value(json_object_get(json, key));

	if (!text)
		fail_msg("no \"%s\"", key);
	return text;
}

static int setup(void **state)
{
	(void)state;
	memset(strrchr(directory, '-') + 1, 'X', 6);
	assert_non_null(mkdtemp(directory));
	return chdir(directory);
}

static int remove_file(const char *path, const struct stat *info, int type, struct FTW *where)
{
	(void)info;
	(void)type;
	(void)where;
	return remove(path);
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(chdir("/"), 0);
	return nftw(directory, remove_file, 8, FTW_DEPTH | FTW_PHYS);
}

static void test_help(void **state)
{
	(void)state;
	expect("--help", 0, "mutun ca issue");
	expect("-h", 0, "mutun status");
	expect("help", 0, "mutun ca list");
	expect("help ca issue", 0, "usage: mutun ca issue DIR --identity ID");
	expect("ca issue --help", 0, "--not-before-offset SECONDS");
	expect("ca issue DIR --identity x --help", 0, "--reuse-key");
	expect("help ca", 0, "make a private CA");
	expect("ca --help", 0, "make a private CA");
	expect("status --help", 0, "usage: mutun status [--json]");
	expect("--version", 0, "mutun 0.");
}

static void test_usage(void **state)
{
	(void)state;
	expect("", 2, "usage: mutun");
	expect("nonsense", 2, "no command \"nonsense\"");
	expect("help nonsense", 2, "no command \"nonsense\"");
	expect("--nonsense", 2, "what is \"--nonsense\"");
	expect("--socket", 2, "what is \"--socket\"");
	expect("ca", 2, "which of these");
	expect("ca nonsense", 2, "ca has no command \"nonsense\"");
	expect("ca init", 2, "the directory of the CA is missing");
	expect("ca init ca", 2, "--domain is missing");
	expect("ca init ca --domain", 2, "a value is missing after --domain");
	expect("ca init ca other --domain corp.example", 2, "one word too many: other");
	expect("ca init ca --colour", 2, "what is --colour");
	expect("ca init ca -x", 2, "what is -x");
	expect("ca issue ca --out alice", 2, "--identity is missing");
	expect("ca issue ca --identity laptop/alice", 2, "--out is missing");
	expect("ca issue ca --days 1 --hours 1", 2, "second lifetime: 1");
	expect("ca issue ca --days 1x", 2, "not a whole number");
	expect("ca issue ca --days 0", 2, "not a whole number");
	expect("ca issue ca --seconds 99999999999999999999", 2, "not a whole number");
	assert_int_equal(access("ca", F_OK), -1);
}

static void test_no_daemon(void **state)
{
	(void)state;
	expect("status", 3, "mutun: ");
	expect("--socket /nonexistent/other.sock status --json", 3, "other.sock");
}

static void test_ca(void **state)
{
	(void)state;
	expect("ca list ca", 1, "mutun ca init ca --domain DOMAIN");
	expect("ca init ca --domain Corp", 1, "not a trust domain");
	expect("ca init ca --domain corp.example", 0, "Next: mutun ca issue ca");
	expect("ca init ca --domain corp.example", 1, "not empty");
	expect("ca list ca", 0, "No certificates yet");
	expect("ca issue ca --identity laptop/alice --out alice", 0,
	       "alice.crt: spiffe://corp.example/laptop/alice");
	expect("ca issue ca --identity spiffe://corp.example/laptop/alice --out alice --reuse-key "
	       "--seconds 90 --not-before-offset -10",
	       0, "its key, as before");
	expect("ca issue ca --identity spiffe://other.example/x --out alice", 1,
	       "not in the trust domain of this CA");
	expect("ca issue ca --identity laptop//alice --out alice", 1, "not a SPIFFE ID");
	expect("ca issue ca --identity laptop/alice --out no/where", 1, "no: ");
	expect("ca issue ca --identity laptop/alice --out ca/issuing", 1, "file of the CA");
	expect("ca issue ca --identity laptop/alice --out alice --days 399", 1, "lifetime");
	expect("ca list ca", 0, "IDENTITY");
	assert_non_null(strstr(output, "spiffe://corp.example/laptop/alice"));
	assert_non_null(strstr(output, "expires in"));
}

static void test_ca_json(void **state)
{
	json_t *json = answer("ca init ca --domain corp.example --json");

	(void)state;
	assert_string_equal(text_of(json, "trust"), "ca/trust.crt");
	json_decref(json);
	json = answer("ca issue ca --json --identity laptop/alice --out alice --hours 2 "
		      "--not-before-offset -60 --dns alice.example");
	assert_string_equal(text_of(json, "identity"), "spiffe://corp.example/laptop/alice");
	assert_string_equal(text_of(json, "certificate"), "alice.crt");
	assert_string_equal(text_of(json, "key"), "alice.key");
	assert_int_equal(json_integer_value(json_object_get(json, "not_after")) -
				 json_integer_value(json_object_get(json, "not_before")),
			 2 * 3600 + 60);
	_cleanup_(freep) char *serial = strdup(text_of(json, "serial"));
	json_decref(json);
	json = answer("ca list ca --json");
	assert_string_equal(text_of(json, "domain"), "corp.example");
	const json_t *list = json_object_get(json, "certificates");
	assert_int_equal(json_array_size(list), 1);
	assert_string_equal(text_of(json_array_get(list, 0), "serial"), serial);
	json_decref(json);
}

// Asks for spiffe://corp.example/laptop/mallory and m.example, for a key on P-384.
static const char request[] = "-----BEGIN CERTIFICATE REQUEST-----\n"
			      "MIIBVjCB3gIBADASMRAwDgYDVQQDDAdwcmludGVyMHYwEAYHKoZIzj0CAQYFK4EE\n"
			      "ACIDYgAE6QCD8IHkZrJ/fsMN1stxw/53H0SoX6hIcQdOQ+wI+uYY7IZUe8c42HnD\n"
			      "o0L5HIQvdtJciC3PFnQ0PzYDDiYExD1m3OrttHfQIy6xK5iRx02K7JNUwsxBUu/m\n"
			      "VlpjFzwZoE0wSwYJKoZIhvcNAQkOMT4wPDA6BgNVHREEMzAxhiRzcGlmZmU6Ly9j\n"
			      "b3JwLmV4YW1wbGUvbGFwdG9wL21hbGxvcnmCCW0uZXhhbXBsZTAKBggqhkjOPQQD\n"
			      "AgNnADBkAjA9WK7hxeHjDOvKsndOdSphXhpZp1bApdDQIVcVjoeI8d5pwSzc9dXO\n"
			      "ayyBHtbsB7YCMG6RGRAjCYMzFFtPLDFMSwn3nezUz+BLDYdRliG+Z3w8j++z0LeN\n"
			      "6VC9WnkbBzcNJg==\n"
			      "-----END CERTIFICATE REQUEST-----\n";

static void test_ca_sign(void **state)
{
	(void)state;
	assert_int_equal(file_write("printer.csr", request, sizeof(request) - 1, 0644), 0);
	expect("ca init ca --domain corp.example", 0, "");
	expect("ca sign ca --identity printer/1 --out p", 2, "--csr is missing");
	expect("ca sign ca --csr printer.csr --out p", 2, "--identity is missing");
	expect("ca sign ca --csr none.csr --identity printer/1 --out p", 1, "none.csr");
	expect("ca sign ca --csr ca/trust.crt --identity printer/1 --out p", 1,
	       "no certificate request");
	expect("ca sign ca --csr printer.csr --identity printer/1 --out ca/issuing", 1,
	       "file of the CA");
	expect("ca sign ca --csr printer.csr --identity printer/1 --out p", 0,
	       "p.crt: spiffe://corp.example/printer/1");
	assert_int_equal(access("p.key", F_OK), -1);
	json_t *json = answer("ca show ca printer/1 --json");
	const json_t *list = json_object_get(json, "certificates");
	assert_int_equal(json_array_size(list), 1);
	const json_t *entry = json_array_get(list, 0);
	assert_string_equal(text_of(entry, "key"), "P-384");
	assert_string_equal(text_of(entry, "issued_by"), "operator");
	assert_string_equal(text_of(entry, "issuer"), "CN=issuing CA,O=corp.example");
	assert_null(json_object_get(entry, "dns")); // not asked for by the operator
	json_decref(json);
	expect("ca show ca laptop/mallory", 1, "no certificate laptop/mallory");
}

// The serial number as openssl prints it.
static void put_colons(const char *serial, char *ret)
{
	for (size_t i = 0; serial[i]; i++) {
		if (i && i % 2 == 0)
			*ret++ = ':';
		*ret++ = (char)toupper((unsigned char)serial[i]);
	}
	*ret = '\0';
}

static void test_ca_show_and_filters(void **state)
{
	char line[160] = "ca show ca ";
	(void)state;
	expect("ca init ca --domain corp.example", 0, "");
	expect("ca issue ca --identity laptop/alice --out alice", 0, "");
	expect("ca issue ca --identity laptop/bob --out alice --seconds 60 --not-before-offset -3600",
	       0, "");
	expect("ca issue ca --identity site/berlin --out alice --dns b.example", 0, "");
	json_t *json = answer("ca list ca --json");
	const json_t *entry = json_array_get(json_object_get(json, "certificates"), 0);
	put_colons(text_of(entry, "serial"), line + strlen(line));
	json_decref(json);
	expect(line, 0, "identity  spiffe://corp.example/site/berlin\nDNS name  b.example\n");
	assert_non_null(strstr(output, ", by: operator\n"));
	expect("ca show ca abcdef", 1, "no certificate abcdef");
	json = answer("ca show ca --json");
	assert_string_equal(text_of(json, "domain"), "corp.example");
	assert_string_equal(text_of(json_object_get(json, "issuing"), "key"), "P-256");
	assert_int_equal(json_array_size(json_object_get(json, "trust")), 1);
	json_decref(json);
	expect("ca show ca", 0, "leaves    3 issued, 3 of them valid");

	static const struct {
		const char *line;
		size_t count;
	} filters[] = {{"ca list ca --json --identity laptop/*", 2},
		       {"ca list ca --json --identity spiffe://corp.example/laptop/bob", 1},
		       {"ca list ca --json --identity laptop/eve", 0},
		       {"ca list ca --json --issued-by operator", 3},
		       {"ca list ca --json --issued-by token", 0},
		       {"ca list ca --json --valid", 3}};
	for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
		json = answer(filters[i].line);
		assert_int_equal(json_array_size(json_object_get(json, "certificates")),
				 filters[i].count);
		json_decref(json);
	}
	expect("ca list ca --identity laptop/eve", 0, "No such certificates");
}

// A certificate and its key have the same pin; so has the spare key before it has a certificate.
static void test_pin(void **state)
{
	(void)state;
	expect("ca init ca --domain corp.example", 0, "");
	expect("ca issue ca --identity gateway/hq --out hq", 0, "");
	json_t *chain = answer("pin hq.crt --json");
	json_t *key = answer("pin hq.key --json");
	const json_t *pins = json_object_get(chain, "pins");
	const char *pin = text_of(json_array_get(pins, 0), "pin");
	assert_int_equal(json_array_size(pins), 2);
	assert_string_equal(text_of(json_array_get(pins, 0), "name"),
			    "spiffe://corp.example/gateway/hq");
	const json_t *own = json_array_get(json_object_get(key, "pins"), 0);
	assert_string_equal(text_of(own, "pin"), pin);
	assert_string_equal(text_of(own, "kind"), "private key");
	expect("pin hq.crt", 0, pin);
	expect("pin hq.crt", 0, "  certificate spiffe://corp.example/gateway/hq\nsha256/");
	expect("pin /nonexistent", 1, "cannot be read");
	expect("pin ca/journal.db", 1, "nothing in it that has a pin");
	expect("pin", 2, "which file?");
	json_decref(chain);
	json_decref(key);
}

static void test_ca_locked(void **state)
{
	(void)state;
	assert_int_equal(file_write("secret", "swordfish\n", 10, 0600), 0);
	expect("ca init ca --domain corp.example --key dsa", 1, "no kind of key \"dsa\"");
	expect("ca init ca --domain corp.example --key p384 --passphrase-file none", 1, "none: ");
	expect("ca init ca --domain corp.example --key p384 --passphrase-file secret", 0, "");
	expect("ca list ca", 0, "No certificates yet");
	expect("ca show ca", 0, "P-384");
	expect("ca issue ca --identity laptop/alice --out alice", 1, "--passphrase-file");
	expect("ca issue ca --identity laptop/alice --out alice --passphrase-file secret", 0,
	       "alice.crt: ");
}

static const char *new_root(char text[65])
{
	json_t *json = answer("ca rotate ca status --json");
	snprintf(text, 65, "%s", text_of(json_object_get(json, "root"), "new_root"));
	json_decref(json);
	return text;
}

// What another gateway heard, as a file.
static void write_heard(const char *identity, const char *anchor)
{
	json_t *json = json_pack("{s:i,s:[{s:s,s:[s],s:i}]}", "schema", 1, "nodes", "identity",
				 identity, "anchors", anchor, "seen", 1700000000);
	assert_int_equal(json_dump_file(json, "heard.json", 0), 0);
	json_decref(json);
}

static void test_ca_rotate(void **state)
{
	char root[65];
	(void)state;
	expect("ca init ca --domain corp.example", 0, "");
	expect("ca issue ca --identity laptop/alice --out alice", 0, "");
	expect("ca rotate ca", 2, "which step?");
	expect("ca rotate ca turn", 2, "no step turn");
	expect("ca rotate ca status", 0, "Next: mutun ca rotate ca prepare");
	expect("ca rotate ca issuing", 0, "new issuing certificate");
	expect("ca show ca", 0, "CN=issuing CA 2,O=corp.example");
	expect("ca rotate ca activate --from heard.json", 1, "heard.json");
	expect("ca rotate ca activate --force", 1, "not begun");
	expect("ca rotate ca prepare", 0, "Next: mutun ca rotate ca activate");
	expect("ca show ca", 0, "roll-over prepared ");
	expect("ca rotate ca activate", 3, "no mutund is running");
	expect("ca readiness ca", 3, "--from FILE");
	expect("ca readiness", 3, "no mutund is running");
	write_heard("spiffe://corp.example/laptop/alice",
		    "0000000000000000000000000000000000000000000000000000000000000000");
	expect("ca rotate ca activate --from heard.json", 1, "1 node would be stranded");
	assert_non_null(strstr(output, "spiffe://corp.example/laptop/alice: did not trust the new "
				       "root when it was heard "));
	expect("ca readiness ca --from heard.json", 0,
	       "CN=root CA 2,O=corp.example: 0 of 1 nodes trust it\n  does not: spiffe://");
	write_heard("spiffe://corp.example/laptop/alice", new_root(root));
	expect("ca readiness ca --from heard.json", 0,
	       "CN=root CA 2,O=corp.example: 1 of 1 nodes trust it\n");
	json_t *json = answer("ca readiness ca --from heard.json --json");
	const json_t *list = json_object_get(json, "certificates");
	assert_int_equal(json_array_size(list), 2);
	assert_string_equal(text_of(json_array_get(list, 1), "sha256"), root);
	assert_int_equal(json_array_size(json_object_get(json_array_get(list, 1), "ready")), 1);
	json_decref(json);
	expect("ca rotate ca activate --from heard.json", 0, "Next, when all nodes have renewed");
	expect("ca rotate ca finish --from heard.json", 1, "1 node would be stranded");
	expect("ca rotate ca status --from heard.json", 0, "finish would strand 1:\n");
	json = answer("ca rotate ca finish --from heard.json --force --json");
	assert_int_equal(json_array_size(json_object_get(json, "stranded")), 1);
	assert_string_equal(text_of(json_object_get(json, "root"), "step"), "finished");
	json_decref(json);
	assert_int_equal(file_write("heard.json", "{\"nodes\":[{}]}", 14, 0600), 0);
	expect("ca readiness ca --from heard.json", 1, "heard.json: a node that cannot be read");
}

#define test(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_help),      test(test_usage),	    test(test_no_daemon),
		test(test_ca),	      test(test_ca_json),   test(test_ca_sign),
		test(test_ca_locked), test(test_ca_rotate), test(test_ca_show_and_filters),
		test(test_pin)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
