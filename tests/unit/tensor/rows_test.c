/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rows_test - a runner's rows follow the plans, and plans become the inputs of a step.
 */
#include "unit/test.h"

#include "tensor/rows.h"

static const lls_rows_limits_t limits = { .max_rows = 4, .max_tokens = 16, .max_logits = 8,
                                          .max_context = 64, .n_groups = 2,
                                          .max_blocks = { 8, 4 } };

typedef struct world {
    lls_rows_t       rows;
    lls_batch_t      batch;
    lls_step_plan_t *plan;
    void            *mem[3];
} world_t;

static world_t world(void)
{
    lls_step_limits_t step = { .max_rows = 8, .max_tokens = 64, .max_drafts = 3, .n_groups = 2,
                               .max_seq_blocks = 16, .max_seq_tokens = 64 };
    world_t           w;

    w.mem[0] = malloc(lls_rows_bytes(&limits));
    w.mem[1] = malloc(lls_batch_bytes(&limits));
    w.mem[2] = malloc(lls_plan_size(&step));
    memset(w.mem[0], 0xff, lls_rows_bytes(&limits));
    lls_rows_init(&w.rows, w.mem[0], &limits);
    lls_batch_init(&w.batch, w.mem[1], &w.rows);
    w.plan = lls_plan_init(w.mem[2], &step);
    lls_plan_reset(w.plan, 1);
    return w;
}

static void end(world_t *w)
{
    for (uint32_t i = 0; i < 3; i++)
        free(w->mem[i]);
}

static void add_table(world_t *w, uint32_t row, uint32_t group, uint32_t first, uint32_t n,
                      uint32_t id)
{
    lls_table_add_t *t = lls_plan_push_tables(w->plan, 1);

    *t = (lls_table_add_t){ row, group, first, { lls_plan_n_blocks(w->plan), n } };
    for (uint32_t i = 0; i < n; i++)
        *lls_plan_push_blocks(w->plan, 1) = id + i;
}

static void add_run(world_t *w, uint32_t row, uint32_t pos, uint32_t n, int32_t token,
                    uint32_t n_draft, bool sample)
{
    lls_run_row_t *r = lls_plan_push_runs(w->plan, 1);

    *r = (lls_run_row_t){ .row = row, .pos = pos, .n = n, .tok = lls_plan_n_tokens(w->plan),
                          .logit = w->plan->n_logits, .n_draft = (uint16_t)n_draft,
                          .flags = sample ? LLS_RUN_SAMPLE : 0, .next = -1 };
    for (uint32_t i = 0; i < n; i++)
        *lls_plan_push_tokens(w->plan, 1) = token < 0 ? token : token + (int32_t)i;
    w->plan->n_logits += sample ? 1 + n_draft : 0;
}

static void add_row(world_t *w, uint32_t row)
{
    *lls_plan_push_added(w->plan, 1) = (lls_new_row_t){ .row = row };
}

static void tables_follow_the_plans(void **state)
{
    world_t  w = world();

    add_row(&w, 2);
    add_table(&w, 2, 0, 0, 3, 10);
    add_table(&w, 2, 1, 1, 1, 90);
    assert_true(lls_rows_apply(&w.rows, w.plan));
    assert_int_equal(w.rows.table[0][2 * 8 + 2], 12);
    assert_int_equal(w.rows.table[0][2 * 8 + 3], 0);
    assert_int_equal(w.rows.table[1][2 * 4], 0);
    assert_int_equal(w.rows.table[1][2 * 4 + 1], 90);
    w.rows.last_token[2] = 77;
    lls_plan_reset(w.plan, 2);
    add_table(&w, 2, 0, 3, 1, 50);                  /* grows; the row keeps its state */
    assert_true(lls_rows_apply(&w.rows, w.plan));
    assert_int_equal(w.rows.table[0][2 * 8 + 2], 12);
    assert_int_equal(w.rows.table[0][2 * 8 + 3], 50);
    assert_int_equal(w.rows.last_token[2], 77);
    lls_plan_reset(w.plan, 3);
    *lls_plan_push_freed(w.plan, 1) = 2;            /* freed and taken again by the same plan */
    add_row(&w, 2);
    add_table(&w, 2, 0, 0, 1, 20);
    assert_true(lls_rows_apply(&w.rows, w.plan));
    assert_int_equal(w.rows.table[0][2 * 8], 20);
    assert_int_equal(w.rows.table[0][2 * 8 + 1], 0);
    assert_int_equal(w.rows.last_token[2], -1);
    end(&w);
}

