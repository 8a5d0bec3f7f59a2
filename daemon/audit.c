// SPDX-License-Identifier: Apache-2.0

#include "daemon/audit.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/uio.h>

#include "base/error.h"
#include "base/hex.h"
#include "base/log.h"
#include "daemon/config.h"
#include "daemon/trail.h"
#include "pki/certificate.h"
#include "pki/facts.h"
#include "pki/verify.h"
#include "tun/session.h"

#define FIELDS_MAX 40u
#define TEXT_MAX   512u
#define MIB	   (UINT64_C(1) << 20)

struct audit {
	char *node;
	struct trail *trail; // NULL: no file
};

// The ids are for journalctl, chosen at random and never changed.
static const struct {
	const char *name;
	const char *id;
	enum log_level level;
} events[] = {
	[AUDIT_SESSION_BEGUN] = {"session-begun", "1599d0e5b85942fceb0c0c20884ddea6",
				 LOG_LEVEL_INFO},
	[AUDIT_SESSION_OVER] = {"session-over", "de4ec658ccf7bc868210ed8dbbe45b03", LOG_LEVEL_INFO},
	[AUDIT_SESSION_CUT] = {"session-cut", "84462a61c8740010327eec77fddbc1bb",
			       LOG_LEVEL_WARNING},
	[AUDIT_DENIED] = {"denied", "c6662028047260f494fac91a13a085b2", LOG_LEVEL_INFO},
	[AUDIT_ADMITTED] = {"admitted", "8a62d2472c4eaedc28e5ce7b17e4924b", LOG_LEVEL_INFO},
	[AUDIT_POLICY] = {"policy", "1e4018d252adcc6082be10e238d2497c", LOG_LEVEL_INFO},
	[AUDIT_ACT] = {"act", "44381bcdbfb6d07a48d65060c9c80330", LOG_LEVEL_INFO},
};
_Static_assert(sizeof(events) / sizeof(events[0]) == AUDIT_ACT + 1, "an event has no name");

// --- life

int audit_set(struct audit *audit, const struct config_audit *config, struct error *error)
{
	struct trail_options options = {
		.path = config->file,
		.size = config->size_mib * MIB,
		.keep = config->keep,
	};
	int r = 0;
	if (!config->file)
		audit->trail = trail_free(audit->trail);
	else if (audit->trail)
		r = trail_set(audit->trail, &options);
	else
		r = trail_new(&options, &audit->trail);
	if (r < 0)
		return error_set(error, -r, "no audit log can be written to %s: %s", config->file,
				 strerror(-r));
	return 0;
}

int audit_new(const struct config_audit *config, const char *node, struct audit **ret,
	      struct error *error)
{
	_cleanup_(audit_freep) struct audit *audit = calloc(1, sizeof(*audit));
	if (!audit || !(audit->node = strdup(node)))
		return error_set(error, ENOMEM, "out of memory");
	int r = audit_set(audit, config, error);
	if (r < 0)
		return r;
	*ret = take(audit);
	return 0;
}

struct audit *audit_free(struct audit *audit)
{
	if (!audit)
		return NULL;
	trail_free(audit->trail);
	free(audit->node);
	free(audit);
	return NULL;
}

// --- records

// RFC 3339, with milliseconds.
static void time_text(char *text, size_t size)
{
	struct timespec now;
	struct tm parts;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &parts);
	size_t n = strftime(text, size, "%Y-%m-%dT%H:%M:%S", &parts);
	snprintf(text + n, size - n, ".%03ldZ", now.tv_nsec / 1000000);
}

struct journal_fields {
	char *texts[FIELDS_MAX];
	unsigned count;
};

static void add_field(struct journal_fields *fields, const char *name, const char *value)
{
	char *text;
	if (fields->count == FIELDS_MAX || asprintf(&text, "%s=%s", name, value) < 0)
		return;
	fields->texts[fields->count++] = text;
}

