// SPDX-License-Identifier: Apache-2.0
// The server is known by the root certificate whose digest is in the token: its CA certificates are fetched from whoever
// answers, the right root is picked out, and from then on every connection is judged by it. The secret is sent only then.

#include "daemon/cmd_join.h"

#include <errno.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <systemd/sd-daemon.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/hex.h"
#include "daemon/arguments.h"
#include "daemon/ask.h"
#include "daemon/command.h"
#include "daemon/config.h"
#include "daemon/join_files.h"
#include "pki/bundle.h"
#include "pki/certificate.h"
#include "pki/est_client.h"
#include "pki/identity.h"
#include "pki/obtain.h"
#include "pki/pem.h"
#include "pki/pending.h"
#include "pki/tls.h"
#include "pki/token.h"
#include "pki/trust.h"

#define STATE	  "/var/lib/mutun"
#define TOKEN_MAX 1024

extern char **environ;

// One joining.
struct join {
	struct token token;
	char *server, *url, *domain;
	char *identity; // asked for; NULL: what the token says
	struct join_files files;
	struct trust *trust;
};

static void join_done(struct join *join)
{
	token_done(&join->token);
	trust_put(join->trust);
	join_files_done(&join->files);
	free(join->server);
	free(join->url);
	free(join->domain);
	free(join->identity);
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

static int read_identity(struct join *join, const char *text, struct error *error)
{
	_cleanup_(freep) char *full = text ? arguments_identity(join->domain, text) : NULL;

	if (!text)
		return 0;
	return full ? identity_parse(full, strlen(full), &join->identity, error)
		    : error_set(error, ENOMEM, "out of memory");
}

static int prepare(struct join *join, const struct arguments *arguments, struct error *error)
{
	const char *domain;

	int r = arguments_server(arguments->words[0], &join->server, error);
	if (r == 0)
		r = read_token(join, arguments->words[1], error);
	if (r < 0)
		return r;
	size_t size = identity_domain(join->token.server, &domain);
	join->domain = strndup(domain, size);
	if (!join->domain || asprintf(&join->url, "https://%s", join->server) < 0)
		return error_set(error, ENOMEM, "out of memory");
	r = read_identity(join, arguments->identity, error);
	return r < 0 ? r
		     : join_files_begin(arguments->state ? arguments->state : STATE,
					arguments->config ? arguments->config : CONFIG_PATH,
					&join->files, error);
}

static int load_trust(struct join *join, struct error *error)
{
	struct trust_source source = {.domain = join->domain, .path = join->files.new_trust};

	join->trust = trust_put(join->trust);
	return trust_load(tls_library(), &source, 1, clock_wall(), &join->trust, error);
}

// The root that the token names, out of what somebody at that address offers.
static int find_root(struct join *join, struct error *error)
{
	struct est_client client = {.url = join->url, .unverified = true};
	_cleanup_(certificates_freep) STACK_OF(X509) *offered = NULL;

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
		r = pem_write_certificate(join->files.new_trust, root, NULL, error);
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
	_cleanup_(certificates_freep) STACK_OF(X509) *offered = NULL;
	_cleanup_(certificates_freep) STACK_OF(X509) *roots = NULL;

	int r = est_cacerts(client, &offered, error);
	if (r == 0)
		r = bundle_roots(offered, &roots, error);
	if (r == 0)
		r = pem_write_certificates(join->files.new_trust, roots, error);
	return r < 0 ? r : load_trust(join, error);
}

// By which this same joining is known when it is run again. Tells nothing of the secret.
static void name_joining(const char *password, char text[80])
{
	uint8_t digest[SHA256_DIGEST_LENGTH];

	SHA256((const unsigned char *)password, strlen(password), digest);
	snprintf(text, 80, "mutun join with token ");
	hex_text(digest, 8, text + strlen(text));
}

// A token is used up also by the run before, which may have been killed at the very end, or forgotten.
static void advise_token(const struct join_files *files, struct error *error)
{
	_cleanup_(freep) char *identity = NULL;
	char words[32];
	time_t from, to = 0;

	if (files->before && certificate_identity(files->before, &identity, NULL) == 0 &&
	    certificate_lifetime(files->before, &from, &to) == 0 && to > clock_wall())
		error_remedy(error,
			     "this device is %.100s already, for %s; to change that, have a new "
			     "token made: mutun enrol-token",
			     identity, clock_words(to - clock_wall(), words, sizeof(words)));
	else
		error_remedy(error, "have a new token made: mutun enrol-token");
}

static void advise(const struct join_files *files, int r, const struct est_meta *meta,
		   struct error *error)
{
	char words[32];

	if (r == -EACCES)
		advise_token(files, error);
	if (r == -EAGAIN && meta->retry_after_s)
		error_remedy(error, "run this again in %s",
			     clock_words(meta->retry_after_s, words, sizeof(words)));
	if (r == -EHOSTUNREACH)
		error_remedy(error, "run this again within a minute, or have a new token made");
}

// Whether an earlier run with this token got as far as to put the certificate in its place.
static bool take_up(struct join *join, const struct pending *pending, struct obtained *ret)
{
	struct join_files *files = &join->files;
	STACK_OF(X509) *all = NULL;

	if (!files->before || EVP_PKEY_eq(X509_get0_pubkey(files->before), pending->key) != 1 ||
	    pem_read_certificates(files->certificate, &all, NULL) < 0)
		return false;
	EVP_PKEY_up_ref(pending->key);
	*ret = (struct obtained){.key = pending->key, .leaf = sk_X509_shift(all), .above = all};
	X509_free(files->before);
	files->before = NULL;
	return certificate_lifetime(ret->leaf, &ret->not_before, &ret->not_after) == 0;
}

static int enrol(struct join *join, struct obtained *ret, struct error *error)
{
	_cleanup_(pending_done) struct pending pending = {0};
	char password[TOKEN_PASSWORD_MAX], purpose[80];
	struct est_client client = {
		.url = join->url, .identity = join->token.server, .trust = join->trust};
	struct est_meta meta = {0};

	int r = fetch_trust(join, &client, error);
	if (r < 0)
		return r;
	client.trust = join->trust;
	token_password(&join->token, password);
	name_joining(password, purpose);
	client.password = password;
	r = pending_begin(join->files.pending, purpose, join->identity, &pending, error);
	if (r == 0 && !take_up(join, &pending, ret)) {
		r = obtain_pending(&client, &pending, join->identity, join->trust, clock_wall(),
				   ret, &meta, error);
		advise(&join->files, r, &meta, error);
	}
	if (r == -EACCES || r == -EPERM || r == -EINVAL)
		unlink(join->files.pending); // will not be answered
	OPENSSL_cleanse(password, sizeof(password));
	return r < 0 ? r : obtained_check_begun(ret, clock_wall(), error);
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

static void print_json(const struct join *join, const struct obtained *obtained,
		       const char *identity, enum join_config config, bool started)
{
	static const char *const names[] = {
		[JOIN_CONFIG_WRITTEN] = "written",
		[JOIN_CONFIG_FITS] = "fits",
		[JOIN_CONFIG_OTHERS] = "names other files",
		[JOIN_CONFIG_BROKEN] = "broken",
	};
	const struct join_files *files = &join->files;
	char serial[SERIAL_TEXT_MAX], before[SERIAL_TEXT_MAX];

	_cleanup_(json_decrefp) json_t *result = json_pack(
		"{s:i,s:s,s:s,s:I,s:s?,s:s,s:s,s:s,s:s,s:b}", "schema", COMMAND_SCHEMA, "identity",
		identity, "serial", certificate_serial(obtained->leaf, serial), "not_after",
		(json_int_t)obtained->not_after, "replaced",
		files->before ? certificate_serial(files->before, before) : NULL, "certificate",
		files->certificate, "trust", files->trust, "config", files->config, "config_state",
		names[config], "started", started);
	arguments_print(result);
}

// What the new certificate is in place of.
static void print_before(const struct join_files *files)
{
	_cleanup_(freep) char *identity = NULL;
	char words[32];
	time_t from, to;

	if (!files->before || certificate_identity(files->before, &identity, NULL) < 0 ||
	    certificate_lifetime(files->before, &from, &to) < 0)
		return;
	time_t left = to - clock_wall();
	clock_words(left > 0 ? left : -left, words, sizeof(words));
	printf("  in place of that of %s, which %s%s%s\n", identity,
	       left > 0 ? "was valid for " : "expired ", words, left > 0 ? "" : " ago");
}

static void print_text(const struct join *join, const struct obtained *obtained,
		       const char *identity, enum join_config config, bool started)
{
	static const char *const states[] = {
		[JOIN_CONFIG_WRITTEN] = "written",
		[JOIN_CONFIG_FITS] = "was there, and is left as it is",
		[JOIN_CONFIG_OTHERS] = "was there, and is left as it is: it names other files",
		[JOIN_CONFIG_BROKEN] = "was there, and cannot be read: see mutund --check",
	};
	const struct join_files *files = &join->files;
	char words[32];

	printf("This device is %s.\n  %s  certificate and key, valid for %s\n", identity,
	       files->certificate,
	       clock_words(obtained->not_after - clock_wall(), words, sizeof(words)));
	print_before(files);
	printf("  %s  the CA\n  %s  %s\n", files->trust, files->config, states[config]);
	if (config == JOIN_CONFIG_OTHERS)
		printf("Next: set node.certificate and node.key to %s, node.trust to %s\n",
		       files->certificate, files->trust);
	else
		printf("Next: %s\n", started ? "mutun status" : "mutund, then mutun status");
}

static int join_run(const struct arguments *arguments, struct error *error)
{
	_cleanup_(join_done) struct join join = {0};
	_cleanup_(obtained_done) struct obtained obtained = {0};
	_cleanup_(freep) char *identity = NULL;
	enum join_config config = JOIN_CONFIG_BROKEN;

	if (!tls_library())
		return error_set(error, ENOMEM, "out of memory");
	int r = prepare(&join, arguments, error);
	if (r == 0)
		r = find_root(&join, error);
	if (r == 0)
		r = enrol(&join, &obtained, error);
	if (r == 0)
		r = join_files_install(&join.files, &obtained, error);
	struct join_link link = {join.server, join.token.server};
	if (r == 0)
		r = join_files_configure(&join.files, &link, &config, error);
	if (r == 0)
		r = certificate_identity(obtained.leaf, &identity, error);
	if (r < 0)
		return r;
	unlink(join.files.pending);
	bool good = config == JOIN_CONFIG_WRITTEN || config == JOIN_CONFIG_FITS;
	bool started = good && !arguments->no_start && start();
	(arguments->json ? print_json : print_text)(&join, &obtained, identity, config, started);
	return 0;
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
