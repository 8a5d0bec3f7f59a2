// SPDX-License-Identifier: Apache-2.0
// OpenSSL sees two memory BIOs and never a socket. Three counters bound what a peer can make us hold or do for nothing:
// bytes that wait unread before the handshake is done, bytes of TLS without a frame to show for them (KeyUpdate, empty
// records, handshake messages without end), and bytes of output that the peer does not take.

#include "tun/channel.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <openssl/err.h>

#include "base/clock.h"
#include "base/error.h"
#include "pki/certificate.h"

// What TLS may add to the output by itself beyond CHANNEL_OUTPUT_MAX: answers to KeyUpdate, a last BYE.
#define OUTPUT_SLACK 131072u
#define OUTPUT_KEPT  4096u // bytes of memory that a channel at rest keeps for output

static_assert(CHANNEL_TLS_MAX > CHAIN_LENGTH_MAX * CERTIFICATE_MAX + CHANNEL_UNREAD_MAX,
	      "a handshake with the longest chain passes");
static_assert(CHANNEL_TLS_MAX > FRAME_MAX / 8 * (8 + 22),
	      "so does a frame that is cut into records of 8 bytes, with 22 around each");

enum channel_state {
	CHANNEL_HANDSHAKING,
	CHANNEL_IS_OPEN,
	CHANNEL_FAILING, // the error is known, CHANNEL_FAILED is not told yet
	CHANNEL_OVER,	 // no event follows
};

struct channel {
	enum channel_state state;
	struct tls_context *context;
	SSL *ssl;
	uint64_t deadline;
	bool ended;   // the stream ended: nothing will be fed
	size_t quiet; // bytes that TLS took since the last event
	struct frame_reader frames;
	struct buffer frame; // of the message or packet being sent
	struct error error;
};

struct channel *channel_new(struct tls_context *context, enum tls_role role, const char *expected,
			    uint64_t now_ms)
{
	struct channel *channel = calloc(1, sizeof(*channel));
	if (!channel)
		return NULL;
	channel->ssl = tls_new(context, expected);
	if (!channel->ssl || SSL_is_server(channel->ssl) != (role == TLS_SERVER)) {
		SSL_free(channel->ssl);
		free(channel);
		return NULL;
	}
	channel->context = tls_context_get(context);
	channel->deadline = now_ms + CHANNEL_HANDSHAKE_MS;
	frame_reader_init(&channel->frames);
	buffer_init(&channel->frame, FRAME_HEADER + FRAME_MAX, false);
	return channel;
}

struct channel *channel_free(struct channel *channel)
{
	if (!channel)
		return NULL;
	SSL_free(channel->ssl);
	tls_context_put(channel->context);
	frame_reader_done(&channel->frames);
	buffer_done(&channel->frame);
	free(channel);
	return NULL;
}

static void fail(struct channel *channel)
{
	channel->state = CHANNEL_FAILING;
	ERR_clear_error();
}

static size_t pending_input(const struct channel *channel)
{
	return BIO_ctrl_pending(SSL_get_rbio(channel->ssl));
}

static size_t pending_output(const struct channel *channel)
{
	return BIO_ctrl_pending(SSL_get_wbio(channel->ssl));
}

void channel_feed(struct channel *channel, const void *data, size_t size)
{
	if (channel->state != CHANNEL_HANDSHAKING && channel->state != CHANNEL_IS_OPEN)
		return;
	if (size == 0) {
		channel->ended = true;
		return;
	}
	size_t waiting = pending_input(channel);
	bool open = channel->state == CHANNEL_IS_OPEN;
	if (!open && (size > CHANNEL_UNREAD_MAX || waiting > CHANNEL_UNREAD_MAX - size)) {
		error_set(&channel->error, EPROTO,
			  "the peer sent more than %u bytes before the TLS handshake was done",
			  CHANNEL_UNREAD_MAX);
		fail(channel);
		return;
	}
	if (size > INT_MAX || BIO_write(SSL_get_rbio(channel->ssl), data, (int)size) != (int)size) {
		error_set(&channel->error, ENOMEM, "out of memory");
		fail(channel);
	}
}

