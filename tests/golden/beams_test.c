/* SPDX-License-Identifier: Apache-2.0 */
/* Beam search against a direct implementation of vLLM's definition, and the loss of given texts,
 * both over transformers' float32 logits (made by make_beams.py). */
#include "engine/support.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>

#define BOUND 2e-4                  /* of one log-probability */
#define MAX_TEXT 300

static size_t read_ids(const json_t *array, int32_t *ids)
{
    for (size_t i = 0; i < json_array_size(array); i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(array, i));
    return json_array_size(array);
}

static llm_request_t request_of(const int32_t *tokens, size_t n)
{
    llm_request_t r = LLM_INIT(llm_request_t);

    r.tokens = tokens;
    r.n_tokens = n;
    return r;
}

/* ---- Beams ----------------------------------------------------------------------------------- */

static void check_beam(const char *where, const json_t *want, const llm_output_t *got)
{
    int32_t ids[64];
    size_t  n = read_ids(json_object_get(want, "tokens"), ids);
    double  sum = json_number_value(json_object_get(want, "logprob"));
    bool    stopped = json_is_true(json_object_get(want, "stopped"));

    if (got == NULL || got->n_tokens != n || memcmp(got->tokens, ids, n * sizeof *ids) != 0)
        fail_msg("%s: other tokens than the definition's", where);
    if (!(fabs(got->cumulative_logprob - sum) <= BOUND * (double)n))
        fail_msg("%s: %.6f, the definition %.6f", where, got->cumulative_logprob, sum);
    assert_int_equal(got->finish_reason, stopped ? LLM_FINISH_STOP : LLM_FINISH_LENGTH);
    assert_int_equal(got->stop_token, -1);
    assert_int_equal(got->completion_tokens, n);
}

static void check_case(llm_engine_t *e, const char *model, const json_t *prompt, const json_t *c,
                       uint32_t max_tokens)
{
    int32_t              ids[64];
    size_t               n = read_ids(json_object_get(prompt, "prompt"), ids);
    json_t              *beams = json_object_get(c, "beams");
    bool                 ignore = json_is_true(json_object_get(c, "ignore_eos"));
    double               penalty = json_number_value(json_object_get(c, "penalty"));
    llm_batch_t         *batch;
    llm_beam_params_t    p = LLM_INIT(llm_beam_params_t);
    llm_request_t        r = request_of(ids, n);
    const llm_request_t *list[1] = { &r };
    llm_error_t          err;

    p.beam_width = (uint32_t)json_integer_value(json_object_get(prompt, "width"));
    p.max_tokens = max_tokens;
    p.length_penalty = (float)penalty;
    p.flags = (ignore ? LLM_BEAM_IGNORE_EOS : 0) | (penalty == 0 ? LLM_BEAM_NO_PENALTY : 0);
    if (llm_beam_search(e, list, 1, &p, NULL, NULL, &batch, &err) != LLM_OK)
        fail_msg("%s", err.message);
    for (size_t i = 0; i < json_array_size(beams); i++) {
        char where[96];
        snprintf(where, sizeof where, "%s, %zu tokens, width %u, penalty %g%s, beam %zu", model, n,
                 p.beam_width, penalty, ignore ? ", no EOS" : "", i);
        check_beam(where, json_array_get(beams, i), llm_batch_output(batch, 0, i));
    }
    assert_null(llm_batch_output(batch, 0, json_array_size(beams)));
    llm_batch_destroy(batch);
}

static llm_engine_t *engine_with_eos(const char *model, const json_t *prompt)
{
    char path[256], eos[64];

    snprintf(path, sizeof path, TEST_DIR "/golden/%s", model);
    snprintf(eos, sizeof eos, "{\"eos_token_id\": %d}",
             (int)json_integer_value(json_object_get(prompt, "eos")));
    return make_engine(path, "float32",
                       OPTIONS("skip-tokenizer-init", "true", "max-model-len", "64",
                               "cpu-threads", "1", "hf-overrides", eos), NULL);
}

static json_t *read_golden(void)
{
    json_error_t why;
    json_t      *all = json_load_file(TEST_DIR "/golden/beams.json", 0, &why);

    if (all == NULL)
        fail_msg("beams.json: %s", why.text);
    return all;
}

static void beams_are_those_of_the_definition(void **state)
{
    json_t     *all = read_golden(), *m, *prompt, *c;
    const char *model;
    size_t      i, k, n_cases = 0;

    json_object_foreach(all, model, m) {
        uint32_t max_tokens = (uint32_t)json_integer_value(json_object_get(m, "max_tokens"));
        json_array_foreach(json_object_get(m, "prompts"), i, prompt) {
            llm_engine_t *e = engine_with_eos(model, prompt);
            json_array_foreach(json_object_get(prompt, "cases"), k, c) {
                check_case(e, model, prompt, c, max_tokens);
                n_cases++;
            }
            llm_engine_destroy(e);
        }
    }
    print_message("%zu searches\n", n_cases);
    assert_true(n_cases >= 100);
    json_decref(all);
}

