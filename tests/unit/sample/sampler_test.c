/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include <math.h>
#include <stdio.h>

#include "base/philox.h"
#include "sample/sampler.h"
#include "unit/sample/sample_kernels_list.h"

#define MAX_V 70000u

static uint64_t rng_state = 1;

static uint32_t rnd(void)
{
    return lls_philox(7, (lls_philox_t){ { (uint32_t)rng_state++, 1, 2, 3 } }).w[0];
}

static float rnd_float(void) { return (float)rnd() / 4294967296.0f; }

static float rnd_normal(void)
{
    return sqrtf(-2 * logf(rnd_float() + 1e-9f)) * cosf(6.2831853f * rnd_float());
}

typedef struct setup {
    lls_sample_scratch_t s;
    lls_sample_row_t     row;
    lls_sample_out_t     out;
    void                *mem;
    float               *x, *y, *ref;
} setup_t;

static setup_t *setup_of(uint32_t n_vocab, size_t kernels)
{
    setup_t *t = calloc(1, sizeof *t);

    t->mem = aligned_alloc(64, lls_sample_scratch_bytes(n_vocab));
    memset(t->mem, 0xa5, lls_sample_scratch_bytes(n_vocab));
    lls_sample_scratch_init(&t->s, t->mem, n_vocab, all_kernels[kernels]);
    t->x = malloc(n_vocab * sizeof *t->x);
    t->y = malloc(n_vocab * sizeof *t->y);
    t->ref = malloc(n_vocab * sizeof *t->ref);
    t->row.params = (lls_sample_view_t){ .temperature = 1, .top_p = 1, .repetition = 1,
                                         .callback = LLS_NONE };
    return t;
}

static void free_setup(setup_t *t)
{
    free(t->mem);
    free(t->x);
    free(t->y);
    free(t->ref);
    free(t);
}

/* ---- Reference: sorts -------------------------------------------------------------------------
 */

static const float *cmp_x;

static int cmp_desc(const void *a, const void *b)
{
    float x = cmp_x[*(const uint32_t *)a], y = cmp_x[*(const uint32_t *)b];

    return x > y ? -1 : x < y;
}

/* The weights of kernel weigh(), one by one. */
static double weight_of(float x, const lls_sample_scale_t *scale)
{
    return lls_sample_kernels_plain.weigh(&x, 1, scale, NULL);
}

static void reference_truncate(const lls_sample_view_t *p, float *x, uint32_t n)
{
    uint32_t *id = malloc(n * sizeof *id), m = n;
    lls_sample_scale_t scale = { .inv_t = 1.0f / p->temperature };
    float     low = -INFINITY, y_min = p->min_p > 0 ? lls_sample_log(p->min_p) : -INFINITY;
    double    total = 0, sum = 0;

    for (uint32_t i = 0; i < n; i++)
        id[i] = i;
    cmp_x = x;
    qsort(id, n, sizeof *id, cmp_desc);
    scale.max = x[id[0]];
    while (m > 1 && (x[id[m - 1]] == -INFINITY ||
                     (x[id[m - 1]] - scale.max) * scale.inv_t < y_min))
        m--;
    low = x[id[m - 1]];
    if (p->top_k > 0 && p->top_k < m) {
        low = x[id[p->top_k - 1]];
        for (m = p->top_k; m < n && x[id[m]] == low; m++)
            ;
    }
    if (p->top_p < 1) {
        for (uint32_t i = 0; i < m; i++)
            total += weight_of(x[id[i]], &scale);
        for (uint32_t i = 0; i < m && sum < (double)p->top_p * total; i++) {
            sum += weight_of(x[id[i]], &scale);
            low = x[id[i]];
        }
    }
    for (uint32_t i = 0; i < n; i++)
        if (x[i] < low)
            x[i] = -INFINITY;
    free(id);
}

static int32_t reference_draw(const lls_sample_row_t *row, const float *x, uint32_t n)
{
    float   max = -INFINITY, best = -INFINITY, inv_t = 1.0f / row->params.temperature;
    int32_t token = 0;

    for (uint32_t i = 0; i < n; i++)
        max = x[i] > max ? x[i] : max;
    for (uint32_t i = 0; i < n; i++) {
        float score = (x[i] - max) * inv_t + lls_sample_noise(row->params.seed, row->position, i);
        if (score > best) {
            best = score;
            token = (int32_t)i;
        }
    }
    return token;
}

