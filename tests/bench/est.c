// SPDX-License-Identifier: Apache-2.0
// How many certificates a gateway signs in a second, and where the time goes. A CA in a directory below /tmp (to whose
// disk the journal is flushed with each certificate), the gateway's listener and EST service, and devices
// that renew by simplereenroll, all in this process. "est --quick" does a little of everything, only to see that it runs.

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <openssl/ssl.h>
#include <systemd/sd-event.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "pki/ca.h"
#include "pki/credential.h"
#include "pki/est.h"
#include "pki/pem.h"
#include "pki/profile.h"
#include "pki/request.h"
#include "pki/tls.h"
#include "pki/trust.h"
#include "pki/verify.h"
#include "server/admit.h"
#include "server/enrol.h"
#include "server/est_service.h"
#include "server/listener.h"
#include "tun/connection.h"
#include "unit/pki_fixture.h"

#define DOMAIN		 "corp.example"
#define EACH		 8u // renewals of one device: more within a minute are refused, and on one connection
#define DEVICES		 256u
#define CLIENTS		 4u
#define ANSWER_MAX	 16384
#define PORT_FIRST	 47000u
#define REQUEST_MAX_TEXT 4096

#define must(condition) check((condition), __LINE__, #condition)

struct device {
	EVP_PKEY *key;
	X509 *leaf;
	uint8_t *der; // of a request of its next key
	size_t size;
	char text[REQUEST_MAX_TEXT]; // the same over HTTP
};

static struct {
	char *directory, *path, *bundle;
	struct ca *ca;
	struct trust *trust;
	struct device *devices;
	unsigned count;
	struct endpoint endpoint;
	sd_event *event;
	struct enrol *enrol;
	atomic_bool ready, stop;
} bench;

static void check(bool good, int line, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "est.c:%d: %s\n", line, what);
	exit(1);
}

static void device_make(struct device *device, unsigned number)
{
	EVP_PKEY *next = NULL;
	char identity[64];

	snprintf(identity, sizeof(identity), "spiffe://" DOMAIN "/laptop/%u", number);
	must(profile_key(&device->key, NULL) == 0 && profile_key(&next, NULL) == 0);
	struct ca_leaf subject = {.identity = identity,
				  .lifetime_s = 86400,
				  .not_before_s = -300,
				  .key = device->key,
				  .issued_by = "operator"};
	must(ca_sign(bench.ca, &subject, &device->leaf, NULL) == 0);
	must(request_make(next, NULL, NULL, &device->der, &device->size, NULL) == 0);
	char *body = est_encode(device->der, device->size, true);
	must(body);
	snprintf(device->text, sizeof(device->text),
		 "POST " EST_PATH
		 "/simplereenroll HTTP/1.1\r\nHost: x\r\nContent-Type: " EST_TYPE_P10
		 "\r\nContent-Length: %zu\r\n\r\n%s",
		 strlen(body), body);
	free(body);
	EVP_PKEY_free(next);
}

// Devices that have not renewed yet: the CA takes no more than a few requests of each.
static void devices_renew(void)
{
	static unsigned number;

	for (unsigned i = 0; i < bench.count; i++) {
		struct device *device = &bench.devices[i];
		EVP_PKEY_free(device->key);
		X509_free(device->leaf);
		free(device->der);
		*device = (struct device){0};
		device_make(device, number++);
	}
}

static void row(const char *what, double seconds, unsigned times)
{
	printf("%-58s %9.1f us %9.0f /s\n", what, seconds / times * 1e6, times / seconds);
}

static double since(uint64_t begin)
{
	return (double)(clock_ns() - begin) / 1e9;
}

// --- the steps, one after another on one core

static struct verdict *judge(const struct device *device)
{
	struct verdict *verdict = NULL;

	must(verify_chain(bench.trust, device->leaf, ca_chain(bench.ca), VERIFY_PEER_IS_CLIENT,
			  clock_wall(), &verdict, NULL, NULL) == 0);
	return verdict;
}

