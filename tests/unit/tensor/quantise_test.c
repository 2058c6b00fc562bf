/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include <math.h>

#include "tensor/quantise.h"

enum { N = LLS_QUANT_LONG };        /* values of a test, in one block or several */

static const uint32_t schemes[] = { LLS_W_Q8_0, LLS_W_Q4_1, LLS_W_INT4_G128 };

static void there_and_back(uint32_t scheme, const float *x, float *y)
{
    uint8_t  blocks[2 * N];
    uint32_t n = lls_scheme_block(scheme), bytes = lls_scheme_block_bytes(scheme);

    memset(blocks, 0xa5, sizeof blocks);
    for (uint32_t i = 0; i < N / n; i++)
        lls_quantise_block(scheme, x + i * n, blocks + i * bytes);
    lls_dequantise(scheme, blocks, 0, N, y);
    for (uint32_t i = N / n * bytes; i < sizeof blocks; i++)
        assert_int_equal(blocks[i], 0xa5);
}

/* Half a step from where it was, and what f16 loses of scale and minimum: 2^-11 of each, or 2^-25
 * where they are tiny. */
static void check_close(uint32_t scheme, const float *x, const float *y, uint32_t n)
{
    float  low = x[0], high = x[0];
    double step, slack;

    for (uint32_t i = 0; i < n; i++) {
        low = fminf(low, x[i]);
        high = fmaxf(high, x[i]);
    }
    step = scheme == LLS_W_Q8_0   ? fmax(-low, high) / 127.0
           : scheme == LLS_W_Q4_1 ? ((double)high - low) / 15
                                  : ((double)high - low) / 16;
    slack = scheme == LLS_W_Q8_0 ? 127 * (step * 0x1p-11 + 0x1p-25)
                                 : 15 * (step * 0x1p-11 + 0x1p-25) + fmax(-low, high) * 0x1p-11 + 0x1p-25;
    for (uint32_t i = 0; i < n; i++)
        if (!(fabs((double)x[i] - y[i]) <= 0.5001 * step + slack))
            fail_msg("%s: %.9g became %.9g, step %.3g", lls_scheme_name(scheme), x[i], y[i], step);
}

static void values_are_within_half_a_step(void **state)
{
    static const float sizes[] = { 1, 0.02f, 1e-5f, 3e-8f, 0, 30000 };
    float              x[N], y[N];

    for (uint32_t s = 0; s < LLS_ARRAY_LEN(schemes); s++)
        for (uint32_t k = 0; k < 600; k++) {
            uint32_t n = lls_scheme_block(schemes[s]);

            for (uint32_t i = 0; i < N; i++)    /* some all positive, some all alike */
                x[i] = sizes[k % 6] * (k / 6 % 3 == 2 ? -0.7f
                                                      : (float)lls_mix64(k, i) * 0x1p-63f -
                                                            (k / 6 % 3 == 1 ? 0 : 1));
            there_and_back(schemes[s], x, y);
            for (uint32_t i = 0; i < N; i += n)
                check_close(schemes[s], x + i, y + i, n);
        }
}

/* Values that are multiples of a step come back as they were. */
static void a_grid_is_exact(void **state)
{
    float x[N], y[N];

    for (uint32_t i = 0; i < N; i++)
        x[i] = i % 32 == 31 ? 31.75f : ((float)(i % 32 * 8) - 127) * 0.25f;
    there_and_back(LLS_W_Q8_0, x, y);
    assert_memory_equal(x, y, sizeof x);
    for (uint32_t i = 0; i < N; i++)
        x[i] = (float)(i % 16) * 0.125f - 1;
    there_and_back(LLS_W_Q4_1, x, y);
    assert_memory_equal(x, y, sizeof x);
}

static void what_is_no_number_shows(void **state)
{
    static const float odd[] = { NAN, INFINITY, -INFINITY, 1e30f, -65505.0f };
    float              x[N], y[N];

    for (uint32_t s = 0; s < LLS_ARRAY_LEN(schemes); s++)
        for (uint32_t k = 0; k < LLS_ARRAY_LEN(odd) * N; k++) {
            uint32_t n = lls_scheme_block(schemes[s]);

            for (uint32_t i = 0; i < N; i++)
                x[i] = i == k % N ? odd[k / N] : 1;
            there_and_back(schemes[s], x, y);
            for (uint32_t i = 0; i < N; i++)
                assert_true(isnan(y[i]) == (i / n == k % N / n));
        }
}

static void only_plain_rows_of_whole_blocks_change(void **state)
{
    for (uint32_t s = 0; s < LLS_N_SCHEMES; s++) {
        bool plain = s <= LLS_W_BF16;

        assert_int_equal(lls_quant_scheme(LLS_QUANT_NONE, s, 64), s);
        assert_int_equal(lls_quant_scheme(LLS_QUANT_INT8, s, 64), plain ? LLS_W_Q8_0 : s);
        assert_int_equal(lls_quant_scheme(LLS_QUANT_INT4, s, 64), plain ? LLS_W_Q4_1 : s);
        assert_int_equal(lls_quant_scheme(LLS_QUANT_INT4, s, 48), s);
        assert_int_equal(lls_quant_scheme(LLS_QUANT_INT4_G128, s, 256),
                         plain ? LLS_W_INT4_G128 : s);
        assert_int_equal(lls_quant_scheme(LLS_QUANT_INT4_G128, s, 64), plain ? LLS_W_Q4_1 : s);
        assert_int_equal(lls_quant_scheme(LLS_QUANT_INT4_G128, s, 48), s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_within_half_a_step),
        cmocka_unit_test(a_grid_is_exact),
        cmocka_unit_test(what_is_no_number_shows),
        cmocka_unit_test(only_plain_rows_of_whole_blocks_change),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
