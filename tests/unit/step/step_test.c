/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include "step/step.h"

static const lls_step_limits_t limits = {
    .max_rows = 4, .max_tokens = 32, .max_drafts = 3, .n_groups = 2, .max_seq_blocks = 10,
    .max_seq_tokens = 100, .max_xfers = 2, .max_encs = 2, .max_params = 6, .max_logprobs = 2,
    .max_plp_logprobs = 2,
    .max_plps = 32, .max_floats = 8 };

/* One of everything. */
static void fill_plan(lls_step_plan_t *p)
{
    lls_plan_reset(p, 7);
    *lls_plan_push_freed(p, 1) = 3;
    *lls_plan_push_enc_free(p, 1) = 1;
    *lls_plan_push_copies(p, 1) = (lls_block_copy_t){ 1, 5, 6 };
    *lls_plan_push_loras(p, 1) = (lls_lora_load_t){ 0, 9 };
    memset(lls_plan_push_words(p, 12), 3, 12 * sizeof(uint32_t));
    memset(lls_plan_push_blocks(p, 5), 0, 5 * sizeof(uint32_t));
    *lls_plan_push_xfers(p, 1) = (lls_xfer_t){ .request = 1, .op = LLS_XFER_SAVE, .group = 1,
                                               .n_tokens = 16, .ids = { 1, 2 }, .keys = { 4, 8 } };
    *lls_plan_push_added(p, 1) = (lls_new_row_t){ .row = 2, .n_computed = 4, .n_known = 6,
                                                  .n_prompt = 6, .history = { 0, 6 },
                                                  .params = { 6, 6 }, .lora = LLS_NONE };
    *lls_plan_push_tables(p, 1) = (lls_table_add_t){ 2, 0, 1, { 3, 2 } };
    *lls_plan_push_encs(p, 1) = (lls_enc_run_t){ 1, 4, 3 };
    *lls_plan_push_splices(p, 1) = (lls_splice_t){ 1, 1, 0, 3 };
    memset(lls_plan_push_tokens(p, 5), 0, 5 * sizeof(int32_t));
    *lls_plan_push_runs(p, 1) = (lls_run_row_t){ .row = 2, .pos = 4, .n = 2, .logit = 0,
                                                 .flags = LLS_RUN_SAMPLE, .next = -1 };
    *lls_plan_push_runs(p, 1) = (lls_run_row_t){ .row = 0, .pos = 9, .n = 3, .tok = 2, .logit = 1,
                                                 .n_draft = 2, .slack = 1, .aux = 10, .next = -1,
                                                 .flags = LLS_RUN_SAMPLE | LLS_RUN_TREE };
    p->n_tokens = 5;
    p->n_logits = 4;
    p->max_n = 3;
}

static void fill_result(lls_step_result_t *r)
{
    lls_result_reset(r, 7);
    *lls_result_push_rows(r, 1) = (lls_row_result_t){ .tokens = { 0, 2 }, .drafts = { 2, 1 },
                                                      .logprobs = { 0, 4 }, .pooled = { 1, 2 } };
    *lls_result_push_done(r, 1) = (lls_xfer_done_t){ 1, 16 };
    *lls_result_push_plps(r, 1) = (lls_prompt_logprob_t){ 0, 3, { 4, 2 } };
    memset(lls_result_push_tokens(r, 3), 0, 3 * sizeof(int32_t));
    memset(lls_result_push_logprobs(r, 6), 0, 6 * sizeof(lls_logprob_t));
    memset(lls_result_push_floats(r, 3), 0, 3 * sizeof(float));
}

/* Reads all that a runner would: under a sanitizer an unsound plan that passed shows here. */
static uint64_t read_plan(const lls_step_plan_t *p)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < LLS_PLAN_N_SECTIONS; i++)
        for (uint32_t k = 0; k < p->sec[i].n * p->sec[i].size; k++)
            sum += ((const uint8_t *)p)[p->sec[i].off + k];
    for (uint32_t i = 0; i < lls_plan_n_runs(p); i++) {
        const lls_run_row_t *r = &lls_plan_runs(p)[i];
        for (uint32_t k = 0; k < r->n; k++)
            sum += (uint32_t)lls_plan_tokens(p)[r->tok + k];
        for (uint32_t k = 0; (r->flags & LLS_RUN_TREE) && k < r->n_draft; k++)
            sum += lls_plan_words(p)[r->aux + k];
    }
    for (uint32_t i = 0; i < lls_plan_n_added(p); i++) {
        const lls_new_row_t *a = &lls_plan_added(p)[i];
        for (uint32_t k = 0; k < a->history.n; k++)
            sum += lls_plan_words(p)[a->history.off + k];
        for (uint32_t k = 0; k < a->params.n; k++)
            sum += lls_plan_words(p)[a->params.off + k];
    }
    for (uint32_t i = 0; i < lls_plan_n_tables(p); i++)
        for (uint32_t k = 0; k < lls_plan_tables(p)[i].ids.n; k++)
            sum += lls_plan_blocks(p)[lls_plan_tables(p)[i].ids.off + k];
    for (uint32_t i = 0; i < lls_plan_n_splices(p); i++)
        for (uint32_t k = 0; k < lls_plan_splices(p)[i].n; k++)
            sum += (uint32_t)lls_plan_tokens(p)[lls_plan_splices(p)[i].tok + k];
    for (uint32_t i = 0; i < lls_plan_n_xfers(p); i++) {
        const lls_xfer_t *x = &lls_plan_xfers(p)[i];
        for (uint32_t k = 0; k < x->ids.n; k++)
            sum += lls_plan_blocks(p)[x->ids.off + k];
        for (uint32_t k = 0; k < x->keys.n; k++)
            sum += lls_plan_words(p)[x->keys.off + k];
    }
    return sum;
}

