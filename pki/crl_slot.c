// SPDX-License-Identifier: Apache-2.0

#include "pki/crl_slot.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "pki/crl.h"

struct crl_slot {
	atomic_uint references;
	pthread_mutex_t lock; // held for a few instructions
	struct crl *crl;
};

struct crl_slot *crl_slot_new(struct crl *crl)
{
	struct crl_slot *slot = calloc(1, sizeof(*slot));

	if (!slot)
		return NULL;
	atomic_init(&slot->references, 1);
	pthread_mutex_init(&slot->lock, NULL);
	slot->crl = crl ? crl_get(crl) : NULL;
	return slot;
}

struct crl_slot *crl_slot_get(struct crl_slot *slot)
{
	atomic_fetch_add_explicit(&slot->references, 1, memory_order_relaxed);
	return slot;
}

struct crl_slot *crl_slot_put(struct crl_slot *slot)
{
	if (!slot || atomic_fetch_sub_explicit(&slot->references, 1, memory_order_acq_rel) != 1)
		return NULL;
	crl_put(slot->crl);
	pthread_mutex_destroy(&slot->lock);
	free(slot);
	return NULL;
}

void crl_slot_set(struct crl_slot *slot, struct crl *crl)
{
	if (crl)
		crl_get(crl);
	pthread_mutex_lock(&slot->lock);
	struct crl *old = slot->crl;
	slot->crl = crl;
	pthread_mutex_unlock(&slot->lock);
	crl_put(old);
}

struct crl *crl_slot_crl(struct crl_slot *slot)
{
	pthread_mutex_lock(&slot->lock);
	struct crl *crl = slot->crl ? crl_get(slot->crl) : NULL;
	pthread_mutex_unlock(&slot->lock);
	return crl;
}
