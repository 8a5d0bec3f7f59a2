// SPDX-License-Identifier: Apache-2.0
// X509_verify_cert() takes as an end entity what must not be one: a CA, two URI names, no extended key usage. Why leaves have
// rules of their own (pki/certificate.c).

#include "platform/platform.h"

#define URI    "URI:spiffe://corp.example/a"
#define LEAF   .key_usage = "critical,digitalSignature"
#define CLIENT .extended_key_usage = "clientAuth"

static int judge(struct extensions extensions)
{
	struct identity ca = platform_ca("ca", NULL);
	X509 *leaf = platform_issue(&ca, "leaf", &extensions, 3600).certificate;

	return platform_verify(&ca, leaf, NULL, 0, X509_PURPOSE_SSL_CLIENT);
}

int main(void)
{
	expect(judge((struct extensions){.san = URI, LEAF, CLIENT}) == X509_V_OK);
	expect(judge((struct extensions){.san = URI,
					 CLIENT,
					 .basic_constraints = "critical,CA:TRUE",
					 .key_usage = "critical,digitalSignature,keyCertSign"}) ==
	       X509_V_OK);
	expect(judge((struct extensions){
		       .san = URI ",URI:spiffe://corp.example/b", LEAF, CLIENT}) == X509_V_OK);
	expect(judge((struct extensions){.san = URI, LEAF}) == X509_V_OK);
	expect(judge((struct extensions){LEAF, CLIENT}) == X509_V_OK);
	expect(judge((struct extensions){.san = URI, CLIENT}) == X509_V_OK);
	expect(judge((struct extensions){
		       .san = URI, LEAF, .extended_key_usage = "anyExtendedKeyUsage"}) ==
	       X509_V_ERR_INVALID_PURPOSE);
	expect(judge((struct extensions){.san = URI, LEAF, .extended_key_usage = "serverAuth"}) ==
	       X509_V_ERR_INVALID_PURPOSE);
	return 0;
}
