/* SPDX-License-Identifier: Apache-2.0 */
/*
 * row_ops_test - norms, activations, rope, routing and moves against float64, on every instruction
 * set and with several threads: all must give the bits of plain C on one thread.
 */
#include "unit/test.h"

#include <math.h>

#include "cpu/cpu_int.h"
#include "cpu/cpu_math.h"

#define MAX_FLOATS 65536u

static lls_mem_t    mem;
static float        store[4][MAX_FLOATS];
static lls_tensor_t T[4];           /* scratch tensors on store[] */

typedef struct device {
    lls_cpu_t *cpu;
    lls_exec_t x;
} device_t;

static device_t devices[2 * LLS_N_ISAS];
static uint32_t n_devices;

static float noise(uint64_t seed, uint64_t i)
{
    uint64_t x = lls_mix64(seed, i);

    return ((float)(x & 0xffff) + (float)(x >> 16 & 0xffff)) / 16384.0f - 4.0f;
}

static lls_tensor_t *fill(uint32_t which, uint32_t rows, uint32_t cols, uint64_t seed)
{
    lls_tensor_t *t = &T[which];

    assert_true((uint64_t)rows * cols <= MAX_FLOATS);
    *t = (lls_tensor_t){ .data = store[which], .dtype = LLS_F32, .n_dims = 2,
                         .shape = { rows, cols, 1, 1 }, .stride = { cols } };
    for (uint32_t i = 0; i < rows * cols; i++)
        store[which][i] = noise(seed, i);
    return t;
}

static void check_near(double got, double want, double rel, double abs, const char *what, double in)
{
    if (!(fabs(got - want) <= rel * fabs(want) + abs))
        fail_msg("%s(%.9g) is %.9g, not %.9g", what, in, got, want);
}

/* ---- Scalars -------------------------------------------------------------------------------- */

static void exponentials_are_accurate(void **state)
{
    for (double x = -86.9; x < 87.9; x += 0.0137)
        check_near(lls_exp((float)x), exp((float)x), 4e-7, 0, "exp", x);
    for (double x = -63.9; x <= 0; x += 0.0041)
        check_near(lls_exp2_cut((float)x), exp2((float)x), 4e-7, 0, "exp2", x);
    for (double x = -12; x < 12; x += 0.0013)
        check_near(lls_tanh((float)x), tanh((float)x), 4e-7, 0, "tanh", x);
    assert_true(lls_exp2_cut(0.0f) == 1.0f && lls_exp2_cut(-64.5f) == 0.0f);
    assert_true(lls_exp2_cut(-INFINITY) == 0.0f && isnan(lls_exp2_cut(NAN)));
    assert_true(lls_exp(-INFINITY) == 0.0f && lls_exp(INFINITY) == INFINITY && isnan(lls_exp(NAN)));
    assert_true(lls_tanh(INFINITY) == 1.0f && lls_tanh(-INFINITY) == -1.0f && isnan(lls_tanh(NAN)));
}

/* ---- Norms ---------------------------------------------------------------------------------- */

static void check_norm_row(const lls_norm_t *n, const float *x, const float *y)
{
    double mean = 0, sq = 0;

    for (uint32_t i = 0; i < n->width && n->kind == LLS_NORM_LAYER; i++)
        mean += (double)x[i] / n->width;
    for (uint32_t i = 0; i < n->width; i++)
        sq += (x[i] - mean) * (x[i] - mean) / n->width;
    for (uint32_t i = 0; i < n->width; i++) {
        double want = (x[i] - mean) / sqrt(sq + n->eps) * n->weight[i];
        want += n->bias != NULL ? n->bias[i] : 0;
        check_near(y[i], want, 2e-6, 4e-6, "norm", x[i]);
    }
}

