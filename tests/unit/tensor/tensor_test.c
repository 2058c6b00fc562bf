/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include <math.h>
#include <stdio.h>

#include "tensor/tensor.h"

#define VECTORS TEST_DIR "/golden/quant/vectors.txt"
#define MAX_VALUES 768

static uint32_t bits_of(float f)
{
    uint32_t u;

    memcpy(&u, &f, sizeof u);
    return u;
}

/* The value of a half by its definition, through the mathematics library. */
static double half_by_definition(uint16_t h)
{
    int    exp = h >> 10 & 31, frac = h & 0x3ff;
    double v = exp == 0    ? ldexp(frac, -24)
               : exp == 31 ? (frac == 0 ? (double)INFINITY : (double)NAN)
                           : ldexp(1024 + frac, exp - 25);

    return (h & 0x8000) != 0 ? -v : v;
}

static void every_half_converts_exactly_and_back(void **state)
{
    for (uint32_t h = 0; h < 65536; h++) {
        float  f = lls_f16_to_f32((uint16_t)h);
        double want = half_by_definition((uint16_t)h);

        if (isnan(want)) {
            assert_true(isnan(f));
            assert_true(isnan(lls_f16_to_f32(lls_f32_to_f16(f))));
            continue;
        }
        assert_true((double)f == want && !signbit(f) == !signbit(want));
        assert_int_equal(lls_f32_to_f16(f), h);
    }
}

/* Between each pair of neighbours: the middle goes to the even one, a float beside it to the
 * nearer. */
static void halves_round_to_nearest_even(void **state)
{
    for (uint32_t h = 0; h < 0x7c00; h++) {
        float    lo = lls_f16_to_f32((uint16_t)h);
        float    hi = h == 0x7bff ? 65536.0f : lls_f16_to_f32((uint16_t)(h + 1));
        float    mid = lo + (hi - lo) / 2;
        uint32_t even = h + (h & 1);

        assert_int_equal(lls_f32_to_f16(mid), even);
        assert_int_equal(lls_f32_to_f16(-mid), even | 0x8000);
        assert_int_equal(lls_f32_to_f16(nextafterf(mid, 0.0f)), h);
        assert_int_equal(lls_f32_to_f16(nextafterf(mid, INFINITY)), h + 1);
    }
}

static void the_ends_of_float_become_halves(void **state)
{
    assert_int_equal(lls_f32_to_f16(INFINITY), 0x7c00);
    assert_int_equal(lls_f32_to_f16(-INFINITY), 0xfc00);
    assert_int_equal(lls_f32_to_f16(3.4e38f), 0x7c00);
    assert_int_equal(lls_f32_to_f16(65519.996f), 0x7bff);
    assert_int_equal(lls_f32_to_f16(1e-45f), 0);
    assert_int_equal(lls_f32_to_f16(-1e-45f), 0x8000);
    assert_int_equal(lls_f32_to_f16(-0.0f), 0x8000);
    assert_true(isnan(lls_f16_to_f32(lls_f32_to_f16(NAN))));
}

static void bfloat16_rounds_to_nearest_even(void **state)
{
    for (uint32_t h = 0; h < 0x7f80; h++) {
        float    lo = lls_bf16_to_f32((uint16_t)h), mid;
        uint32_t half = h << 16 | 0x8000u;

        memcpy(&mid, &half, sizeof mid);
        assert_int_equal(lls_f32_to_bf16(lo), h);
        assert_int_equal(lls_f32_to_bf16(mid), h + (h & 1));
        assert_int_equal(lls_f32_to_bf16(nextafterf(mid, 0.0f)), h);
        assert_int_equal(lls_f32_to_bf16(nextafterf(mid, INFINITY)), h + 1);
    }
    assert_true(isnan(lls_bf16_to_f32(lls_f32_to_bf16(NAN))));
    assert_int_equal(lls_f32_to_bf16(-INFINITY), 0xff80);
}

