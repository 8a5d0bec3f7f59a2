// SPDX-License-Identifier: Apache-2.0
// Name constraints are no check of a SPIFFE ID: a port, an upper-case host and a missing path pass, and of user information the
// versions think differently. A constraint is one host exactly; with a dot before it, the hosts below. Why the identity is parsed
// strictly before any path is sought (pki/identity.c, pki/verify.c), and how the CA writes its constraint (pki/profile.c).

#include "platform/platform.h"

static int judge(const char *constraint, const char *uri)
{
	struct identity ca = platform_ca("ca", constraint);
	X509 *leaf =
		platform_issue(&ca, "leaf", &(struct extensions){.san = uri}, 3600).certificate;

	return platform_verify(&ca, leaf, NULL, 0, 0);
}

int main(void)
{
	const char *exact = "critical,permitted;URI:corp.example",
		   *below = "critical,permitted;URI:.corp.example";

	expect(judge(exact, "URI:spiffe://corp.example/a") == X509_V_OK);
	expect(judge(exact, "URI:spiffe://evil.example/a") == X509_V_ERR_PERMITTED_VIOLATION);
	expect(judge(exact, "URI:spiffe://dev.corp.example/a") == X509_V_ERR_PERMITTED_VIOLATION);
	expect(judge(below, "URI:spiffe://dev.corp.example/a") == X509_V_OK);
	expect(judge(below, "URI:spiffe://corp.example/a") == X509_V_ERR_PERMITTED_VIOLATION);

	expect(judge(exact, "URI:spiffe://corp.example:443/a") == X509_V_OK);
	expect(judge(exact, "URI:spiffe://CORP.example/a") == X509_V_OK);
	expect(judge(exact, "URI:spiffe://corp.example") == X509_V_OK);

	// 3.0 takes "evil@corp.example" for the host, 3.5 takes "corp.example".
	int user = judge(exact, "URI:spiffe://evil@corp.example/a");
	expect((user == X509_V_OK) == (OpenSSL_version_num() >= 0x30500000ul));
	return 0;
}