static void norms_are_right_everywhere(void **state)
{
    static const uint32_t widths[] = { 1, 7, 16, 64, 100, 576 };
    static float          weight[576], bias[576], first[64 * 576];

    for (uint32_t i = 0; i < 576; i++) {
        weight[i] = noise(3, i);
        bias[i] = noise(4, i);
    }
    for (uint32_t k = 0; k < 3 * LLS_ARRAY_LEN(widths); k++) {
        lls_norm_t n = { k % 3 != 0, widths[k / 3], 1e-5f, weight, k % 3 == 2 ? bias : NULL };
        uint32_t   rows = 64;
        for (uint32_t d = 0; d < n_devices; d++) {
            lls_tensor_t *x = fill(0, rows, n.width, k), *y = fill(1, rows, n.width, 99);
            lls_tensor_t *in = fill(2, rows, n.width, k + 50), *z = fill(3, rows, n.width, 98);
            lls_cpu_norm(&devices[d].x, y, x, &n);
            for (uint32_t r = 0; r < rows && d == 0; r++)
                check_norm_row(&n, lls_row_f32(x, r), lls_row_f32(y, r));
            if (d == 0)
                memcpy(first, y->data, rows * n.width * sizeof(float));
            assert_memory_equal(first, y->data, rows * n.width * sizeof(float));
            lls_cpu_norm(&devices[d].x, x, x, &n);          /* in place */
            assert_memory_equal(first, x->data, rows * n.width * sizeof(float));
            fill(0, rows, n.width, k);                      /* add_norm has the bits of add, norm */
            lls_cpu_add_norm(&devices[d].x, y, x, in, &n);
            memcpy(z->data, x->data, rows * n.width * sizeof(float));
            fill(0, rows, n.width, k);
            lls_cpu_add(&devices[d].x, x, in, 1.0f);
            assert_memory_equal(z->data, x->data, rows * n.width * sizeof(float));
            lls_cpu_norm(&devices[d].x, z, x, &n);
            assert_memory_equal(z->data, y->data, rows * n.width * sizeof(float));
        }
    }
}

/* ---- Activations ---------------------------------------------------------------------------- */