/* ---- Rows that are hard in some way ------------------------------------------------------------
 */

enum {
    NORMAL,
    PEAKED,
    FLAT,
    TWO_VALUES,
    MOSTLY_GONE,
    DENORMAL,
    HUGE_RANGE,
    COARSE,
    ZEROS,
    N_KINDS
};

static void fill_row(float *x, uint32_t n, int kind)
{
    for (uint32_t i = 0; i < n; i++) {
        float g = rnd_normal();
        switch (kind) {
        case NORMAL:      x[i] = 3 * g; break;
        case PEAKED:      x[i] = g + (rnd() % 1000 == 0 ? 12 * rnd_float() : 0); break;
        case FLAT:        x[i] = 1.25f; break;
        case TWO_VALUES:  x[i] = rnd() % 7 == 0 ? 1 : -1; break;
        case MOSTLY_GONE: x[i] = rnd() % 50 == 0 ? g : -INFINITY; break;
        case DENORMAL:    x[i] = (float)(rnd() % 64) * 1e-45f * (rnd() % 2 ? 1 : -1); break;
        case HUGE_RANGE:  x[i] = g * 1e30f; break;
        case COARSE:      x[i] = roundf(4 * g) / 4; break;
        default:          x[i] = rnd() % 2 ? 0.0f : -0.0f; break;
        }
    }
    if (kind == MOSTLY_GONE)
        x[rnd() % n] = 0.5f;
}

static void compare_with_reference(uint32_t n, int kind, const lls_sample_view_t *params, size_t k)
{
    setup_t *t = setup_of(n, k);
    int32_t  token;

    t->row.params = *params;
    t->row.position = rnd() % 1000;
    fill_row(t->x, n, kind);
    memcpy(t->ref, t->x, n * sizeof *t->x);
    reference_truncate(params, t->ref, n);
    token = reference_draw(&t->row, t->ref, n);
    t->out.n_kept = LLS_NONE;
    assert_int_equal(lls_sample_row_draw(&t->row, t->x, &t->out, &t->s), token);
    assert_int_equal(t->out.status, LLS_ROW_OK);
    lls_sample_row_truncate(&t->row, t->x, &t->out, &t->s);
    assert_int_equal(t->out.status, LLS_ROW_OK);
    for (uint32_t i = 0; i < n; i++)
        if (t->x[i] != t->ref[i])
            fail_msg("n %u kind %d k %u p %g min_p %g T %g: token %u is %g, not %g", n, kind,
                     params->top_k, (double)params->top_p, (double)params->min_p,
                     (double)params->temperature, i, (double)t->x[i], (double)t->ref[i]);
    assert_int_equal(lls_sample_row_draw(&t->row, t->x, &t->out, &t->s), token);
    free_setup(t);
}

static void truncation_and_draw_equal_the_sorting_reference(void **state)
{
    static const uint32_t sizes[] = { 1, 2, 15, 17, 512, 513, 1000, 5003, 20011 };
    static const float    ps[] = { 1e-6f, 0.1f, 0.5f, 0.9f, 0.999f, 1 };

    for (uint32_t i = 0; i < 700; i++) {
        uint32_t          n = sizes[rnd() % 9];
        lls_sample_view_t p = { .temperature = 0.01f + 1.9f * rnd_float(), .top_p = ps[rnd() % 6],
                                .repetition = 1, .callback = LLS_NONE, .seed = rnd() };
        size_t k = rnd() % LLS_ARRAY_LEN(all_kernels);
        if (rnd() % 2)
            p.top_k = rnd() % 3 ? rnd() % n : lls_min_u32(n - 1, rnd() % 64);
        if (rnd() % 3 == 0)
            p.min_p = rnd() % 2 ? rnd_float() : 1e-4f;
        compare_with_reference(n, (int)(rnd() % N_KINDS), &p, can_run(k) ? k : 0);
    }
}

/* top_p a step of float from where the likeliest winner of the row is kept or not: sums near the
 * exact ones cannot tell.  Narrow rows, whose nucleus is a short list, and wide ones. */
