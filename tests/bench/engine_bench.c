/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine_bench - tokens per second of the whole engine, through llm.h alone.
 *
 * usage: engine_bench MODEL [--threads N] [--cases 1,8,32,64,batch64,pp512,tg,start]
 *                     [--NAME VALUE]...
 *   A number n is n streams with a prompt of 128 tokens and 64 tokens decoded behind the first one,
 *   all distinct: Bn.pp, Bn.tg and Bn.total, and Bn.host, what a step takes beside the device.
 *   batchN is the same load through llm_generate_batch(), text made: batchN.total.
 *   pp512 is one prompt of 512 tokens, tg is one stream of 128 tokens behind a prompt of one; with
 *   @D both stand behind D tokens of context.  itlN is the time between two tokens of N streams,
 *   alone and while a prompt of D (itlN@D) or 1024 tokens runs beside them; max-num-batched-tokens
 *   bounds it: itlN.floor is the longest step of that prompt with nobody beside it plus the median
 *   gap without it, what the longest gap beside it should come to.  start is the time from main() to the first token of a text.  NAME VALUE are options
 *   of the engine.
 *
 * A line is `metric value [unit]`.  Prefill is timed in a run that ends with the first token of every
 * stream, decode over the steps of a second run in which every stream decodes: so a step that decodes
 * for early streams beside the prompts of late ones counts in the total only.  As in other batched
 * benches the first token comes with the prompt and is not counted.  Prefix caching is off.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "llm.h"

#include "median.h"

#define N_PROMPT  128u
#define N_DECODE  64u
#define N_SINGLE  128u              /* tokens of the case tg */
#define N_LONG    512u              /* tokens of the case pp512 */
#define MAX_CASE  256u              /* streams */
#define MAX_DEPTH 131072u
#define MAX_OPTIONS 64u
#define N_ARRIVING 1024u            /* tokens of the prompt of the case itl */
#define N_GAPS    64u
#define MAX_GAPS  4096u
#define REPEATS   3u                /* of a run that is short */

typedef struct bench {
    llm_engine_t *engine;
    const char   *model, *cases;
    llm_option_t  options[MAX_OPTIONS];
    size_t        n_options;
    uint32_t      n_threads, n_vocab;
    uint64_t      random;
    double        started;
    int32_t      *tokens;           /* of one prompt, [MAX_DEPTH + N_LONG] */
} bench_t;

typedef struct run {                /* what one batch took */
    double   seconds;               /* from the first step to the last token */
    double   decode_seconds;        /* of the steps in which all streams decoded */
    uint64_t decode_tokens;         /* made by these */
    double   host_seconds;          /* of a step: all but what the device took */
} run_t;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void check(llm_status_t st, const llm_error_t *err)
{
    if (st == LLM_OK)
        return;
    fprintf(stderr, "engine_bench: %s\n", err->message);
    exit(1);
}

/* ---- The engine -------------------------------------------------------------------------------- */

static void create(bench_t *b)
{
    llm_engine_config_t cfg = LLM_INIT(llm_engine_config_t);
    llm_plan_t          plan = LLM_INIT(llm_plan_t);
    llm_error_t         err;

    cfg.model = b->model;
    cfg.n_threads = b->n_threads;
    cfg.options = b->options;
    cfg.n_options = b->n_options;
    check(llm_engine_create(&cfg, &b->engine, &err), &err);
    check(llm_engine_plan(b->engine, &plan), &err);
    b->n_vocab = plan.vocab_size;
}

static uint32_t next_random(bench_t *b)
{
    b->random = b->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(b->random >> 33);
}

static const int32_t *prompt(bench_t *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)        /* the first ids are special in most vocabularies */
        b->tokens[i] = (int32_t)(256 + next_random(b) % (b->n_vocab - 256));
    return b->tokens;
}

static void add(bench_t *b, uint32_t n_prompt, uint32_t n_new)
{
    llm_sampling_params_t params = LLM_INIT(llm_sampling_params_t);
    llm_request_t         req = LLM_INIT(llm_request_t);
    llm_error_t           err;

    params.max_tokens = n_new;
    params.flags = LLM_SAMPLE_IGNORE_EOS | LLM_SAMPLE_NO_TEXT;
    req.tokens = prompt(b, n_prompt);
    req.n_tokens = n_prompt;
    req.sampling = &params;
    check(llm_engine_add_request(b->engine, &req, NULL, &err), &err);
}

/* One step; returns the tokens that it made and adds the streams that got their first to *n_first,
 * and the device's time of those that end to *device_us. */
static uint64_t step(bench_t *b, uint32_t *n_first, uint64_t *device_us)
{
    const llm_output_t *out;
    uint64_t            n = 0;
    llm_error_t         err;

    check(llm_engine_step(b->engine, &err), &err);
    while ((out = llm_engine_next_output(b->engine)) != NULL) {
        if (out->error != NULL)
            check(out->error->status, out->error);
        n += out->n_tokens;
        *n_first += out->n_tokens > 0 && out->completion_tokens == out->n_tokens;
        *device_us += out->last ? out->device_us : 0;
    }
    return n;
}

