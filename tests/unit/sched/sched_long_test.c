/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sched_long_test - what a request of many tokens costs schedule() and update(), in instructions as
 * valgrind counts them: as much per chunk and per step whatever the context.  The program runs
 * itself, with a length and a number of steps, for that.
 */
#include "unit/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "sched/sched.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || EMULATED || defined(__clang__)
#  define NOT_HERE 1                /* valgrind runs no sanitizer, and reads no clang's debug info */
#else
#  define NOT_HERE 0
#endif
#define CHUNK 2048u
#define BLOCK 16u
#define SHORT 25000u

typedef struct load {
    lls_mem_t          mem;
    lls_kv_t          *kv;
    lls_sched_t       *s;
    lls_step_plan_t   *plan;
    lls_step_result_t *res;
} load_t;

static void create(load_t *l, uint32_t n)
{
    lls_kv_config_t    k = { .n_groups = 1, .n_pools = 1, .group[0].block_tokens = BLOCK,
                             .pool_blocks[0] = n / BLOCK + 100, .caching = true, .key = { 1, 2 } };
    lls_sched_config_t c = { .max_reqs = 2, .max_rows = 1, .max_tokens = CHUNK,
                             .max_model_len = n + 1000, .max_in_flight = 1, .max_params = 16,
                             .max_jobs = 4, .watermark = 8 };
    lls_step_limits_t  limits;

    lls_mem_init(&l->mem, NULL);
    if (lls_kv_create(&l->mem, &k, &l->kv, NULL) != LLM_OK ||
        lls_sched_create(&l->mem, &c, l->kv, &l->s, NULL) != LLM_OK)
        exit(2);
    lls_sched_step_limits(l->s, &limits);
    l->plan = lls_plan_init(malloc(lls_plan_size(&limits)), &limits);
    l->res = lls_result_init(malloc(lls_result_size(&limits)), &limits);
}

static void add(load_t *l, uint32_t n)
{
    uint32_t       params[16] = { 0 };
    int32_t       *prompt = malloc(n * sizeof *prompt), stop = 1;
    lls_req_desc_t d = { .tokens = prompt, .n_tokens = n, .max_tokens = 900, .params = params,
                         .n_params = 16, .positions = LLS_NONE, .embeds = LLS_NONE,
                         .stop_ids = &stop, .n_stop_ids = 1 };
    lls_req_mem_t *prepared;
    uint64_t       handle;

    for (uint32_t i = 0; i < n; i++)
        prompt[i] = (int32_t)(2 + lls_mix64(i, 3) % 30000);
    if (lls_req_prepare(&l->mem, lls_sched_get_config(l->s), lls_kv_get_config(l->kv), &d,
                        &prepared, NULL) != LLM_OK ||
        lls_sched_add(l->s, prepared, &handle) != LLM_OK)
        exit(2);
    free(prompt);
}

static void step(load_t *l)
{
    lls_row_result_t *row;

    if (!lls_sched_schedule(l->s, l->plan) || lls_plan_n_runs(l->plan) != 1)
        exit(3);
    lls_result_reset(l->res, l->plan->step);
    row = lls_result_push_rows(l->res, 1);
    memset(row, 0, sizeof *row);
    if (lls_plan_runs(l->plan)[0].flags & LLS_RUN_SAMPLE) {
        row->tokens = (lls_span_t){ lls_result_n_tokens(l->res), 1 };
        *lls_result_push_tokens(l->res, 1) = 7;
    }
    lls_sched_update(l->s, l->res);
}

/* The whole prompt, then n_steps tokens. */
static int run_load(uint32_t n, uint32_t n_steps)
{
    load_t l;

    create(&l, n);
    add(&l, n);
    for (uint32_t i = 0; i < lls_ceil_div(n, CHUNK) + n_steps; i++)
        step(&l);
    return 0;
}

/* ---- Counting -------------------------------------------------------------------------------- */

static const char *self;

static uint64_t count(uint32_t n, uint32_t n_steps)
{
    char               command[1024], line[256];
    unsigned long long collected = 0;
    FILE              *f;

    snprintf(command, sizeof command,
             "valgrind --tool=callgrind --callgrind-out-file=/dev/null "
             "--toggle-collect=lls_sched_schedule --toggle-collect=lls_sched_update %s %u %u 2>&1",
             self, n, n_steps);
    f = popen(command, "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f) != NULL)
        if (strstr(line, "Collected :") != NULL)
            sscanf(strstr(line, ":") + 1, "%llu", &collected);
    assert_int_equal(pclose(f), 0);
    assert_true(collected > 1000);
    return collected;
}

static void costs_do_not_grow_with_the_context(void **state)
{
    uint64_t chunks[2], steps[2];

    if (NOT_HERE || system("valgrind --version >/dev/null 2>&1") != 0) {
        print_message(NOT_HERE ? "left to the builds with gcc\n" : "valgrind is not there\n");
        skip();
    }
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t n = SHORT << (2 * i);
        uint64_t prompt = count(n, 0);
        chunks[i] = prompt / lls_ceil_div(n, CHUNK);
        steps[i] = (count(n, 200) - prompt) / 200;
        print_message("%u tokens: %lu instructions a chunk, %lu a step\n", n,
                      (unsigned long)chunks[i], (unsigned long)steps[i]);
    }
    assert_true(chunks[1] < chunks[0] + chunks[0] / 4);
    assert_true(steps[1] < steps[0] + steps[0] / 4);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(costs_do_not_grow_with_the_context),
    };

    self = argv[0];
    if (argc == 3)
        return run_load((uint32_t)atoi(argv[1]), (uint32_t)atoi(argv[2]));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