static void the_edge_of_top_p_is_exact(void **state)
{
    enum { N = 20011 };
    static const int kinds[] = { PEAKED, NORMAL, COARSE };
    setup_t         *t = setup_of(N, 0);

    for (uint32_t round = 0; round < 90; round++) {
        lls_sample_view_t  p = { .temperature = round % 2 ? 0.2f : 1, .top_p = 1, .repetition = 1 };
        lls_sample_scale_t scale = { .max = -INFINITY, .inv_t = 1.0f / p.temperature };
        size_t             k = round % LLS_ARRAY_LEN(all_kernels);
        double             above = 0, total = 0;
        int32_t            winner, token;

        fill_row(t->x, N, kinds[round / 2 % 3]);
        p.seed = round;
        t->row.params = p;
        winner = reference_draw(&t->row, t->x, N);
        for (uint32_t i = 0; i < N; i++)
            scale.max = fmaxf(scale.max, t->x[i]);
        for (uint32_t i = 0; i < N; i++) {
            double w = weight_of(t->x[i], &scale);
            total += w;
            above += t->x[i] > t->x[winner] ? w : 0;
        }
        if (above == 0)
            continue;
        t->s.k = all_kernels[can_run(k) ? k : 0];
        for (int step = -1; step <= 1; step++) {
            p.top_p = (float)(above / total);
            p.top_p = step == 0 ? p.top_p : nextafterf(p.top_p, step < 0 ? 0 : 2);
            memcpy(t->ref, t->x, N * sizeof *t->x);
            reference_truncate(&p, t->ref, N);
            t->row.params = p;
            t->out.n_kept = LLS_NONE;
            token = lls_sample_row_draw(&t->row, t->x, &t->out, &t->s);
            assert_int_equal(token, reference_draw(&t->row, t->ref, N));
            assert_int_equal(token == winner, (double)p.top_p * total > above);
        }
    }
    free_setup(t);
}

/* The row's own peaks say what looking at the row says, and are not believed of a changed row. */
static void known_peaks_change_nothing(void **state)
{
    enum { N = 5003 };
    float peaks[(N / 512 + 1) * 16], max;

    for (uint32_t round = 0; round < 300; round++) {
        size_t            k = round % LLS_ARRAY_LEN(all_kernels);
        setup_t          *t = setup_of(N, can_run(k) ? k : 0);
        llm_logit_bias_t  bias = { .token = N / 2, .bias = 0 };
        int32_t           token;

        fill_row(t->x, N, (int)(rnd() % N_KINDS));
        assert_true(t->s.k->scan(t->x, N, peaks, &max));
        assert_true(t->s.k->largest(peaks, LLS_ARRAY_LEN(peaks)) == max);
        t->row.params.temperature = round % 3 == 0 ? 0 : 0.01f + rnd_float();
        t->row.params.top_k = round % 2 ? 0 : 1 + rnd() % 100;
        t->row.params.top_p = round % 5 ? 1 : 0.8f;
        t->row.position = round;
        t->out.n_kept = LLS_NONE;
        token = lls_sample_row_draw(&t->row, t->x, &t->out, &t->s);
        memset(t->mem, 0xff, lls_sample_scratch_bytes(N));
        t->row.peaks = peaks;
        assert_int_equal(lls_sample_row_draw(&t->row, t->x, &t->out, &t->s), token);
        assert_int_equal(t->out.status, LLS_ROW_OK);
        peaks[round % LLS_ARRAY_LEN(peaks)] = INFINITY;
        lls_sample_row_draw(&t->row, t->x, &t->out, &t->s);
        assert_int_equal(t->out.status, LLS_ROW_NAN);
        t->row.params.bias = &bias;
        t->row.params.n_bias = 1;
        assert_int_equal(lls_sample_row_draw(&t->row, t->x, &t->out, &t->s), token);
        assert_int_equal(t->out.status, LLS_ROW_OK);
        free_setup(t);
    }
}

