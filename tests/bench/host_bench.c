/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_bench - what a step costs beside the model: schedule, sample book-keeping, detokenise, stop
 * strings, records and metrics of n decoding requests.  The engine is the real one; its runner
 * returns the tokens of a text at once.
 *
 * usage: host_bench TOKENIZER [--rows 1,64,256] [--cases ids,text,stop,logprobs,all] [--steps N]
 *   ids: no text; text: detokenised; stop: with two stop strings; logprobs: text with 5 likeliest
 *   tokens beside the one drawn; all: everything.  TOKENIZER: what llm_tokenizer_create() takes.
 *
 * A line is the case, the rows and CPU time of the process a step: the median of blocks of 20 steps,
 * every record drained.  The runner's time is in that, and told apart.  A step that allocates ends
 * the program with status 1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/assemble.h"

#include "median.h"

#define N_PROMPT   32u
#define MAX_ROWS   256u
#define MAX_LEN    4096u
#define N_WARM     40u
#define BLOCK      20u              /* steps between two looks at the clock */
#define N_ENTRIES  6u               /* of a token's logprobs: 5 and the drawn one */

static const char text[] =
    "At the pier the wind had dropped. Nobody spoke; the ferry, late by an hour, was a light that "
    "did not seem to move. \"It's coming\", she said at last, \"you'll see: 7,000 tonnes of it\" "
    "\xe2\x80\x94 and the caf\xc3\xa9 in the Hafenstra\xc3\x9f" "e closed. "
    "\xe6\xb5\xb7 \xf0\x9f\x8c\x8a\n\tfor (i = 0; i < n; i++)\n\t\tsum += x[i];\n";

typedef struct bench_runner {
    lls_runner_t           base;
    const lls_step_plan_t *plan;
    lls_step_result_t     *result;
    uint32_t               n_entries;
    const int32_t         *tokens;  /* [n_tokens] of the text, over and over */
    uint32_t               n_tokens, row_seed[MAX_ROWS];
} bench_runner_t;

typedef struct bench {
    lls_tokenizer_t *tokenizer;
    const char      *path;
    lls_traits_t     traits;
    bench_runner_t   runner;
    lls_engine_t    *e;
    uint64_t         n_allocs, n_bytes;         /* of text */
    uint32_t         n_records, n_ended;
} bench_t;

static void check(llm_status_t st, const llm_error_t *err)
{
    if (st == LLM_OK)
        return;
    fprintf(stderr, "host_bench: %s\n", err->message);
    exit(1);
}

static double cpu_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

/* ---- The runner ------------------------------------------------------------------------------ */

llm_status_t lls_bench_execute(lls_runner_t *base, const lls_step_plan_t *plan)
{
    ((bench_runner_t *)base)->plan = plan;
    return LLM_OK;
}

static void give_entries(bench_runner_t *r, lls_row_result_t *out, int32_t token)
{
    lls_logprob_t *to;

    out->logprobs = (lls_span_t){ lls_result_n_logprobs(r->result), r->n_entries };
    to = lls_result_push_logprobs(r->result, r->n_entries);
    for (uint32_t k = 0; k < r->n_entries; k++)
        to[k] = (lls_logprob_t){ token + (int32_t)k, (int32_t)k + 1, -0.5f - (float)k };
}

llm_status_t lls_bench_sample(lls_runner_t *base, const lls_step_mask_t *mask)
{
    bench_runner_t *r = (bench_runner_t *)base;

    (void)mask;
    lls_result_reset(r->result, r->plan->step);
    r->result->device_ns = r->plan->n_tokens;       /* as if of a fast device: a wide budget */
    for (uint32_t i = 0; i < lls_plan_n_runs(r->plan); i++) {
        const lls_run_row_t *run = &lls_plan_runs(r->plan)[i];
        lls_row_result_t    *out = lls_result_push_rows(r->result, 1);
        int32_t              token = r->tokens[(run->row * 31 + run->pos) % r->n_tokens];
        *out = (lls_row_result_t){ .status = LLS_ROW_OK };
        if ((run->flags & LLS_RUN_SAMPLE) == 0)
            continue;
        out->tokens = (lls_span_t){ lls_result_n_tokens(r->result), 1 };
        *lls_result_push_tokens(r->result, 1) = token;
        if (r->n_entries > 0)
            give_entries(r, out, token);
    }
    return LLM_OK;
}

