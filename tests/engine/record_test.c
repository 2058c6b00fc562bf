/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in which record: all output kinds and intervals, drained at any time; and where a
 * completion that repeats itself ends.  A callback dictates the tokens, so that all is known. */
#include "engine/support.h"

#include <stdbool.h>
#include <stdio.h>

#define MODEL   TEST_DIR "/golden/llama"
#define LETTERS TEST_DIR "/engine/letters"
#define SIZE    (1 << 8)

static llm_engine_t *engine;

static int set_up(void **state)
{
    engine = make_engine(MODEL, "float32",
                         OPTIONS("tokenizer", LETTERS, "max-model-len", "128", "cpu-threads", "1"),
                         NULL);
    return 0;
}

static int tear_down(void **state)
{
    llm_engine_destroy(engine);
    return 0;
}

/* Letter by letter, and from the beginning again. */
static int32_t dictate(void *user, llm_logits_t *row)
{
    const char *text = user;
    size_t      at = (row->n_tokens - row->n_prompt) % strlen(text);

    for (size_t i = 0; i < row->n_vocab; i++)
        row->logits[i] = (int32_t)i == text[at] - 'a' + 2 ? 20.0f : 0.0f;
    return 0;
}

static void make(ask_t *a, const char *text, uint32_t max_tokens)
{
    make_ask(a, 30, 10, 1, max_tokens);
    a->sp.logits_fn = dictate;
    a->sp.logits_user = (void *)(uintptr_t)text;
    a->sp.n_logprobs = 2;
    a->r.user_data = a;
}

/* ---- Records --------------------------------------------------------------------------------- */

#define N_OUT 11
static const char song[] = "abcdefghijk";   /* N_OUT letters */

/* A record holds letters [from, to) of the song. */
static void must_hold(const llm_output_t *o, size_t from, size_t to, bool first)
{
    assert_int_equal(o->n_tokens, to - from);
    assert_int_equal(o->text_len, to - from);
    assert_memory_equal(o->text, song + from, to - from);
    assert_int_equal(o->text[to - from], '\0');
    for (size_t i = 0; i < o->n_tokens; i++) {
        assert_int_equal(o->tokens[i], song[from + i] - 'a' + 2);
        assert_int_equal(o->logprobs[i * 2].token, o->tokens[i]);
        assert_true(o->logprobs[i * 2].rank >= 1);      /* raw: before the callback */
    }
    assert_int_equal(o->n_logprobs, 2);
    assert_int_equal(o->completion_tokens, to);
    assert_int_equal(o->last, to == N_OUT);
    assert_int_equal(o->finish_reason, to == N_OUT ? LLM_FINISH_LENGTH : LLM_FINISH_NONE);
    assert_int_equal(o->prompt_ids != NULL, first);
}

/* Records are due at the first token, then when `interval` more are there, and at the end; what is
 * drained later than due holds what came meanwhile. */
static void walk(int32_t kind, uint32_t interval, uint32_t drain_every)
{
    size_t sent = 0, n_records = 0;
    bool   is_due = false;
    ask_t  a;

    make(&a, song, N_OUT);
    a.r.output_kind = kind;
    a.r.stream_interval = interval;
    a.r.flags = LLM_REQUEST_ECHO;
    add_ask(engine, &a);
    for (size_t n = 1; n <= N_OUT; n++) {
        const llm_output_t *o;
        step_engine(engine);
        is_due |= n == N_OUT || (kind != LLM_OUTPUT_FINAL &&
                                 (n_records == 0 || n - sent >= (interval == 0 ? 1 : interval)));
        if (n % drain_every != 0 && n != N_OUT)
            continue;
        o = llm_engine_next_output(engine);
        assert_int_equal(o != NULL, is_due);
        assert_null(llm_engine_next_output(engine));
        if (o == NULL)
            continue;
        must_hold(o, kind == LLM_OUTPUT_DELTA ? sent : 0, n, n_records == 0);
        sent = n;
        n_records++;
        is_due = false;
    }
    assert_int_equal(sent, N_OUT);
    assert_true(kind != LLM_OUTPUT_FINAL || n_records == 1);
    assert_int_equal(llm_engine_unfinished(engine), 0);
}

