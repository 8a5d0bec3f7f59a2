// SPDX-License-Identifier: Apache-2.0

#include "tun/session_channel.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "tun/connection.h"
#include "tun/dataplane.h"
#include "tun/ingress.h"
#include "tun/outlet.h"
#include "tun/path.h"
#include "tun/session_control.h"

#define LOOK_MS	   1000u		  // at whether a peer's packets still come in the channel
#define TARGET_MS  20u			  // that packets may wait for the channel
#define QUIET_MS   (DRAIN_MIN_MS + 2000u) // after new keys, without questions over UDP
#define CHUNK_SIZE 16000u // bytes that are sent at once: one TLS record with the headers of frames

void session_channel_use(struct session *session, struct connection *const *current)
{
	session->control->channel = current;
}

bool session_in_channel(const struct session *session)
{
	const struct path *path = atomic_load(&session->paths[atomic_load(&session->newest_lane)]);
	return path && path_in_channel(path);
}

struct endpoint session_channel_endpoint(const struct session *session)
{
	struct connection *const *current = session->control->channel;
	return current && *current ? connection_peer(*current) : (struct endpoint){0};
}

// --- in

void session_channel_take(struct session *session, const void *packet, size_t size)
{
	struct packet_header header;
	uint32_t index;
	if (size < PACKET_OVERHEAD) {
		session_count_drop(session, DROP_SHORT);
		return;
	}
	memcpy(&header, packet, sizeof(header));
	memcpy(&index, header.index, sizeof(index));
	// A channel carries its own session and no other.
	if (be32toh(index) != session->index) {
		session_count_drop(session, DROP_INDEX);
		return;
	}
	struct datagram_peer peer = {.slot = DATAPLANE_CHANNEL, .session = session->index};
	struct ingress_input input = {.data = packet, .size = size, .peer = &peer};
	unsigned worker = header.lane % dataplane_workers(session->dataplane);
	if (!dataplane_hand_over(session->dataplane, worker, &input))
		session_count_drop(session, DROP_QUEUE);
}

// --- out

static void drop_packets(struct session *session, struct parcel *parcel, size_t size)
{
	for (size_t at = 0; at < size; at += parcel->segment)
		session_count_drop(session, DROP_CHANNEL);
}

