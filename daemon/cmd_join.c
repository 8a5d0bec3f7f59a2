// SPDX-License-Identifier: Apache-2.0
// The server is known by the root certificate whose digest is in the token: its CA certificates are fetched from whoever
// answers, the right root is picked out, and from then on every connection is judged by it. The secret is sent only then.

#include "daemon/cmd_join.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <openssl/crypto.h>
#include <openssl/x509.h>
#include <systemd/sd-daemon.h>

#include "base/addr.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/error.h"
#include "daemon/arguments.h"
#include "daemon/ask.h"
#include "daemon/command.h"
#include "daemon/config.h"
#include "pki/certificate.h"
#include "pki/est_client.h"
#include "pki/identity.h"
#include "pki/obtain.h"
#include "pki/pem.h"
#include "pki/tls.h"
#include "pki/token.h"
#include "pki/trust.h"

#define SCHEMA	     1
#define STATE	     "/var/lib/mutun"
#define DEFAULT_PORT 443
#define HOST_MAX     256
#define TOKEN_MAX    1024

extern char **environ;

// One joining.
struct join {
	struct token token;
	char host[HOST_MAX];
	uint16_t port;
	char *url, *domain;
	char *certificate_path, *trust_path, *new_trust_path;
	const char *state, *config_path;
	char *identity; // asked for; NULL: what the token says
	struct trust *trust;
};

static void join_done(struct join *join)
{
	token_done(&join->token);
	trust_put(join->trust);
	if (join->new_trust_path)
		unlink(join->new_trust_path);
	free(join->url);
	free(join->domain);
	free(join->certificate_path);
	free(join->trust_path);
	free(join->new_trust_path);
	free(join->identity);
}

static void stack_freep(STACK_OF(X509) * *stack)
{
	sk_X509_pop_free(*stack, X509_free);
}

static int read_server(struct join *join, const char *text, struct error *error)
{
	if (hostport_parse(text, join->host, sizeof(join->host), &join->port) == 0)
		return 0;
	if (*text && strlen(text) < sizeof(join->host) && !strpbrk(text, ":/ ")) {
		strcpy(join->host, text);
		join->port = DEFAULT_PORT;
		return 0;
	}
	error_set(error, EINVAL, "\"%.80s\" is no server", text);
	return error_expected(error, "a name or address with a port, such as vpn.corp.example:443");
}

static int read_token(struct join *join, const char *text, struct error *error)
{
	char line[TOKEN_MAX];

	if (strcmp(text, "-") != 0)
		return token_parse(text, &join->token, error);
	if (!fgets(line, sizeof(line), stdin))
		line[0] = '\0';
	line[strcspn(line, "\r\n")] = '\0';
	int r = token_parse(line, &join->token, error);
	OPENSSL_cleanse(line, sizeof(line));
	return r;
}

static int prepare(struct join *join, const struct arguments *arguments, struct error *error)
{
	const char *domain;
	bool bare = strchr(join->host, ':'); // an IPv6 address

	join->state = arguments->state ? arguments->state : STATE;
	join->config_path = arguments->config ? arguments->config : CONFIG_PATH;
	size_t size = identity_domain(join->token.server, &domain);
	join->domain = strndup(domain, size);
	if (arguments->identity && join->domain)
		join->identity = arguments_identity(join->domain, arguments->identity);
	if (!join->domain || (arguments->identity && !join->identity) ||
	    asprintf(&join->url, "https://%s%s%s:%u", bare ? "[" : "", join->host, bare ? "]" : "",
		     join->port) < 0 ||
	    asprintf(&join->certificate_path, "%s/node.pem", join->state) < 0 ||
	    asprintf(&join->trust_path, "%s/trust.crt", join->state) < 0 ||
	    asprintf(&join->new_trust_path, "%s/.trust.crt.new", join->state) < 0)
		return error_set(error, ENOMEM, "out of memory");
	if (mkdir(join->state, 0700) < 0 && errno != EEXIST) {
		error_set(error, errno, "the directory cannot be made: %m");
		return error_where(error, "%s", join->state);
	}
	return 0;
}

static int load_trust(struct join *join, struct error *error)
{
	struct trust_source source = {.domain = join->domain, .path = join->new_trust_path};

	join->trust = trust_put(join->trust);
	return trust_load(tls_library(), &source, 1, clock_wall(), &join->trust, error);
}