static void kernels_agree_to_the_bit(void **state)
{
    enum { N = 3001 };
    static float x[N], w[2][N], peaks[2][(N / 512 + 1) * 16], gx[2][N];
    static uint32_t id[2][N];

    for (size_t k = 1; k < LLS_ARRAY_LEN(all_kernels); k++)
        for (int kind = 0; can_run(k) && kind < N_KINDS; kind++) {
            const lls_sample_kernels_t *ks[2] = { all_kernels[0], all_kernels[k] };
            lls_sample_scale_t          s = { .inv_t = 1.3f };
            lls_sample_best_t           best[2] = { { .score = -1 }, { .score = -1 } };
            double sum[2], lse[2], from[2], mass[2][2], about[2][2], quick[2][2];
            uint32_t                    n[2], c[2];

            fill_row(x, N, kind);
            for (int i = 0; i < 2; i++) {
                assert_true(ks[i]->scan(x, N, peaks[i], &s.max));
                sum[i] = ks[i]->weigh(x, N, &s, w[i]);
                lse[i] = ks[i]->sum_exp(x, N, s.max);
                ks[i]->mass(x, N, &s, s.max - 9, s.max - 1, mass[i]);
                ks[i]->mass_about(x, N, &s, s.max - 9, s.max - 1, about[i]);
                ks[i]->mass_quick(x, N, &s, s.max - 9, s.max - 1, quick[i]);
                from[i] = ks[i]->sum_from(x, w[i], N, s.max - 2);
                n[i] = ks[i]->gather(x, N, peaks[i], -1, gx[i], id[i]);
                c[i] = ks[i]->count_from(x, N, 0.25f);
                ks[i]->race(x, N, peaks[i], -0.5f, &s, 99, 5, NULL, &best[i]);
                ks[i]->race_list(gx[i], id[i], n[i], 0.5f, &s, 98, 5, &best[i]);
            }
            assert_memory_equal(peaks[0], peaks[1], sizeof peaks[0]);
            assert_memory_equal(w[0], w[1], sizeof w[0]);
            assert_true(sum[0] == sum[1] && lse[0] == lse[1] && n[0] == n[1] && c[0] == c[1]);
            assert_memory_equal(mass[0], mass[1], sizeof mass[0]);
            assert_memory_equal(about[0], about[1], sizeof about[0]);
            assert_memory_equal(quick[0], quick[1], sizeof quick[0]);
            assert_true(from[0] == from[1]);
            assert_memory_equal(id[0], id[1], n[0] * sizeof id[0][0]);
            assert_true(best[0].id == best[1].id && best[0].score == best[1].score);
        }
}

/* Decisions that are taken with quick sums rest on this. */
static void quick_sums_are_near_the_exact_ones(void **state)
{
    enum { N = 70001 };
    float *x = malloc(N * sizeof *x);

    for (uint32_t round = 0; round < 8 * N_KINDS; round++) {
        uint32_t           n = 1 + rnd() % (round % 2 ? 40 : N);
        lls_sample_scale_t s = { .max = -INFINITY, .inv_t = powf(10, 2 - 4 * rnd_float()) };
        double             exact[2], about[2], quick[2];
        float              low, high;

        fill_row(x, n, (int)(round % N_KINDS));
        for (uint32_t i = 0; i < n; i++)
            s.max = fmaxf(s.max, x[i]);
        low = round % 3 ? s.max - 6 * rnd_float() / s.inv_t : -INFINITY;
        high = fmaxf(low, s.max - rnd_float() / s.inv_t);
        lls_sample_kernels_plain.mass(x, n, &s, low, high, exact);
        lls_sample_kernels_plain.mass_about(x, n, &s, low, high, about);
        lls_sample_kernels_plain.mass_quick(x, n, &s, low, high, quick);
        for (int i = 0; i < 2; i++) {
            if (about[i] < LLS_SAMPLE_ABOUT_MIN * exact[i] ||
                about[i] > LLS_SAMPLE_ABOUT_MAX * exact[i])
                fail_msg("kind %u of %u: %g is not near %g", round % N_KINDS, n, about[i],
                         exact[i]);
            if (fabsf(s.max) * s.inv_t <= LLS_SAMPLE_QUICK_Y &&
                (quick[i] < LLS_SAMPLE_QUICK_MIN * exact[i] ||
                 quick[i] > LLS_SAMPLE_QUICK_MAX * exact[i]))
                fail_msg("kind %u of %u: %g is far from %g", round % N_KINDS, n, quick[i],
                         exact[i]);
        }
    }
    free(x);
}