static void measure_steps(void)
{
	struct request request;
	X509 *made = NULL;
	uint64_t begin = clock_ns();

	for (unsigned i = 0; i < bench.count; i++) {
		must(request_read(bench.devices[i].der, bench.devices[i].size, &request, NULL) ==
		     0);
		request_done(&request);
	}
	row("request: read, its signature checked", since(begin), bench.count);
	begin = clock_ns();
	for (unsigned i = 0; i < bench.count; i++)
		verdict_put(judge(&bench.devices[i]));
	row("old certificate: judged", since(begin), bench.count);
	struct profile_subject subject = {.domain = DOMAIN,
					  .identity = "spiffe://" DOMAIN "/laptop/x",
					  .key = bench.devices[0].key,
					  .not_before = clock_wall(),
					  .not_after = clock_wall() + 86400};
	begin = clock_ns();
	for (unsigned i = 0; i < bench.count; i++) {
		must(profile_sign(PROFILE_LEAF, &subject, ca_certificate(bench.ca),
				  ca_key(bench.ca), &made, NULL) == 0);
		X509_free(made);
	}
	row("new certificate: signed", since(begin), bench.count);
	struct ca_leaf leaf = {.identity = subject.identity,
			       .lifetime_s = 86400,
			       .not_before_s = -300,
			       .key = bench.devices[0].key,
			       .issued_by = "operator"};
	begin = clock_ns();
	for (unsigned i = 0; i < bench.count; i++) {
		must(ca_sign(bench.ca, &leaf, &made, NULL) == 0);
		X509_free(made);
	}
	row("new certificate: signed and in the journal on the disk", since(begin), bench.count);
}

static void measure_service(void)
{
	struct est_service *service;

	must(est_service_new(bench.path, NULL, &service, NULL) == 0);
	uint64_t begin = clock_ns();
	for (unsigned i = 0; i < bench.count; i++) {
		struct verdict *verdict = judge(&bench.devices[i]);
		struct est_answer answer;
		const char *body = strstr(bench.devices[i].text, "\r\n\r\n") + 4;
		struct est_request request = {.url = EST_PATH "/simplereenroll",
					      .method = "POST",
					      .type = EST_TYPE_P10,
					      .body = body,
					      .size = strlen(body),
					      .verdict = verdict,
					      .admitted = true};
		est_service_answer(service, &request, &answer);
		must(answer.status == EST_OK);
		free(answer.body);
		verdict_put(verdict);
	}
	row("simplereenroll, without HTTP and TLS", since(begin), bench.count);
	est_service_free(service);
}

// --- the whole, over TCP and TLS

static void on_opened(struct connection *connection, void *data)
{
	(void)data;
	enrol_take(bench.enrol, connection);
}

