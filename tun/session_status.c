// SPDX-License-Identifier: Apache-2.0

#include <stdio.h>

#include "tun/path.h"
#include "tun/session_channel.h"
#include "tun/session_control.h"

time_t session_expires(const struct session_control *control)
{
	if (!control->verdict)
		return 0;
	time_t theirs = verdict_not_after(control->verdict);
	time_t ours = credential_not_after(control->own);
	return theirs < ours ? theirs : ours;
}

void session_status(const struct session *session, struct session_status *ret)
{
	const struct session_control *control = session->control;
	const struct epoch *tx = atomic_load(&session->tx);
	const struct path *path = atomic_load(&session->paths[atomic_load(&session->newest_lane)]);
	*ret = (struct session_status){
		.totals = control->retired,
		.epoch = tx ? tx->options.number : 0,
		.cipher = tx ? tx->options.cipher : CIPHER_AES_256_GCM,
		.group = control->group,
		.rtt_ns = session_load(&session->rtt_ns),
		.mtu = atomic_load(&session->mtu),
		.has_path = path != NULL,
		.in_channel = path && path_in_channel(path),
		.udp_ask_ms = detour_deadline(&control->detour),
		.singly = atomic_load(&session->way.singly),
		.renewals = control->renewals,
		.renewals_lost = control->renewals_lost,
		.renewal = control->renewal,
		.expires = session_expires(control),
		.verdict = control->verdict,
	};
	if (ret->in_channel)
		snprintf(ret->mtu_reason, sizeof(ret->mtu_reason), "as agreed, over TCP");
	else
		mtu_reason(&control->mtu, ret->mtu_reason);
	if (ret->in_channel)
		ret->endpoint = session_channel_endpoint(session);
	else if (path)
		ret->endpoint = path->peer.remote;
	for (unsigned i = 0; i < SESSION_EPOCHS; i++)
		session_add_totals(&ret->totals, atomic_load(&session->epochs[i]));
	for (unsigned i = 0; i <= DROP_LAST; i++)
		ret->drops[i] = session_load(&session->drops[i]);
}
