// SPDX-License-Identifier: Apache-2.0

#include "daemon/tunnel.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "client/apply.h"
#include "client/claim.h"
#include "client/dns.h"
#include "daemon/config.h"
#include "tun/dataplane.h"
#include "tun/host.h"
#include "tun/offload.h"
#include "tun/outlet.h"

// By default one core is left to handshakes, control, and those who send and receive what the tunnel carries.
static unsigned worker_count(const struct config *config)
{
	cpu_set_t set;
	unsigned count = config->interface.workers;
	if (count == 0 && sched_getaffinity(0, sizeof(set), &set) == 0)
		count = (unsigned)CPU_COUNT(&set) - 1;
	if (count == 0)
		count = 1;
	return count < PACKET_LANES_MAX ? count : PACKET_LANES_MAX;
}

static unsigned wanted_offloads(const struct config_offload *offload)
{
	return (unsigned)offload->tso << OFFLOAD_TSO | (unsigned)offload->uso << OFFLOAD_USO |
	       (unsigned)offload->join << OFFLOAD_JOIN |
	       (unsigned)offload->segment << OFFLOAD_SEGMENT |
	       (unsigned)offload->gro << OFFLOAD_GRO | (unsigned)offload->steer << OFFLOAD_STEER;
}

unsigned tunnel_offloads(const struct tunnel *tunnel, const struct config *config,
			 unsigned *ret_wanted)
{
	*ret_wanted = wanted_offloads(&config->offload);
	return host_offloads(tunnel->host) | dataplane_offloads(tunnel->dataplane);
}

static void choose_crypto(struct tunnel *tunnel, const struct config_interface *interface)
{
	struct seal_choice *choice = &tunnel->crypto;
	seal_choose(interface->only_openssl, choice);
	log_debug(
		"AES-GCM by %s: %u ns by OpenSSL, %u ns by ipsec-mb (0: not there) for 1400 bytes",
		seal_engine_name(choice->engine), choice->openssl_ns, choice->ipsec_mb_ns);
}

static int on_stirred(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	(void)source;
	(void)fd;
	(void)revents;
	dataplane_take_stirred(data);
	return 0;
}

static int on_outlet(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	(void)source;
	(void)fd;
	(void)revents;
	outlet_run(dataplane_outlet(data), data);
	return 0;
}

static int watch_dataplane(struct tunnel *tunnel, sd_event *event, struct error *error)
{
	struct dataplane *dataplane = tunnel->dataplane;
	int r = sd_event_add_io(event, &tunnel->stirred, dataplane_stirred(dataplane), EPOLLIN,
				on_stirred, dataplane);
	if (r >= 0)
		r = sd_event_add_io(event, &tunnel->outlet, outlet_fd(dataplane_outlet(dataplane)),
				    EPOLLIN, on_outlet, dataplane);
	return r < 0 ? error_set(error, -r, "cannot watch the sessions: %s", strerror(-r)) : 0;
}

int tunnel_start(struct tunnel *tunnel, sd_event *event, const struct config *config,
		 void (*network_changed)(void *data), void *data, struct error *error)
{
	const struct config_interface *interface = &config->interface;
	struct host_options options = {
		.interface = interface->name,
		.table = interface->table,
		.rule_priority = interface->rule_priority,
		.mark = interface->mark,
		.queues = worker_count(config),
		.mtu = interface->mtu,
		.offloads = wanted_offloads(&config->offload),
	};
	int r = host_new(event, &options, network_changed, data, &tunnel->host, error);
	if (r < 0)
		return r;
	struct dataplane_options dataplane = {
		.host = tunnel->host,
		.workers = options.queues,
		.mtu = interface->mtu,
		.mark = interface->mark,
		.offloads = options.offloads,
	};
	choose_crypto(tunnel, interface);
	r = dataplane_new(&dataplane, &tunnel->dataplane, error);
	if (r < 0)
		return r;
	r = watch_dataplane(tunnel, event, error);
	if (r < 0)
		return r;
	tunnel->apply = apply_new(tunnel->host, dataplane_guard(tunnel->dataplane));
	tunnel->dns = dns_new(event, host_interface_index(tunnel->host), interface->name);
	tunnel->claims = claims_new();
	return tunnel->apply && tunnel->dns && tunnel->claims
		       ? 0
		       : error_set(error, ENOMEM, "out of memory");
}

void tunnel_done(struct tunnel *tunnel)
{
	claims_free(tunnel->claims);
	dns_free(tunnel->dns);
	apply_free(tunnel->apply);
	sd_event_source_disable_unref(tunnel->stirred);
	sd_event_source_disable_unref(tunnel->outlet);
	dataplane_free(tunnel->dataplane);
	host_free(tunnel->host);
}