static int on_tick(sd_event_source *source, uint64_t time, void *data)
{
	(void)data;
	if (bench.stop)
		return sd_event_exit(bench.event, 0);
	sd_event_source_set_time(source, time + 20000);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static struct tls_context *gateway_context(void)
{
	char *prefix = fixture_path(bench.directory, "gateway.crt");
	char *key = fixture_path(bench.directory, "gateway.key");
	struct ca_request request = {.identity = "spiffe://" DOMAIN "/gateway/one",
				     .lifetime_s = 86400,
				     .not_before_s = -300,
				     .certificate_path = prefix,
				     .key_path = key};
	struct credential *credential = NULL;
	struct tls_context *context = NULL;

	must(ca_issue(bench.ca, &request, NULL) == 0);
	must(credential_load(tls_library(), prefix, key, clock_wall(), &credential, NULL) == 0);
	must(tls_context_new(TLS_SERVER, credential, bench.trust, &context, NULL) == 0);
	tls_context_allow_http(context);
	credential_put(credential);
	free(prefix);
	free(key);
	return context;
}

static void *serve(void *data)
{
	static const struct listener_limits limits = {.threads = 2,
						      .half_open = 512,
						      .half_open_source = 512,
						      .starts_per_second = 100000,
						      .starts_burst = 100000};
	static const char *const patterns[] = {"spiffe://" DOMAIN "/**"};
	static const struct admit_options admit = {.patterns = patterns, .pattern_count = 1};
	struct tls_context *context = gateway_context();
	struct listener *listener = NULL;

	(void)data;
	must(sd_event_new(&bench.event) >= 0);
	must(enrol_new(bench.event, bench.path, NULL, &admit, &bench.enrol, NULL) == 0);
	for (unsigned port = PORT_FIRST; !listener && port < PORT_FIRST + 100; port++) {
		bench.endpoint.port = (uint16_t)port;
		listener_new(bench.event, &bench.endpoint, 1, 0, &limits, context, on_opened, NULL,
			     &listener, NULL);
	}
	must(listener);
	must(sd_event_add_time_relative(bench.event, NULL, CLOCK_MONOTONIC, 20000, 0, on_tick,
					NULL) >= 0);
	bench.ready = true;
	sd_event_loop(bench.event);
	listener_free(listener);
	enrol_free(bench.enrol);
	sd_event_unref(bench.event);
	tls_context_put(context);
	return NULL;
}

static SSL *dial(SSL_CTX *context, const struct device *device)
{
	struct sockaddr_storage address;
	socklen_t size = endpoint_to_sockaddr(&bench.endpoint, AF_INET, &address);
	SSL *ssl = SSL_new(context);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	must(ssl && fd >= 0 && connect(fd, (struct sockaddr *)&address, size) == 0);
	must(SSL_set_fd(ssl, fd) == 1 && SSL_use_certificate(ssl, device->leaf) == 1 &&
	     SSL_use_PrivateKey(ssl, device->key) == 1);
	must(SSL_set1_chain(ssl, ca_chain(bench.ca)) == 1);
	must(SSL_connect(ssl) == 1);
	return ssl;
}

static void hang_up(SSL *ssl)
{
	int fd = SSL_get_fd(ssl);

	SSL_shutdown(ssl);
	SSL_free(ssl);
	close(fd);
}

static void ask(SSL *ssl, const char *text)
{
	char answer[ANSWER_MAX];
	size_t size = 0, n;

	must(SSL_write(ssl, text, (int)strlen(text)) == (int)strlen(text));
	for (;;) {
		answer[size] = '\0';
		char *end = strstr(answer, "\r\n\r\n"),
		     *length = strstr(answer, "Content-Length: ");
		if (end && length && strlen(end + 4) >= strtoul(length + 16, NULL, 10))
			break;
		must(SSL_read_ex(ssl, answer + size, sizeof(answer) - 1 - size, &n) == 1);
		size += n;
	}
	must(strncmp(answer, "HTTP/1.1 200 ", 13) == 0);
}

struct client {
	pthread_t thread;
	unsigned first, step;
	bool keep; // the connection
};

static void *renew(void *data)
{
	const struct client *client = data;
	SSL_CTX *context = SSL_CTX_new_ex(tls_library(), NULL, TLS_client_method());

	must(context);
	for (unsigned i = client->first; i < bench.count; i += client->step) {
		SSL *ssl = NULL;
		for (unsigned j = 0; j < EACH; j++) {
			if (!ssl)
				ssl = dial(context, &bench.devices[i]);
			ask(ssl, bench.devices[i].text);
			if (client->keep)
				continue;
			hang_up(ssl);
			ssl = NULL;
		}
		if (ssl)
			hang_up(ssl);
	}
	SSL_CTX_free(context);
	return NULL;
}

static void measure_whole(const char *what, bool keep)
{
	struct client clients[CLIENTS];

	devices_renew();
	uint64_t begin = clock_ns();
	for (unsigned i = 0; i < CLIENTS; i++) {
		clients[i] = (struct client){.first = i, .step = CLIENTS, .keep = keep};
		must(pthread_create(&clients[i].thread, NULL, renew, &clients[i]) == 0);
	}
	for (unsigned i = 0; i < CLIENTS; i++)
		pthread_join(clients[i].thread, NULL);
	row(what, since(begin), bench.count * EACH);
}

int main(int argc, char **argv)
{
	pthread_t server;
	bool quick = argc > 1 && strcmp(argv[1], "--quick") == 0;

	log_set_level(LOG_LEVEL_ERROR);
	bench.count = quick ? CLIENTS : DEVICES;
	bench.directory = fixture_directory();
	bench.path = fixture_path(bench.directory, "ca");
	bench.bundle = fixture_path(bench.path, "trust.crt");
	must(ca_init(bench.path, DOMAIN, NULL) == 0 && ca_open(bench.path, &bench.ca, NULL) == 0);
	struct trust_source source = {.domain = DOMAIN, .path = bench.bundle};
	must(trust_load(tls_library(), &source, 1, clock_wall(), &bench.trust, NULL) == 0);
	must(endpoint_parse("127.0.0.1:1", &bench.endpoint) == 0);
	bench.devices = calloc(bench.count, sizeof(*bench.devices));
	must(bench.devices);
	devices_renew();
	printf("one of its kind on one core:\n");
	measure_steps();
	measure_service();
	must(pthread_create(&server, NULL, serve, NULL) == 0);
	while (!bench.ready)
		usleep(1000);
	printf("%u devices at a time, both ends on this machine:\n", CLIENTS);
	measure_whole("simplereenroll, 8 on one connection of TLS", true);
	measure_whole("simplereenroll, each on a connection of its own", false);
	bench.stop = true;
	pthread_join(server, NULL);
	ca_close(bench.ca);
	trust_put(bench.trust);
	for (unsigned i = 0; i < bench.count; i++) {
		EVP_PKEY_free(bench.devices[i].key);
		X509_free(bench.devices[i].leaf);
		free(bench.devices[i].der);
	}
	free(bench.devices);
	fixture_directory_free(bench.path);
	fixture_directory_free(bench.directory);
	free(bench.bundle);
	return 0;
}
