// SPDX-License-Identifier: Apache-2.0

#include "server/policy_digest.h"

#include <errno.h>
#include <string.h>
#include <openssl/evp.h>

#include "base/hex.h"

// Every number has eight bytes and every text its length before it, so that no two policies are the same bytes.
static void add_number(EVP_MD_CTX *context, uint64_t number)
{
	uint8_t bytes[8];
	for (unsigned i = 0; i < 8; i++)
		bytes[i] = (uint8_t)(number >> (56 - 8 * i));
	EVP_DigestUpdate(context, bytes, sizeof(bytes));
}

static void add_text(EVP_MD_CTX *context, const char *text)
{
	add_number(context, text ? strlen(text) : UINT64_MAX);
	if (text)
		EVP_DigestUpdate(context, text, strlen(text));
}

static void add_group(EVP_MD_CTX *context, const struct rule_group *group)
{
	add_number(context, group->peer_count);
	for (unsigned i = 0; i < group->peer_count; i++) {
		add_text(context, group->peers[i].identity);
		add_text(context, group->peers[i].issuer);
		add_text(context, group->peers[i].unit);
		add_number(context, group->peers[i].hardware);
	}
}

static void add_net(EVP_MD_CTX *context, const struct rule_net *net)
{
	add_number(context, net->prefix_count);
	for (unsigned i = 0; i < net->prefix_count; i++) {
		add_number(context, net->prefixes[i].addr.family);
		EVP_DigestUpdate(context, net->prefixes[i].addr.bytes, 16);
		add_number(context, net->prefixes[i].length);
	}
}

static void add_side(EVP_MD_CTX *context, const struct rules *rules, const struct rule_side *side)
{
	add_number(context, side->any);
	add_number(context, side->group_count);
	for (unsigned i = 0; i < side->group_count; i++)
		add_group(context, &rules->groups[side->groups[i]]);
	add_number(context, side->net_count);
	for (unsigned i = 0; i < side->net_count; i++)
		add_net(context, &rules->nets[side->nets[i]]);
}

static void add_times(EVP_MD_CTX *context, const struct rule *rule)
{
	add_number(context, (uint64_t)rule->expires);
	add_number(context, rule->hour_count);
	add_text(context, rule->hour_count > 0 ? rule->zone_name : NULL);
	for (unsigned i = 0; i < rule->hour_count; i++) {
		add_number(context, rule->hours[i].days);
		add_number(context, rule->hours[i].from_min);
		add_number(context, rule->hours[i].to_min);
	}
}

static void add_rule(EVP_MD_CTX *context, const struct rules *rules, const struct rule *rule)
{
	add_side(context, rules, &rule->from);
	add_side(context, rules, &rule->to);
	add_number(context, rule->service_count);
	for (unsigned i = 0; i < rule->service_count; i++) {
		const struct rule_service *service = &rule->services[i];
		add_number(context, service->any_protocol);
		add_number(context, service->protocols[0]);
		add_number(context, service->protocols[1]);
		add_number(context, service->first);
		add_number(context, service->last);
	}
	add_number(context, rule->deny);
	add_number(context, rule->deny && rule->reject);
	add_number(context, rule->log);
	add_number(context, rule->own);
	add_times(context, rule);
}

int policy_digest(const struct rules *rules, char ret[POLICY_DIGEST_SIZE])
{
	uint8_t hash[32];
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	int good = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL);
	for (unsigned program = 0; good && program < FILTER_PROGRAMS; program++) {
		unsigned count;
		const struct rule *list = rules_of(rules, (enum filter_program)program, &count);
		add_number(context, count);
		for (unsigned i = 0; i < count; i++)
			add_rule(context, rules, &list[i]);
	}
	if (good)
		add_number(context, rules->reject);
	good = good && EVP_DigestFinal_ex(context, hash, NULL);
	EVP_MD_CTX_free(context);
	if (!good)
		return -ENOMEM;
	hex_text(hash, sizeof(hash), ret);
	return 0;
}