// Writes channel->frame, whose records may not all fit into one call. A READY with many routes is large, and rare: what it
// took is given back.
static int write_frame(struct channel *channel)
{
	while (channel->frame.size > 0) {
		size_t written;
		ERR_clear_error();
		if (SSL_write_ex(channel->ssl, buffer_head(&channel->frame), channel->frame.size,
				 &written) != 1) {
			tls_failure(channel->ssl, &channel->error);
			fail(channel);
			return -ENOTCONN;
		}
		buffer_consume(&channel->frame, written);
	}
	buffer_done(&channel->frame);
	return 0;
}

static int send_frame(struct channel *channel, enum frame_type type, const void *data, size_t size)
{
	buffer_consume(&channel->frame, channel->frame.size);
	int r = frame_put(&channel->frame, type, data, size);
	return r < 0 ? r : write_frame(channel);
}

static int send_message(struct channel *channel, const struct message *message)
{
	struct buffer text;
	buffer_init(&text, MESSAGE_SIZE_MAX, false);
	int r = message_encode(message, &text);
	if (r == 0)
		r = send_frame(channel, FRAME_MESSAGE, buffer_head(&text), text.size);
	buffer_done(&text);
	return r;
}

static int check_sendable(const struct channel *channel)
{
	if (channel->state != CHANNEL_IS_OPEN)
		return -ENOTCONN;
	return pending_output(channel) >= CHANNEL_OUTPUT_MAX ? -ENOBUFS : 0;
}

int channel_send(struct channel *channel, const struct message *message)
{
	int r = check_sendable(channel);
	return r < 0 ? r : send_message(channel, message);
}

int channel_send_packets(struct channel *channel, const void *packets, size_t size, size_t segment)
{
	int r = check_sendable(channel);
	buffer_consume(&channel->frame, channel->frame.size);
	for (size_t at = 0; r == 0 && at < size; at += segment)
		r = frame_put(&channel->frame, FRAME_PACKET, (const uint8_t *)packets + at,
			      size - at < segment ? size - at : segment);
	return r < 0 ? r : write_frame(channel);
}

int channel_send_packet(struct channel *channel, const void *packet, size_t size)
{
	int r = check_sendable(channel);
	return r < 0 ? r : send_frame(channel, FRAME_PACKET, packet, size);
}

int channel_send_bytes(struct channel *channel, const void *data, size_t size)
{
	int r = check_sendable(channel);
	if (r == 0)
		r = buffer_put(&channel->frame, data, size);
	return r < 0 ? r : write_frame(channel);
}

bool channel_is_http(const struct channel *channel)
{
	return tls_is_http(channel->ssl);
}

void channel_close(struct channel *channel, const struct message_bye *bye)
{
	if (channel->state == CHANNEL_IS_OPEN && bye && !channel_is_http(channel)) {
		struct message message = {.type = MESSAGE_BYE, .bye = *bye};
		send_message(channel, &message);
	}
	if (channel->state == CHANNEL_IS_OPEN) {
		ERR_clear_error();
		SSL_shutdown(channel->ssl);
		ERR_clear_error();
	}
	channel->state = CHANNEL_OVER;
}

// The peer broke the rules of the protocol above TLS: it is told what was wrong. channel->error is set.
static void fail_protocol(struct channel *channel)
{
	struct message_bye bye = {.code = BYE_PROTOCOL};
	snprintf(bye.text, sizeof(bye.text), "%.*s", (int)sizeof(bye.text) - 1,
		 channel->error.what);
	channel_close(channel, &bye);
	fail(channel);
}

static void check_output(struct channel *channel)
{
	if (pending_output(channel) <= CHANNEL_OUTPUT_MAX + OUTPUT_SLACK)
		return;
	error_set(&channel->error, EPROTO, "the peer makes us answer and takes no answer");
	fail(channel);
}

