// SPDX-License-Identifier: Apache-2.0

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>
#include <openssl/ocsp.h>

#include "base/clock.h"
#include "base/error.h"
#include "pki/staple.h"
#include "pki/tls.h"
#include "pki/trust.h"
#include "pki/verify.h"
#include "unit/ocsp_fixture.h"

#define ALICE "spiffe://corp.example/laptop/alice"

static struct fixture *root, *issuing, *leaf, *sibling, *stranger, *edwards, *edwards_leaf;
// Appointed by the issuing CA; without the purpose; by the root instead; expired;
// with a key of a kind that is not accepted.
static struct fixture *delegate, *plain, *uncle, *late, *odd;

static struct fixture *responder(const struct fixture *issuer, const char *usage, int64_t end_s,
				 const char *key)
{
	struct fixture_options options = {
		.subject = "responder",
		.key = key,
		.extended_key_usage = usage,
		.not_before_s = -86400,
		.not_after_s = end_s,
	};

	return fixture_issue(issuer, &options);
}

static int set_up(void **state)
{
	struct fixture_options ed = {.subject = "ed root",
				     .basic_constraints = "critical,CA:TRUE",
				     .key_usage = "critical,keyCertSign,cRLSign",
				     .extended_key_usage = "",
				     .key = "Ed25519"};

	(void)state;
	root = fixture_root("root");
	issuing = fixture_intermediate(root, "issuing", NULL, 0);
	stranger = fixture_root("stranger");
	leaf = fixture_leaf(issuing, ALICE);
	sibling = fixture_leaf(issuing, "spiffe://corp.example/laptop/bob");
	edwards = fixture_issue(NULL, &ed);
	edwards_leaf = fixture_leaf(edwards, ALICE);
	delegate = responder(issuing, "OCSPSigning", 86400, NULL);
	odd = responder(issuing, "OCSPSigning", 86400, "secp256k1");
	plain = responder(issuing, "serverAuth,clientAuth", 86400, NULL);
	uncle = responder(root, "OCSPSigning", 86400, NULL);
	late = responder(issuing, "OCSPSigning", -60, NULL);
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *all[] = {odd,	  late,	   uncle, delegate, plain,   edwards_leaf,
				 edwards, sibling, leaf,  stranger, issuing, root};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		fixture_free(all[i]);
	return 0;
}

static int read_answer(const struct fixture *of, const struct ocsp_options *options,
		       struct staple *ret, struct error *error)
{
	size_t size;
	_cleanup_(freep) uint8_t *der = ocsp_answer(of, options, &size);

	return staple_read(der, size, of->certificate, of->issuer->certificate, clock_wall(), ret,
			   error);
}

static void reads_what_the_issuer_says(void **state)
{
	struct ocsp_options good = {0};
	struct ocsp_options revoked = {.status = V_OCSP_CERTSTATUS_REVOKED,
				       .reason = OCSP_REVOKED_STATUS_KEYCOMPROMISE,
				       .revoked_s = -7200};
	struct ocsp_options unknown = {.status = V_OCSP_CERTSTATUS_UNKNOWN};
	struct ocsp_options old = {.this_s = -7200, .next_s = -3600};
	struct ocsp_options sha256 = {.id_digest = "SHA256", .digest = "SHA384"};
	struct staple staple;
	time_t now = clock_wall();

	(void)state;
	clock_set_wall(now);
	assert_int_equal(read_answer(leaf, &good, &staple, NULL), 0);
	assert_int_equal(staple.state, STAPLE_GOOD);
	assert_int_equal(staple.this_update, now - 60);
	assert_int_equal(staple.next_update, now + 3600);
	assert_int_equal(read_answer(leaf, &revoked, &staple, NULL), 0);
	assert_int_equal(staple.state, STAPLE_REVOKED);
	assert_int_equal(staple.revoked_at, now - 7200);
	assert_string_equal(staple.reason, "keyCompromise");
	assert_int_equal(read_answer(leaf, &unknown, &staple, NULL), 0);
	assert_int_equal(staple.state, STAPLE_UNKNOWN);
	assert_int_equal(read_answer(leaf, &old, &staple, NULL), 0);
	assert_int_equal(staple.state, STAPLE_GOOD);
	assert_int_equal(staple.next_update, now - 3600);
	assert_int_equal(read_answer(leaf, &sha256, &staple, NULL), 0);
	assert_int_equal(read_answer(edwards_leaf, &good, &staple, NULL), 0);
	clock_set_wall(0);
}

static void believes_whom_the_issuer_appointed(void **state)
{
	struct ocsp_options options = {.signer = delegate};
	struct staple staple;
	struct error error = {0};

	(void)state;
	read_answer(leaf, &options, &staple, &error);
	assert_string_equal(error.what, "");
	assert_int_equal(staple.state, STAPLE_GOOD);
}

