/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include "kv/enc.h"

typedef struct fixture {
    test_alloc_t     alloc;
    llm_allocator_t  hook;
    lls_mem_t        mem;
    lls_enc_t        enc;
    lls_step_plan_t *plan;
} fixture_t;

static fixture_t *begin(uint32_t n_entries, uint32_t cap)
{
    const lls_step_limits_t l = { .max_rows = 2, .max_tokens = 8, .max_encs = 4 };
    fixture_t              *f = calloc(1, sizeof *f);

    f->hook = test_allocator(&f->alloc);
    lls_mem_init(&f->mem, &f->hook);
    assert_true(lls_enc_init(&f->enc, &f->mem, n_entries, cap));
    f->plan = lls_plan_init(malloc(lls_plan_size(&l)), &l);
    lls_plan_reset(f->plan, 1);
    f->enc.budget = 100;
    return f;
}

static void end(fixture_t *f)
{
    assert_null(lls_enc_check(&f->enc));
    lls_enc_deinit(&f->enc);
    assert_int_equal(f->alloc.live_blocks, 0);
    free(f->plan);
    free(f);
}

static void two_requests_share_one_run(void **state)
{
    fixture_t *f = begin(4, 20);
    uint32_t   a = lls_enc_take(&f->enc, 7, 5, f->plan), b = lls_enc_take(&f->enc, 7, 5, f->plan);

    assert_int_equal(a, b);
    assert_int_equal(f->enc.budget, 95);
    lls_enc_drop(&f->enc, a);           /* the first is withdrawn; the second still needs it */
    assert_int_equal(f->enc.budget, 95);
    assert_true(lls_enc_fill(&f->enc, b, 1));
    assert_false(lls_enc_fill(&f->enc, b, 1));
    lls_enc_drop(&f->enc, b);
    assert_int_equal(f->enc.n_idle, 5);
    assert_int_equal(lls_enc_take(&f->enc, 7, 5, f->plan), a);  /* kept for who comes next */
    assert_false(lls_enc_fill(&f->enc, a, 2));
    lls_enc_drop(&f->enc, a);
    end(f);
}

static void a_withdrawn_run_costs_nothing(void **state)
{
    fixture_t *f = begin(4, 20);
    uint32_t   a = lls_enc_take(&f->enc, 7, 5, f->plan);

    lls_enc_drop(&f->enc, a);
    assert_int_equal(f->enc.budget, 100);
    assert_int_equal(f->enc.n_held + f->enc.n_idle, 0);
    end(f);
}

static void the_oldest_idle_entry_makes_room(void **state)
{
    fixture_t *f = begin(4, 12);
    uint32_t   a = lls_enc_take(&f->enc, 1, 6, f->plan), b = lls_enc_take(&f->enc, 2, 6, f->plan);

    lls_enc_fill(&f->enc, a, 1);
    lls_enc_fill(&f->enc, b, 1);
    lls_enc_drop(&f->enc, a);
    /* this plan still reads a, and frees come first */
    assert_int_equal(lls_enc_take(&f->enc, 3, 6, f->plan), LLS_NONE);
    lls_plan_reset(f->plan, 2);
    assert_int_equal(lls_enc_take(&f->enc, 3, 6, f->plan), a);
    assert_int_equal(lls_plan_n_enc_free(f->plan), 1);
    assert_int_equal(lls_plan_enc_free(f->plan)[0], a);
    lls_enc_fill(&f->enc, a, 2);
    assert_int_equal(lls_enc_take(&f->enc, 4, 1, f->plan), LLS_NONE);   /* all are held */
    lls_enc_drop(&f->enc, a);
    lls_enc_drop(&f->enc, b);
    end(f);
}

static void budget_and_entries_are_limits(void **state)
{
    fixture_t *f = begin(1, 50);
    uint32_t   a;

    f->enc.budget = 4;
    assert_int_equal(lls_enc_take(&f->enc, 1, 5, f->plan), LLS_NONE);
    f->enc.budget = 10;
    a = lls_enc_take(&f->enc, 1, 5, f->plan);
    lls_enc_fill(&f->enc, a, 1);
    assert_int_equal(lls_enc_take(&f->enc, 2, 5, f->plan), LLS_NONE);   /* no entry */
    lls_enc_drop(&f->enc, a);
    lls_plan_reset(f->plan, 2);
    assert_int_equal(lls_enc_take(&f->enc, 2, 5, f->plan), a);
    lls_enc_drop(&f->enc, a);
    end(f);
}

static void a_failed_allocation_of_init(void **state)
{
    test_alloc_t    alloc = { .fail_at = 1 };
    llm_allocator_t hook = test_allocator(&alloc);
    lls_mem_t       mem;
    lls_enc_t       enc;

    lls_mem_init(&mem, &hook);
    assert_false(lls_enc_init(&enc, &mem, 4, 4));
    lls_enc_deinit(&enc);
    assert_int_equal(alloc.live_blocks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_requests_share_one_run),
        cmocka_unit_test(a_withdrawn_run_costs_nothing),
        cmocka_unit_test(the_oldest_idle_entry_makes_room),
        cmocka_unit_test(budget_and_entries_are_limits),
        cmocka_unit_test(a_failed_allocation_of_init),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