// "from-port" is MUTUN_FROM_PORT.
static void add_member(struct journal_fields *fields, const char *member, const json_t *value)
{
	char name[64] = "MUTUN_";
	size_t at = strlen(name);
	for (; *member && at < sizeof(name) - 1; member++, at++)
		name[at] = (char)(isalnum((unsigned char)*member) ? toupper(*member) : '_');
	if (json_is_string(value)) {
		add_field(fields, name, json_string_value(value));
		return;
	}
	char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	if (text)
		add_field(fields, name, text);
	free(text);
}

static void write_journal(enum audit_event event, const char *text, json_t *record)
{
	struct journal_fields fields = {.count = 0};
	struct iovec parts[FIELDS_MAX];
	const char *member;
	json_t *value;
	add_field(&fields, "MESSAGE", text);
	add_field(&fields, "MESSAGE_ID", events[event].id);
	json_object_foreach (record, member, value)
		add_member(&fields, member, value);
	for (unsigned i = 0; i < fields.count; i++)
		parts[i] = (struct iovec){fields.texts[i], strlen(fields.texts[i])};
	log_fields(events[event].level, parts, fields.count);
	for (unsigned i = 0; i < fields.count; i++)
		free(fields.texts[i]);
}

static json_t *new_record(const struct audit *audit, enum audit_event event, json_t *members)
{
	char time[40];
	time_text(time, sizeof(time));
	json_t *record = json_pack("{s:s,s:s,s:s}", "time", time, "event", events[event].name,
				   "node", audit->node);
	if (record && members && json_object_update(record, members) == 0)
		return record;
	json_decref(record);
	return NULL;
}

void audit_put(struct audit *audit, enum audit_event event, json_t *members, const char *format,
	       ...)
{
	char text[TEXT_MAX];
	va_list arguments;
	json_t *record = audit ? new_record(audit, event, members) : NULL;
	json_decref(members);
	if (!record)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (log_has_fields())
		write_journal(event, text, record);
	char *line = audit->trail ? json_dumps(record, JSON_COMPACT) : NULL;
	if (line)
		trail_put(audit->trail, line, strlen(line));
	free(line);
	json_decref(record);
}

void audit_act(struct audit *audit, const char *what, const char *whom, uid_t uid, pid_t pid,
	       const struct error *error)
{
	char text[ERROR_TEXT_MAX];
	bool done = error->code == 0;
	json_t *members = json_pack("{s:s,s:s*,s:I,s:I,s:s,s:s*}", "command", what, "whom", whom,
				    "uid", (json_int_t)uid, "pid", (json_int_t)pid, "result",
				    done ? "done" : "refused", "reason",
				    done ? NULL : error_text(error, text, sizeof(text)));
	audit_put(audit, AUDIT_ACT, members, "%s%s%s by uid %u: %s", what, whom ? " " : "",
		  whom ? whom : "", (unsigned)uid, done ? "done" : "refused");
}

json_t *audit_session(const struct session *session)
{
	char id[HEX_TEXT_MAX(SESSION_ID_SIZE)], spki[HEX_TEXT_MAX(SPKI_HASH_SIZE)];
	const struct verdict *verdict = session_verdict(session);
	struct facts facts = {0};
	hex_text(session->id, SESSION_ID_SIZE, id);
	json_t *object = json_pack("{s:s,s:s,s:s}", "identity", session->identity, "session", id,
				   "role", session->initiator ? "gateway" : "client");
	if (!object || !verdict || facts_read(verdict_leaf(verdict), &facts) < 0)
		return object;
	hex_text(verdict_spki_hash(verdict), SPKI_HASH_SIZE, spki);
	json_object_set_new(object, "issuer", json_string(facts.issuer));
	json_object_set_new(object, "serial", json_string(verdict_serial(verdict)));
	json_object_set_new(object, "spki", json_string(spki));
	facts_done(&facts);
	return object;
}

bool audit_status(const struct audit *audit, struct trail_status *ret)
{
	if (!audit || !audit->trail)
		return false;
	trail_status(audit->trail, ret);
	return true;
}
