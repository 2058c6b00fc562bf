/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Draws follow the distribution that the parameters ask for: chi-square over 10^5 draws with fixed
 * seeds, so each outcome is the same in every run.  A right sampler passes a bound with probability
 * 1 - 1e-6; that the bounds notice a wrong one is tested too.
 */
#include "unit/test.h"

#include <math.h>

#include "base/hash.h"
#include "base/philox.h"
#include "sample/sampler.h"
#include "unit/sample/sample_kernels_list.h"

#define DRAWS     100000u
#define MAX_CELLS 64u

typedef struct sampler {
    lls_sample_scratch_t s;
    void                *mem;
} sampler_t;

static sampler_t start(uint32_t n_vocab, const lls_sample_kernels_t *k)
{
    sampler_t t = { .mem = aligned_alloc(64, lls_sample_scratch_bytes(n_vocab)) };

    memset(t.mem, 0xa5, lls_sample_scratch_bytes(n_vocab));
    lls_sample_scratch_init(&t.s, t.mem, n_vocab, k);
    return t;
}

static int32_t draw(const sampler_t *t, const lls_sample_view_t *p, const float *x, uint64_t seed,
                    uint32_t position)
{
    lls_sample_row_t row = { .params = *p, .position = position };
    lls_sample_out_t out = { LLS_ROW_OK, LLS_NONE };
    int32_t          token;

    row.params.seed = seed;
    token = lls_sample_row_draw(&row, x, &out, &t->s);
    assert_int_equal(out.status, LLS_ROW_OK);
    return token;
}

/* ---- Rows without the C library's functions: the same everywhere ----------------------------- */

static uint32_t rng_state;

static uint32_t rnd(void)
{
    return lls_philox(11, (lls_philox_t){ { rng_state++, 5, 0, 0 } }).w[1];
}

/* Near normal: exact sums of small integers. */
static float rnd_normal(void)
{
    int32_t sum = 0;

    for (int i = 0; i < 6; i++)
        sum += (int32_t)(rnd() >> 14);
    return (float)(sum - 3 * (1 << 18)) / (float)(1 << 18) * 1.5f;
}

/* ---- The distribution, by sorting and in double ---------------------------------------------- */

static const float *sort_x;

static int cmp_likelier(const void *a, const void *b)
{
    float x = sort_x[*(const uint32_t *)a], y = sort_x[*(const uint32_t *)b];

    return x > y ? -1 : x < y;
}

/* Probabilities of the tokens. */
static void distribution(const lls_sample_view_t *p, const float *x, uint32_t n, double *prob)
{
    uint32_t *id = malloc(n * sizeof *id), m = n;
    double    total = 0, sum = 0, low;

    for (uint32_t i = 0; i < n; i++)
        id[i] = i;
    sort_x = x;
    qsort(id, n, sizeof *id, cmp_likelier);
    for (uint32_t i = 0; i < n; i++)
        prob[i] = exp(((double)x[i] - (double)x[id[0]]) / (double)p->temperature);
    while (p->min_p > 0 && prob[id[m - 1]] < (double)p->min_p)
        m--;
    if (p->top_k > 0 && p->top_k < m)
        m = p->top_k;
    for (uint32_t i = 0; i < m; i++)
        total += prob[id[i]];
    for (uint32_t i = 0; p->top_p < 1 && i < m; i++) {
        sum += prob[id[i]];
        if (sum >= (double)p->top_p * total)
            m = i + 1;
    }
    low = (double)x[id[m - 1]];
    total = 0;
    for (uint32_t i = 0; i < n; i++) {
        prob[i] = (double)x[i] < low ? 0 : prob[i];
        total += prob[i];
    }
    for (uint32_t i = 0; i < n; i++)
        prob[i] /= total;
    free(id);
}

/* ---- Chi-square ------------------------------------------------------------------------------ */

/* What a chi-square of so many degrees of freedom exceeds with probability 1e-6 (Wilson and
 * Hilferty). */
