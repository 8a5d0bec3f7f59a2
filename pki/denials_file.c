// SPDX-License-Identifier: Apache-2.0
// Read from its end: of a long file of which most is known, only what is new costs anything.

#include "pki/denials_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "pki/denial.h"
#include "pki/denial_signer.h"
#include "pki/denials.h"

#define HEAD   "mutun-denials 1 "
#define SIGNER "signer "

struct signers {
	struct denial_signer *list[DENIALS_SIGNERS_MAX];
	size_t count;
};

static void signers_done(struct signers *signers)
{
	for (size_t i = 0; i < signers->count; i++)
		denial_signer_put(signers->list[i]);
}

// --- writing

static int put_text(struct buffer *buffer, const char *text)
{
	return buffer_put(buffer, text, strlen(text));
}

static int put_signer(struct buffer *buffer, struct signers *signers, struct denial_signer *signer)
{
	char head[32];

	if (signers->count == DENIALS_SIGNERS_MAX)
		return -ENOBUFS;
	signers->list[signers->count++] = denial_signer_get(signer);
	snprintf(head, sizeof(head), SIGNER "%zu ", signers->count);
	int r = put_text(buffer, head);
	if (r == 0)
		r = put_text(buffer, denial_signer_text(signer));
	return r < 0 ? r : put_text(buffer, "\n");
}

// From 1; 0: not among them. The newest is the likeliest.
static size_t find_signer(const struct signers *signers, const struct denial_signer *signer)
{
	for (size_t i = signers->count; i > 0; i--)
		if (signers->list[i - 1] == signer ||
		    strcmp(denial_signer_text(signers->list[i - 1]), denial_signer_text(signer)) ==
			    0)
			return i;
	return 0;
}

static int put_signers(struct buffer *buffer, struct signers *signers,
		       const struct denials *denials)
{
	const struct denial *entry;
	int r = 0;

	for (uint64_t n = 1; r == 0 && (entry = denials_at(denials, n)); n++)
		if (entry->signature && !find_signer(signers, entry->signer))
			r = put_signer(buffer, signers, entry->signer);
	return r;
}

static int put_entry(struct buffer *buffer, const struct signers *signers,
		     const struct denial *entry)
{
	char number[32] = "\t-";

	if (entry->signature)
		snprintf(number, sizeof(number), "\t%zu", find_signer(signers, entry->signer));
	int r = buffer_put(buffer, entry->text, entry->text_size);
	if (r == 0)
		r = put_text(buffer, number);
	if (r == 0)
		r = put_text(buffer, " ");
	if (r == 0)
		r = put_text(buffer, entry->signature ? entry->signature : "-");
	return r < 0 ? r : put_text(buffer, "\n");
}

int denials_file_write(const struct denials *denials, const char *path)
{
	_cleanup_(signers_done) struct signers signers = {0};
	const struct denial *entry;
	struct buffer buffer;

	buffer_init(&buffer, DENIALS_FILE_MAX, false);
	int r = put_text(&buffer, HEAD);
	if (r == 0)
		r = put_text(&buffer, denials_domain(denials));
	if (r == 0)
		r = put_text(&buffer, "\n");
	if (r == 0)
		r = put_signers(&buffer, &signers, denials);
	for (uint64_t n = 1; r == 0 && (entry = denials_at(denials, n)); n++)
		r = put_entry(&buffer, &signers, entry);
	if (r == 0)
		r = file_write(path, buffer_head(&buffer), buffer.size, 0644);
	buffer_done(&buffer);
	return r;
}

// --- reading

static int malformed(struct error *error)
{
	return error_set(error, EINVAL, "this is no list of denials, or a damaged one");
}

// A line without its newline; the text ends with one.
struct line {
	const char *text;
	size_t size;
};

static bool next_line(const char **at, const char *end, struct line *ret)
{
	const char *newline = *at < end ? memchr(*at, '\n', (size_t)(end - *at)) : NULL;

	if (!newline)
		return false;
	*ret = (struct line){*at, (size_t)(newline - *at)};
	*at = newline + 1;
	return true;
}

static bool previous_line(const char *begin, const char **at, struct line *ret)
{
	if (*at == begin)
		return false;
	const char *end = *at - 1; // the newline
	const char *before = end > begin ? memrchr(begin, '\n', (size_t)(end - begin)) : NULL;
	const char *start = before ? before + 1 : begin;
	*ret = (struct line){start, (size_t)(end - start)};
	*at = start;
	return true;
}

static bool begins(const struct line *line, const char *word)
{
	return line->size >= strlen(word) && memcmp(line->text, word, strlen(word)) == 0;
}

// The number of the signer, and what stands behind it and a space.
static int read_signer_number(const char *text, size_t size, size_t *ret, const char **ret_rest)
{
	size_t value = 0, at = 0;

	while (at < size && at < 4 && text[at] >= '0' && text[at] <= '9')
		value = value * 10 + (size_t)(text[at++] - '0');
	if (at == 0 || at == size || text[at] != ' ' || text[0] == '0')
		return -EINVAL;
	*ret = value;
	*ret_rest = text + at + 1;
	return 0;
}

static int read_head(const char **at, const char *end, char domain[IDENTITY_DOMAIN_MAX + 1],
		     struct signers *signers)
{
	struct line line;
	const char *next = *at, *rest;
	size_t number, size;

