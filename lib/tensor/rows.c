/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/rows.h"

#include <string.h>

#include "base/carve.h"

#define ALIGN 16u                   /* of every array */

/* ---- Rows ----------------------------------------------------------------------------------- */

static size_t lay_out_rows(lls_rows_t *r, uint8_t *mem, const lls_rows_limits_t *l)
{
    lls_carver_t c = { .base = mem, .align = ALIGN };

    *r = (lls_rows_t){ .limits = *l };
    r->last_token = lls_carve(&c, l->max_rows, sizeof *r->last_token);
    for (uint32_t g = 0; g < l->n_groups; g++)
        r->table[g] = lls_carve(&c, (size_t)l->max_rows * l->max_blocks[g], sizeof **r->table);
    return c.used;
}

size_t lls_rows_bytes(const lls_rows_limits_t *limits)
{
    lls_rows_t r;

    return lay_out_rows(&r, NULL, limits);
}

static void clear_row(lls_rows_t *r, uint32_t row)
{
    r->last_token[row] = LLS_ON_DEVICE;
    for (uint32_t g = 0; g < r->limits.n_groups; g++) {
        uint32_t n = r->limits.max_blocks[g];
        memset(r->table[g] + (size_t)row * n, 0, n * sizeof **r->table);
    }
}

void lls_rows_init(lls_rows_t *rows, void *mem, const lls_rows_limits_t *limits)
{
    lay_out_rows(rows, mem, limits);
    for (uint32_t i = 0; i < limits->max_rows; i++)
        clear_row(rows, i);
}

static bool apply_table(lls_rows_t *r, const lls_step_plan_t *plan, const lls_table_add_t *t)
{
    uint32_t stride;

    if (t->row >= r->limits.max_rows || t->group >= r->limits.n_groups)
        return false;
    stride = r->limits.max_blocks[t->group];
    if (t->first > stride || t->ids.n > stride - t->first)
        return false;
    memcpy(r->table[t->group] + (size_t)t->row * stride + t->first,
           lls_plan_blocks(plan) + t->ids.off, t->ids.n * sizeof(uint32_t));
    return true;
}

bool lls_rows_apply(lls_rows_t *rows, const lls_step_plan_t *plan)
{
    const uint32_t        *freed = lls_plan_freed(plan);
    const lls_new_row_t   *added = lls_plan_added(plan);
    const lls_table_add_t *tables = lls_plan_tables(plan);

    for (uint32_t i = 0; i < lls_plan_n_freed(plan); i++) {
        if (freed[i] >= rows->limits.max_rows)
            return false;
        clear_row(rows, freed[i]);
    }
    for (uint32_t i = 0; i < lls_plan_n_added(plan); i++) {
        if (added[i].row >= rows->limits.max_rows)
            return false;
        clear_row(rows, added[i].row);
    }
    for (uint32_t i = 0; i < lls_plan_n_tables(plan); i++)
        if (!apply_table(rows, plan, &tables[i]))
            return false;
    return true;
}

/* ---- Batch ---------------------------------------------------------------------------------- */

static size_t lay_out_batch(lls_batch_t *b, uint8_t *mem, const lls_rows_limits_t *l)
{
    lls_carver_t c = { .base = mem, .align = ALIGN };

    *b = (lls_batch_t){ .n_groups = l->n_groups };
    b->ids = lls_carve(&c, l->max_tokens, sizeof *b->ids);
    b->positions = lls_carve(&c, l->max_tokens, sizeof *b->positions);
    b->row_of = lls_carve(&c, l->max_tokens, sizeof *b->row_of);
    b->row_start = lls_carve(&c, (size_t)l->max_rows + 1, sizeof *b->row_start);
    b->context = lls_carve(&c, l->max_rows, sizeof *b->context);
    b->row = lls_carve(&c, l->max_rows, sizeof *b->row);
    b->logit_token = lls_carve(&c, l->max_logits, sizeof *b->logit_token);
    b->logit_row = lls_carve(&c, l->max_logits, sizeof *b->logit_row);
    return c.used;
}