static double bound_of(uint32_t degrees)
{
    double k = 2.0 / (9.0 * degrees), c = 1 - k + 4.753 * sqrt(k);

    return degrees * c * c * c;
}

/* The statistic over its bound: above 1 the draws do not follow prob.  Cells that expect fewer than
 * 10 count as one. */
static double misfit(const uint32_t *count, const double *prob, uint32_t n)
{
    double   chi = 0, rest = 0, rest_count = 0;
    uint32_t cells = 0;

    for (uint32_t i = 0; i < n; i++) {
        double want = prob[i] * DRAWS, d = count[i] - want;
        if (want < 10) {
            rest += want;
            rest_count += count[i];
            if (want == 0 && count[i] > 0)      /* what is cut off never comes */
                return INFINITY;
            continue;
        }
        chi += d * d / want;
        cells++;
    }
    if (rest > 0) {
        chi += (rest_count - rest) * (rest_count - rest) / fmax(rest, 1);
        cells++;
    }
    return cells < 2 ? 0 : chi / bound_of(cells - 1);
}

enum { OVER_SEEDS, OVER_POSITIONS, N_WAYS };

/* Draws over seeds or over positions, of tokens by their number mod cells. */
static double misfit_of(const lls_sample_view_t *p, const float *x, uint32_t n, uint32_t cells,
                        int way, const float *drawn_from)
{
    sampler_t t = start(n, best_kernels());
    double   *prob = calloc(n, sizeof *prob), cell[MAX_CELLS] = { 0 };
    uint32_t  count[MAX_CELLS] = { 0 };

    distribution(p, x, n, prob);
    for (uint32_t i = 0; i < n; i++)
        cell[i % cells] += prob[i];
    for (uint32_t d = 0; d < DRAWS; d++) {
        int32_t id = draw(&t, p, drawn_from, way == OVER_SEEDS ? d : 4242,
                          way == OVER_SEEDS ? 17 : d);
        assert_true(prob[id] > 0 || x != drawn_from);
        count[(uint32_t)id % cells]++;
    }
    free(prob);
    free(t.mem);
    return misfit(count, cell, cells);
}

static const lls_sample_view_t cases[] = {
    { .temperature = 1, .top_p = 1 },
    { .temperature = 0.6f, .top_p = 1 },
    { .temperature = 1.7f, .top_p = 1 },
    { .temperature = 1, .top_p = 1, .top_k = 20 },
    { .temperature = 1, .top_p = 0.8f },
    { .temperature = 1, .top_p = 0.25f },
    { .temperature = 1, .top_p = 1, .min_p = 0.1f },
    { .temperature = 1.3f, .top_p = 0.9f, .top_k = 30 },
    { .temperature = 0.8f, .top_p = 1, .top_k = 25, .min_p = 0.05f },
    { .temperature = 0.8f, .top_p = 0.95f, .min_p = 0.02f },
    { .temperature = 0.8f, .top_p = 0.95f, .top_k = 30, .min_p = 0.01f },
};

static void draws_follow_the_distribution(void **state)
{
    float x[60];

    for (uint32_t i = 0; i < 60; i++)
        x[i] = rnd_normal();
    for (uint32_t c = 0; c < LLS_ARRAY_LEN(cases); c++)
        for (int way = 0; way < N_WAYS; way++) {
            double m = misfit_of(&cases[c], x, 60, 60, way, x);
            if (m > 1)
                fail_msg("case %u, way %d: chi-square is %g times its bound", c, way, m);
        }
}

/* Vocabularies of many blocks: wide sets are drawn from in place, narrow ones from lists. */
static void draws_of_large_rows_follow_the_distribution(void **state)
{
    enum { N = 3000 };
    static float x[N];

    for (uint32_t c = 0; c < LLS_ARRAY_LEN(cases); c++) {
        float  scale = c % 2 ? 1.0f : 3.0f;
        double m;

        for (uint32_t i = 0; i < N; i++)
            x[i] = scale * rnd_normal();
        m = misfit_of(&cases[c], x, N, 50, (int)(c / 2 % N_WAYS), x);
        if (m > 1)
            fail_msg("case %u: chi-square is %g times its bound", c, m);
    }
}