static void elementary_functions_are_accurate(void **state)
{
    lls_sample_scale_t s = { .max = 0, .inv_t = 1 };

    for (uint32_t i = 0; i < 20000; i++) {
        float  t = ldexpf(1 + rnd_float(), (int)(rnd() % 200) - 100), y = -80 * rnd_float(), w;
        double want = log((double)t);
        assert_true(fabs((double)lls_sample_log(t) - want) <= 2e-7 * fmax(fabs(want), 1e-3));
        lls_sample_kernels_plain.weigh(&y, 1, &s, &w);
        assert_true(fabs((double)w - exp((double)y)) <= 2e-7 * exp((double)y) + 0x1p-35);
    }
    for (uint32_t i = 0; i < 20000; i++) {
        uint32_t w = i < 64 ? i : i < 128 ? UINT32_MAX - (i - 64) : rnd();
        float    v = fminf(((float)(int32_t)(w >> 1) + 0.5f) * 0x1p-31f, 0x1.fffffep-1f);
        double   want = -log(-log1p(-(double)v)), got = (double)lls_sample_noise_of(w);
        assert_true(fabs(got - want) <= 4e-7 * fmax(1, fabs(want)) + 3e-7);
        assert_true(got < LLS_SAMPLE_NOISE_MAX);
    }
}

/* ---- Draws ------------------------------------------------------------------------------------
 */

static void greedy_takes_the_lowest_id_of_the_largest(void **state)
{
    setup_t *t = setup_of(1000, 0);

    t->row.params.temperature = 0;
    for (uint32_t i = 0; i < 1000; i++)
        t->x[i] = i % 10 == 7 ? 2 : (float)(i % 3);
    lls_sample_row_truncate(&t->row, t->x, &t->out, &t->s);
    assert_int_equal(lls_sample_row_draw(&t->row, t->x, &t->out, &t->s), 2);
    t->x[2] = 1;
    t->x[1] = -0.0f;
    assert_int_equal(lls_sample_row_draw(&t->row, t->x, &t->out, &t->s), 5);
    free_setup(t);
}

static void rows_without_a_number_fail_alone(void **state)
{
    static const float bad[] = { NAN, INFINITY, -NAN };

    for (uint32_t i = 0; i < 8; i++) {
        setup_t *t = setup_of(1031, i % 2);
        t->row.params.temperature = i < 4 ? 1 : 0;
        t->row.params.top_k = i % 3;
        for (uint32_t j = 0; j < 1031; j++)
            t->x[j] = i == 3 || i == 7 ? -INFINITY : rnd_normal();
        if (i != 3 && i != 7)
            t->x[i % 2 ? 1030 : 77] = bad[i % 3];
        lls_sample_row_truncate(&t->row, t->x, &t->out, &t->s);
        assert_int_equal(lls_sample_row_draw(&t->row, t->x, &t->out, &t->s), 0);
        assert_int_equal(t->out.status, LLS_ROW_NAN);
        free_setup(t);
    }
}

/* Dense draws of a large row, which leave out most tokens unseen, equal the scalar definition. */
static void noise_does_not_depend_on_neighbours(void **state)
{
    enum { N = 40001 };
    static const int kinds[] = { NORMAL, PEAKED, FLAT, COARSE, MOSTLY_GONE, ZEROS };

    for (uint32_t d = 0; d < 54; d++) {
        size_t   k = d % LLS_ARRAY_LEN(all_kernels);
        setup_t *t = setup_of(N, can_run(k) ? k : 0);

        t->row.params.seed = d * 77;
        t->row.params.temperature = d % 5 ? 0.3f + 0.03f * (float)d : 0.01f;
        t->row.position = d;
        fill_row(t->x, N, kinds[d / 3 % 6]);
        t->out.n_kept = LLS_NONE;
        assert_int_equal(lls_sample_row_draw(&t->row, t->x, &t->out, &t->s),
                         reference_draw(&t->row, t->x, N));
        free_setup(t);
    }
}