// The root that the token names, out of what somebody at that address offers.
static int find_root(struct join *join, struct error *error)
{
	struct est_client client = {.url = join->url, .unverified = true};
	_cleanup_(stack_freep) STACK_OF(X509) *offered = NULL;

	int r = est_cacerts(&client, &offered, error);
	if (r < 0)
		return r;
	for (int i = 0; i < sk_X509_num(offered); i++) {
		X509 *root = sk_X509_value(offered, i);
		uint8_t digest[TOKEN_DIGEST_SIZE];
		unsigned size = sizeof(digest);
		if (X509_digest(root, EVP_sha256(), digest, &size) != 1 ||
		    CRYPTO_memcmp(digest, join->token.root, sizeof(digest)) != 0)
			continue;
		r = pem_write_certificate(join->new_trust_path, root, NULL, error);
		return r < 0 ? r : load_trust(join, error);
	}
	error_set(error, EKEYREJECTED, "this server is not of the CA that made the token");
	error_where(error, "%s", join->url);
	return error_remedy(error, "check the address; if it is right, somebody is in between");
}

// All roots that the CA wants devices to trust, now that the server has to prove itself: in the middle of a roll-over there are
// two.
static int fetch_trust(struct join *join, const struct est_client *client, struct error *error)
{
	_cleanup_(stack_freep) STACK_OF(X509) *offered = NULL;
	_cleanup_(stack_freep) STACK_OF(X509) *roots = sk_X509_new_null();

	int r = est_cacerts(client, &offered, error);
	if (r < 0)
		return r;
	for (int i = 0; roots && i < sk_X509_num(offered); i++) {
		X509 *certificate = sk_X509_value(offered, i);
		if (X509_self_signed(certificate, 1) != 1)
			continue;
		X509_up_ref(certificate);
		if (!sk_X509_push(roots, certificate)) {
			X509_free(certificate);
			return error_set(error, ENOMEM, "out of memory");
		}
	}
	r = roots && sk_X509_num(roots) > 0
		    ? pem_write_certificates(join->new_trust_path, roots, error)
		    : error_set(error, EPROTO, "the server sends no root certificate");
	return r < 0 ? r : load_trust(join, error);
}

static int enrol(struct join *join, struct obtained *ret, struct error *error)
{
	char password[TOKEN_PASSWORD_MAX];
	struct est_client client = {
		.url = join->url, .identity = join->token.server, .password = NULL};
	struct est_meta meta;

	client.trust = join->trust;
	int r = fetch_trust(join, &client, error);
	if (r < 0)
		return r;
	client.trust = join->trust;
	token_password(&join->token, password);
	client.password = password;
	r = obtain(&client, join->identity, join->trust, clock_wall(), ret, &meta, error);
	OPENSSL_cleanse(password, sizeof(password));
	if (r == 0)
		r = obtained_check_begun(ret, clock_wall(), error);
	if (r == -EACCES)
		error_remedy(error, "have a new token made: mutun enrol-token");
	return r;
}

// Trust first: a node that finds it beside an old certificate goes on; a certificate without its trust would not do.
static int install(struct join *join, const struct obtained *obtained, struct error *error)
{
	if (rename(join->new_trust_path, join->trust_path) < 0) {
		error_set(error, errno, "the trust file cannot be put into place: %m");
		return error_where(error, "%s", join->trust_path);
	}
	return obtained_write(obtained, join->certificate_path, error);
}

