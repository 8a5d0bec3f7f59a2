// SPDX-License-Identifier: Apache-2.0
// DENY, and what HELLO and READY say of denials (pki/denials.h): as struct and as JSON. Part of tun/message.h.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>

#include "pki/denial.h"
#include "pki/denial_store.h"
#include "pki/identity.h"

struct fields;

#define MESSAGE_ENTRIES_MAX 2048u  // of one DENY
#define MESSAGE_DENY_MAX    45056u // bytes of them, so that the whole fits a frame

// How far a node knows the denials of a trust domain.
struct message_list {
	char domain[IDENTITY_DOMAIN_MAX + 1];
	uint64_t number; // of the last entry; 0: none
	uint8_t head[DENIAL_HASH_SIZE];
};

struct message_denials {
	bool said; // the node speaks DENY
	struct message_list lists[DENIAL_STORE_MAX];
	unsigned count;
};

struct message_deny {
	struct message_list
		list; // where `entries` is NULL: what the sender has; else its domain alone counts
	// Owned by the message.
	char *entries;	 // lines, each with its newline
	char *signature; // of the last, base64
	char *signer;	 // of that (pki/denial_signer.h)
	bool more;	 // entries follow when the receiver has said what it has
};

// For message_encode() and message_decode(). False: out of memory.
bool message_denials_encode(const struct message_denials *denials, json_t *object);
bool message_deny_encode(const struct message_deny *deny, json_t *object);
void message_denials_decode(struct fields *fields, struct message_denials *ret);
void message_deny_decode(struct fields *fields, struct message_deny *ret);
void message_deny_done(struct message_deny *deny);
