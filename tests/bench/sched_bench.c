/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sched_bench - host cost of schedule() + update() alone; results are made up outside the clock.
 *
 *     sched_bench decode|mixed|spec rows steps
 *
 * decode: prompts of 512 tokens, all rows decode.  mixed: prompts of 1,024-2,047 tokens with a
 * shared prefix of 512 and answers of 64-191, so that requests come and go all the time.  spec:
 * decode with three drafts a row.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sched/sched.h"

#include "median.h"

#define MAX_PROMPT 3072

typedef struct bench {
    lls_mem_t          mem;
    lls_kv_t          *kv;
    lls_sched_t       *s;
    lls_step_plan_t   *plan;
    lls_step_result_t *res;
    lls_step_limits_t  lim;
    int32_t            prompt[MAX_PROMPT];
    uint32_t           rows, n_added, max_drafts;
    uint64_t           rng, rows_run, tokens_run, cached, finished;
    bool               mixed;
} bench_t;

static uint32_t rnd(bench_t *b, uint32_t n)
{
    b->rng += 0x9e3779b97f4a7c15u;
    return (uint32_t)((lls_mix64(b->rng, 1) >> 33) % n);
}

static void add(bench_t *b)
{
    uint32_t       params[16] = { 0 }, n = b->mixed ? 1024 + rnd(b, 1024) : 512;
    int32_t        stop = 1;
    lls_req_mem_t *prepared;
    lls_req_desc_t d = { .id = b->n_added++, .tokens = b->prompt, .n_tokens = n,
                         .max_tokens = b->mixed ? 64 + rnd(b, 128) : 3000,
                         .params = params, .n_params = 16, .positions = LLS_NONE,
                         .embeds = LLS_NONE,
                         .stop_ids = &stop, .n_stop_ids = 1, .options = LLS_REQ_DRAFTS };
    uint64_t       handle;

    for (uint32_t i = b->mixed ? 512 : 0; i < n; i++)   /* the first 512 are a shared prefix */
        b->prompt[i] = (int32_t)(2 + rnd(b, 30000));
    if (lls_req_prepare(&b->mem, lls_sched_get_config(b->s), lls_kv_get_config(b->kv), &d,
                        &prepared, NULL) != LLM_OK ||
        lls_sched_add(b->s, prepared, &handle) != LLM_OK)
        exit(2);
}

static void create(bench_t *b)
{
    uint32_t           n_blocks = b->rows * (b->mixed ? 140 : 230) + 2;
    lls_kv_config_t    k = { .n_groups = 1, .n_pools = 1, .group[0].block_tokens = 16,
                             .pool_blocks[0] = n_blocks, .caching = true, .key = { 1, 2 } };
    lls_sched_config_t c = { .max_reqs = b->rows * 2, .max_rows = b->rows,
                             .max_tokens = lls_max_u32(2048, b->rows * 8),
                             .max_model_len = 4096, .max_in_flight = 1, .max_params = 16,
                             .max_jobs = 4, .max_drafts = b->max_drafts, .watermark = 8 };

    lls_mem_init(&b->mem, NULL);
    if (lls_kv_create(&b->mem, &k, &b->kv, NULL) != LLM_OK ||
        lls_sched_create(&b->mem, &c, b->kv, &b->s, NULL) != LLM_OK)
        exit(2);
    lls_sched_step_limits(b->s, &b->lim);
    b->plan = lls_plan_init(malloc(lls_plan_size(&b->lim)), &b->lim);
    b->res = lls_result_init(malloc(lls_result_size(&b->lim)), &b->lim);
}

/* Every row samples; three drafts come back, of which some were right. */
static void answer(bench_t *b)
{
    lls_result_reset(b->res, b->plan->step);
    for (uint32_t i = 0; i < lls_plan_n_runs(b->plan); i++) {
        const lls_run_row_t *run = &lls_plan_runs(b->plan)[i];
        lls_row_result_t    *row = lls_result_push_rows(b->res, 1);
        memset(row, 0, sizeof *row);
        b->tokens_run += run->n;
        if (!(run->flags & LLS_RUN_SAMPLE))
            continue;
        row->tokens = (lls_span_t){ lls_result_n_tokens(b->res), 1 + rnd(b, run->n_draft + 1u) };
        for (uint32_t j = 0; j < row->tokens.n; j++)
            *lls_result_push_tokens(b->res, 1) = (int32_t)(2 + rnd(b, 30000));
        row->drafts = (lls_span_t){ lls_result_n_tokens(b->res), b->max_drafts };
        memset(lls_result_push_tokens(b->res, b->max_drafts), 1, b->max_drafts * sizeof(int32_t));
    }
    b->rows_run += lls_plan_n_runs(b->plan);
}

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* One step; returns the seconds that schedule and update took. */
static double step(bench_t *b)
{
    double         t0, t1, t2;
    uint32_t       n;
    const lls_sched_out_t *o;

    lls_req_discard(&b->mem, lls_sched_take_gone(b->s));
    while (lls_sched_n_live(b->s) < b->rows + (b->mixed ? b->rows / 4 + 1 : 0))
        add(b);
    t0 = seconds();
    if (!lls_sched_schedule(b->s, b->plan))
        exit(3);
    t0 = seconds() - t0;
    answer(b);
    t1 = seconds();
    lls_sched_update(b->s, b->res);
    t2 = seconds();
    o = lls_sched_outs(b->s, &n);
    for (uint32_t i = 0; i < n; i++)
        if (o[i].finish != 0)
            b->finished++;
    return t0 + t2 - t1;
}

int main(int argc, char **argv)
{
    bench_t  b = { .rng = 7 };
    uint32_t steps = argc > 3 ? (uint32_t)atoi(argv[3]) : 1000, warm;
    double  *t = calloc(steps, sizeof *t), sum = 0;

    b.rows = argc > 2 ? (uint32_t)atoi(argv[2]) : 64;
    b.mixed = argc > 1 && strcmp(argv[1], "mixed") == 0;
    b.max_drafts = argc > 1 && strcmp(argv[1], "spec") == 0 ? 3 : 0;
    for (uint32_t i = 0; i < MAX_PROMPT; i++)
        b.prompt[i] = (int32_t)(2 + rnd(&b, 30000));
    create(&b);
    warm = b.mixed ? b.rows * 4 + 200 : b.rows / 2 + 20;
    for (uint32_t i = 0; i < warm; i++)
        step(&b);
    b.rows_run = b.tokens_run = b.finished = 0;
    for (uint32_t i = 0; i < steps; i++)
        sum += t[i] = step(&b);
    qsort(t, steps, sizeof *t, by_size);
    printf("%-6s rows %4u: mean %7.2f us  median %7.2f  p99 %7.2f  max %7.2f per step;"
           " %.1f rows and %.1f tokens a step, %llu finished\n",
           argc > 1 ? argv[1] : "decode", b.rows, 1e6 * sum / steps, 1e6 * t[steps / 2],
           1e6 * t[steps * 99 / 100], 1e6 * t[steps - 1],
           (double)b.rows_run / steps, (double)b.tokens_run / steps,
           (unsigned long long)b.finished);
    lls_sched_destroy(b.s);
    lls_kv_destroy(b.kv);
    free(b.plan);
    free(b.res);
    free(t);
    return 0;
}
