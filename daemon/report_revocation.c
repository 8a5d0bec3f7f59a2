// SPDX-License-Identifier: Apache-2.0

#include "daemon/report_revocation.h"

#include "base/clock.h"
#include "daemon/engine.h"
#include "daemon/report_lists.h"
#include "daemon/report_value.h"
#include "daemon/revocation_role.h"
#include "pki/denial_store.h"
#include "pki/denials.h"

static json_t *denials_of(const struct denial_entry *entry)
{
	time_t last = denials_last(entry->denials)->time;
	return json_pack("{s:s,s:I,s:I,s:I,s:s,s:o}", "domain", denials_domain(entry->denials),
			 "number", (json_int_t)denials_number(entry->denials), "time",
			 (json_int_t)last, "age_s", (json_int_t)(clock_wall() - last), "source",
			 entry->source, "problem", report_problem(&entry->problem));
}

json_t *report_revocation(const struct engine *engine)
{
	const struct revocation_role *role = engine_revocation(engine);
	const struct denial_entry *entry;
	json_t *list = json_array();
	for (size_t i = 0; (entry = denial_store_at(revocation_role_denials(role), i)); i++)
		json_array_append_new(list, denials_of(entry));
	return json_pack("{s:o,s:o,s:o}", "denials", list, "lists",
			 report_lists(revocation_role_lists(role)), "problem",
			 report_problem(revocation_role_problem(role)));
}
