// SPDX-License-Identifier: Apache-2.0

#include "tun/subject.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"

struct subjects {
	struct table *by_identity;
	unsigned
		last; // number given last: the next one is looked for behind it, so that numbers rest
	_Atomic unsigned present;
	struct subject *by_number[SUBJECTS_MAX];
};

struct subjects *subjects_new(void)
{
	struct subjects *subjects = calloc(1, sizeof(*subjects));
	if (!subjects)
		return NULL;
	subjects->by_identity = table_new();
	return subjects->by_identity ? subjects : subjects_free(subjects);
}

// Of a link, its end belongs to the key.
static size_t key_size(const char *identity, bool link)
{
	return strlen(identity) + link;
}

static void forget(struct subjects *subjects, struct subject *subject)
{
	table_remove(subjects->by_identity, subject->identity,
		     key_size(subject->identity, subject->link));
	subjects->by_number[subject->number] = NULL;
	facts_done(&subject->facts);
	free(subject->identity);
	free(subject);
}

struct subjects *subjects_free(struct subjects *subjects)
{
	if (!subjects)
		return NULL;
	if (subjects->by_identity)
		subjects_collect(subjects);
	table_free(subjects->by_identity);
	free(subjects);
	return NULL;
}

static unsigned free_number(struct subjects *subjects)
{
	for (unsigned i = 0; i < SUBJECTS_MAX; i++) {
		subjects->last = (subjects->last + 1) % SUBJECTS_MAX;
		if (subjects->last && !subjects->by_number[subjects->last])
			return subjects->last;
	}
	return 0;
}

static int add(struct subjects *subjects, const char *identity, bool link, struct subject **ret)
{
	unsigned number = free_number(subjects);
	if (number == 0)
		return -ENOSPC;
	struct subject *subject = calloc(1, sizeof(*subject));
	if (subject)
		subject->identity = strdup(identity);
	if (!subject || !subject->identity ||
	    table_add(subjects->by_identity, subject->identity, key_size(identity, link), subject) <
		    0) {
		if (subject)
			free(subject->identity);
		free(subject);
		return -ENOMEM;
	}
	subject->link = link;
	subject->number = (uint16_t)number;
	subjects->by_number[number] = subject;
	*ret = subject;
	return 0;
}

int subject_get(struct subjects *subjects, const char *identity, bool link, struct subject **ret)
{
	struct subject *subject = subject_find(subjects, identity, link);
	if (!subject) {
		int r = add(subjects, identity, link, &subject);
		if (r < 0)
			return r;
	}
	if (subject->sessions++ == 0)
		atomic_fetch_add_explicit(&subjects->present, 1, memory_order_relaxed);
	*ret = subject;
	return 0;
}

void subject_put(struct subjects *subjects, struct subject *subject, uint64_t now_s)
{
	if (!subject || --subject->sessions > 0)
		return;
	subject->left_s = now_s;
	atomic_fetch_sub_explicit(&subjects->present, 1, memory_order_relaxed);
	if (atomic_load(&subject->named) == 0)
		forget(subjects, subject);
}

bool subject_set_facts(struct subject *subject, struct facts *facts)
{
	if (facts_equal(&subject->facts, facts)) {
		facts_done(facts);
		return false;
	}
	facts_done(&subject->facts);
	subject->facts = *facts;
	*facts = (struct facts){0};
	return true;
}

void subjects_collect(struct subjects *subjects)
{
	struct subject *subject;
	size_t cursor = 0;
	while ((subject = table_next(subjects->by_identity, &cursor)))
		if (subject->sessions == 0 && atomic_load(&subject->named) == 0)
			forget(subjects, subject);
}

struct subject *subject_find(const struct subjects *subjects, const char *identity, bool link)
{
	return table_find(subjects->by_identity, identity, key_size(identity, link));
}

struct subject *subject_at(const struct subjects *subjects, unsigned number)
{
	return number < SUBJECTS_MAX ? subjects->by_number[number] : NULL;
}

struct subject *subjects_next(const struct subjects *subjects, size_t *cursor)
{
	return table_next(subjects->by_identity, cursor);
}

size_t subjects_count(const struct subjects *subjects)
{
	return table_count(subjects->by_identity);
}

unsigned subjects_present(const struct subjects *subjects)
{
	return atomic_load_explicit(&subjects->present, memory_order_relaxed);
}