/* Noise that depends on row and token alone, without the position, is the same at every step. */
static void flat_rows_visit_all_tokens(void **state)
{
    static const float x[32];

    for (int way = 0; way < N_WAYS; way++)
        assert_true(misfit_of(&cases[0], x, 32, 32, way, x) <= 1);
}

/* The next token is independent of the last: pairs of draws at neighbouring positions, and of
 * neighbouring seeds. */
static void neighbouring_draws_are_independent(void **state)
{
    static const float x[8];
    sampler_t          t = start(8, best_kernels());
    double             prob[64];

    for (uint32_t i = 0; i < 64; i++)
        prob[i] = 1.0 / 64;
    for (int way = 0; way < N_WAYS; way++) {
        uint32_t count[64] = { 0 };
        for (uint32_t d = 0; d < DRAWS; d++) {
            uint32_t a = 2 * d, b = 2 * d + 1;
            int32_t  i = way == OVER_SEEDS ? draw(&t, &cases[0], x, a, 3) :
                                             draw(&t, &cases[0], x, 99, a);
            int32_t  j = way == OVER_SEEDS ? draw(&t, &cases[0], x, b, 3) :
                                             draw(&t, &cases[0], x, 99, b);
            count[8 * i + j]++;
        }
        assert_true(misfit(count, prob, 64) <= 1);
    }
    free(t.mem);
}

/* Which of the 24 orders four scores have. */
static uint32_t order_of(const float *score)
{
    uint32_t order = 0;

    for (uint32_t i = 0; i < 4; i++) {
        uint32_t larger = 0;
        for (uint32_t j = i + 1; j < 4; j++)
            larger += score[j] > score[i];
        order = order * (4 - i) + larger;
    }
    return order;
}

static double misfit_of_orders(bool one_word)
{
    double   prob[24];
    uint32_t count[24] = { 0 };

    for (uint32_t i = 0; i < 24; i++)
        prob[i] = 1.0 / 24;
    for (uint32_t d = 0; d < DRAWS; d++) {
        float score[4];
        for (uint32_t i = 0; i < 4; i++)
            score[i] = lls_sample_noise(7, d, 400 + (one_word ? 0 : i));
        count[order_of(score)]++;
    }
    return misfit(count, prob, 24);
}

/* The four tokens that share a block of random words have noise of their own. */
static void tokens_of_a_block_are_independent(void **state)
{
    assert_true(misfit_of_orders(false) <= 1);
    assert_true(misfit_of_orders(true) > 1);
}

static void a_biased_draw_is_noticed(void **state)
{
    float             x[60], y[60];
    lls_sample_view_t p = cases[0], q = cases[4];
    uint32_t          count[60] = { 0 };
    double            prob[60];

    for (uint32_t i = 0; i < 60; i++) {
        x[i] = rnd_normal();
        y[i] = x[i] + (i % 2 ? 0.08f : 0);      /* 4 % more for every second token */
    }
    for (int way = 0; way < N_WAYS; way++)
        assert_true(misfit_of(&p, x, 60, 60, way, y) > 1);
    q.top_p = 0.82f;                            /* a little more than the 0.8 that is drawn */
    distribution(&q, x, 60, prob);
    {
        sampler_t t = start(60, best_kernels());
        for (uint32_t d = 0; d < DRAWS; d++)
            count[draw(&t, &cases[4], x, d, 1)]++;
        free(t.mem);
    }
    assert_true(misfit(count, prob, 60) > 1);
    memset(count, 0, sizeof count);             /* the same noise at every step */
    count[5] = DRAWS;
    distribution(&p, x, 60, prob);
    assert_true(misfit(count, prob, 60) > 1);
}

/* ---- The same bits in every instruction set and from every compiler -------------------------- */

enum { NORMAL, PEAKED, MASKED, TIED, DENORMAL, WIDE, FLAT, N_KINDS };