static void believes_nobody_else(void **state)
{
#define NOT_SIGNED "is not signed by the issuer, nor by whom it has appointed"
	const struct {
		struct ocsp_options options;
		const char *what;
	} lines[] = {
		{{.signer = stranger}, NOT_SIGNED},
		{{.signer = root}, NOT_SIGNED},
		{{.signer = plain}, NOT_SIGNED},
		{{.signer = uncle}, NOT_SIGNED},
		{{.signer = late}, NOT_SIGNED},
		{{.signer = odd}, NOT_SIGNED},
		{{.signer = sibling}, NOT_SIGNED},
		{{.signer = leaf}, NOT_SIGNED},
		{{.digest = "SHA1"}, "is signed with ecdsa-with-SHA1"},
		{{.about = sibling}, "is not about this certificate"},
		{{.about = edwards_leaf}, "is not about this certificate"},
		{{.times = -1}, "does not say how long it holds"},
		{{.this_s = 3600, .next_s = 7200}, "is from the future"},
		{{.this_s = -60, .next_s = -120}, "has unreadable times"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct staple staple = {0};
		struct error error = {0};
		assert_int_equal(read_answer(leaf, &lines[i].options, &staple, &error), -EINVAL);
		assert_string_equal(error.what, lines[i].what);
		assert_int_equal(staple.state, STAPLE_NONE);
	}
}

static void refuses_what_is_no_answer(void **state)
{
	static const uint8_t later[] = {0x30, 0x03, 0x0a, 0x01, 0x03}; // tryLater
	struct ocsp_options good = {0};
	size_t size;
	_cleanup_(freep) uint8_t *der = ocsp_answer(leaf, &good, &size);
	_cleanup_(freep) uint8_t *large = calloc(1, STAPLE_MAX + 1);
	struct staple staple;
	struct error error = {0};
	X509 *certificate = leaf->certificate, *issuer = issuing->certificate;
	time_t now = clock_wall();

	(void)state;
	assert_int_equal(
		staple_read(later, sizeof(later), certificate, issuer, now, &staple, &error),
		-EINVAL);
	assert_string_equal(error.what, "is only an excuse: trylater");
	assert_int_equal(
		staple_read(large, STAPLE_MAX + 1, certificate, issuer, now, &staple, &error),
		-EINVAL);
	assert_string_equal(error.what, "is larger than 6144 bytes");
	for (size_t i = 0; i < size; i += i < 64 ? 1 : 7)
		assert_int_equal(staple_read(der, i, certificate, issuer, now, &staple, NULL),
				 -EINVAL);
	uint8_t *more = realloc(take(der), size + 1);
	assert_non_null(more);
	der = more;
	der[size] = 0;
	assert_int_equal(staple_read(der, size + 1, certificate, issuer, now, &staple, &error),
			 -EINVAL);
	assert_string_equal(error.what, "cannot be read");
	assert_int_equal(staple_read(der, size, certificate, issuer, now, &staple, &error), 0);
	der[size - 1] ^= 1; // in the signature
	assert_int_equal(staple_read(der, size, certificate, issuer, now, &staple, &error),
			 -EINVAL);
}

static void judges_by_what_is_required(void **state)
{
	const time_t now = 1000000;
	const struct staple none = {0};
	const struct staple good = {STAPLE_GOOD, now - 60, now + 60, 0, NULL};
	const struct staple old = {STAPLE_GOOD, now - 7200, now - 3600, 0, NULL};
	const struct staple unknown = {STAPLE_UNKNOWN, now - 60, now + 60, 0, NULL};
	const struct staple revoked = {STAPLE_REVOKED, now - 7200, now - 60, now - 3600,
				       "superseded"};
	const struct {
		const struct staple *staple;
		bool required;
		const char *what; // NULL: let in
	} lines[] = {
		{&good, true, NULL},
		{&good, false, NULL},
		{&none, false, NULL},
		{&none, true, ALICE " brought no OCSP answer about its certificate"},
		{&old, false, NULL},
		{&old, true, "OCSP answer about the certificate of " ALICE " expired 1 h ago"},
		{&unknown, false, NULL},
		{&unknown, true, "the OCSP responder does not know the certificate of " ALICE},
		{&revoked, false,
		 "certificate of " ALICE " was revoked 1 h ago, says its OCSP answer (superseded)"},
		{&revoked, true,
		 "certificate of " ALICE " was revoked 1 h ago, says its OCSP answer (superseded)"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct error error = {0};
		int r = staple_judge(lines[i].staple, ALICE, lines[i].required, now, &error);
		assert_string_equal(error.what, lines[i].what ? lines[i].what : "");
		int refused = lines[i].staple == &revoked ? -EKEYREVOKED : -EACCES;
		assert_int_equal(r, lines[i].what ? refused : 0);
	}
}

static struct trust *load(const char *path, bool require)
{
	struct trust_source source = {
		.domain = "corp.example", .path = path, .require_staple = require};
	struct trust *trust = NULL;

	assert_int_equal(trust_load(tls_library(), &source, 1, clock_wall(), &trust, NULL), 0);
	return trust;
}

// A verdict over the leaf, by `trust`.
static struct verdict *judge(const struct trust *trust)
{
	STACK_OF(X509) *chain = fixture_chain(leaf);
	struct verdict *verdict = NULL;

	assert_int_equal(verify_chain(trust, leaf->certificate, chain, VERIFY_PEER_IS_CLIENT,
				      clock_wall(), &verdict, NULL, NULL),
			 0);
	sk_X509_free(chain);
	return verdict;
}

static struct verdict *take_answer(const struct trust *trust, const struct verdict *verdict,
				   const struct ocsp_options *options, struct error *error)
{
	size_t size;
	_cleanup_(freep) uint8_t *der = ocsp_answer(leaf, options, &size);
	struct verdict *stapled = NULL;
	int r = verify_staple(trust, verdict, der, size, clock_wall(), &stapled, error);

	assert_int_equal(r < 0, stapled == NULL);
	return stapled;
}

static void becomes_part_of_the_judgement(void **state)
{
	_cleanup_(fixture_directory_freep) char *directory = fixture_directory();
	_cleanup_(freep) char *path = fixture_path(directory, "trust.crt");
	fixture_write_certificate(root, false, path);
	_cleanup_(trust_putp) struct trust *lax = load(path, false);
	_cleanup_(trust_putp) struct trust *strict = load(path, true);
	_cleanup_(verdict_putp) struct verdict *verdict = judge(lax);
	_cleanup_(verdict_putp) struct verdict *good = NULL;
	_cleanup_(verdict_putp) struct verdict *again = NULL;
	_cleanup_(verdict_putp) struct verdict *forged = NULL;
	_cleanup_(verdict_putp) struct verdict *silent = NULL;
	struct ocsp_options answer = {0}, forgery = {.signer = stranger};
	struct ocsp_options revoked = {.status = V_OCSP_CERTSTATUS_REVOKED, .revoked_s = -60};
	struct verdict *none = NULL;
	struct error error = {0};
	time_t now = clock_wall();

	(void)state;
	assert_memory_not_equal(trust_fingerprint(lax), trust_fingerprint(strict), 32);
	assert_int_equal(verdict_staple(verdict)->state, STAPLE_NONE);
	good = take_answer(strict, verdict, &answer, NULL);
	assert_int_equal(verdict_staple(good)->state, STAPLE_GOOD);
	assert_string_equal(verdict_identity(good), ALICE);
	// Where it is required, nothing outlasts it; where it is not, it takes nothing away.
	assert_int_equal(verdict_not_after(good), verdict_staple(good)->next_update);
	assert_int_equal(verify_again(lax, good, now, &again, NULL), 0);
	assert_int_equal(verdict_staple(again)->state, STAPLE_GOOD);
	assert_true(verdict_not_after(again) > verdict_not_after(good));
	assert_int_equal(verify_again(strict, again, now + 4000, &none, &error), -EACCES);
	assert_non_null(
		strstr(error.what, "OCSP answer about the certificate of " ALICE " expired"));
	// A setting that changes under a live session.
	assert_int_equal(verify_again(strict, verdict, now, &none, &error), -EACCES);
	assert_string_equal(error.what, ALICE " brought no OCSP answer about its certificate");
	assert_null(take_answer(lax, verdict, &revoked, &error));
	assert_int_equal(error.code, EKEYREVOKED);
	// What cannot be believed counts as nothing.
	forged = take_answer(lax, verdict, &forgery, NULL);
	assert_int_equal(verdict_staple(forged)->state, STAPLE_NONE);
	assert_null(take_answer(strict, verdict, &forgery, &error));
	assert_int_equal(verify_staple(lax, good, NULL, 0, now, &silent, NULL), 0);
	assert_int_equal(verdict_staple(silent)->state, STAPLE_NONE);
}

static void asks_about_the_leaf(void **state)
{
	uint8_t *der = NULL;
	size_t size = 0;

	(void)state;
	assert_int_equal(staple_request(leaf->certificate, issuing->certificate, &der, &size), 0);
	const unsigned char *at = der;
	OCSP_REQUEST *request = d2i_OCSP_REQUEST(NULL, &at, (long)size);
	OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), leaf->certificate, issuing->certificate);
	assert_non_null(request);
	assert_int_equal(OCSP_request_onereq_count(request), 1);
	assert_int_equal(OCSP_id_cmp(OCSP_onereq_get0_id(OCSP_request_onereq_get0(request, 0)), id),
			 0);
	OCSP_CERTID_free(id);
	OCSP_REQUEST_free(request);
	free(der);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_the_issuer_says),
		cmocka_unit_test(believes_whom_the_issuer_appointed),
		cmocka_unit_test(believes_nobody_else),
		cmocka_unit_test(refuses_what_is_no_answer),
		cmocka_unit_test(judges_by_what_is_required),
		cmocka_unit_test(becomes_part_of_the_judgement),
		cmocka_unit_test(asks_about_the_leaf),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
