// SPDX-License-Identifier: Apache-2.0
// Bytes to rules and questions: the filter made of the rules says what they say.

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "tun/filter.h"
#include "unit/policy_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct policy_fixture fixture;
	_cleanup_(filter_freep) struct filter *filter = NULL;
	struct reader reader = reader_over(data, size);
	policy_fixture_fill(&fixture, &reader);
	if (filter_new(&fixture.rules, fixture.active, &filter) < 0)
		abort();
	for (unsigned i = 0; i < 16 || reader.left; i++) {
		struct addr addrs[2];
		struct rule_question question;
		struct filter_verdict verdict;
		policy_fixture_question(&reader, addrs, &question);
		if (policy_fixture_differ(&fixture, filter, &question, &verdict))
			abort();
	}
	return 0;
}