static void records_of_all_kinds_hold_what_they_should(void **state)
{
    static const uint32_t intervals[] = { 0, 1, 2, 3, 10, 11, 1000 };

    for (int32_t kind = LLM_OUTPUT_DELTA; kind <= LLM_OUTPUT_FINAL; kind++)
        for (size_t i = 0; i < sizeof intervals / sizeof *intervals; i++)
            for (uint32_t every = 1; every <= N_OUT; every++)
                walk(kind, intervals[i], every);
}

/* An interval is never below the engine's. */
static void the_engines_interval_is_the_least(void **state)
{
    static const uint32_t intervals[] = { 0, 1, 3, 4, 6 };
    llm_engine_t         *keep = engine;

    engine = make_engine(MODEL, "float32", OPTIONS("tokenizer", LETTERS, "stream-interval", "4"),
                         NULL);
    for (size_t i = 0; i < sizeof intervals / sizeof *intervals; i++) {
        size_t              sizes[N_OUT], n = 0;
        const llm_output_t *o;
        ask_t               a;
        make(&a, song, N_OUT);
        a.r.stream_interval = intervals[i];
        add_ask(engine, &a);
        while (llm_engine_unfinished(engine) > 0) {
            step_engine(engine);
            while ((o = llm_engine_next_output(engine)) != NULL)
                sizes[n++] = o->n_tokens;
        }
        assert_int_equal(n, intervals[i] == 6 ? 3 : 4);
        assert_int_equal(sizes[0], 1);
        assert_int_equal(sizes[1], intervals[i] == 6 ? 6 : 4);
        assert_int_equal(sizes[n - 1], intervals[i] == 6 ? 4 : 2);
    }
    llm_engine_destroy(engine);
    engine = keep;
}

/* Text that may become a stop string is held back and comes with the end. */
static void text_held_back_comes_with_the_end(void **state)
{
    const char         *stop = "ghx";
    size_t              text = 0, tokens = 0;
    const llm_output_t *o;
    ask_t               a;

    make(&a, song, 8);
    a.sp.stop = &stop;
    a.sp.n_stop = 1;
    add_ask(engine, &a);
    for (int i = 1; i <= 8; i++) {
        step_engine(engine);
        o = llm_engine_next_output(engine);
        assert_non_null(o);
        assert_memory_equal(o->text, song + text, o->text_len);
        assert_int_equal(o->text[o->text_len], '\0');
        text += o->text_len;
        tokens += o->n_tokens;
        assert_int_equal(tokens, i);
        assert_true(text <= (size_t)i);
    }
    assert_int_equal(text, 8);
}

/* ---- Repetition ------------------------------------------------------------------------------ */

typedef struct ended {
    int32_t finish, stop_token;
    size_t  n_tokens;
    char    text[SIZE], stop_string[SIZE];
} ended_t;

static ended_t run(ask_t *a, const char *detection)
{
    llm_option_t        option = { "repetition_detection", detection };
    const llm_output_t *o;
    ended_t             e = { 0 };

    a->r.options = &option;
    a->r.n_options = 1;
    a->r.output_kind = LLM_OUTPUT_FINAL;
    add_ask(engine, a);
    while (llm_engine_unfinished(engine) > 0)
        step_engine(engine);
    while ((o = llm_engine_next_output(engine)) != NULL) {
        e.finish = o->finish_reason;
        e.stop_token = o->stop_token;
        e.n_tokens = o->n_tokens;
        snprintf(e.text, SIZE, "%s", o->text);
        snprintf(e.stop_string, SIZE, "%s", o->stop_string != NULL ? o->stop_string : "");
    }
    return e;
}