/* ---- Constraints and penalties ------------------------------------------------------------------
 */

static void penalties_equal_counting_by_hand(void **state)
{
    enum { V = 97, LEN = 400 };
    setup_t *t = setup_of(V, 0);
    int32_t  tokens[LEN];

    for (uint32_t round = 0; round < 200; round++) {
        lls_sample_view_t *p = &t->row.params;
        p->repetition = round % 2 ? 1 : 0.5f + 2 * rnd_float();
        p->presence = round % 3 ? 4 * rnd_float() - 2 : 0;
        p->frequency = round % 5 ? 4 * rnd_float() - 2 : 0;
        t->row.tokens = tokens;
        t->row.n_tokens = 1 + rnd() % LEN;
        t->row.n_prompt = rnd() % (t->row.n_tokens + 1);
        for (uint32_t i = 0; i < t->row.n_tokens; i++)
            tokens[i] = (int32_t)(rnd() % V) / 2;
        fill_row(t->x, V, NORMAL);
        for (uint32_t v = 0; v < V; v++) {
            uint32_t in_all = 0, in_out = 0;
            float    x = t->x[v];
            for (uint32_t i = 0; i < t->row.n_tokens; i++) {
                in_all += tokens[i] == (int32_t)v;
                in_out += tokens[i] == (int32_t)v && i >= t->row.n_prompt;
            }
            if (in_all > 0)
                x = x > 0 ? x / p->repetition : x * p->repetition;
            x -= p->frequency * (float)in_out;
            x -= p->presence * (in_out > 0 ? 1.0f : 0.0f);
            t->ref[v] = x;
        }
        lls_sample_row_penalise(&t->row, t->x, &t->s);
        for (uint32_t v = 0; v < V; v++)
            assert_true(t->x[v] == t->ref[v]);
    }
    free_setup(t);
}

static void constraints_apply_in_order(void **state)
{
    static const int32_t          banned[] = { 3 }, allowed[] = { 1, 3, 5 };
    static const llm_logit_bias_t bias[] = { { 1, 2.5f }, { 2, 50 }, { 3, 1 } };
    setup_t                      *t = setup_of(9, 0);

    for (uint32_t i = 0; i < 9; i++)
        t->x[i] = (float)i;
    t->row.params.banned = banned;
    t->row.params.n_banned = 1;
    t->row.params.allowed = allowed;
    t->row.params.n_allowed = 3;
    t->row.params.bias = bias;
    t->row.params.n_bias = 3;
    t->row.params.min_tokens = 2;
    t->row.n_prompt = 4;
    t->row.n_tokens = 5;
    memcpy(t->y, t->x, 9 * sizeof *t->x);
    lls_sample_row_constrain(&t->row, t->x, &t->s);
    for (uint32_t i = 0; i < 9; i++)        /* a bias cannot bring back what is not allowed */
        assert_true(t->x[i] == (i == 1 ? 3.5f : i == 5 ? 5 : -INFINITY));
    t->row.n_tokens = 6;
    lls_sample_row_constrain(&t->row, t->y, &t->s);
    assert_true(t->y[3] == 4);              /* min_tokens reached */
    free_setup(t);
}

static void bad_words_need_their_beginning_in_the_output(void **state)
{
    static const int32_t  tokens[] = { 4, 5, 6, 4, 5 }, bad[] = { 7, 5, 6, 4, 5, 8, 1, 5, 2 };
    static const uint32_t lens[] = { 1, 2, 3, 3 };
    setup_t              *t = setup_of(9, 0);

    t->row.params.bad_lens = lens;
    t->row.params.bad_tokens = bad;
    t->row.params.n_bad = 4;
    t->row.tokens = tokens;
    t->row.n_tokens = 5;
    for (t->row.n_prompt = 3; t->row.n_prompt <= 5; t->row.n_prompt++) {
        for (uint32_t i = 0; i < 9; i++)
            t->x[i] = 1;
        lls_sample_row_penalise(&t->row, t->x, &t->s);
        for (uint32_t i = 0; i < 9; i++) {
            bool is_bad =
                i == 7 || (i == 6 && t->row.n_prompt <= 4) || (i == 8 && t->row.n_prompt <= 3);
            assert_true(t->x[i] == (is_bad ? -INFINITY : 1));
        }
    }
    free_setup(t);
}