static run_t run(bench_t *b, uint32_t n_streams, uint32_t n_prompt, uint32_t n_new)
{
    run_t    r = { 0 };
    uint32_t n_first = 0, n_steps = 0;
    uint64_t device_us = 0;
    double   begin = now(), in_steps = 0;

    for (uint32_t i = 0; i < n_streams; i++)
        add(b, n_prompt, n_new);
    while (llm_engine_unfinished(b->engine) > 0) {
        bool     decodes = n_first == n_streams;
        double   t = now();
        uint64_t n = step(b, &n_first, &device_us);
        double   took = now() - t;
        in_steps += took;
        n_steps++;
        if (decodes && n == n_streams) {
            r.decode_seconds += took;
            r.decode_tokens += n;
        }
    }
    r.seconds = now() - begin;
    r.host_seconds = (in_steps - (double)device_us * 1e-6) / n_steps;
    return r;
}

/* ---- Cases -------------------------------------------------------------------------------------- */

static void bench_streams(bench_t *b, uint32_t n)
{
    run_t prefill = run(b, n, N_PROMPT, 1), whole = run(b, n, N_PROMPT, N_DECODE + 1);

    printf("B%u.pp %.1f\n", n, n * N_PROMPT / prefill.seconds);
    printf("B%u.tg %.1f\n", n, (double)whole.decode_tokens / whole.decode_seconds);
    printf("B%u.total %.1f\n", n, n * (N_PROMPT + N_DECODE) / whole.seconds);
    printf("B%u.host %.1f us\n", n, whole.host_seconds * 1e6);
}

static void bench_batch(bench_t *b, uint32_t n)
{
    static llm_request_t        requests[MAX_CASE];
    static const llm_request_t *list[MAX_CASE];
    static int32_t              tokens[MAX_CASE][N_PROMPT];
    llm_sampling_params_t       params = LLM_INIT(llm_sampling_params_t);
    llm_batch_t                *batch;
    llm_error_t                 err;
    double                      begin;

    params.max_tokens = N_DECODE;
    params.flags = LLM_SAMPLE_IGNORE_EOS;
    for (uint32_t i = 0; i < n; i++) {
        memcpy(tokens[i], prompt(b, N_PROMPT), sizeof tokens[i]);
        requests[i].struct_size = sizeof requests[i];
        requests[i].tokens = tokens[i];
        requests[i].n_tokens = N_PROMPT;
        requests[i].sampling = &params;
        list[i] = &requests[i];
    }
    begin = now();
    check(llm_generate_batch(b->engine, list, n, NULL, NULL, &batch, &err), &err);
    printf("batch%u.total %.1f\n", n, n * (N_PROMPT + N_DECODE) / (now() - begin));
    llm_batch_destroy(batch);
}

/* Times between steps in which all n streams got a token, until `most` of them or, if that is 0,
 * until another request gets its first token. */
static double print_gaps(bench_t *b, uint32_t n, uint32_t most, const char *name)
{
    static double gaps[MAX_GAPS];
    uint32_t      n_gaps = 0, n_first = 0;
    uint64_t      device_us = 0;
    double        last = now();

    while (n_gaps < (most > 0 ? most : MAX_GAPS) && (most > 0 || n_first == 0)) {
        if (step(b, &n_first, &device_us) < n)
            continue;
        gaps[n_gaps++] = now() - last;
        last = now();
    }
    qsort(gaps, n_gaps, sizeof *gaps, by_size);
    printf("%s.p50 %.2f ms\n%s.p99 %.2f ms\n%s.max %.2f ms\n", name, gaps[n_gaps / 2] * 1e3, name,
           gaps[n_gaps * 99 / 100] * 1e3, name, gaps[n_gaps - 1] * 1e3);
    return gaps[n_gaps / 2];
}

/* Of a prompt that runs alone. */
static double longest_step(bench_t *b, uint32_t n_prompt)
{
    uint32_t n_first = 0;
    uint64_t device_us = 0;
    double   longest = 0, begin;

    add(b, n_prompt, 1);
    while (n_first == 0) {
        begin = now();
        step(b, &n_first, &device_us);
        longest = now() - begin > longest ? now() - begin : longest;
    }
    while (llm_engine_unfinished(b->engine) > 0)
        step(b, &n_first, &device_us);
    return longest;
}

static void bench_gaps(bench_t *b, uint32_t n, uint32_t n_prompt)
{
    uint32_t n_first = 0;
    uint64_t device_us = 0;
    double   floor = longest_step(b, n_prompt);
    char     name[64];

    for (uint32_t i = 0; i < n; i++)
        add(b, N_PROMPT, 2 * N_GAPS + n_prompt / 8);    /* more than there are pieces */
    while (n_first < n)
        step(b, &n_first, &device_us);
    snprintf(name, sizeof name, "itl%u.alone", n);
    floor += print_gaps(b, n, N_GAPS, name);
    add(b, n_prompt, 1);
    snprintf(name, sizeof name, "itl%u.beside", n);
    print_gaps(b, n, 0, name);
    printf("itl%u.floor %.2f ms\n", n, floor * 1e3);
    llm_engine_abort_all(b->engine);
    while (llm_engine_unfinished(b->engine) > 0)
        step(b, &n_first, &device_us);
}