static llm_status_t bench_wait(lls_runner_t *base, int64_t timeout_us,
                               const lls_step_result_t **result)
{
    (void)timeout_us;
    *result = ((bench_runner_t *)base)->result;
    return LLM_OK;
}

static void bench_destroy(lls_runner_t *base) { free(((bench_runner_t *)base)->result); }

static const lls_runner_ops_t ops = {
    .struct_size = sizeof ops, .execute = lls_bench_execute, .sample = lls_bench_sample,
    .wait = bench_wait, .destroy = bench_destroy
};

/* ---- The engine around it -------------------------------------------------------------------- */

static llm_status_t open_parts(void *user, lls_engine_t *e, llm_error_t *err)
{
    bench_t     *b = user;
    llm_status_t st = lls_tokenizer_open(&e->mem, b->path, &e->tokenizer, err);

    if (st != LLM_OK)
        return st;
    b->traits = (lls_traits_t){ .n_vocab = (uint32_t)lls_tokenizer_n_vocab(e->tokenizer),
                                .hidden = 8, .max_positions = MAX_LEN, .n_groups = 1,
                                .groups = { { .kind = LLS_KV_FULL, .n_layers = 1 } } };
    e->traits = &b->traits;
    e->group_bytes[0] = 16;
    return LLM_OK;
}

static llm_status_t measure_parts(void *user, lls_engine_t *e, llm_error_t *err)
{
    (void)user, (void)err;
    e->plan.device_total_bytes = e->plan.device_free_bytes = 1ull << 40;
    return LLM_OK;
}

static llm_status_t start_parts(void *user, lls_engine_t *e, llm_error_t *err)
{
    bench_t *b = user;
    void    *buffer = malloc(lls_result_size(&e->limits));

    if (buffer == NULL)
        return lls_fail(err, LLM_ERR_NO_MEMORY, "result");
    b->runner.base.ops = &ops;
    b->runner.result = lls_result_init(buffer, &e->limits);
    e->runner = &b->runner.base;
    return LLM_OK;
}

static void *counting_realloc(void *user, void *ptr, size_t old_size, size_t new_size)
{
    (void)old_size;
    if (new_size == 0) {
        free(ptr);
        return NULL;
    }
    ((bench_t *)user)->n_allocs++;
    return realloc(ptr, new_size);
}

static void create(bench_t *b, const llm_allocator_t *hook)
{
    const llm_option_t  options[] = { { "num-gpu-blocks-override", "70000" },
                                      { "max-num-seqs", "256" },
                                      { "max-num-batched-tokens", "16384" },
                                      { "deadline-admission", "false" } };
    llm_engine_config_t c = { .struct_size = sizeof c, .model = "bench", .allocator = hook,
                              .options = options, .n_options = 4 };
    lls_engine_parts_t  parts = { .user = b, .clock = lls_system_clock, .open = open_parts,
                                  .measure = measure_parts, .start = start_parts };
    llm_error_t         err;

    check(lls_engine_assemble(&c, &parts, &b->e, &err), &err);
}

/* ---- A case ---------------------------------------------------------------------------------- */

static void add(bench_t *b, const char *what, uint32_t number)
{
    static const char *const stop[] = { "\n\nUser:", "<|end of it|>" };
    bool                     all = strcmp(what, "all") == 0;
    int32_t                  prompt[N_PROMPT];
    llm_sampling_params_t    s = { .struct_size = sizeof s, .max_tokens = MAX_LEN - N_PROMPT,
                                   .flags = LLM_SAMPLE_IGNORE_EOS };
    llm_request_t            r = { .struct_size = sizeof r, .tokens = prompt, .n_tokens = N_PROMPT,
                                   .sampling = &s };
    llm_error_t              err;

    for (uint32_t i = 0; i < N_PROMPT; i++)
        prompt[i] = (int32_t)((number * 977 + i * 31) % 30000 % b->traits.n_vocab);
    if (strcmp(what, "ids") == 0)
        s.flags |= LLM_SAMPLE_NO_TEXT;
    if (all || strcmp(what, "stop") == 0) {
        s.stop = stop;
        s.n_stop = 2;
    }
    if (all || strcmp(what, "logprobs") == 0)
        s.n_logprobs = N_ENTRIES;
    b->runner.n_entries = (uint32_t)s.n_logprobs;
    check(llm_engine_add_request(b->e, &r, NULL, &err), &err);
}