size_t lls_batch_bytes(const lls_rows_limits_t *limits)
{
    lls_batch_t b;

    return lay_out_batch(&b, NULL, limits);
}

void lls_batch_init(lls_batch_t *batch, void *mem, const lls_rows_t *rows)
{
    lay_out_batch(batch, mem, &rows->limits);
    for (uint32_t g = 0; g < rows->limits.n_groups; g++) {
        batch->max_blocks[g] = rows->limits.max_blocks[g];
        batch->table[g] = rows->table[g];
    }
}

void lls_batch_bound(lls_batch_t *batch, const lls_rows_limits_t *limits)
{
    batch->n_tokens = limits->max_tokens;
    batch->n_rows = lls_min_u32(limits->max_rows, limits->max_tokens);
    batch->n_logits = limits->max_logits;
    batch->max_n = lls_min_u32(limits->max_tokens, limits->max_context);
    batch->max_context = limits->max_context;
    batch->n_groups = limits->n_groups;
    for (uint32_t g = 0; g < limits->n_groups; g++)
        batch->max_blocks[g] = limits->max_blocks[g];
}

static bool run_fits(const lls_batch_t *b, const lls_rows_limits_t *l, const lls_run_row_t *r)
{
    return r->row < l->max_rows && r->n >= 1 && r->n <= l->max_tokens - b->n_tokens &&
           r->n_draft < r->n && r->slack == 0 && b->n_rows < l->max_rows &&
           r->pos <= l->max_context && r->n <= l->max_context - r->pos;
}

static bool fill_tokens(lls_batch_t *b, const lls_rows_t *rows, const lls_run_row_t *r,
                        const int32_t *tokens)
{
    for (uint32_t i = 0; i < r->n; i++) {
        uint32_t t = b->n_tokens + i;
        int32_t  id = tokens[i] == LLS_ON_DEVICE ? rows->last_token[r->row] : tokens[i];

        if (id < 0)
            return false;
        b->ids[t] = id;
        b->positions[t] = (int32_t)(r->pos + i);
        b->row_of[t] = b->n_rows;
    }
    return true;
}

static bool fill_logits(lls_batch_t *b, const lls_rows_limits_t *l, const lls_run_row_t *r)
{
    uint32_t n = (r->flags & LLS_RUN_SAMPLE) != 0 ? 1u + r->n_draft : 0;

    if (n == 0)
        return true;
    if (r->logit != b->n_logits || n > l->max_logits - b->n_logits)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        b->logit_token[b->n_logits + i] = b->n_tokens + r->n - n + i;
        b->logit_row[b->n_logits + i] = r->row;
    }
    b->n_logits += n;
    return true;
}

bool lls_batch_fill(lls_batch_t *batch, const lls_rows_t *rows, const lls_step_plan_t *plan)
{
    const lls_run_row_t     *runs = lls_plan_runs(plan);
    const lls_rows_limits_t *limits = &rows->limits;

    batch->n_tokens = batch->n_rows = batch->n_logits = 0;
    batch->max_n = batch->max_context = 0;
    for (uint32_t i = 0; i < lls_plan_n_runs(plan); i++) {
        const lls_run_row_t *r = &runs[i];

        if (!run_fits(batch, limits, r) ||
            !fill_tokens(batch, rows, r, lls_plan_tokens(plan) + r->tok) ||
            !fill_logits(batch, limits, r))
            return false;
        batch->row_start[batch->n_rows] = batch->n_tokens;
        batch->context[batch->n_rows] = r->pos + r->n;
        batch->row[batch->n_rows] = r->row;
        batch->max_n = lls_max_u32(batch->max_n, r->n);
        batch->max_context = lls_max_u32(batch->max_context, r->pos + r->n);
        batch->n_tokens += r->n;
        batch->n_rows++;
    }
    batch->row_start[batch->n_rows] = batch->n_tokens;
    return true;
}
