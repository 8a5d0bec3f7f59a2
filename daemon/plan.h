// SPDX-License-Identifier: Apache-2.0
// What a reload would do, without doing it (`mutun reload --plan`): a feed of JSON values, at last a sum.
//   {"policy": {"rules", "inbound", "digest", "changes"}}   "digest" of the rules now and then
//   {"session": {"identity", "change", "gained", "lost"}}   "ends", "moves" (other addresses), "told" (other routes, names, sizes)
//   {"link": {"name", "change"}}                            "begins", "anew", "ends"
//   {"flow": {"from", "to", "service", "rule"}}             that is cut, and the rule that decides; none: no rule allows it
//   {"sum": {"sessions", "ends", "moves", "told", "proofs", "routes_gained", "routes_lost", "links", "flows", "cut"}}
// Of each kind, PLAN_LIST_MAX are named and all are counted.
#pragma once

struct engine;
struct error;
struct feed;

#define PLAN_LIST_MAX 100u

// Reads the files. On failure, which is what a reload would say, the feed is not opened.
int plan_open(struct engine *engine, struct feed *feed, struct error *error);