static void tables_agree_with_the_formats(void **state)
{
    static const uint32_t block_bytes[LLS_N_SCHEMES] = {
        4, 2, 2, 18, 20, 22, 24, 34, 18, 84, 110, 144, 176, 210, 136, 68
    };

    for (uint32_t s = 0; s < LLS_N_SCHEMES; s++) {
        assert_int_equal(lls_scheme_block_bytes(s), block_bytes[s]);
        assert_int_equal(lls_scheme_block(s), s <= LLS_W_BF16          ? 1
                                              : s <= LLS_W_IQ4_NL      ? 32
                                              : s < LLS_N_GGUF_SCHEMES ? 256
                                                                       : 128);
        assert_int_equal(lls_scheme_row_bytes(s, 768), 768 / lls_scheme_block(s) * block_bytes[s]);
    }
    assert_string_equal(lls_scheme_name(LLS_W_F32), "F32");
    assert_string_equal(lls_scheme_name(LLS_W_Q5_1), "Q5_1");
    assert_string_equal(lls_scheme_name(LLS_W_Q8_0), "Q8_0");
    assert_string_equal(lls_scheme_name(LLS_W_Q6_K), "Q6_K");
    assert_string_equal(lls_scheme_name(LLS_N_SCHEMES), "?");
    assert_string_equal(lls_dtype_name(LLS_BF16), "bfloat16");
    assert_string_equal(lls_dtype_name(LLS_U8), "uint8");
    assert_string_equal(lls_dtype_name(LLS_N_DTYPES), "?");
    assert_int_equal(lls_dtype_size(LLS_F32), 4);
    assert_int_equal(lls_dtype_size(LLS_F8_E4M3), 1);
    assert_int_equal(lls_dtype_size(LLS_U32), 4);
    assert_int_equal(lls_dtype_size(LLS_U8), 1);
}

static size_t unhex(const char *hex, uint8_t *out)
{
    size_t   n = 0;
    unsigned byte;

    for (; sscanf(hex + 2 * n, "%2x", &byte) == 1; n++)
        out[n] = (uint8_t)byte;
    return n;
}

static uint32_t scheme_by_name(const char *name)
{
    uint32_t s = 0;

    while (s < LLS_N_SCHEMES && strcmp(lls_scheme_name(s), name) != 0)
        s++;
    assert_true(s < LLS_N_SCHEMES);
    return s;
}

static void check_vector(uint32_t scheme, const uint8_t *raw, const uint8_t *want, uint32_t n)
{
    uint32_t block = lls_scheme_block(scheme);
    float    out[MAX_VALUES + 1];
    uint8_t  moved[4 * MAX_VALUES + 1];             /* rows in a file may lie at odd addresses */

    memcpy(moved + 1, raw, lls_scheme_row_bytes(scheme, n));
    for (uint32_t first = 0; first <= n; first += block) {
        out[n - first] = 12345.0f;
        lls_dequantise(scheme, moved + 1, first, n - first, out);
        for (uint32_t i = 0; i < n - first; i++) {
            uint32_t w;

            memcpy(&w, want + 4 * (first + i), sizeof w);
            assert_int_equal(bits_of(out[i]), w);
        }
        assert_true(out[n - first] == 12345.0f);
    }
}

static void blocks_dequantise_to_the_reference_bits(void **state)
{
    char     name[16];
    char     raw_hex[8 * MAX_VALUES + 1], want_hex[8 * MAX_VALUES + 1];
    uint8_t  raw[4 * MAX_VALUES + 4], want[4 * MAX_VALUES + 4];
    uint32_t seen = 0;
    FILE    *f = fopen(VECTORS, "r");

    assert_non_null(f);
    while (fscanf(f, "%15s %6144s %6144s", name, raw_hex, want_hex) == 3) {
        uint32_t scheme = scheme_by_name(name);
        size_t   raw_bytes = unhex(raw_hex, raw), n = unhex(want_hex, want) / 4;

        assert_int_equal(raw_bytes, lls_scheme_row_bytes(scheme, n));
        check_vector(scheme, raw, want, (uint32_t)n);
        seen |= 1u << scheme;
    }
    fclose(f);
    assert_int_equal(seen, (1u << LLS_N_GGUF_SCHEMES) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_converts_exactly_and_back),
        cmocka_unit_test(halves_round_to_nearest_even),
        cmocka_unit_test(the_ends_of_float_become_halves),
        cmocka_unit_test(bfloat16_rounds_to_nearest_even),
        cmocka_unit_test(tables_agree_with_the_formats),
        cmocka_unit_test(blocks_dequantise_to_the_reference_bits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