static double seconds_of_prompt(bench_t *b, uint32_t n)
{
    return n == 0 ? 0 : run(b, 1, n, 1).seconds;
}

/* The best of few; a prompt behind a context takes what it adds to the context's own time. */
static void bench_prefill(bench_t *b, const char *name, uint32_t depth)
{
    double best = 1e9;

    for (uint32_t i = 0; i < REPEATS; i++) {
        double seconds = -seconds_of_prompt(b, depth) + seconds_of_prompt(b, depth + N_LONG);
        best = seconds < best ? seconds : best;
    }
    printf("%s %.1f\n", name, N_LONG / best);
}

static void bench_single(bench_t *b, const char *name, uint32_t depth)
{
    run_t r = run(b, 1, depth == 0 ? 1 : depth, N_SINGLE + 1);

    printf("%s %.1f\n", name, (double)r.decode_tokens / r.decode_seconds);
}

/* The engine is fresh here, so this is what a program that answers one prompt would see. */
static void bench_start(bench_t *b)
{
    llm_sampling_params_t params = LLM_INIT(llm_sampling_params_t);
    llm_request_t         req = LLM_INIT(llm_request_t);
    uint32_t              n_first = 0;
    uint64_t              device_us = 0;
    double                loaded = now();
    llm_error_t           err;

    params.max_tokens = 1;
    req.text = "Hello";
    req.text_len = LLM_CSTR;
    req.sampling = &params;
    check(llm_engine_add_request(b->engine, &req, NULL, &err), &err);
    while (n_first == 0)
        step(b, &n_first, &device_us);
    printf("load %.3f s\n", loaded - b->started);
    printf("to_first_token %.3f s\n", now() - b->started);
}

static uint32_t number(const char *text, uint32_t most)
{
    unsigned long n = strtoul(text, NULL, 10);

    return n < most ? (uint32_t)n : most;
}

static void bench_case(bench_t *b, const char *name)
{
    const char *at = strchr(name, '@');
    uint32_t    depth = at == NULL ? 0 : number(at + 1, MAX_DEPTH);

    if (strcmp(name, "start") == 0)
        bench_start(b);
    else if (strncmp(name, "pp512", 5) == 0)
        bench_prefill(b, name, depth);
    else if (strncmp(name, "tg", 2) == 0)
        bench_single(b, name, depth);
    else if (strncmp(name, "itl", 3) == 0)
        bench_gaps(b, number(name + 3, MAX_CASE), depth == 0 ? N_ARRIVING : depth);
    else if (strncmp(name, "batch", 5) == 0)
        bench_batch(b, number(name + 5, MAX_CASE));
    else if (number(name, MAX_CASE) > 0)
        bench_streams(b, number(name, MAX_CASE));
    else {
        fprintf(stderr, "engine_bench: no case %s\n", name);
        exit(2);
    }
    fflush(stdout);
}

static void bench_cases(bench_t *b)
{
    char  names[512], *rest = names;
    char *name;

    snprintf(names, sizeof names, "%s", b->cases);
    if (strncmp(names, "start", 5) == 0)        /* before anything has warmed up */
        bench_case(b, strsep(&rest, ","));
    if (rest != NULL)
        run(b, 2, N_PROMPT, 4);
    while ((name = strsep(&rest, ",")) != NULL)
        bench_case(b, name);
}

/* ---- Arguments ---------------------------------------------------------------------------------- */

static void add_option(bench_t *b, const char *name, const char *value)
{
    if (b->n_options < MAX_OPTIONS)
        b->options[b->n_options++] = (llm_option_t){ name, value };
}

static void parse(bench_t *b, int argc, char **argv)
{
    if (argc < 2 || argc % 2 != 0) {
        fprintf(stderr, "usage: engine_bench MODEL [--threads N] [--cases LIST] [--NAME VALUE]...\n");
        exit(2);
    }
    b->model = argv[1];
    add_option(b, "enable-prefix-caching", "false");
    add_option(b, "max-num-seqs", "64");
    add_option(b, "max-model-len", "4096");
    for (int i = 2; i < argc; i += 2) {
        if (strcmp(argv[i], "--threads") == 0)
            b->n_threads = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--cases") == 0)
            b->cases = argv[i + 1];
        else
            add_option(b, argv[i] + 2 * (strncmp(argv[i], "--", 2) == 0), argv[i + 1]);
    }
}

int main(int argc, char **argv)
{
    bench_t       b = { .cases = "start,1,8,32,64,pp512,tg", .random = 1, .started = now() };
    struct rusage usage;

    parse(&b, argc, argv);
    b.tokens = malloc((MAX_DEPTH + N_LONG) * sizeof *b.tokens);
    if (b.tokens == NULL)
        return 1;
    create(&b);
    bench_cases(&b);
    llm_engine_destroy(b.engine);
    free(b.tokens);
    getrusage(RUSAGE_SELF, &usage);
    printf("rss %ld MB\n", usage.ru_maxrss / 1024);
    return 0;
}
