// SPDX-License-Identifier: Apache-2.0

#include "tun/steer.h"

#include <errno.h>
#include <stdbool.h>
#include <unistd.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/cleanup.h"
#include "tun/packet.h"
#include "tun/transport.h"

#define MULTIPLIER 0x9e3779b1u // 2^32 / golden ratio: close addresses end up far apart
#define SHIFT	   16

// --- the hash, twice: here and as a program for the kernel

static uint32_t ports(const uint8_t *packet, size_t size, size_t at)
{
	return at + 4 <= size ? (uint32_t)(get16(packet + at) ^ get16(packet + at + 2)) : 0;
}

uint32_t steer_hash(const uint8_t *packet, size_t size)
{
	uint32_t hash = 0;
	if (packet[0] >> 4 == 4) {
		bool whole = (get16(packet + 6) & 0x3fff) == 0;
		hash = get32(packet + 12) ^ get32(packet + 16);
		if (whole && (packet[9] == IPPROTO_TCP || packet[9] == IPPROTO_UDP))
			hash ^= ports(packet, size, (size_t)(packet[0] & 0x0f) * 4);
	} else {
		for (size_t at = 8; at < 40; at += 4)
			hash ^= get32(packet + at);
		if (packet[6] == IPPROTO_TCP || packet[6] == IPPROTO_UDP)
			hash ^= ports(packet, size, 40);
	}
	return (hash * MULTIPLIER) >> SHIFT;
}

// Loads from the packet go to R0 and leave R6 to R9 alone; beyond the end they end the program with 0.
enum { R0, R1, R6 = 6, HASH = 7, HEADER = 8 };

#define INSN(op, to, from, jump, value)                                                         \
	{                                                                                       \
		.code = (op), .dst_reg = (to), .src_reg = (from), .off = (jump), .imm = (value) \
	}
#define LOAD(width, at)	     INSN(BPF_LD | BPF_ABS | (width), 0, 0, 0, at)
#define LOAD_BEHIND(reg, at) INSN(BPF_LD | BPF_IND | BPF_H, 0, reg, 0, at)
#define MOVE(to, from)	     INSN(BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0)
#define SET(to, value)	     INSN(BPF_ALU64 | BPF_MOV | BPF_K, to, 0, 0, value)
#define ADD_TO_HASH	     INSN(BPF_ALU | BPF_XOR | BPF_X, HASH, R0, 0, 0)
#define WITH(op, value)	     INSN(BPF_ALU | (op) | BPF_K, R0, 0, 0, value)
#define IF_EQUAL(value, to)  INSN(BPF_JMP | BPF_JEQ | BPF_K, R0, 0, to, value)
#define IF_OTHER(value, to)  INSN(BPF_JMP | BPF_JNE | BPF_K, R0, 0, to, value)
#define GO(to)		     INSN(BPF_JMP | BPF_JA, 0, 0, to, 0)

static const struct bpf_insn program[] = {
	MOVE(R6, R1), // loads want the context there
	SET(HASH, 0),
	LOAD(BPF_B, 0),
	WITH(BPF_RSH, 4),
	IF_OTHER(4, 19), // to "IPv6"
	LOAD(BPF_W, 12),
	ADD_TO_HASH,
	LOAD(BPF_W, 16),
	ADD_TO_HASH,
	LOAD(BPF_H, 6),
	WITH(BPF_AND, 0x3fff),
	IF_OTHER(0, 36), // to "end"
	LOAD(BPF_B, 9),
	IF_EQUAL(IPPROTO_TCP, 1),
	IF_OTHER(IPPROTO_UDP, 33), // to "end"
	LOAD(BPF_B, 0),
	WITH(BPF_AND, 0x0f),
	WITH(BPF_LSH, 2),
	MOVE(HEADER, R0),
	LOAD_BEHIND(HEADER, 0),
	ADD_TO_HASH,
	LOAD_BEHIND(HEADER, 2),
	ADD_TO_HASH,
	GO(24), // to "end"
	// IPv6
	LOAD(BPF_W, 8),
	ADD_TO_HASH,
	LOAD(BPF_W, 12),
	ADD_TO_HASH,
	LOAD(BPF_W, 16),
	ADD_TO_HASH,
	LOAD(BPF_W, 20),
	ADD_TO_HASH,
	LOAD(BPF_W, 24),
	ADD_TO_HASH,
	LOAD(BPF_W, 28),
	ADD_TO_HASH,
	LOAD(BPF_W, 32),
	ADD_TO_HASH,
	LOAD(BPF_W, 36),
	ADD_TO_HASH,
	LOAD(BPF_B, 6),
	IF_EQUAL(IPPROTO_TCP, 1),
	IF_OTHER(IPPROTO_UDP, 5), // to "end"
	LOAD(BPF_H, 40),
	ADD_TO_HASH,
	LOAD(BPF_H, 42),
	ADD_TO_HASH,
	GO(0),
	// end
	MOVE(R0, HASH),
	WITH(BPF_MUL, (int32_t)MULTIPLIER),
	WITH(BPF_RSH, SHIFT),
	INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
};

int steer_queues(int tun)
{
	static const char license[] = "Apache-2.0";
	union bpf_attr attributes = {
		.prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
		.insn_cnt = sizeof(program) / sizeof(program[0]),
		.insns = (uintptr_t)program,
		.license = (uintptr_t)license,
	};
	_cleanup_(closep) int fd =
		(int)syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof(attributes));
	if (fd < 0)
		return -errno;
	// The device keeps the program.
	return ioctl(tun, TUNSETSTEERINGEBPF, &fd) < 0 ? -errno : 0;
}

int steer_sockets(int fd, unsigned sockets)
{
	// Data begins behind the UDP header; what is too short for a lane goes to the first.
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, offsetof(struct packet_header, lane)),
		BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, sockets),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};
	struct sock_fprog steering = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &steering, sizeof(steering)) < 0
		       ? -errno
		       : 0;
}