static uint64_t read_result(const lls_step_result_t *p)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < lls_result_n_rows(p); i++) {
        const lls_row_result_t *r = &lls_result_rows(p)[i];
        for (uint32_t k = 0; k < r->tokens.n; k++)
            sum += (uint32_t)lls_result_tokens(p)[r->tokens.off + k];
        for (uint32_t k = 0; k < r->drafts.n; k++)
            sum += (uint32_t)lls_result_tokens(p)[r->drafts.off + k];
        for (uint32_t k = 0; k < r->logprobs.n; k++)
            sum += (uint32_t)lls_result_logprobs(p)[r->logprobs.off + k].token;
        for (uint32_t k = 0; k < r->pooled.n; k++)
            sum += lls_result_floats(p)[r->pooled.off + k] > 0;
    }
    for (uint32_t i = 0; i < lls_result_n_plps(p); i++)
        for (uint32_t k = 0; k < lls_result_plps(p)[i].logprobs.n; k++)
            sum += (uint32_t)lls_result_logprobs(p)[lls_result_plps(p)[i].logprobs.off + k].rank;
    return sum;
}

static lls_step_plan_t *new_plan(void)
{
    return lls_plan_init(malloc(lls_plan_size(&limits)), &limits);
}

static lls_step_result_t *new_result(void)
{
    return lls_result_init(malloc(lls_result_size(&limits)), &limits);
}

static void a_packed_plan_is_the_plan_in_fewer_bytes(void **state)
{
    lls_step_plan_t *p = new_plan(), *q = malloc(p->bytes), *again = malloc(p->bytes);
    size_t           n;

    fill_plan(p);
    assert_true(lls_plan_is_sound(p, p->bytes));
    n = lls_plan_pack(p, q, p->bytes);
    assert_in_range(n, sizeof *p, p->bytes - 1);
    assert_int_equal(q->bytes, n);
    assert_true(lls_plan_is_sound(q, n));
    assert_int_equal(read_plan(q), read_plan(p));
    assert_int_equal(lls_plan_n_runs(q), 2);
    assert_memory_equal(lls_plan_runs(q), lls_plan_runs(p), 2 * sizeof(lls_run_row_t));
    assert_memory_equal(lls_plan_xfers(q), lls_plan_xfers(p), sizeof(lls_xfer_t));
    /* Packing what is packed gives the same bytes: padding included. */
    assert_int_equal(lls_plan_pack(q, again, n), n);
    assert_memory_equal(q, again, n);
    assert_int_equal(lls_plan_pack(p, again, n - 1), 0);
    free(p), free(q), free(again);
}

static void a_packed_result_is_the_result(void **state)
{
    lls_step_result_t *r = new_result(), *q = malloc(r->bytes);
    size_t             n;

    fill_result(r);
    assert_true(lls_result_is_sound(r, r->bytes));
    n = lls_result_pack(r, q, r->bytes);
    assert_true(n > 0 && lls_result_is_sound(q, n));
    assert_memory_equal(lls_result_rows(q), lls_result_rows(r), sizeof(lls_row_result_t));
    assert_int_equal(read_result(q), read_result(r));
    assert_int_equal(lls_result_pack(r, q, n - 1), 0);
    free(r), free(q);
}

static void sizes_beyond_32_bits_are_refused(void **state)
{
    lls_step_limits_t l = limits;

    l.max_rows = 1u << 20, l.max_params = 1u << 14;
    assert_int_equal(lls_plan_size(&l), 0);
    l = limits;
    l.max_logprobs = UINT32_MAX, l.max_plps = 1u << 20;
    assert_int_equal(lls_result_size(&l), 0);
}