// One more step of TLS took bytes and told nothing.
static void check_quiet(struct channel *channel)
{
	if (channel->quiet <= CHANNEL_TLS_MAX)
		return;
	error_set(&channel->error, EPROTO,
		  SSL_is_init_finished(channel->ssl)
			  ? "the peer sent %u bytes of TLS without a message"
			  : "the peer sent %u bytes without completing the TLS handshake",
		  CHANNEL_TLS_MAX);
	fail(channel);
}

static enum channel_event_type shake(struct channel *channel)
{
	size_t before = pending_input(channel);
	ERR_clear_error();
	int done = SSL_do_handshake(channel->ssl);
	channel->quiet += before - pending_input(channel);
	if (done == 1) {
		channel->state = CHANNEL_IS_OPEN;
		channel->quiet = 0;
		if (tls_check(channel->ssl, &channel->error) < 0) {
			fail_protocol(channel);
			return CHANNEL_NONE;
		}
		return CHANNEL_OPEN;
	}
	if (SSL_get_error(channel->ssl, done) != SSL_ERROR_WANT_READ) {
		tls_failure(channel->ssl, &channel->error);
		fail(channel);
	} else if (channel->ended) {
		error_set(&channel->error, ECONNRESET,
			  "the connection was closed during the TLS handshake");
		fail(channel);
	} else {
		check_quiet(channel);
	}
	return CHANNEL_NONE;
}

static enum channel_event_type take_frame(struct channel *channel, const struct frame *frame,
					  struct channel_event *ret)
{
	channel->quiet = 0;
	if (frame->type == FRAME_PACKET) {
		ret->packet = frame->data;
		ret->packet_size = frame->size;
		return CHANNEL_PACKET;
	}
	if (message_decode(frame->data, frame->size, &ret->message, &channel->error) == 0)
		return CHANNEL_MESSAGE;
	fail_protocol(channel);
	return CHANNEL_NONE;
}

static enum channel_event_type close_in_order(struct channel *channel)
{
	channel_close(channel, NULL); // close_notify for close_notify
	return CHANNEL_CLOSED;
}

// Reads once. False when nothing came; then *ret is what that means.
static bool read_some(struct channel *channel, enum channel_event_type *ret)
{
	uint8_t *room = frame_reader_reserve(&channel->frames);
	size_t before = pending_input(channel);
	size_t size = 0;
	*ret = CHANNEL_NONE;
	if (!room) {
		error_set(&channel->error, ENOMEM, "out of memory");
		fail(channel);
		return false;
	}
	ERR_clear_error();
	int r = SSL_read_ex(channel->ssl, room, FRAME_INPUT, &size);
	channel->quiet += before - pending_input(channel);
	if (r == 1) {
		frame_reader_commit(&channel->frames, size);
		return true;
	}
	int why = SSL_get_error(channel->ssl, r);
	if (why == SSL_ERROR_ZERO_RETURN || (why == SSL_ERROR_WANT_READ && channel->ended)) {
		*ret = close_in_order(channel);
	} else if (why != SSL_ERROR_WANT_READ) {
		tls_failure(channel->ssl, &channel->error);
		fail(channel);
	}
	return false;
}

static enum channel_event_type receive_bytes(struct channel *channel, struct channel_event *ret)
{
	enum channel_event_type type;
	struct frame_reader *frames = &channel->frames;
	bool came = read_some(channel, &type);
	if (channel->state == CHANNEL_IS_OPEN)
		check_quiet(channel);
	if (channel->state == CHANNEL_IS_OPEN)
		check_output(channel);
	if (!came || channel->state != CHANNEL_IS_OPEN) {
		frame_reader_rest(frames);
		return type;
	}
	channel->quiet = 0;
	ret->packet = buffer_head(&frames->input);
	ret->packet_size = frames->taken = frames->input.size;
	return CHANNEL_BYTES;
}

