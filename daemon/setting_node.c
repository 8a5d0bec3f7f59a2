// SPDX-License-Identifier: Apache-2.0
// Settings of who this node is, whom it believes, and how that is kept current.

#include "daemon/setting_table.h"

#include "daemon/config.h"

static const struct setting settings[] = {
	{.path = "node",
	 .type = SETTING_GROUP,
	 .required = true,
	 .reloadable = true,
	 .offset = offsetof(struct config, node),
	 .help = "Who this node is and whom it believes."},
	{.path = "node.certificate",
	 .type = SETTING_PATH,
	 .required = true,
	 .reloadable = true,
	 .offset = offsetof(struct config_node, certificate),
	 .help = "Certificate chain of this node in PEM, its own certificate first. The file is watched: a new "
		 "certificate is taken up by itself, without the loss of a packet."},
	{.path = "node.key",
	 .type = SETTING_PATH,
	 .required = true,
	 .reloadable = true,
	 .offset = offsetof(struct config_node, key),
	 .help = "Private key of the certificate in PEM. Only its owner may have access to the file."},
	{.path = "node.trust",
	 .type = SETTING_PATH,
	 .required = true,
	 .reloadable = true,
	 .offset = offsetof(struct config_node, trust),
	 .help = "CA certificates of the own trust domain and their revocation lists in PEM."},
	{.path = "node.federation",
	 .type = SETTING_LIST,
	 .max = 64,
	 .reloadable = true,
	 .offset = offsetof(struct config_node, federation),
	 .count_offset = offsetof(struct config_node, federation_count),
	 .size = sizeof(struct config_federation),
	 .help = "Other trust domains whose identities can be admitted."},
	{.path = "node.federation[].domain",
	 .type = SETTING_DOMAIN,
	 .required = true,
	 .reloadable = true,
	 .offset = offsetof(struct config_federation, domain),
	 .help = "Name of the other trust domain."},
	{.path = "node.federation[].trust",
	 .type = SETTING_PATH,
	 .required = true,
	 .reloadable = true,
	 .offset = offsetof(struct config_federation, trust),
	 .help = "CA certificates and revocation lists of that domain in PEM."},
	{.path = "node.state",
	 .type = SETTING_PATH,
	 .fallback = "/var/lib/mutun",
	 .offset = offsetof(struct config_node, state),
	 .help = "Directory of what has to outlive the daemon, such as leases."},
	{.path = "renewal",
	 .type = SETTING_GROUP,
	 .reloadable = true,
	 .offset = offsetof(struct config, renewal),
	 .help = "How mutund renews the certificate of this node by itself, over EST (RFC 7030), with a new key each time, when "
		 "60 to 75 % of its life are over. Without it, the files are somebody else's to renew. Certificate and key "
		 "must be one file then (node.certificate and node.key name the same), which is replaced as a whole."},
	{.path = "renewal.url",
	 .type = SETTING_URL,
	 .required = true,
	 .reloadable = true,
	 .offset = offsetof(struct config_renewal, url),
	 .help = "Where the EST service is: \"https://vpn.corp.example\" for a gateway of mutun, or with a port, or with the whole "
		 "path of another service (\"https://est.corp.example/.well-known/est/laptops\"). It is reached beside the "
		 "tunnel, never through it."},
	{.path = "renewal.identity",
	 .type = SETTING_PATTERN,
	 .reloadable = true,
	 .offset = offsetof(struct config_renewal, identity),
	 .help = "Identity that the service must prove, against node.trust. Without it, it is judged as a web server: by the "
		 "name in the URL and the CA certificates of renewal.trust."},
	{.path = "renewal.trust",
	 .type = SETTING_PATH,
	 .reloadable = true,
	 .offset = offsetof(struct config_renewal, trust),
	 .help = "CA certificates in PEM for a service without an identity; those of the system if not set."},
};

const struct setting_table setting_node = {settings, sizeof(settings) / sizeof(settings[0])};
