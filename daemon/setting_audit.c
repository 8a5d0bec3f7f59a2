// SPDX-License-Identifier: Apache-2.0
// Settings of the audit log.

#include "daemon/setting_table.h"

#include "daemon/config.h"

static const struct setting settings[] = {
	{.path = "audit",
	 .type = SETTING_GROUP,
	 .reloadable = true,
	 .offset = offsetof(struct config, audit),
	 .help = "One record for each session that begins or ends, each flow that was refused (equal ones counted together) or "
		 "that a rule with \"log\" let begin, each policy that was loaded or not, and each act of an administrator: "
		 "mutund(8), AUDIT. They go to the journal, where that is there, and to audit.file."},
	{.path = "audit.file",
	 .type = SETTING_PATH,
	 .reloadable = true,
	 .offset = offsetof(struct config_audit, file),
	 .help = "File of the records, a JSON object a line, mode 0600. Its directory must be there. A reload opens it anew."},
	{.path = "audit.size",
	 .type = SETTING_INTEGER,
	 .min = 1,
	 .max = 65536,
	 .fallback = "64",
	 .reloadable = true,
	 .offset = offsetof(struct config_audit, size_mib),
	 .help = "MiB after which the file is renamed (FILE.1, what was that to FILE.2, and so on) and begun anew."},
	{.path = "audit.keep",
	 .type = SETTING_INTEGER,
	 .min = 0,
	 .max = 1000,
	 .fallback = "8",
	 .reloadable = true,
	 .offset = offsetof(struct config_audit, keep),
	 .help = "How many such older files are kept."},
	{.path = "audit.sample",
	 .type = SETTING_INTEGER,
	 .min = 1,
	 .max = 86400,
	 .fallback = "60",
	 .reloadable = true,
	 .offset = offsetof(struct config_audit, sample_s),
	 .help = "Seconds from one record to the next of flows that are refused again and again: same peer, destination, "
		 "port and rule. Each says how many it stands for."},
};

const struct setting_table setting_audit = {settings, sizeof(settings) / sizeof(settings[0])};