static void fill_row(float *x, uint32_t n, int kind)
{
    for (uint32_t i = 0; i < n; i++) {
        float g = rnd_normal();
        switch (kind) {
        case NORMAL:   x[i] = 3 * g; break;
        case PEAKED:   x[i] = g + (rnd() % 500 == 0 ? (float)(rnd() % 16) : 0); break;
        case MASKED:   x[i] = rnd() % 20 ? -INFINITY : g; break;
        case TIED:     x[i] = (float)(int32_t)(8 * g) / 8; break;
        case DENORMAL: x[i] = (float)(int32_t)(40 * g) * 0x1p-149f; break;
        case WIDE:     x[i] = g * 0x1p125f; break;
        default:       x[i] = rnd() % 2 ? 0.0f : -0.0f; break;
        }
    }
    x[rnd() % n] = 0.5f;
}

/* Draws with and without truncation before, and what truncation left. */
static uint64_t hash_of_row(const lls_sample_view_t *p, const float *x, uint32_t n,
                            const lls_sample_kernels_t *k)
{
    sampler_t        t = start(n, k);
    lls_sample_row_t row = { .params = *p, .position = n };
    lls_sample_out_t out;
    float           *y = malloc(n * sizeof *y);
    int32_t          ids[2];
    uint64_t         h;

    ids[0] = draw(&t, p, x, p->seed, n);
    memcpy(y, x, n * sizeof *y);
    lls_sample_row_truncate(&row, y, &out, &t.s);
    ids[1] = lls_sample_row_draw(&row, y, &out, &t.s);
    assert_int_equal(ids[0], ids[1]);
    h = lls_hash64((uint64_t[2]){ (uint64_t)ids[0], out.n_kept }, y, n * sizeof *y);
    free(y);
    free(t.mem);
    return h;
}

static void all_instruction_sets_and_compilers_agree(void **state)
{
    static const uint32_t sizes[] = { 1, 2, 15, 17, 50257, 128256 };
    float                *x = malloc(128256 * sizeof *x);
    uint64_t              sum = 0;

    rng_state = 1u << 30;
    for (uint32_t i = 0; i < LLS_ARRAY_LEN(sizes); i++)
        for (int kind = 0; kind < N_KINDS; kind++) {
            fill_row(x, sizes[i], kind);
            for (uint32_t c = i < 4 ? 0 : (uint32_t)kind % 4; c < LLS_ARRAY_LEN(cases);
                 c += i < 4 ? 1 : 4) {
                lls_sample_view_t p = cases[c];
                uint64_t          h;
                p.seed = 1000 * i + c;
                p.top_k = lls_min_u32(p.top_k, sizes[i] - 1);
                h = hash_of_row(&p, x, sizes[i], all_kernels[0]);
                for (size_t k = 1; k < LLS_ARRAY_LEN(all_kernels); k++)
                    if (can_run(k) && hash_of_row(&p, x, sizes[i], all_kernels[k]) != h)
                        fail_msg("%u tokens, kind %d, case %u: kernels %zu differ", sizes[i], kind,
                                 c, k);
                sum = sum * 31 + h;
            }
        }
    free(x);
    /* taken from one build: another compiler has to give the same */
    if (sum != 0x2480a5c8644d0fa0u)
        fail_msg("the hash of all rows is 0x%llx", (unsigned long long)sum);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_follow_the_distribution),
        cmocka_unit_test(draws_of_large_rows_follow_the_distribution),
        cmocka_unit_test(flat_rows_visit_all_tokens),
        cmocka_unit_test(neighbouring_draws_are_independent),
        cmocka_unit_test(tokens_of_a_block_are_independent),
        cmocka_unit_test(a_biased_draw_is_noticed),
        cmocka_unit_test(all_instruction_sets_and_compilers_agree),
    };

    if (EMULATED)                           /* the same bits have the same distributions */
        cmocka_set_test_filter("all_instruction_sets_and_compilers_agree");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
