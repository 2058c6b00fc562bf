/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include <math.h>

#include "base/philox.h"
#include "cpu/cpu_int.h"
#include "sample/logprobs.h"

enum { V = 3001, ROWS = 33 };

typedef struct machine {
    lls_mem_t  mem;
    lls_cpu_t *cpu;
    lls_exec_t x;
} machine_t;

static bool start(machine_t *m, uint32_t n_threads, const char *isa)
{
    lls_mem_init(&m->mem, NULL);
    if (lls_cpu_create(&m->mem, n_threads, isa, &m->cpu, NULL) != LLM_OK)
        return false;
    m->x = (lls_exec_t){ .backend = m->cpu, .planning = true };
    return true;
}

static void stop(machine_t *m)
{
    free(m->x.arena);
    lls_cpu_destroy(m->cpu);
    assert_int_equal(m->mem.held, 0);
}

/* As the runner does: plan, then run in exactly the scratch that the plan asked for. */
static void plan(machine_t *m, lls_tensor_t *logits, lls_tensor_t *ids,
                 const lls_sample_rows_t *rows)
{
    lls_cpu_penalise(&m->x, logits, rows);
    lls_cpu_truncate(&m->x, logits, rows);
    lls_cpu_draw(&m->x, ids, logits, rows);
    lls_cpu_logprobs(&m->x, rows->n_vocab, NULL, rows->n_rows);
    m->x.planning = false;
    m->x.scratch_cap = m->x.scratch_peak;
    m->x.arena = aligned_alloc(64, m->x.scratch_cap);
    memset(m->x.arena, 0x5a, m->x.scratch_cap);
}

static void fill_rows(float *logits, lls_sample_row_t *row, const int32_t *tokens)
{
    for (uint32_t r = 0; r < ROWS; r++) {
        row[r] = (lls_sample_row_t){ .tokens = tokens, .n_prompt = r, .n_tokens = 40,
                                     .position = 40 + r, .logit = ROWS - 1 - r };
        row[r].params = (lls_sample_view_t){.temperature = r % 4 ? 0.5f + 0.02f * (float)r : 0,
                                            .top_p = r % 3 ? 0.9f : 1,
                                            .repetition = r % 2 ? 1.3f : 1,
                                            .top_k = r % 4 && r % 5 ? r * 7 : 0,
                                            .seed = r * 1000,
                                            .min_p = r % 7 == 1 ? 0.05f : 0};
        for (uint32_t i = 0; i < V; i++)
            logits[row[r].logit * V + i] = 2 * lls_sample_noise(r, 1, i);
    }
    logits[row[5].logit * V + 17] = NAN;
}

static void run_rows(uint32_t n_threads, const char *isa, bool dense, uint32_t first, uint32_t n,
                     int32_t *ids_out, uint32_t *status, lls_logprob_t *logprobs)
{
    static float     data[ROWS * V];
    lls_sample_row_t row[ROWS];
    lls_sample_out_t out[ROWS];
    lls_logprob_job_t jobs[ROWS];
    int32_t          tokens[40];
    machine_t        m;
    lls_tensor_t     logits = { .data = data, .dtype = LLS_F32, .n_dims = 2, .shape = { ROWS, V },
                                .stride = { V } };
    lls_tensor_t     ids = { .data = ids_out, .dtype = LLS_I32, .n_dims = 2, .shape = { n, 1 },
                             .stride = { 1 } };
    lls_sample_rows_t rows = { .n_rows = n, .n_vocab = V, .row = row + first, .out = out,
                               .dense = dense };

    for (int32_t i = 0; i < 40; i++)
        tokens[i] = i * 31 % 90;
    fill_rows(data, row, tokens);
    assert_true(start(&m, n_threads, isa));
    plan(&m, &logits, &ids, &rows);
    for (uint32_t i = 0; i < n; i++)
        jobs[i] = (lls_logprob_job_t){ .logits = data + row[first + i].logit * V, .token = 8,
                                       .n_entries = 4, .out = logprobs + 4 * i };
    lls_cpu_logprobs(&m.x, V, jobs, n);
    rows.stages = LLS_SAMPLE_CONSTRAIN;
    lls_cpu_penalise(&m.x, &logits, &rows);
    rows.stages = LLS_SAMPLE_PENALISE;
    lls_cpu_penalise(&m.x, &logits, &rows);
    for (uint32_t i = 0; i < n; i++)
        out[i].n_kept = LLS_NONE;
    lls_cpu_truncate(&m.x, &logits, &rows);
    lls_cpu_draw(&m.x, &ids, &logits, &rows);
    assert_int_equal(m.x.status, LLM_OK);
    for (uint32_t i = 0; i < n; i++)
        status[i] = out[i].status;
    stop(&m);
}

static void a_row_is_the_same_alone_and_in_a_batch(void **state)
{
    int32_t       all[ROWS], ids[ROWS];
    uint32_t      status_all[ROWS], status[ROWS];
    lls_logprob_t lp_all[4 * ROWS], lp[4 * ROWS];

    run_rows(1, "plain", false, 0, ROWS, all, status_all, lp_all);
    for (uint32_t i = 0; i < LLS_N_ISAS; i++) {
        if (!lls_cpu_has_isa(i))
            continue;
        for (uint32_t n_threads = 1; n_threads <= 3; n_threads++) {
            run_rows(n_threads, lls_cpu_isa_name(i), n_threads == 2, 0, ROWS, ids, status, lp);
            assert_memory_equal(ids, all, sizeof all);
            assert_memory_equal(status, status_all, sizeof status);
            assert_memory_equal(lp, lp_all, sizeof lp);
        }
        for (uint32_t r = 0; r < ROWS; r++) {
            run_rows(1, lls_cpu_isa_name(i), r % 2, r, 1, ids, status, lp);
            assert_int_equal(ids[0], all[r]);
            assert_int_equal(status[0], r == 5 ? LLS_ROW_NAN : LLS_ROW_OK);
            assert_memory_equal(lp, lp_all + 4 * r, 4 * sizeof *lp);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_row_is_the_same_alone_and_in_a_batch) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
