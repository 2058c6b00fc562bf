/* SPDX-License-Identifier: Apache-2.0 */
/* What a completion has cost, as its records tell it, against counts by hand. */
#include "engine/support.h"

#include <stdbool.h>
#include <stdio.h>

#define N_VOCAB 96
#define BLOCK   16

static llm_engine_t *begin(const char *model, options_t options)
{
    return make_engine(model, "float32", options, NULL);
}

static const char *const plain[] = { "skip-tokenizer-init", "true", "max-model-len", "128",
                                     "cpu-threads", "1", "max-num-batched-tokens", "32",
                                     "block-size", "16", NULL };

static llm_stats_t stats(llm_engine_t *e)
{
    llm_stats_t s = LLM_INIT(llm_stats_t);

    assert_int_equal(llm_engine_stats(e, &s), LLM_OK);
    return s;
}

static uint64_t blocks(uint64_t n_tokens) { return (n_tokens + BLOCK - 1) / BLOCK; }

/* A prompt of 70 tokens runs in three steps, then there is one token a step. */
static void blocks_and_steps_are_as_counted_by_hand(void **state)
{
    llm_engine_t       *e = begin(TEST_DIR "/golden/llama", plain);
    const llm_output_t *o;
    uint64_t            want = blocks(32) + blocks(64) + blocks(70), n_steps;
    ask_t               a;

    make_ask(&a, N_VOCAB, 20, 1, 3);
    add_ask(e, &a);
    run_dry(e);
    n_steps = stats(e).steps;
    make_ask(&a, N_VOCAB, 70, 2, 20);
    add_ask(e, &a);
    for (uint32_t i = 1; i <= 22; i++) {
        step_engine(e);
        o = llm_engine_next_output(e);
        assert_int_equal(o == NULL, i < 3);
        if (i < 3)
            continue;
        want += i == 3 ? 0 : blocks(70 + i - 3);
        assert_int_equal(o->completion_tokens, i - 2);
        if (o->kv_block_steps != want)
            fail_msg("step %u: %lu block-steps, not %lu", i, (unsigned long)o->kv_block_steps,
                     (unsigned long)want);
        assert_int_equal(o->first_token_step, n_steps + 3);
        assert_int_equal(o->last_token_step, n_steps + i);
        assert_int_equal(o->last_token_step, stats(e).steps);
        assert_int_equal(o->last, i == 22);
        assert_int_equal(o->itl_sum_us, o->elapsed_us - o->first_token_us);
        assert_true(o->itl_max_us <= o->itl_sum_us && (i < 5 || o->itl_max_us < o->itl_sum_us));
        assert_true(o->itl_max_us * (i - 3) >= o->itl_sum_us);
    }
    llm_engine_destroy(e);
}

/* A sliding window gives blocks back; every group of layers counts. */
static void all_groups_count_and_what_a_window_leaves_does_not(void **state)
{
    llm_engine_t       *e = begin(TEST_DIR "/golden/gemma3", plain);
    uint64_t            want = 0;
    const llm_output_t *o;
    ask_t               a;

    make_ask(&a, N_VOCAB, 70, 3, 30);
    a.r.output_kind = LLM_OUTPUT_CUMULATIVE;
    add_ask(e, &a);
    while (llm_engine_unfinished(e) > 0) {
        bool ran_out;
        step_engine(e);
        ran_out = llm_engine_unfinished(e) == 0;    /* its blocks are back already */
        want += ran_out ? 0 : stats(e).kv_blocks_used;
        o = llm_engine_next_output(e);
        if (o != NULL && !ran_out)
            assert_int_equal(o->kv_block_steps, want);
        else if (o != NULL)
            assert_true(o->kv_block_steps > want);
    }
    assert_true(want > 0);
    llm_engine_destroy(e);
}

static void every_completion_has_its_own_cost_and_so_has_a_batch(void **state)
{
    llm_engine_t        *e = begin(TEST_DIR "/golden/llama", plain);
    const llm_request_t *list[1];
    llm_batch_t         *b;
    ask_t                a;

    make_ask(&a, N_VOCAB, 20, 7, 6);
    a.sp.n = 3;
    a.sp.temperature = 1;
    list[0] = &a.r;
    assert_int_equal(llm_generate_batch(e, list, 1, NULL, NULL, &b, NULL), LLM_OK);
    for (size_t i = 0; i < 3; i++) {
        const llm_output_t *o = llm_batch_output(b, 0, i);
        assert_int_equal(o->last_token_step, stats(e).steps);
        assert_true(o->first_token_step >= 1 && o->first_token_step < o->last_token_step);
        assert_true(o->kv_block_steps >= 6 * 2 && o->kv_block_steps <= 8 * 2);
    }
    llm_batch_destroy(b);
    llm_engine_destroy(e);
}

/* Who never ran has cost nothing. */
static void what_never_ran_has_cost_nothing(void **state)
{
    llm_engine_t       *e = begin(TEST_DIR "/golden/llama", plain);
    const llm_output_t *o;
    ask_t               a;

    make_ask(&a, N_VOCAB, 20, 8, 6);
    llm_engine_abort(e, add_ask(e, &a));
    step_engine(e);
    o = llm_engine_next_output(e);
    assert_non_null(o);
    assert_int_equal(o->finish_reason, LLM_FINISH_ABORT);
    assert_int_equal(o->kv_block_steps + o->device_us + o->first_token_step + o->last_token_step +
                     o->itl_sum_us + o->itl_max_us, 0);
    llm_engine_destroy(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_and_steps_are_as_counted_by_hand),
        cmocka_unit_test(all_groups_count_and_what_a_window_leaves_does_not),
        cmocka_unit_test(every_completion_has_its_own_cost_and_so_has_a_batch),
        cmocka_unit_test(what_never_ran_has_cost_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
