// SPDX-License-Identifier: Apache-2.0
// One mutually authenticated TLS 1.3 connection that carries frames (PROTOCOL.md, "Channel"). No I/O and no clock here:
// bytes and `now` in; bytes, events and the next deadline out.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "pki/tls.h"
#include "tun/frame.h"
#include "tun/message.h"

struct channel;
struct error;
struct verdict;

#define CHANNEL_HANDSHAKE_MS 10000u	// TLS must be done: one absolute deadline, not one per read
#define CHANNEL_OUTPUT_MAX   (1u << 20) // bytes that may wait for a slow peer
#define CHANNEL_UNREAD_MAX   65536u	// bytes fed that may wait before CHANNEL_OPEN
#define CHANNEL_TLS_MAX	     262144u // bytes of one handshake, or of TLS between two events after it

enum channel_event_type {
	CHANNEL_NONE, // nothing more until bytes are fed
	CHANNEL_OPEN, // handshake done and the peer's certificate judged good by us; the peer has yet to judge ours
	CHANNEL_MESSAGE, // event.message; release it with message_done()
	CHANNEL_PACKET,	 // event.packet, borrowed until the next call into the channel
	CHANNEL_BYTES,	 // the same, of a channel that speaks HTTP: what came, in any pieces
	CHANNEL_ROOM, // of a connection: what waited to be sent has left, since connection_has_room() said no
	CHANNEL_CLOSED, // the peer closed in order, or the stream ended; nothing follows
	CHANNEL_FAILED, // channel_error() says why; nothing follows
};

struct channel_event {
	enum channel_event_type type;
	struct message message;
	const uint8_t *packet;
	size_t packet_size;
};

// A new channel in the handshake, as client or server. Takes a reference of the context, copies `expected` (a pattern for
// the peer's identity, may be NULL). NULL: out of memory.
struct channel *channel_new(struct tls_context *context, enum tls_role role, const char *expected,
			    uint64_t now_ms);
struct channel *channel_free(struct channel *channel); // takes NULL, returns NULL
DEFINE_CLEANUP(struct channel *, channel_free);

// Bytes that came from the stream, in any pieces; size 0 means that the stream ended. Never fails: faults come as events.
void channel_feed(struct channel *channel, const void *data, size_t size);
// The next thing that happened. Call until CHANNEL_NONE after each feed, and once after channel_new() (the client speaks
// first) and after channel_expire().
void channel_next(struct channel *channel, struct channel_event *ret);
// Fails the channel when its handshake deadline is past.
void channel_expire(struct channel *channel, uint64_t now_ms);
uint64_t channel_deadline(const struct channel *channel); // CLOCK_NEVER once it is open

// Bytes that the stream should take now; borrowed until the next call into the channel.
const uint8_t *channel_output(struct channel *channel, size_t *ret_size);
void channel_output_done(struct channel *channel, size_t size); // `size` of them were taken

// After CHANNEL_OPEN. -ENOTCONN before and after the end, -ENOBUFS when CHANNEL_OUTPUT_MAX waits already (nothing is queued),
// -ENOMEM, and what message_encode() and frame_put() return.
int channel_send(struct channel *channel, const struct message *message);
int channel_send_packet(struct channel *channel, const void *packet, size_t size);
// Packets of `segment` bytes each, the last maybe fewer, in as few records as can be. -ENOBUFS: with their headers they are more than
// FRAME_HEADER + FRAME_MAX bytes; then none was sent.
int channel_send_packets(struct channel *channel, const void *packets, size_t size, size_t segment);
// On a channel that speaks HTTP, of at most FRAME_MAX bytes. As above.
int channel_send_bytes(struct channel *channel, const void *data, size_t size);
// Says BYE (where that still works; `bye` may be NULL) and close_notify; output remains to be taken, and no event follows.
void channel_close(struct channel *channel, const struct message_bye *bye);

// Whether the peer speaks HTTP here instead of our messages: a client that asks for a certificate (tls_context_allow_http()).
bool channel_is_http(const struct channel *channel);

// After CHANNEL_OPEN. Borrowed from the channel; NULL for who speaks HTTP and showed no certificate.
struct verdict *channel_verdict(const struct channel *channel);
// A client's own OCSP answer to say, borrowed.
void channel_give_staple(const struct channel *channel, struct message_staple *ret);
// The one that a gateway showed in the handshake, borrowed; NULL: none.
const uint8_t *channel_shown_staple(const struct channel *channel, size_t *ret_size);
// What the peer says of its certificate (`der` NULL: nothing) becomes part of channel_verdict(), which is a new one. As
// verify_staple().
int channel_take_staple(const struct channel *channel, const uint8_t *der, size_t size,
			struct error *error);
struct tls_context *channel_context(const struct channel *channel);
const char *channel_group(const struct channel *channel);
int channel_export(struct channel *channel, const char *label, const void *context,
		   size_t context_size, void *ret, size_t size);
// After CHANNEL_FAILED. Borrowed.
const struct error *channel_error(const struct channel *channel);