static void turn(bench_t *b)
{
    const llm_output_t *o;
    llm_error_t         err;

    check(llm_engine_step(b->e, &err), &err);
    while ((o = llm_engine_next_output(b->e)) != NULL) {
        b->n_records++;
        b->n_ended += o->last;
        b->n_bytes += o->text_len;
    }
}

/* The same plan's runner again and again. */
static double runner_us(bench_t *b)
{
    double began = cpu_us();

    for (int i = 0; i < 200; i++)
        lls_bench_sample(&b->runner.base, NULL);
    return (cpu_us() - began) / 200;
}

static void run(bench_t *b, const char *what, uint32_t rows, uint32_t steps)
{
    static double blocks[MAX_LEN / BLOCK];
    uint32_t      n = steps / BLOCK;
    uint64_t      allocs;

    for (uint32_t i = 0; i < rows; i++)
        add(b, what, i);
    for (uint32_t i = 0; i < N_WARM; i++)
        turn(b);
    allocs = b->n_allocs;
    b->n_records = b->n_ended = 0;
    b->n_bytes = 0;
    for (uint32_t i = 0; i < n; i++) {
        double began = cpu_us();
        for (uint32_t k = 0; k < BLOCK; k++)
            turn(b);
        blocks[i] = (cpu_us() - began) / BLOCK;
    }
    if (b->n_allocs != allocs || b->n_ended > 0 || b->n_records != n * BLOCK * rows ||
        (b->n_bytes < b->n_records) != (strcmp(what, "ids") == 0)) {
        fprintf(stderr, "host_bench: %s: %lu allocations, %u ends, %u records of %lu bytes in warm "
                "steps\n", what, (unsigned long)(b->n_allocs - allocs), b->n_ended, b->n_records,
                (unsigned long)b->n_bytes);
        exit(1);
    }
    printf("%s.%u %.2f us a step, %.2f us of it the runner's\n", what, rows, median(blocks, n),
           runner_us(b));
    llm_engine_abort_all(b->e);
    turn(b);
    turn(b);
}

static void encode_text(bench_t *b, int32_t **tokens)
{
    size_t      n;
    llm_error_t err;

    check(lls_tokenizer_encode(b->e->tokenizer, &b->e->mem, text, sizeof text - 1,
                               LLM_ENCODE_NO_SPECIAL, tokens, &n, &err), &err);
    b->runner.tokens = *tokens;
    b->runner.n_tokens = (uint32_t)n;
}

static void run_cases(bench_t *b, char *cases, const char *rows, uint32_t steps)
{
    char *next, *more;

    for (const char *what = strtok_r(cases, ",", &next); what != NULL;
         what = strtok_r(NULL, ",", &next)) {
        char list[64];
        snprintf(list, sizeof list, "%s", rows);
        for (const char *n = strtok_r(list, ",", &more); n != NULL; n = strtok_r(NULL, ",", &more))
            run(b, what, lls_min_u32(MAX_ROWS, (uint32_t)atoi(n)), steps);
    }
}

int main(int argc, char **argv)
{
    static bench_t  b;
    llm_allocator_t hook = { counting_realloc, &b };
    char            cases[64] = "ids,text,stop,logprobs,all";
    const char     *rows = "1,64,256";
    uint32_t        steps = 600;
    int32_t        *tokens;

    if (argc < 2 || argc % 2 != 0) {
        fprintf(stderr,
                "usage: host_bench TOKENIZER [--rows N,...] [--cases NAME,...] [--steps N]\n");
        return 2;
    }
    b.path = argv[1];
    for (int i = 2; i < argc; i += 2) {
        if (strcmp(argv[i], "--rows") == 0)
            rows = argv[i + 1];
        else if (strcmp(argv[i], "--cases") == 0)
            snprintf(cases, sizeof cases, "%s", argv[i + 1]);
        else if (strcmp(argv[i], "--steps") == 0)
            steps = lls_min_u32(MAX_LEN - N_PROMPT - N_WARM - BLOCK, (uint32_t)atoi(argv[i + 1]));
    }
    create(&b, &hook);
    encode_text(&b, &tokens);
    run_cases(&b, cases, rows, steps);
    lls_free(&b.e->mem, tokens);
    llm_engine_destroy(b.e);
    return 0;
}