// `size` bytes of the oldest parcel are done with.
static void forward(struct session *session, size_t size)
{
	struct session_control *control = session->control;
	struct parcel *parcel = control->waiting;
	outlet_left(dataplane_outlet(session->dataplane), session, size);
	parcel->offset += size;
	parcel->size -= size;
	if (parcel->size > 0)
		return;
	control->waiting = parcel->next;
	free(parcel);
	if (!control->waiting)
		control->waiting_end = &control->waiting;
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

static void drop_old(struct session *session, uint64_t now_ms)
{
	struct parcel *parcel;
	while ((parcel = session->control->waiting) && now_ms > parcel->at_ms + CHANNEL_AGE_MS) {
		drop_packets(session, parcel, parcel->size);
		forward(session, parcel->size);
	}
}

// Whether packets have waited too long for too long (RFC 8289, with the round trip that it takes for the internet).
static bool must_lose(struct session_control *control, const struct parcel *parcel)
{
	if (clock_ms() < parcel->at_ms + TARGET_MS) {
		backlog_empty(&control->backlog, clock_ns());
		return false;
	}
	return backlog_tell(&control->backlog, BACKLOG_INTERVAL_MAX_NS, clock_ns());
}

// Some packets of the oldest parcel; or the first of them is lost, so that its sender slows down.
static void send_some(struct session *session, struct connection *connection)
{
	struct parcel *parcel = session->control->waiting;
	if (must_lose(session->control, parcel)) {
		size_t size = smaller(parcel->segment, parcel->size);
		drop_packets(session, parcel, size);
		forward(session, size);
		return;
	}
	size_t chunk = CHUNK_SIZE / parcel->segment * parcel->segment;
	size_t size = smaller(chunk ? chunk : parcel->segment, parcel->size);
	if (connection_send_packets(connection, parcel->data + parcel->offset, size,
				    parcel->segment) < 0)
		drop_packets(session, parcel, size);
	forward(session, size);
}

void session_channel_ready(struct session *session)
{
	struct session_control *control = session->control;
	struct connection *connection = control->channel ? *control->channel : NULL;
	drop_old(session, clock_ms());
	while (control->waiting && connection && connection_has_room(connection))
		send_some(session, connection);
	if (!control->waiting)
		backlog_empty(&control->backlog, clock_ns());
}

void session_channel_put(struct session *session, struct parcel *parcel)
{
	struct session_control *control = session->control;
	parcel->next = NULL;
	*control->waiting_end = parcel;
	control->waiting_end = &parcel->next;
	session_channel_ready(session);
}

void session_channel_done(struct session *session)
{
	while (session->control->waiting)
		forward(session, session->control->waiting->size);
}

// --- from one to the other

static void set_paths(struct session *session, const struct datagram_peer *peer)
{
	const struct epoch *newest = session->control->newest;
	unsigned lanes = newest ? newest->options.peer_lanes : 1;
	for (unsigned i = 0; i < lanes; i++) {
		struct path *path = path_new(peer, true);
		if (path)
			path_replace(session, i, path);
	}
}

// What is asked about over UDP: the gateway's address as it is now, or nothing.
static void set_udp(struct session *session, const struct datagram_peer *peer)
{
	struct path *path = peer ? path_new(peer, false) : NULL;
	struct path *old = atomic_exchange(&session->udp, path);
	if (old)
		dataplane_retire_path(session->dataplane, old);
}

static void set_channel_paths(struct session *session)
{
	struct datagram_peer peer = {.slot = DATAPLANE_CHANNEL, .session = session->index};
	set_udp(session, &session->control->udp_peer);
	set_paths(session, &peer);
}

void session_set_path(struct session *session, const struct datagram_peer *peer)
{
	session->control->udp_peer = *peer;
	if (!session->control->detour.taken) {
		set_paths(session, peer);
		return;
	}
	set_channel_paths(session);
	detour_moved(&session->control->detour, clock_ms());
}

void session_channel_enter(struct session *session, uint64_t now_ms)
{
	detour_take(&session->control->detour, now_ms);
	set_channel_paths(session);
	// The gateway answers every lane where it was heard from last.
	dataplane_send_link(session->dataplane, session->index, LINK_PROBE);
	log_warning(
		"session %s: no answer over UDP, while its TCP connection answers: something on "
		"the way blocks UDP; packets go over TCP until it lets UDP through again",
		session_name(session));
}

static void leave(struct session *session)
{
	set_udp(session, NULL);
	set_paths(session, &session->control->udp_peer);
	// A probe that comes by UDP does not have the gateway answer there, but this does.
	dataplane_send_link(session->dataplane, session->index, LINK_KEEPALIVE);
	log_info("session %s: UDP gets through again, packets go over UDP", session_name(session));
}

static void follow_peer(struct session *session, bool inside)
{
	struct session_control *control = session->control;
	if (control->in_channel == inside)
		return;
	control->in_channel = inside;
	log_info("session %s: the peer's packets come over %s", session_name(session),
		 inside ? "TCP from now on, since UDP does not get through" : "UDP again");
}

// What is asked over UDP in vain would count as lost in a renewal whose epochs both are in use: not before.
static uint64_t ask_from_ms(const struct session_control *control)
{
	return control->renewals ? control->installed_ms + QUIET_MS : 0;
}

void session_channel_tick(struct session *session, uint64_t now_ms)
{
	const struct path *udp = atomic_load(&session->udp);
	bool answered = udp && atomic_load(&udp->confirmed);
	if (!session->initiator) {
		follow_peer(session, session_in_channel(session));
		return;
	}
	if (!answered && now_ms < ask_from_ms(session->control))
		return;
	switch (detour_tick(&session->control->detour, answered, now_ms)) {
	case DETOUR_NOTHING:
		return;
	case DETOUR_ASK:
		dataplane_ask_udp(session->dataplane, session->index);
		return;
	case DETOUR_BACK:
		leave(session);
		return;
	}
}

uint64_t session_channel_deadline(const struct session *session, uint64_t now_ms)
{
	const struct session_control *control = session->control;
	uint64_t next = detour_deadline(&control->detour);
	if (session->initiator)
		return next > ask_from_ms(control) ? next : ask_from_ms(control);
	return session_in_channel(session) && !session_rests(session) ? now_ms + LOOK_MS
								      : CLOCK_NEVER;
}