// Every part of it is checked: nothing in it can end a string of libconfig.
static int write_config(const struct join *join, bool *ret_written, struct error *error)
{
	_cleanup_(freep) char *text = NULL;
	_cleanup_(freep) char *directory = strdup(join->config_path);
	bool bare = strchr(join->host, ':');

	*ret_written = false;
	if (access(join->config_path, F_OK) == 0)
		return 0;
	int size = asprintf(
		&text,
		"# Written by \"mutun join\". See mutun.conf(5).\n"
		"node: { certificate = \"%s\"; key = \"%s\"; trust = \"%s\"; state = \"%s\"; };\n"
		"renewal: { url = \"%s\"; identity = \"%s\"; };\n"
		"links = ( { name = \"vpn\"; to = [ \"%s%s%s:%u\" ]; identity = \"%s\"; } );\n",
		join->certificate_path, join->certificate_path, join->trust_path, join->state,
		join->url, join->token.server, bare ? "[" : "", join->host, bare ? "]" : "",
		join->port, join->token.server);
	if (size < 0 || !directory)
		return error_set(error, ENOMEM, "out of memory");
	char *slash = strrchr(directory, '/');
	if (slash && slash != directory) {
		*slash = '\0';
		mkdir(directory, 0755); // what fails now fails below, with a reason
	}
	int r = file_write(join->config_path, text, (size_t)size, 0644);
	if (r < 0) {
		error_set(error, -r, "the configuration cannot be written: %s", strerror(-r));
		return error_where(error, "%s", join->config_path);
	}
	*ret_written = true;
	return 0;
}

// Whether mutund runs now, or will at once.
static bool start(void)
{
	static char *const command[] = {"systemctl", "enable", "--now", "mutund.service", NULL};
	json_t *answer = NULL;
	pid_t pid;
	int status;

	// One that runs has seen the files by itself.
	if (ask(json_pack("{s:s}", "command", "status"), &answer, NULL) == 0) {
		json_decref(answer);
		return true;
	}
	return sd_booted() > 0 &&
	       posix_spawnp(&pid, command[0], NULL, NULL, command, environ) == 0 &&
	       waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void report(const struct join *join, const struct obtained *obtained, bool written,
		   bool started, bool json)
{
	_cleanup_(freep) char *identity = NULL;
	char serial[SERIAL_TEXT_MAX], words[32];
	time_t from = 0, to = 0;

	certificate_identity(obtained->leaf, &identity, NULL);
	certificate_lifetime(obtained->leaf, &from, &to);
	certificate_serial(obtained->leaf, serial);
	if (json) {
		_cleanup_(json_decrefp) json_t *result = json_pack(
			"{s:i,s:s,s:s,s:I,s:s,s:s,s:s,s:b,s:b}", "schema", SCHEMA, "identity",
			identity, "serial", serial, "not_after", (json_int_t)to, "certificate",
			join->certificate_path, "trust", join->trust_path, "config",
			join->config_path, "config_written", written, "started", started);
		arguments_print(result);
		return;
	}
	printf("This device is %s.\n"
	       "  %s  certificate and key, valid for %s, renewed by mutund\n"
	       "  %s\n"
	       "  %s  %s\n",
	       identity, join->certificate_path,
	       clock_words(to - clock_wall(), words, sizeof(words)), join->trust_path,
	       join->config_path,
	       written ? "written" : "was there, and is left as it is: it must name these files");
	printf("Next: %s\n", started ? "mutun status" : "mutund, then mutun status");
}

static int join_run(const struct arguments *arguments, struct error *error)
{
	_cleanup_(join_done) struct join join = {0};
	_cleanup_(obtained_done) struct obtained obtained = {0};
	bool written;

	if (!tls_library())
		return error_set(error, ENOMEM, "out of memory");
	int r = read_server(&join, arguments->words[0], error);
	if (r == 0)
		r = read_token(&join, arguments->words[1], error);
	if (r == 0)
		r = prepare(&join, arguments, error);
	if (r == 0)
		r = find_root(&join, error);
	if (r == 0)
		r = enrol(&join, &obtained, error);
	if (r == 0)
		r = install(&join, &obtained, error);
	if (r == 0)
		r = write_config(&join, &written, error);
	if (r == 0)
		report(&join, &obtained, written, !arguments->no_start && start(), arguments->json);
	return r;
}

int cmd_join(int argc, char **argv)
{
	static const struct option options[] = {
		{"identity", required_argument, NULL, 'i'}, {"state", required_argument, NULL, 'w'},
		{"config", required_argument, NULL, 'c'},   {"no-start", no_argument, NULL, 'x'},
		{"json", no_argument, NULL, 'j'},	    {0}};
	struct arguments arguments;
	struct error error = {0};

	int r = arguments_read(argc, argv, options, 2, &arguments);
	if (r)
		return r;
	if (!arguments.words[1])
		return arguments_usage(argv[0], "it takes a server and a token", "");
	return join_run(&arguments, &error) < 0 ? arguments_refused(&error) : COMMAND_DONE;
}
