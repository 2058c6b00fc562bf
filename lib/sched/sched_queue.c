/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sched_queue - who waits, ordered by priority, fairness key, arrival.
 *
 * A list with shortcuts (a skip list): level 0 links all, each level above about a quarter of the
 * one below, so a place among n is found in O(log n) comparisons wherever it is.  Which requests a
 * level has follows from their numbers of arrival, not from chance or addresses, as replicated
 * schedulers must agree.
 */
#include "base/hash.h"
#include "sched/sched_int.h"

bool lls_req_goes_before(const lls_req_t *a, const lls_req_t *b)
{
    if (a->priority != b->priority)
        return a->priority < b->priority;
    if (a->fair_key != b->fair_key)
        return a->fair_key < b->fair_key;
    if (a->seq != b->seq)
        return a->seq < b->seq;
    return a->slot < b->slot;       /* forks are as old as their parent */
}

/* The link behind a slot, LLS_NONE being the head of the queue. */
static uint32_t *link_of(lls_sched_t *s, uint32_t slot, uint32_t level)
{
    return slot == LLS_NONE ? &s->head[level] : &req_at(s, slot)->next[level];
}

/* The last slot of each level that goes before r. */
static void find_place(lls_sched_t *s, const lls_req_t *r, uint32_t before[LLS_QUEUE_LEVELS])
{
    uint32_t at = LLS_NONE, next;

    for (uint32_t level = LLS_QUEUE_LEVELS; level-- > 0; before[level] = at)
        while ((next = *link_of(s, at, level)) != LLS_NONE &&
               lls_req_goes_before(req_at(s, next), r))
            at = next;
}

static uint32_t levels_of(const lls_req_t *r)
{
    uint64_t dice = lls_mix64(r->seq, 0);
    uint32_t n = 1;

    for (; n < LLS_QUEUE_LEVELS && (dice & 3) == 0; n++)
        dice >>= 2;
    return n;
}

void lls_sched_enqueue(lls_sched_t *s, lls_req_t *r)
{
    uint32_t before[LLS_QUEUE_LEVELS], n = levels_of(r);

    find_place(s, r, before);
    for (uint32_t level = 0; level < n; level++) {
        r->next[level] = *link_of(s, before[level], level);
        *link_of(s, before[level], level) = r->slot;
    }
    r->prev = before[0];
    *(r->next[0] == LLS_NONE ? &s->tail : &req_at(s, r->next[0])->prev) = r->slot;
    r->state = LLS_REQ_WAITING;
    s->n_waiting++;
}

void lls_sched_dequeue(lls_sched_t *s, lls_req_t *r)
{
    uint32_t before[LLS_QUEUE_LEVELS];

    find_place(s, r, before);
    for (uint32_t level = 0; level < LLS_QUEUE_LEVELS; level++)
        if (*link_of(s, before[level], level) == r->slot)
            *link_of(s, before[level], level) = r->next[level];
    *(r->next[0] == LLS_NONE ? &s->tail : &req_at(s, r->next[0])->prev) = r->prev;
    s->n_waiting--;
}
