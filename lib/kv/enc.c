/* SPDX-License-Identifier: Apache-2.0 */
#include "kv/enc.h"

bool lls_enc_init(lls_enc_t *enc, lls_mem_t *mem, uint32_t n_entries, uint32_t cap)
{
    *enc = (lls_enc_t){ .mem = mem, .n_entries = n_entries + 1, .cap = cap };
    enc->entries = lls_calloc(mem, (size_t)n_entries + 1, sizeof *enc->entries);
    return enc->entries != NULL;
}

void lls_enc_deinit(lls_enc_t *enc)
{
    lls_free(enc->mem, enc->entries);
    enc->entries = NULL;
}

static void idle_insert(lls_enc_t *enc, uint32_t e)
{
    uint32_t last = enc->entries[0].prev;

    enc->entries[e].prev = last;
    enc->entries[e].next = 0;
    enc->entries[last].next = e;
    enc->entries[0].prev = e;
    enc->n_idle += enc->entries[e].len;
}

static void idle_remove(lls_enc_t *enc, uint32_t e)
{
    enc->entries[enc->entries[e].prev].next = enc->entries[e].next;
    enc->entries[enc->entries[e].next].prev = enc->entries[e].prev;
    enc->n_idle -= enc->entries[e].len;
}

/* A few dozen entries: a scan is enough. */
static uint32_t find(const lls_enc_t *enc, uint64_t hash, bool used)
{
    for (uint32_t e = 1; e < enc->n_entries; e++)
        if (enc->entries[e].used == used && (!used || enc->entries[e].hash == hash))
            return e;
    return LLS_NONE;
}

/* A plan drops entries before it reads any, so one that this plan reads must stay. */
static bool evict_oldest(lls_enc_t *enc, lls_step_plan_t *plan)
{
    uint32_t e = enc->entries[0].next;

    if (e == 0 || enc->entries[e].read_by == plan->step ||
        !lls_sec_has_room(&plan->sec[LLS_PLAN_enc_free], 1))
        return false;
    idle_remove(enc, e);
    enc->entries[e].used = false;
    *lls_plan_push_enc_free(plan, 1) = e;
    return true;
}

static uint32_t hold(lls_enc_t *enc, uint32_t e)
{
    if (enc->entries[e].refs++ == 0) {
        idle_remove(enc, e);
        enc->n_held += enc->entries[e].len;
    }
    return e;
}

uint32_t lls_enc_take(lls_enc_t *enc, uint64_t hash, uint32_t len, lls_step_plan_t *plan)
{
    uint32_t e = find(enc, hash, true);

    if (e != LLS_NONE)
        return hold(enc, e);
    if (len > enc->budget || enc->n_held + len > enc->cap ||
        !lls_sec_has_room(&plan->sec[LLS_PLAN_encs], 1))
        return LLS_NONE;
    while (enc->n_held + enc->n_idle + len > enc->cap)
        if (!evict_oldest(enc, plan))
            return LLS_NONE;
    e = find(enc, 0, false);
    if (e == LLS_NONE && evict_oldest(enc, plan))
        e = find(enc, 0, false);
    if (e == LLS_NONE)
        return LLS_NONE;
    enc->entries[e] = (lls_enc_entry_t){ .hash = hash, .len = len, .refs = 1, .used = true };
    enc->n_held += len;
    enc->budget -= len;
    return e;
}

void lls_enc_drop(lls_enc_t *enc, uint32_t e)
{
    lls_enc_entry_t *entry = &enc->entries[e];

    lls_assert(entry->used && entry->refs > 0);
    if (--entry->refs > 0)
        return;
    enc->n_held -= entry->len;
    if (entry->filled) {
        idle_insert(enc, e);
    } else {
        entry->used = false;
        enc->budget += entry->len;
    }
}

bool lls_enc_fill(lls_enc_t *enc, uint32_t e, uint64_t step)
{
    bool first = !enc->entries[e].filled;

    lls_assert(enc->entries[e].used && enc->entries[e].refs > 0);
    enc->entries[e].filled = true;
    enc->entries[e].read_by = step;
    return first;
}

const char *lls_enc_check(const lls_enc_t *enc)
{
    uint32_t held = 0, idle = 0;

    for (uint32_t e = 1; e < enc->n_entries; e++) {
        const lls_enc_entry_t *entry = &enc->entries[e];
        if (entry->used && entry->refs > 0)
            held += entry->len;
        if (entry->used && entry->refs > 0 && !entry->filled)
            return "E2 entry held but in no plan";
    }
    for (uint32_t e = enc->entries[0].next; e != 0; e = enc->entries[e].next)
        idle += enc->entries[e].len;
    if (held != enc->n_held || idle != enc->n_idle || held + idle > enc->cap)
        return "E1 encoder cache does not add up";
    return NULL;
}
