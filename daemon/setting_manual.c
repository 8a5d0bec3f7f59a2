// SPDX-License-Identifier: Apache-2.0
// mutun.conf(5), written from the table, so that the page cannot say anything else than the parser does.

#include "daemon/setting.h"

#include <stdio.h>
#include <string.h>

static const char page_head[] =
	".\\\" SPDX-License-Identifier: Apache-2.0\n"
	".\\\" Written by \"mutund --manual\"; change daemon/setting_*.c instead.\n"
	".TH MUTUN.CONF 5 \"\" \"mutun\" \"File formats\"\n"
	".SH NAME\n"
	"mutun.conf \\- configuration of the VPN daemon mutund\n"
	".SH SYNOPSIS\n"
	".I /etc/mutun/mutun.conf\n"
	".br\n"
	".I /etc/mutun/mutun.d/*.conf\n"
	".SH DESCRIPTION\n"
	"The daemon reads\n"
	".I mutun.conf\n"
	"and then every file of\n"
	".I mutun.d\n"
	"whose name ends in\n"
	".IR .conf ,\n"
	"in the order of their names. With another file on the command line, the directory has its name: the suffix\n"
	".I .d\n"
	"takes the place of\n"
	".IR .conf .\n"
	"Groups that stand in several files are merged, and lists and arrays are appended. Any other setting may be set only once.\n"
	".PP\n"
	"The syntax is that of libconfig: groups \"name: { ... };\", lists \"( ... )\", arrays \"[ ... ]\",\n"
	"strings in double quotes, comments after \"#\" or \"//\" or between \"/*\" and \"*/\". The directive @include is not\n"
	"available. A number above 2147483647 is written in hexadecimal or ends in \"L\". A file has at most 16 MiB.\n"
	".PP\n"
	"A relative path is relative to the directory of the file that names it. An identity is a SPIFFE ID such as\n"
	"\"spiffe://corp.example/laptop/alice\", the one URI of a certificate.\n"
	".PP\n"
	"Unknown settings are errors.\n"
	".B mutund \\-\\-check\n"
	".I FILE\n"
	"says all that is wrong with a configuration, with file, line, what was found and what is allowed.\n"
	".B mutun reload\n"
	"applies a changed configuration. One with errors is not applied at all; the one in use stays. Where\n"
	"a setting says so, a change needs a restart of the daemon.\n"
	".SH SETTINGS\n"
	"Elements of lists are written with brackets: \"links[].name\" is the setting \"name\" of each group in the list \"links\".\n";

static const char page_foot[] = ".SH EXAMPLES\n"
				"A gateway:\n"
				".PP\n"
				".nf\n"
				"node: {\n"
				"  certificate = \"/var/lib/mutun/node.crt\";\n"
				"  key = \"/var/lib/mutun/node.key\";\n"
				"  trust = \"/var/lib/mutun/trust.crt\";\n"
				"};\n"
				"gateway: {\n"
				"  listen = [ \"0.0.0.0:443\", \"[::]:443\" ];\n"
				"  pools = [ \"10.90.0.0/16\", \"fd90::/64\" ];\n"
				"};\n"
				".fi\n"
				".PP\n"
				"A node that dials it has, in the place of the group \"gateway\":\n"
				".PP\n"
				".nf\n"
				"links = ( {\n"
				"  name = \"hq\";\n"
				"  to = [ \"vpn.corp.example:443\" ];\n"
				"  identity = \"spiffe://corp.example/gateway/*\";\n"
				"} );\n"
				".fi\n"
				".SH SEE ALSO\n"
				".BR mutun (1),\n"
				".BR mutund (8)\n";

// As running text: a minus that is one, and no character that roff would take as its own.
static void print_text(FILE *file, const char *text)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", file);
	for (; *text; text++) {
		if (*text == '-')
			fputs("\\-", file);
		else if (*text == '\\')
			fputs("\\e", file);
		else
			fputc(*text, file);
	}
}

static void print_facts(FILE *file, const struct setting *setting)
{
	char allowed[SETTING_ALLOWED_MAX];
	print_text(file, setting_allowed(setting, allowed, sizeof(allowed)));
	if (setting->required)
		fputs("; required", file);
	if (setting->fallback) {
		fputs("; default ", file);
		print_text(file, setting->fallback);
	}
	if (!setting->reloadable)
		fputs("; a change needs a restart", file);
	fputs("\n.br\n", file);
}

void setting_manual(FILE *file)
{
	const struct setting *setting;
	fputs(page_head, file);
	for (size_t i = 0; (setting = setting_at(i)); i++) {
		if (setting_within(setting, "")) {
			fprintf(file, ".SS %s\n", setting->path);
			print_text(file, setting->help);
			fputc('\n', file);
			continue;
		}
		fputs(".TP\n\\fB", file);
		print_text(file, setting->path);
		fputs("\\fR\n", file);
		print_facts(file, setting);
		print_text(file, setting->help);
		fputc('\n', file);
	}
	fputs(page_foot, file);
}
