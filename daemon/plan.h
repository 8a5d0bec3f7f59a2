// SPDX-License-Identifier: Apache-2.0
// What a reload would do, without doing it (`mutun reload --plan`): a feed of JSON values, at last a sum.
//   {"policy": {"rules", "inbound", "digest", "changes"}}   "digest" of the rules now and then
//   {"reach": {"program", "from", "to", "gained", "lost"}}  that the rules of now change, in words (daemon/reach.h)
//   {"session": {"identity", "change", "gained", "lost"}}   "ends", "moves" (other addresses), "told" (other routes, names, sizes)
//   {"link": {"name", "change"}}                            "begins", "anew", "ends"
//   {"flow": {"from", "to", "service", "rule"}}             that is cut, and the rule that decides; none: no rule allows it
//   {"sum": {"reach", "reach_complete", "sessions", "ends", "moves", "told", "proofs", "routes_gained", "routes_lost", "links", "flows",
//            "cut"}}                                        "reach_complete": all of it was looked at
// Of each kind, PLAN_LIST_MAX are named and all are counted.
#pragma once

struct engine;
struct error;
struct feed;

#define PLAN_LIST_MAX 100u

// Reads the files, on a job; then the feed begins, or says what a reload would say. -EBUSY, -ENOMEM: it is not opened.
int plan_open(struct engine *engine, struct feed *feed, struct error *error);
