// SPDX-License-Identifier: Apache-2.0
// The control messages: one struct each, encoded as one JSON object per frame (PROTOCOL.md, "Messages"). Decoding is
// strict: a missing, mistyped or out-of-range field refuses the whole message; unknown fields are ignored.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/buffer.h"
#include "tun/message_denials.h"
#include "tun/message_push.h"
#include "tun/message_question.h"
#include "tun/message_refusal.h"

struct error;

#define MESSAGE_PROTOCOL      1u
#define MESSAGE_SIZE_MAX      65535u // bytes of JSON: one frame
#define MESSAGE_ADDRESSES_MAX 16u
#define MESSAGE_ROUTES_MAX    1024u
#define MESSAGE_TEXT_MAX      256u // sentences and names, with the NUL; no control characters
#define MESSAGE_LANES_MAX     64u
#define MESSAGE_MTU_MIN	      1280u
#define MESSAGE_MTU_MAX	      65000u
#define MESSAGE_ANCHORS_MAX   16u
#define SESSION_ID_SIZE	      16u
#define ANCHOR_SIZE	      32u // SHA-256 of a CA certificate's DER

enum message_type {
	MESSAGE_HELLO,
	MESSAGE_READY,
	MESSAGE_CONFIG,
	MESSAGE_REAUTH,
	MESSAGE_PING,
	MESSAGE_PONG,
	MESSAGE_BYE,
	MESSAGE_DENY,
	MESSAGE_REFUSAL,
	MESSAGE_QUESTION,
	MESSAGE_ANSWER,
};

// In the order of their names on the wire: "aes-256-gcm", "chacha20-poly1305".
enum cipher { CIPHER_AES_256_GCM, CIPHER_CHACHA20_POLY1305 };
#define CIPHER_COUNT 2u
const char *cipher_name(enum cipher cipher);
int cipher_parse(const char *name, enum cipher *ret); // -EINVAL

// Why a channel ends. Names on the wire in lower case with dashes, as in PROTOCOL.md.
enum bye_code {
	BYE_SHUTDOWN,	  // "shutdown": the node stops
	BYE_RENEWED,	  // "renewed": a newer channel took the session over
	BYE_REPLACED,	  // "replaced": the same identity joined from elsewhere
	BYE_DISCONNECTED, // "disconnected": by the operator
	BYE_REFUSED,	  // "refused": this identity is not admitted here
	BYE_EXPIRED,	  // "expired": a certificate's time is over
	BYE_UNTRUSTED,	  // "untrusted": a certificate is no longer trusted
	BYE_FULL,	  // "full": no address or session left
	BYE_PROTOCOL,	  // "protocol": a message or frame was wrong
	BYE_DEAD,	  // "dead": nothing was heard for too long
	BYE_KEYS,	  // "keys": a usage limit of the data keys was reached
	BYE_REVOKED, // "revoked": the identity, a certificate or a key of its chain was withdrawn
};
const char *bye_name(enum bye_code code);

// The CA certificates of its own trust domain that a node trusts. None: it does not say.
struct message_anchors {
	uint8_t hashes[MESSAGE_ANCHORS_MAX][ANCHOR_SIZE];
	unsigned count;
};

// The OCSP answer about the client's own certificate (pki/staple.h), owned by the message. NULL: it has none. A gateway shows its
// own in the TLS handshake, which has no place for that of a client.
struct message_staple {
	uint8_t *der;
	size_t size;
};

struct message_hello {
	unsigned protocol;
	char software[MESSAGE_TEXT_MAX];
	char host[MESSAGE_TEXT_MAX];
	bool resume; // whether `session` is one to continue
	uint8_t session[SESSION_ID_SIZE];
	uint32_t index;			   // data packets to the client carry it
	enum cipher ciphers[CIPHER_COUNT]; // in order of preference; at least one
	unsigned cipher_count;
	unsigned lanes; // 1..MESSAGE_LANES_MAX: the client sends on lanes 0..lanes-1
	unsigned mtu;	// largest inner packet the client takes
	struct message_anchors anchors;
	struct message_staple staple;
	bool answers; // the client speaks REFUSAL, QUESTION and ANSWER
	struct message_denials denials;
};

struct message_ready {
	uint8_t session[SESSION_ID_SIZE];
	bool resumed;	// the session in HELLO goes on
	uint32_t index; // data packets to the gateway carry it
	uint32_t epoch; // from 1
	enum cipher cipher;
	unsigned lanes;					// the gateway sends on lanes 0..lanes-1
	unsigned mtu;					// inner
	struct prefix addresses[MESSAGE_ADDRESSES_MAX]; // host bits set: the client's own addresses
	unsigned address_count;
	struct prefix *routes; // owned by the message
	unsigned route_count;
	unsigned keepalive_s; // 1..3600
	uint16_t udp_port;    // of the gateway, at the address that the channel was dialled to
	int64_t time;	      // the gateway's clock, seconds since 1970
	int64_t expires;      // when the session ends unless renewed, seconds since 1970
	struct message_anchors anchors;
	bool answers; // as in HELLO
	struct message_denials denials;
	struct message_push push;
};

struct message_config {
	struct prefix addresses[MESSAGE_ADDRESSES_MAX];
	unsigned address_count;
	struct prefix *routes; // owned by the message
	unsigned route_count;
	unsigned mtu;
	struct message_push push;
};

struct message_reauth {
	unsigned within_s; // 0..3600: a new channel at a random moment of this time
	char reason[MESSAGE_TEXT_MAX];
};

struct message_ping { // PONG sends it back
	uint64_t token;
};

struct message_bye {
	enum bye_code code;
	char text[MESSAGE_TEXT_MAX];
	unsigned retry_after_s; // 0..86400; the peer does not come back earlier
	// What the sender sent in the epoch of this channel, packets per lane: the receiver knows what was lost. May be empty.
	uint64_t sent[MESSAGE_LANES_MAX];
	unsigned sent_count;
};

struct message {
	enum message_type type;
	union {
		struct message_hello hello;
		struct message_ready ready;
		struct message_config config;
		struct message_reauth reauth;
		struct message_ping ping; // PING and PONG
		struct message_bye bye;
		struct message_deny deny;
		struct message_refusal refusal;
		struct message_question question;
		struct message_answer answer;
	};
};

// Appends the JSON text. -ENOBUFS when it passes MESSAGE_SIZE_MAX or MESSAGE_ROUTES_MAX, -ENOMEM.
int message_encode(const struct message *message, struct buffer *ret);
// -EPROTO with the reason; on success the caller releases it with message_done().
int message_decode(const void *data, size_t size, struct message *ret, struct error *error);
void message_done(struct message *message);
const char *message_name(enum message_type type); // "HELLO" ...