static void needs_are_seen(void **state)
{
    lls_sample_row_t  row = { .params = { .temperature = 0, .top_p = 1, .repetition = 1 } };
    lls_sample_rows_t rows = { .n_rows = 1, .n_vocab = 8, .row = &row };

    assert_false(lls_sample_needs_penalise(&rows) || lls_sample_needs_truncate(&rows));
    row.params.frequency = 0.5f;
    assert_true(lls_sample_needs_penalise(&rows));
    row.params.frequency = 0;
    row.params.n_banned = 1;
    row.params.min_tokens = 1;
    assert_true(lls_sample_needs_penalise(&rows));
    row.n_tokens = 1;
    assert_false(lls_sample_needs_penalise(&rows));
    row.params.top_k = 3;
    row.params.temperature = 1;
    assert_false(lls_sample_needs_truncate(&rows));
    rows.dense = true;
    assert_true(lls_sample_needs_truncate(&rows));
}

/* ---- Golden vectors: made with numpy in torch's and vLLM's steps, tests/golden/sample/make.py
 * ---- */

static bool next_floats(FILE *f, float *out, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (fscanf(f, "%f", &out[i]) != 1)
            return false;
    return true;
}

static void run_golden_case(FILE *f, uint32_t v, uint32_t n_tokens)
{
    setup_t *t = setup_of(v, 0);
    int32_t  tokens[64];

    assert_true(n_tokens <= 64);
    assert_int_equal(fscanf(f, "%u %f %f %f %f %f %f %u", &t->row.n_prompt,
                            &t->row.params.temperature, &t->row.params.top_p, &t->row.params.min_p,
                            &t->row.params.repetition, &t->row.params.presence,
                            &t->row.params.frequency, &t->row.params.top_k),
                     8);
    for (uint32_t i = 0; i < n_tokens; i++)
        assert_int_equal(fscanf(f, "%d", &tokens[i]), 1);
    t->row.tokens = tokens;
    t->row.n_tokens = n_tokens;
    assert_true(next_floats(f, t->x, v) && next_floats(f, t->ref, v));
    lls_sample_row_penalise(&t->row, t->x, &t->s);
    for (uint32_t i = 0; i < v; i++)
        assert_true(fabsf(t->x[i] - t->ref[i]) <= 2e-6f);
    lls_sample_row_truncate(&t->row, t->x, &t->out, &t->s);
    for (uint32_t i = 0; i < v; i++) {
        int kept;
        assert_int_equal(fscanf(f, "%d", &kept), 1);
        if ((t->x[i] > -INFINITY) != kept)
            fail_msg("token %u: kept %d, not %d", i, t->x[i] > -INFINITY, kept);
    }
    free_setup(t);
}

static void golden_rows_are_reproduced(void **state)
{
    FILE    *f = fopen(TEST_DIR "/golden/sample/rows.txt", "r");
    uint32_t n_cases, v, n_tokens;

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%u", &n_cases), 1);
    for (uint32_t c = 0; c < n_cases; c++) {
        assert_int_equal(fscanf(f, "%u %u", &v, &n_tokens), 2);
        run_golden_case(f, v, n_tokens);
    }
    fclose(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(truncation_and_draw_equal_the_sorting_reference),
        cmocka_unit_test(the_edge_of_top_p_is_exact),
        cmocka_unit_test(known_peaks_change_nothing),
        cmocka_unit_test(kernels_agree_to_the_bit),
        cmocka_unit_test(quick_sums_are_near_the_exact_ones),
        cmocka_unit_test(elementary_functions_are_accurate),
        cmocka_unit_test(greedy_takes_the_lowest_id_of_the_largest),
        cmocka_unit_test(rows_without_a_number_fail_alone),
        cmocka_unit_test(noise_does_not_depend_on_neighbours),
        cmocka_unit_test(penalties_equal_counting_by_hand),
        cmocka_unit_test(constraints_apply_in_order),
        cmocka_unit_test(bad_words_need_their_beginning_in_the_output),
        cmocka_unit_test(needs_are_seen),
        cmocka_unit_test(golden_rows_are_reproduced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