static enum channel_event_type receive(struct channel *channel, struct channel_event *ret)
{
	for (;;) {
		struct frame frame;
		enum channel_event_type type;
		int r = frame_reader_next(&channel->frames, &frame, &channel->error);
		if (r > 0)
			return take_frame(channel, &frame, ret);
		if (r < 0) {
			fail_protocol(channel);
			return CHANNEL_NONE;
		}
		bool came = read_some(channel, &type);
		if (channel->state == CHANNEL_IS_OPEN)
			check_quiet(channel);
		if (channel->state == CHANNEL_IS_OPEN)
			check_output(channel);
		if (!came || channel->state != CHANNEL_IS_OPEN) {
			frame_reader_rest(&channel->frames);
			return type;
		}
	}
}

void channel_next(struct channel *channel, struct channel_event *ret)
{
	ret->type = CHANNEL_NONE;
	ret->packet = NULL;
	ret->packet_size = 0;
	if (channel->state == CHANNEL_HANDSHAKING)
		ret->type = shake(channel);
	else if (channel->state == CHANNEL_IS_OPEN)
		ret->type = channel_is_http(channel) ? receive_bytes(channel, ret)
						     : receive(channel, ret);
	if (channel->state != CHANNEL_FAILING)
		return;
	channel->state = CHANNEL_OVER;
	ret->type = CHANNEL_FAILED;
}

void channel_expire(struct channel *channel, uint64_t now_ms)
{
	if (channel->state != CHANNEL_HANDSHAKING || now_ms < channel->deadline)
		return;
	error_set(&channel->error, ETIMEDOUT, "the TLS handshake was not done within %u s",
		  CHANNEL_HANDSHAKE_MS / 1000);
	fail(channel);
}

uint64_t channel_deadline(const struct channel *channel)
{
	return channel->state == CHANNEL_HANDSHAKING ? channel->deadline : CLOCK_NEVER;
}

const uint8_t *channel_output(struct channel *channel, size_t *ret_size)
{
	char *data = NULL;
	long size = BIO_get_mem_data(SSL_get_wbio(channel->ssl), &data);
	*ret_size = size > 0 ? (size_t)size : 0;
	return (const uint8_t *)data;
}

void channel_output_done(struct channel *channel, size_t size)
{
	char waste[4096];
	BIO *output = SSL_get_wbio(channel->ssl);
	BUF_MEM *memory = NULL;
	while (size > 0) {
		int n = BIO_read(output, waste,
				 size < sizeof(waste) ? (int)size : (int)sizeof(waste));
		if (n <= 0)
			return;
		size -= (size_t)n;
	}
	// A memory BIO never shrinks, and thousands of channels are at rest.
	if (BIO_ctrl_pending(output) == 0 && BIO_get_mem_ptr(output, &memory) == 1 &&
	    memory->max > OUTPUT_KEPT && (output = BIO_new(BIO_s_mem())) != NULL)
		SSL_set0_wbio(channel->ssl, output);
}

struct verdict *channel_verdict(const struct channel *channel)
{
	return tls_verdict(channel->ssl);
}

void channel_give_staple(const struct channel *channel, struct message_staple *ret)
{
	ret->der = (uint8_t *)tls_context_staple(channel_context(channel), &ret->size);
}

const uint8_t *channel_shown_staple(const struct channel *channel, size_t *ret_size)
{
	return tls_shown_staple(channel->ssl, ret_size);
}

int channel_take_staple(const struct channel *channel, const uint8_t *der, size_t size,
			struct error *error)
{
	return tls_take_staple(channel->ssl, der, size, error);
}

struct tls_context *channel_context(const struct channel *channel)
{
	return channel->context;
}

const char *channel_group(const struct channel *channel)
{
	return tls_group(channel->ssl);
}

int channel_export(struct channel *channel, const char *label, const void *context,
		   size_t context_size, void *ret, size_t size)
{
	return tls_export(channel->ssl, label, context, context_size, ret, size);
}

const struct error *channel_error(const struct channel *channel)
{
	return &channel->error;
}