	if (!next_line(&next, end, &line) || !begins(&line, HEAD))
		return -EINVAL;
	size = line.size - strlen(HEAD);
	if (size > IDENTITY_DOMAIN_MAX || memchr(line.text, '\0', line.size))
		return -EINVAL;
	memcpy(domain, line.text + strlen(HEAD), size);
	domain[size] = '\0';
	if (identity_domain_check(domain, NULL) < 0)
		return -EINVAL;
	for (*at = next; next_line(&next, end, &line) && begins(&line, SIGNER); *at = next) {
		const char *text = line.text + strlen(SIGNER);
		size = line.size - strlen(SIGNER);
		if (read_signer_number(text, size, &number, &rest) < 0 ||
		    number != signers->count + 1 || number > DENIALS_SIGNERS_MAX)
			return -EINVAL;
		size -= (size_t)(rest - text);
		if (size > DENIAL_SIGNER_TEXT_MAX || memchr(rest, '\0', size))
			return -EINVAL;
		signers->list[signers->count] = denial_signer_new(rest, size);
		if (!signers->list[signers->count])
			return -ENOMEM;
		signers->count++;
	}
	return 0;
}

int denials_file_domain(const char *text, size_t size, char ret[IDENTITY_DOMAIN_MAX + 1],
			struct error *error)
{
	_cleanup_(signers_done) struct signers signers = {0};
	const char *at = text;

	return read_head(&at, text + size, ret, &signers) < 0 ? malformed(error) : 0;
}

static int read_signature(const char *text, size_t size, const struct signers *signers,
			  struct denial *entry)
{
	const char *signature;
	size_t number;

	if (size == 3 && memcmp(text, "- -", 3) == 0)
		return 0;
	if (read_signer_number(text, size, &number, &signature) < 0 || number > signers->count)
		return -EINVAL;
	size -= (size_t)(signature - text);
	if (size == 0 || size > DENIAL_SIGNATURE_MAX || memchr(signature, '\0', size))
		return -EINVAL;
	entry->signature = strndup(signature, size);
	if (!entry->signature)
		return -ENOMEM;
	entry->signer = denial_signer_get(signers->list[number - 1]);
	return 0;
}

static int read_entry(const struct line *line, const struct signers *signers, struct denial **ret)
{
	_cleanup_(denial_putp) struct denial *entry = NULL;
	const char *tab = memchr(line->text, '\t', line->size);

	if (!tab)
		return -EINVAL;
	size_t text_size = (size_t)(tab - line->text);
	int r = denial_parse(line->text, text_size, &entry, NULL);
	if (r == 0)
		r = read_signature(tab + 1, line->size - text_size - 1, signers, entry);
	if (r < 0)
		return r;
	*ret = take(entry);
	return 0;
}

// From the last line to the entry after `have`, then turned around. Where the file ends before that, its last entry stands alone.
static int read_entries(const char *begin, const char *end, uint64_t have,
			const struct signers *signers, struct denial_entries *ret)
{
	struct line line;
	struct denial *entry;
	const char *at = end;

	while (previous_line(begin, &at, &line)) {
		int r = read_entry(&line, signers, &entry);
		if (r == 0 && (r = denial_entries_push(ret, entry)) < 0)
			denial_put(entry);
		if (r < 0)
			return r;
		if (entry->number <= have + 1)
			break;
	}
	for (size_t i = 0; i < ret->count / 2; i++) {
		entry = ret->list[i];
		ret->list[i] = ret->list[ret->count - 1 - i];
		ret->list[ret->count - 1 - i] = entry;
	}
	return 0;
}

static int add(const char *begin, const char *end, const char *domain,
	       const struct signers *signers, struct denials *old, uint64_t have,
	       const struct trust *trust, struct denials **ret, struct error *error)
{
	_cleanup_(denial_entries_done) struct denial_entries entries = {0};
	int r = read_entries(begin, end, have, signers, &entries);

	if (r < 0)
		return r == -ENOMEM ? error_set(error, ENOMEM, "out of memory") : malformed(error);
	if (entries.count == 0)
		return error_set(error, ESTALE, "there are no denials of %s yet", domain);
	return denials_add(old, domain, entries.list, entries.count, trust, ret, error);
}

int denials_file_parse(const char *text, size_t size, const char *domain, struct denials *old,
		       const struct trust *trust, struct denials **ret, struct error *error)
{
	_cleanup_(signers_done) struct signers signers = {0};
	char found[IDENTITY_DOMAIN_MAX + 1];
	const char *at = text, *end = text + size;

	if (size == 0 || end[-1] != '\n' || read_head(&at, end, found, &signers) < 0)
		return malformed(error);
	if (domain && strcmp(domain, found) != 0) {
		error_set(error, EINVAL, "these are denials of %s", found);
		return error_expected(error, "%s", domain);
	}
	int r = add(at, end, found, &signers, old, denials_number(old), trust, ret, error);
	// It may go apart from what we have somewhere before: only the whole can tell.
	if ((r == -EKEYREJECTED || r == -ENOTUNIQ) && old)
		r = add(at, end, found, &signers, old, 0, trust, ret, error);
	return r;
}

int denials_file_read(const char *path, const char *domain, struct denials *old,
		      const struct trust *trust, struct denials **ret, struct error *error)
{
	_cleanup_(freep) char *text = NULL;
	size_t size;

	int r = file_read(path, DENIALS_FILE_MAX, &text, &size);
	if (r < 0)
		error_set(error, -r, "the denials cannot be read: %s", strerror(-r));
	else
		r = denials_file_parse(text, size, domain, old, trust, ret, error);
	if (r < 0)
		error_where(error, "%s", path);
	return r;
}