static void each_broken_index_is_found(void **state)
{
    lls_step_plan_t *p = new_plan();

#define BREAK(change)                                                                              \
    do {                                                                                           \
        fill_plan(lls_plan_init(p, &limits));                                                      \
        change;                                                                                    \
        assert_false(lls_plan_is_sound(p, p->bytes));                                              \
    } while (0)
    BREAK(p->n_tokens++);
    BREAK(p->n_logits--);
    BREAK(p->max_n = 2);
    BREAK(lls_plan_runs(p)[0].n = 0);
    BREAK(lls_plan_runs(p)[1].tok = 3);
    BREAK(lls_plan_runs(p)[1].tok = UINT32_MAX);
    BREAK(lls_plan_runs(p)[1].logit = 2);
    BREAK(lls_plan_runs(p)[1].slack = 10);
    BREAK(lls_plan_runs(p)[1].aux = 11);
    BREAK(lls_plan_added(p)->history.off = 7);
    BREAK(lls_plan_added(p)->history.n = 5);
    BREAK(lls_plan_added(p)->params.off = UINT32_MAX);
    BREAK(lls_plan_added(p)->n_computed = 7);
    BREAK(lls_plan_tables(p)->ids.n = 3);
    BREAK(lls_plan_tables(p)->group = LLS_MAX_GROUPS);
    BREAK(lls_plan_copies(p)->group = LLS_MAX_GROUPS);
    BREAK(lls_plan_xfers(p)->op = 3);
    BREAK(lls_plan_xfers(p)->keys.n = 9);
    BREAK(lls_plan_splices(p)->n = 5);
    BREAK(p->sec[LLS_PLAN_words].n = p->sec[LLS_PLAN_words].cap + 1);
    BREAK(p->sec[LLS_PLAN_words].cap++);
    BREAK(p->sec[LLS_PLAN_runs].off = 16);
    BREAK(p->sec[LLS_PLAN_runs].off += 4);
    BREAK(p->sec[LLS_PLAN_runs].size = 1);
#undef BREAK
    fill_plan(lls_plan_init(p, &limits));
    assert_false(lls_plan_is_sound(p, p->bytes - 1));
    assert_false(lls_plan_is_sound(p, sizeof *p - 1));
    free(p);
}

static uint64_t rng = 1;

static uint32_t rnd(uint32_t n)
{
    rng += 0x9e3779b97f4a7c15u;
    return (uint32_t)((lls_mix64(rng, 3) >> 33) % n);
}

/* Flips, small numbers and huge numbers at random places; the tail cut off now and then. */
static size_t mutate(uint8_t *bytes, size_t n)
{
    static const uint32_t odd[] = { 0, 1, 2, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffff0, 64 };

    for (uint32_t k = 1 + rnd(3); k > 0; k--) {
        uint32_t at = rnd((uint32_t)n / 4) * 4, word;
        memcpy(&word, bytes + at, 4);
        switch (rnd(3)) {
        case 0: word ^= 1u << rnd(32); break;
        case 1: word = odd[rnd(LLS_ARRAY_LEN(odd))]; break;
        default: word += rnd(9) - 4; break;
        }
        memcpy(bytes + at, &word, 4);
    }
    return rnd(8) == 0 ? rnd((uint32_t)n + 1) : n;
}

static void mutated_bytes_never_lead_outside(void **state)
{
    lls_step_plan_t   *p = new_plan(), *pp = malloc(p->bytes);
    lls_step_result_t *r = new_result(), *rr = malloc(r->bytes);
    uint64_t           sum = 0, sound = 0;
    size_t             np, nr, n;

    fill_plan(p), fill_result(r);
    np = lls_plan_pack(p, pp, p->bytes);
    nr = lls_result_pack(r, rr, r->bytes);
    for (uint32_t i = 0; i < 100000; i++) {
        void *copy = malloc(i % 4 == 3 ? nr : np);      /* exact, so that a step outside is seen */
        if (i % 4 == 3) {
            memcpy(copy, rr, nr);
            n = mutate(copy, nr);
            if (lls_result_is_sound(copy, n))
                sum += read_result(copy), sound++;
        } else {
            memcpy(copy, pp, np);
            n = mutate(copy, np);
            if (lls_plan_is_sound(copy, n))
                sum += read_plan(copy), sound++;
        }
        free(copy);
    }
    assert_in_range(sound, 1000, 90000);        /* both kinds were met */
    assert_int_not_equal(sum, 0);
    free(p), free(pp), free(r), free(rr);
}

/* The rule that cache, search and attention share. */
static void first_needed_token_of_each_kind(void **state)
{
    lls_kv_group_config_t g = { .kind = LLS_KV_FULL, .block_tokens = 4, .window = 8 };

    assert_int_equal(lls_kv_first_needed(&g, 100), 0);
    g.kind = LLS_KV_SLIDING;
    assert_int_equal(lls_kv_first_needed(&g, 7), 0);
    assert_int_equal(lls_kv_first_needed(&g, 8), 1);
    g.kind = LLS_KV_CHUNKED;
    assert_int_equal(lls_kv_first_needed(&g, 15), 8);
    assert_int_equal(lls_kv_first_needed(&g, 16), 16);
    g.kind = LLS_KV_STATE;
    assert_int_equal(lls_kv_first_needed(&g, 0), 0);
    assert_int_equal(lls_kv_first_needed(&g, 9), 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_packed_plan_is_the_plan_in_fewer_bytes),
        cmocka_unit_test(a_packed_result_is_the_result),
        cmocka_unit_test(sizes_beyond_32_bits_are_refused),
        cmocka_unit_test(each_broken_index_is_found),
        cmocka_unit_test(mutated_bytes_never_lead_outside),
        cmocka_unit_test(first_needed_token_of_each_kind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