static void it_ends_with_the_token_that_repeats(void **state)
{
    static const struct {
        const char *text, *detection;
        size_t      ends;
    } cases[] = {
        { "abc", "{\"max_pattern_size\": 4, \"min_count\": 3}", 9 },
        { "abc", "{\"max_pattern_size\": 3, \"min_pattern_size\": 3, \"min_count\": 2}", 6 },
        { "abc", "{\"max_pattern_size\": 2, \"min_count\": 2}", 0 },
        { "abc", "{\"max_pattern_size\": 6, \"min_pattern_size\": 5, \"min_count\": 2}", 12 },
        { "aaaab", "{\"max_pattern_size\": 1, \"min_count\": 4}", 4 },
        { "abcdd", "{\"max_pattern_size\": 9, \"min_count\": 2}", 5 },
        { "abc", "{}", 0 }, { "abc", "null", 0 },
        { "abc", "{\"max_pattern_size\": 0, \"min_count\": 3}", 0 },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ask_t   a;
        ended_t e;
        make(&a, cases[i].text, 30);
        e = run(&a, cases[i].detection);
        assert_int_equal(e.finish, cases[i].ends > 0 ? LLM_FINISH_REPETITION : LLM_FINISH_LENGTH);
        assert_int_equal(e.n_tokens, cases[i].ends > 0 ? cases[i].ends : 30);
        assert_int_equal(strlen(e.text), e.n_tokens);
        assert_int_equal(e.stop_token, -1);
    }
    assert_string_equal(llm_finish_name(LLM_FINISH_REPETITION), "repetition");
}

/* vLLM's order: stop token, length, repetition; a stop string has the last word. */
static void other_ends_at_the_same_token_come_first(void **state)
{
    static const char thrice[] = "{\"max_pattern_size\": 4, \"min_count\": 3}";
    const char       *stop = "bcabc";
    int32_t           c = 'c' - 'a' + 2;
    ask_t             a;
    ended_t           e;

    make(&a, "abc", 9);
    assert_int_equal(run(&a, thrice).finish, LLM_FINISH_LENGTH);
    make(&a, "abc", 30);
    a.sp.min_tokens = 14;                   /* no end before */
    e = run(&a, thrice);
    assert_int_equal(e.finish, LLM_FINISH_REPETITION);
    assert_int_equal(e.n_tokens, 14);
    make(&a, "abc", 30);
    a.sp.stop = &stop;
    a.sp.n_stop = 1;
    e = run(&a, "{\"max_pattern_size\": 3, \"min_count\": 2}");
    assert_int_equal(e.finish, LLM_FINISH_STOP);
    assert_int_equal(e.n_tokens, 6);
    assert_string_equal(e.text, "a");
    assert_string_equal(e.stop_string, "bcabc");
    make(&a, "abcabd", 30);
    c = 'd' - 'a' + 2;
    a.sp.stop_token_ids = &c;
    a.sp.n_stop_token_ids = 1;
    e = run(&a, "{\"max_pattern_size\": 6, \"min_count\": 2}");
    assert_int_equal(e.finish, LLM_FINISH_STOP);
    assert_int_equal(e.stop_token, c);
    assert_int_equal(e.n_tokens, 6);
}

/* n completions are looked at one by one, and a batch says the same. */
static void each_completion_repeats_for_itself(void **state)
{
    llm_option_t         option = { "repetition_detection",
                                    "{\"max_pattern_size\": 3, \"min_count\": 3}" };
    const llm_request_t *list[2];
    llm_batch_t         *b;
    ask_t                a[2];

    make(&a[0], "ab", 20);
    a[0].sp.n = 2;
    a[0].sp.temperature = 1;
    make(&a[1], "abcd", 20);
    for (int i = 0; i < 2; i++) {
        a[i].r.options = &option;
        a[i].r.n_options = 1;
        list[i] = &a[i].r;
    }
    assert_int_equal(llm_generate_batch(engine, list, 2, NULL, NULL, &b, NULL), LLM_OK);
    for (size_t i = 0; i < 2; i++) {
        const llm_output_t *o = llm_batch_output(b, 0, i);
        assert_int_equal(o->finish_reason, LLM_FINISH_REPETITION);
        assert_int_equal(o->n_tokens, 6);
    }
    assert_int_equal(llm_batch_output(b, 1, 0)->finish_reason, LLM_FINISH_LENGTH);
    llm_batch_destroy(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_of_all_kinds_hold_what_they_should),
        cmocka_unit_test(the_engines_interval_is_the_least),
        cmocka_unit_test(text_held_back_comes_with_the_end),
        cmocka_unit_test(it_ends_with_the_token_that_repeats),
        cmocka_unit_test(other_ends_at_the_same_token_come_first),
        cmocka_unit_test(each_completion_repeats_for_itself),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
