/* SPDX-License-Identifier: Apache-2.0 */
/*
 * overhead_bench - what the engine adds to the bare forward pass.
 *
 * usage: overhead_bench MODEL [STREAMS]... [--NAME VALUE]...
 *   For each number of streams (1, 8 and 32 if none is named): all decode, greedily, behind prompts
 *   of 128 tokens.  A runner between the engine and its own takes the time of each execute(), which
 *   is the forward pass down to the logits, and of each sample(); the rest of llm_engine_step() is
 *   the scheduler, records and, where the model has a tokenizer, text.  Medians over the steps, so
 *   that a step in which others had the CPU does not count.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/num.h"
#include "engine/engine_int.h"

#include "median.h"

#define N_PROMPT  128u
#define N_DECODE  96u
#define MAX_CASES 16u

typedef struct timed_runner {
    lls_runner_t base;
    lls_runner_t *real;
    uint64_t      execute_ns, sample_ns;    /* of the last step */
} timed_runner_t;

static llm_status_t timed_execute(lls_runner_t *base, const lls_step_plan_t *plan)
{
    timed_runner_t *r = (timed_runner_t *)base;
    uint64_t        began = lls_clock_ns();
    llm_status_t    st = r->real->ops->execute(r->real, plan);

    r->execute_ns = lls_clock_ns() - began;
    return st;
}

static llm_status_t timed_sample(lls_runner_t *base, const lls_step_mask_t *mask)
{
    timed_runner_t *r = (timed_runner_t *)base;
    uint64_t        began = lls_clock_ns();
    llm_status_t    st = r->real->ops->sample(r->real, mask);

    r->sample_ns = lls_clock_ns() - began;
    return st;
}

static llm_status_t timed_wait(lls_runner_t *base, int64_t timeout_us,
                               const lls_step_result_t **result)
{
    timed_runner_t *r = (timed_runner_t *)base;

    return r->real->ops->wait(r->real, timeout_us, result);
}

static const lls_runner_ops_t timed_ops = { .struct_size = sizeof timed_ops,
                                            .execute = timed_execute, .sample = timed_sample,
                                            .wait = timed_wait };

static void check(llm_status_t st, const llm_error_t *err)
{
    if (st == LLM_OK)
        return;
    fprintf(stderr, "overhead_bench: %s\n", err->message);
    exit(1);
}

static void add_stream(llm_engine_t *e, uint32_t seed)
{
    llm_sampling_params_t params = LLM_INIT(llm_sampling_params_t);
    llm_request_t         req = LLM_INIT(llm_request_t);
    int32_t               tokens[N_PROMPT];
    llm_error_t           err;

    for (uint32_t i = 0; i < N_PROMPT; i++)
        tokens[i] = (int32_t)(lls_mix64(seed, i) % e->plan.vocab_size);
    params.max_tokens = N_DECODE;
    params.flags = LLM_SAMPLE_IGNORE_EOS;
    req.tokens = tokens;
    req.n_tokens = N_PROMPT;
    req.sampling = &params;
    check(llm_engine_add_request(e, &req, NULL, &err), &err);
}

static void bench(llm_engine_t *e, timed_runner_t *r, uint32_t n_streams)
{
    static double step_us[N_DECODE * 4], forward_us[N_DECODE * 4], sample_us[N_DECODE * 4],
                  over[N_DECODE * 4];
    uint32_t      n = 0;
    llm_error_t   err;

    for (uint32_t i = 0; i < n_streams; i++)
        add_stream(e, n_streams * 1000 + i);
    while (llm_engine_unfinished(e) > 0) {
        uint64_t began = lls_clock_ns(), took;
        uint32_t n_new = 0;

        check(llm_engine_step(e, &err), &err);
        for (const llm_output_t *o; (o = llm_engine_next_output(e)) != NULL;)
            n_new += o->completion_tokens > 1 && o->n_tokens == 1;
        took = lls_clock_ns() - began;
        if (n_new < n_streams || n == LLS_ARRAY_LEN(step_us))
            continue;               /* a prompt was in it, or a stream has ended */
        step_us[n] = (double)took * 1e-3;
        forward_us[n] = (double)r->execute_ns * 1e-3;
        sample_us[n] = (double)r->sample_ns * 1e-3;
        over[n] = 100.0 * ((double)took / (double)r->execute_ns - 1);
        n++;
    }
    printf("B%u: forward %.0f us, sample %.1f us, step %.0f us, overhead %.2f %% (%u steps)\n",
           n_streams, median(forward_us, n), median(sample_us, n), median(step_us, n),
           median(over, n), n);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    llm_engine_config_t cfg = LLM_INIT(llm_engine_config_t);
    llm_option_t        options[32] = { { "max-model-len", "512" }, { "max-num-seqs", "64" },
                                        { "enable-prefix-caching", "false" } };
    uint32_t            cases[MAX_CASES], n_cases = 0;
    timed_runner_t      timed = { .base = { &timed_ops } };
    llm_engine_t       *e;
    llm_error_t         err;

    if (argc < 2) {
        fprintf(stderr, "usage: overhead_bench MODEL [STREAMS]... [--NAME VALUE]...\n");
        return 2;
    }
    cfg.n_options = 3;
    for (int i = 2; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) != 0 && n_cases < MAX_CASES)
            cases[n_cases++] = (uint32_t)atoi(argv[i]);
        else if (i + 1 < argc && cfg.n_options < LLS_ARRAY_LEN(options)) {
            options[cfg.n_options++] = (llm_option_t){ argv[i] + 2, argv[i + 1] };
            i++;
        }
    }
    cfg.model = argv[1];
    cfg.options = options;
    check(llm_engine_create(&cfg, &e, &err), &err);
    timed.real = e->runner;
    e->runner = &timed.base;
    if (n_cases == 0)
        for (uint32_t n = 1; n <= 32; n += n == 1 ? 7 : 24)
            cases[n_cases++] = n;
    bench(e, &timed, lls_min_u32(cases[0], 2));     /* warms up */
    for (uint32_t i = 0; i < n_cases; i++)
        bench(e, &timed, cases[i]);
    e->runner = timed.real;
    llm_engine_destroy(e);
    return 0;
}