static void plans_become_inputs(void **state)
{
    world_t w = world();

    w.rows.last_token[3] = 42;
    add_run(&w, 1, 5, 4, 100, 0, false);            /* a chunk in the middle of a prompt */
    add_run(&w, 3, 20, 1, LLS_ON_DEVICE, 0, true);  /* decode */
    add_run(&w, 0, 0, 3, 7, 2, true);               /* two drafts to judge */
    assert_true(lls_batch_fill(&w.batch, &w.rows, w.plan));
    assert_int_equal(w.batch.n_tokens, 8);
    assert_int_equal(w.batch.n_rows, 3);
    assert_int_equal(w.batch.n_logits, 4);
    assert_int_equal(w.batch.max_n, 4);
    assert_int_equal(w.batch.max_context, 21);
    assert_memory_equal(w.batch.ids, ((int32_t[]){ 100, 101, 102, 103, 42, 7, 8, 9 }), 32);
    assert_memory_equal(w.batch.positions, ((int32_t[]){ 5, 6, 7, 8, 20, 0, 1, 2 }), 32);
    assert_memory_equal(w.batch.row_of, ((uint32_t[]){ 0, 0, 0, 0, 1, 2, 2, 2 }), 32);
    assert_memory_equal(w.batch.row_start, ((uint32_t[]){ 0, 4, 5, 8 }), 16);
    assert_memory_equal(w.batch.context, ((uint32_t[]){ 9, 21, 3 }), 12);
    assert_memory_equal(w.batch.row, ((uint32_t[]){ 1, 3, 0 }), 12);
    assert_memory_equal(w.batch.logit_token, ((uint32_t[]){ 4, 5, 6, 7 }), 16);
    assert_memory_equal(w.batch.logit_row, ((uint32_t[]){ 3, 0, 0, 0 }), 16);
    assert_ptr_equal(w.batch.table[1], w.rows.table[1]);
    lls_plan_reset(w.plan, 2);
    assert_true(lls_batch_fill(&w.batch, &w.rows, w.plan));
    assert_int_equal(w.batch.n_tokens + w.batch.n_rows + w.batch.n_logits, 0);
    end(&w);
}

/* A plan of another runner must not write outside our arrays. */
static void foreign_plans_are_refused(void **state)
{
    for (uint32_t i = 0; i < 6; i++) {
        world_t w = world();
        if (i == 0)
            *lls_plan_push_freed(w.plan, 1) = 4;
        else if (i == 1)
            add_row(&w, 4);
        else
            add_table(&w, i == 2 ? 4 : 0, i == 3 ? 2 : 1, i == 4 ? 5 : i == 5 ? 3 : 0, 2, 1);
        assert_false(lls_rows_apply(&w.rows, w.plan));
        end(&w);
    }
    for (uint32_t i = 0; i < 7; i++) {
        world_t w = world();
        add_run(&w, i == 0 ? 4 : 0, i == 1 ? 62 : 0, i == 2 ? 17 : 3, i == 3 ? LLS_ON_DEVICE : 5,
                i == 4 ? 3 : 0, i == 4 || i == 5);
        if (i == 5)
            lls_plan_runs(w.plan)[0].logit = 1;
        for (uint32_t k = 0; k < 4 && i == 6; k++)
            add_run(&w, k, 0, 1, 5, 0, false);
        assert_false(lls_batch_fill(&w.batch, &w.rows, w.plan));
        end(&w);
    }
}

static void bounds_are_the_limits(void **state)
{
    lls_batch_t b = { 0 };

    lls_batch_bound(&b, &limits);
    assert_int_equal(b.n_tokens, 16);
    assert_int_equal(b.n_rows, 4);
    assert_int_equal(b.n_logits, 8);
    assert_int_equal(b.max_n, 16);
    assert_int_equal(b.max_context, 64);
    assert_int_equal(b.max_blocks[1], 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_follow_the_plans),
        cmocka_unit_test(plans_become_inputs),
        cmocka_unit_test(foreign_plans_are_refused),
        cmocka_unit_test(bounds_are_the_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
