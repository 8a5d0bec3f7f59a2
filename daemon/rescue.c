// SPDX-License-Identifier: Apache-2.0

#include "daemon/rescue.h"

#include <errno.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "daemon/config.h"
#include "daemon/renewer.h"
#include "pki/certificate.h"
#include "pki/credential.h"
#include "pki/obtain.h"
#include "pki/pem.h"
#include "pki/probation.h"
#include "pki/tls.h"
#include "pki/trust.h"

DEFINE_CLEANUP(X509 *, X509_free);

static int load_trust(const struct config_node *node, X509 *leaf, struct trust **ret,
		      struct error *error)
{
	_cleanup_(freep) char *identity = NULL;
	int r = certificate_identity(leaf, &identity, error);
	return r < 0 ? r
		     : trust_load_file(tls_library(), identity, node->trust, clock_wall(), ret,
				       error);
}

static int renew_here(const struct config *config, struct error *error)
{
	const struct config_node *node = &config->node;
	struct probation files = {node->certificate, node->key};
	_cleanup_(X509_freep) X509 *old = NULL;
	_cleanup_(trust_putp) struct trust *trust = NULL;
	_cleanup_(obtained_done) struct obtained obtained = {0};
	int r = pem_read_certificate(node->certificate, &old, error);
	if (r == 0)
		r = load_trust(node, old, &trust, error);
	if (r == 0)
		r = obtain_here(config->gateway.ca, config->gateway.ca_passphrase, old, trust,
				clock_wall(), &obtained, error);
	return r < 0 ? r : probation_begin(&files, NULL, &obtained, clock_wall(), error);
}

void rescue(const struct config *config)
{
	struct probation files = {config->node.certificate, config->node.key};
	_cleanup_(credential_putp) struct credential *credential = NULL;
	char text[ERROR_TEXT_MAX];
	struct error error;
	if (!tls_library())
		return;
	if (probation_recover(&files, clock_wall(), &error) > 0)
		log_warning("the previous certificate and key are put back, because of the new: %s",
			    error_text(&error, text, sizeof(text)));
	if (renewer_source(config) != RENEWER_CA ||
	    credential_load(tls_library(), files.certificate, files.key, clock_wall(), &credential,
			    NULL) != -EKEYEXPIRED)
		return;
	if (renew_here(config, &error) < 0)
		log_error("the certificate of this node has expired, and cannot be renewed: %s",
			  error_text(&error, text, sizeof(text)));
	else
		log_info("the certificate of this node had expired: renewed by the CA in %s",
			 config->gateway.ca);
}