static double act_of(uint32_t kind, double x)
{
    switch (kind) {
    case LLS_ACT_SILU:      return x / (1 + exp(-x));
    case LLS_ACT_GELU:      return 0.5 * x * erfc(-x * M_SQRT1_2);
    case LLS_ACT_GELU_TANH: return x / (1 + exp(-2 * sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case LLS_ACT_RELU:      return x > 0 ? x : 0;
    default:                return x;
    }
}

static void activations_are_accurate(void **state)
{
    static float first[2][60000];
    uint32_t     rows = 40, n = 750;

    for (uint32_t kind = LLS_ACT_NONE; kind <= LLS_ACT_RELU; kind++)
        for (uint32_t d = 0; d < n_devices; d++) {
            lls_tensor_t *x = fill(0, rows, n, kind), *y = fill(1, rows, n, 9);
            lls_tensor_t *gu = fill(2, rows, 2 * n, kind + 20);
            lls_cpu_act(&devices[d].x, x, kind);
            for (uint32_t i = 0; i < rows * n && d == 0; i++) {
                float in = noise(kind, i);
                check_near(store[0][i], act_of(kind, in), 3e-6, 0, "act", in);
            }
            lls_cpu_act_mul(&devices[d].x, y, gu, kind);
            for (uint32_t i = 0; i < rows * n && d == 0; i++) {
                const float *g = lls_row_f32(gu, i / n) + i % n;
                check_near(store[1][i], act_of(kind, g[0]) * g[n], 3e-6, 0, "act_mul", g[0]);
            }
            for (uint32_t o = 0; o < 2 && d == 0; o++)
                memcpy(first[o], store[o], rows * n * sizeof(float));
            assert_memory_equal(first[0], store[0], rows * n * sizeof(float));
            assert_memory_equal(first[1], store[1], rows * n * sizeof(float));
        }
}

static void scale_and_softcap(void **state)
{
    for (uint32_t d = 0; d < n_devices; d++) {
        lls_tensor_t *x = fill(0, 50, 601, 1);
        lls_cpu_scale(&devices[d].x, x, 2.5f, 0.0f);
        for (uint32_t i = 0; i < 50 * 601; i++)
            assert_true(store[0][i] == 2.5f * noise(1, i));
        fill(0, 50, 601, 1);
        lls_cpu_scale(&devices[d].x, x, 20.0f, 30.0f);
        for (uint32_t i = 0; i < 50 * 601; i++)
            check_near(store[0][i], 30 * tanh(20.0 * noise(1, i) / 30), 1e-6, 0, "softcap", i);
    }
}

/* ---- Rope ----------------------------------------------------------------------------------- */

static void check_rotation(bool interleaved, uint32_t rot, const float *in, const float *angles,
                           const float *out)
{
    uint32_t n = rot / 2;

    for (uint32_t i = 0; i < n; i++) {
        uint32_t a = interleaved ? 2 * i : i, b = interleaved ? 2 * i + 1 : i + n;
        check_near(out[a], (double)in[a] * angles[i] - (double)in[b] * angles[n + i], 0, 2e-6,
                   "rope", a);
        check_near(out[b], (double)in[b] * angles[i] + (double)in[a] * angles[n + i], 0, 2e-6,
                   "rope", b);
    }
}

static void rope_angles_match_float32(void **state)
{
    static int32_t         positions[30] = { 0, 1, 2, 511, 8191, 131071, 1000000 };
    static float           inv_freq[32];
    const lls_rope_table_t table = { inv_freq, 64, 1.5f };
    const lls_batch_t      batch = { .n_tokens = 30, .positions = positions };

    for (uint32_t i = 0; i < 32; i++)
        inv_freq[i] = (float)pow(10000.0, -(double)i / 32);
    for (uint32_t d = 0; d < n_devices; d++) {
        lls_tensor_t *out = fill(0, 30, 64, 1);
        lls_cpu_rope_angles(&devices[d].x, out, &batch, &table);
        for (uint32_t t = 0; t < 30; t++)
            for (uint32_t i = 0; i < 32; i++) {
                float a = (float)positions[t] * inv_freq[i];
                check_near(lls_row_f32(out, t)[i], 1.5 * cos(a), 0, 3e-7, "cos", a);
                check_near(lls_row_f32(out, t)[32 + i], 1.5 * sin(a), 0, 3e-7, "sin", a);
            }
    }
}

static void rope_turns_heads_and_norms_before(void **state)
{
    static float weight[16];
    lls_norm_t   norm = { LLS_NORM_RMS, 16, 1e-6f, weight, NULL };

    for (uint32_t i = 0; i < 16; i++)
        weight[i] = 1.0f + noise(5, i) / 8;
    for (uint32_t k = 0; k < 8 * n_devices; k++) {
        device_t     *dev = &devices[k / 8];
        uint32_t      rows = 70, n_q = 5, n_k = 2, dim = 16, rot = k % 2 == 0 ? 16 : 8;
        bool          interleaved = (k & 2) != 0, normed = (k & 4) != 0;
        lls_rope_t    r = { n_q, n_k, dim, interleaved, normed ? &norm : NULL,
                            normed ? &norm : NULL };
        lls_tensor_t *qkv = fill(0, rows, (n_q + 2 * n_k) * dim, 1);
        lls_tensor_t *angles = fill(1, rows, rot, 2);
        lls_tensor_t *in = fill(2, rows, (n_q + 2 * n_k) * dim, 1);
        for (uint32_t h = 0; h < rows * (n_q + 2 * n_k) && normed; h++) {
            lls_tensor_t head = { .data = store[2] + h * dim, .shape = { 1, dim },
                                  .stride = { dim } };
            if (h % (n_q + 2 * n_k) < n_q + n_k)
                lls_cpu_norm(&devices[0].x, &head, &head, &norm);
        }
        lls_cpu_rope(&dev->x, qkv, NULL, &r);               /* the norms alone */
        assert_memory_equal(qkv->data, in->data, rows * qkv->shape[1] * sizeof(float));
        fill(0, rows, (n_q + 2 * n_k) * dim, 1);
        lls_cpu_rope(&dev->x, qkv, angles, &r);
        for (uint32_t h = 0; h < rows * (n_q + 2 * n_k); h++) {
            uint32_t t = h / (n_q + 2 * n_k), first = h % (n_q + 2 * n_k) < n_q + n_k ? rot : 0;
            check_rotation(interleaved, first, store[2] + h * dim, lls_row_f32(angles, t),
                           store[0] + h * dim);
            assert_memory_equal(store[0] + h * dim + first, store[2] + h * dim + first,
                                (dim - first) * sizeof(float));
        }
    }
}

/* A batch of three runs, the cache of each in blocks of its own. */
static void write_both_ways(device_t *dev, uint32_t dtype, bool fused, uint8_t *pages)
{
    enum { ROWS = 42, N_Q = 5, N_K = 2, DIM = 16, BLOCK = 16 };
    uint32_t row_start[] = { 0, 40, 41, 42 }, context[] = { 45, 17, 1 }, row[] = { 1, 2, 0 };
    uint32_t table[] = { 6, 0, 0, 2, 5, 1, 4, 3, 0 };
    lls_batch_t   batch = { .n_tokens = ROWS, .n_rows = 3, .n_groups = 1, .max_blocks = { 3 },
                            .row_start = row_start, .context = context, .row = row,
                            .table = { table } };
    lls_pages_t   p = { pages, lls_cpu_page_bytes(dtype, BLOCK, N_K, DIM), dtype, BLOCK, N_K, DIM };
    lls_attend_t  a = { .n_q = N_Q, .n_kv = N_K, .head_dim = DIM };
    lls_rope_t    r = { N_Q, N_K, DIM, false, NULL, NULL };
    lls_tensor_t *qkv = fill(fused ? 2 : 0, ROWS, (N_Q + 2 * N_K) * DIM, 1);
    lls_tensor_t *angles = fill(1, ROWS, DIM, 2);

    assert_true(7 * p.block_bytes <= MAX_FLOATS);
    memset(pages, 0xa5, MAX_FLOATS);
    if (fused) {
        lls_cpu_rope_write(&dev->x, qkv, angles, &r, &batch, &p, &a);
        return;
    }
    lls_cpu_rope(&dev->x, qkv, angles, &r);
    lls_cpu_kv_write(&dev->x, qkv, &batch, &p, &a);
}

static void rope_write_has_the_bits_of_rope_and_kv_write(void **state)
{
    static _Alignas(64) uint8_t pages[2][MAX_FLOATS];
    static const uint32_t       dtypes[] = { LLS_F32, LLS_F16, LLS_BF16, LLS_I8 };

    for (uint32_t k = 0; k < LLS_ARRAY_LEN(dtypes) * n_devices; k++) {
        write_both_ways(&devices[k / 4], dtypes[k % 4], false, pages[0]);
        write_both_ways(&devices[k / 4], dtypes[k % 4], true, pages[1]);
        assert_memory_equal(store[0], store[2],
                            (size_t)T[0].shape[0] * T[0].shape[1] * sizeof(float));
        assert_memory_equal(pages[0], pages[1], sizeof pages[0]);
    }
}

/* ---- Experts -------------------------------------------------------------------------------- */

static void routing_breaks_ties_downwards(void **state)
{
    static const float rows[3][8] = { { 1, 3, 2, 3, 0, 3, 2, -1 },
                                      { 0, 0, 0, 0, 0, 0, 0, 0 },
                                      { -5, 100, -90, 100, 4, 3, 2, 1 } };
    static const int32_t want[3][4] = { { 1, 3, 5, 2 }, { 0, 1, 2, 3 }, { 1, 3, 4, 5 } };
    int32_t              ids[12];

    for (uint32_t k = 0; k < 2 * n_devices; k++) {
        lls_route_t   r = { 8, 4, k % 2 == 1 };
        lls_tensor_t  id = { .data = ids, .dtype = LLS_I32, .shape = { 3, 4 }, .stride = { 4 } };
        lls_tensor_t *scores = fill(0, 3, 8, 0), *weights = fill(1, 3, 4, 0);
        memcpy(scores->data, rows, sizeof rows);
        lls_cpu_route(&devices[k / 2].x, &id, weights, scores, &r);
        assert_memory_equal(ids, want, sizeof want);
        for (uint32_t t = 0; t < 3; t++) {
            double all = 0, chosen = 0;
            for (uint32_t i = 0; i < 8; i++)
                all += exp(rows[t][i] - 100.0);
            for (uint32_t i = 0; i < 4; i++)
                chosen += exp(rows[t][want[t][i]] - 100.0);
            for (uint32_t i = 0; i < 4; i++)
                check_near(lls_row_f32(weights, t)[i],
                           exp(rows[t][want[t][i]] - 100.0) / (r.renorm ? chosen : all), 1e-6,
                           1e-30, "weight", i);
        }
    }
}

static void nan_scores_give_valid_experts(void **state)
{
    int32_t       ids[2];
    lls_route_t   r = { 4, 2, true };
    lls_tensor_t  id = { .data = ids, .dtype = LLS_I32, .shape = { 1, 2 }, .stride = { 2 } };
    lls_tensor_t *scores = fill(0, 1, 4, 0), *weights = fill(1, 1, 2, 0);

    for (uint32_t i = 0; i < 4; i++)
        store[0][i] = NAN;
    lls_cpu_route(&devices[0].x, &id, weights, scores, &r);
    assert_in_range(ids[0], 0, 3);
    assert_in_range(ids[1], 0, 3);
    assert_true(isnan(store[1][0]));
}

static void expert_sums_and_moves(void **state)
{
    static const uint32_t pick[3] = { 7, 0, 7 };
    static uint8_t        blocks[3 * 64];

    for (uint32_t d = 0; d < n_devices; d++) {
        lls_tensor_t *in = fill(0, 80 * 3, 200, 1), *w = fill(1, 80, 3, 2),
        *out = fill(2, 80, 200, 3);
        lls_cpu_expert_sum(&devices[d].x, out, in, w);
        for (uint32_t i = 0; i < 80 * 200; i++) {
            float want = 0;
            for (uint32_t s = 0; s < 3; s++)
                want += lls_row_f32(w, i / 200)[s] * lls_row_f32(in, i / 200 * 3 + s)[i % 200];
            assert_true(store[2][i] == want);
        }
        out = fill(2, 3, 200, 3);
        lls_cpu_gather(&devices[d].x, out, in, pick, 3);
        for (uint32_t i = 0; i < 3; i++)
            assert_memory_equal(lls_row_f32(out, i), lls_row_f32(in, pick[i]), 200 * sizeof(float));
        memset(blocks, 1, 64);
        memset(blocks + 64, 2, 64);
        lls_cpu_copy_blocks(&devices[d].x, blocks, 64, 1, 2);
        assert_true(blocks[63] == 1 && blocks[64] == 2 && blocks[128] == 2 && blocks[191] == 2);
    }
}

static int setup(void **state)
{
    lls_mem_init(&mem, NULL);
    for (uint32_t i = 0; i < 2 * LLS_N_ISAS; i++) {
        device_t *d = &devices[n_devices];
        if (!lls_cpu_has_isa(i / 2))
            continue;
        if (lls_cpu_create(&mem, 1 + i % 2 * 2, lls_cpu_isa_name(i / 2), &d->cpu, NULL) != LLM_OK)
            return -1;
        d->x = (lls_exec_t){ .backend = d->cpu, .invariant = true };
        n_devices++;
    }
    return 0;
}

static int teardown(void **state)
{
    for (uint32_t i = 0; i < n_devices; i++)
        lls_cpu_destroy(devices[i].cpu);
    return mem.held == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exponentials_are_accurate),
        cmocka_unit_test(norms_are_right_everywhere),
        cmocka_unit_test(activations_are_accurate),
        cmocka_unit_test(scale_and_softcap),
        cmocka_unit_test(rope_angles_match_float32),
        cmocka_unit_test(rope_turns_heads_and_norms_before),
        cmocka_unit_test(rope_write_has_the_bits_of_rope_and_kv_write),
        cmocka_unit_test(routing_breaks_ties_downwards),
        cmocka_unit_test(nan_scores_give_valid_experts),
        cmocka_unit_test(expert_sums_and_moves),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