/* ---- Scores ---------------------------------------------------------------------------------- */

/* The mean of -log p over all tokens but the first: transformers' loss. */
static double loss_of(llm_engine_t *e, const llm_request_t *r, uint32_t n_text)
{
    const llm_request_t *list[1] = { r };
    const llm_output_t  *o;
    llm_batch_t         *batch;
    llm_error_t          err;
    double               sum = 0;

    if (llm_generate_batch(e, list, 1, NULL, NULL, &batch, &err) != LLM_OK)
        fail_msg("%s", err.message);
    o = llm_batch_output(batch, 0, 0);
    assert_null(o->error);
    assert_int_equal(o->finish_reason, LLM_FINISH_STOP);
    assert_int_equal(o->n_tokens, 0);
    assert_int_equal(o->cached_tokens, 0);
    assert_int_equal(o->prompt_tokens, n_text);
    assert_int_equal(o->n_prompt_logprobs, r->sampling->n_prompt_logprobs);
    assert_int_equal(o->prompt_logprobs[0].token, -1);
    for (uint32_t i = 1; i < n_text; i++) {
        const llm_logprob_t *row = o->prompt_logprobs + (size_t)i * o->n_prompt_logprobs;
        assert_int_equal(row->token, r->tokens[i]);
        sum -= (double)row->logprob;
    }
    llm_batch_destroy(batch);
    return sum / (n_text - 1);
}

static void check_text(llm_engine_t *e, const char *model, const json_t *text, uint32_t width,
                       double *first)
{
    int32_t               ids[MAX_TEXT];
    uint32_t              n = (uint32_t)read_ids(json_object_get(text, "tokens"), ids);
    double                want = json_number_value(json_object_get(text, "loss")), got;
    llm_sampling_params_t sp = LLM_INIT(llm_sampling_params_t);
    llm_request_t         r = request_of(ids, n);

    sp.n_prompt_logprobs = (int32_t)width;
    r.sampling = &sp;
    r.flags = LLM_REQUEST_PREFILL_ONLY;
    got = loss_of(e, &r, n);
    if (!(fabs(got - want) <= BOUND))
        fail_msg("%s: loss of %u tokens %.6f, transformers %.6f", model, n, got, want);
    if (!isnan(*first) && got != *first)
        fail_msg("%s: loss of %u tokens %.9g in other chunks, before %.9g", model, n, got, *first);
    *first = got;
}

/* Cached blocks would hide positions, so none are read; chunks change no bit. */
static void the_loss_is_that_of_transformers(void **state)
{
    static const char *const chunks[] = { "512", "64", "7" };
    json_t                  *all = read_golden(), *m, *text;
    const char              *model;
    size_t                   i, n_texts = 0;

    json_object_foreach(all, model, m) {
        double first[8] = { NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN };
        char   path[256];
        snprintf(path, sizeof path, TEST_DIR "/golden/%s", model);
        for (size_t k = 0; k < 3; k++) {
            llm_engine_t *e = make_engine(path, "float32",
                                          OPTIONS("skip-tokenizer-init", "true", "max-model-len",
                                                  "300", "cpu-threads", "1",
                                                  "max-num-batched-tokens", chunks[k]), NULL);
            json_array_foreach(json_object_get(m, "texts"), i, text) {
                check_text(e, model, text, 1, &first[i]);
                check_text(e, model, text, 4, &first[i]);
                n_texts++;
            }
            llm_engine_destroy(e);
        }
    }
    assert_true(n_texts >= 30);
    json_decref(all);
}

static void a_prefill_without_logprobs_warms_the_cache(void **state)
{
    llm_engine_t         *e = make_engine(TEST_DIR "/golden/llama", "float32",
                                          OPTIONS("skip-tokenizer-init", "true", "max-model-len",
                                                  "128", "cpu-threads", "1", "block-size", "16"),
                                          NULL);
    int32_t               ids[100];
    llm_sampling_params_t sp = LLM_INIT(llm_sampling_params_t);
    llm_request_t         warm = request_of(ids, 100), use = request_of(ids, 100);
    const llm_request_t  *list[2] = { &warm, &use };
    llm_batch_t          *b;

    make_prompt(ids, 100, 100, 1);
    warm.flags = LLM_REQUEST_PREFILL_ONLY;
    warm.sampling = use.sampling = &sp;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(llm_generate_batch(e, list + i, 1, NULL, NULL, &b, NULL), LLM_OK);
        assert_int_equal(llm_batch_output(b, 0, 0)->cached_tokens, i == 0 ? 0 : 96);
        assert_int_equal(llm_batch_output(b, 0, 0)->n_tokens, i == 0 ? 0 : 16);
        llm_batch_destroy(b);
    }
    llm_engine_destroy(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beams_are_those_of_the_definition),
        cmocka_unit_test(the_loss_is_that_of_transformers),
        cmocka_unit_test(a_prefill_without_logprobs_warms_the_cache),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
