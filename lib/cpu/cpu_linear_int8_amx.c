/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The linear kernels for AMX with int8: weights in blocks, with the bits of AVX-512's kernels,
 * which serve few rows.  Tiles make the exact integer sums of each group, and vectors scale and add
 * them in the same order.  After a tile instruction a core does float32 in 64-byte vectors at half
 * its speed for about 400 cycles, so the two come in turns, as long as the sums between them stay
 * in the nearest cache.
 */
#include "cpu/cpu_linear.h"

#if defined(__AVX512BF16__)

#include <immintrin.h>

#include "cpu/cpu_linear_avx512.h"
#include "cpu/cpu_tiles.h"

#define TILE_ROWS   16u
#define MAX_ROWS    32u             /* of a block: two tiles of rows share the loads of weights */
#define TURN_TILES  16u             /* of sums: 16 KB */

/* ---- Weights in blocks, widened -------------------------------------------------------------- */

/* 32 values of k: [8][32] words of four int8, then 32 scales and, with minima, those. */
INLINE uint32_t wide_bytes(bool min) { return min ? 1280 : 1152; }

/* Values less their zero. */
INLINE void widen_values(const form_t f, const uint8_t *w, uint8_t *dst)
{
    const __m512i low = _mm512_set1_epi8(15);
    const __m512i zero = _mm512_set1_epi8(f.min ? 0 : (char)(1 << f.zero_shift));

    for (uint32_t i = 0; i < form_value_bytes(f); i += 64) {
        __m512i v = _mm512_load_si512(w + i), high = _mm512_srli_epi16(v, 4);

        _mm_prefetch((const char *)w + i + AHEAD, _MM_HINT_T0);
        if (f.nibbles) {
            v = _mm512_and_si512(v, low);
            high = _mm512_and_si512(high, low);
            _mm512_store_si512(dst + 512 + i, _mm512_sub_epi8(high, zero));
        }
        _mm512_store_si512(dst + i, _mm512_sub_epi8(v, zero));
    }
}

INLINE size_t widen_blocks(const form_t f, const uint8_t *w, uint32_t n, uint8_t *dst)
{
    for (; n > 0; n--, w += form_step_bytes(f), dst += wide_bytes(f.min)) {
        const uint8_t *scales = w + form_value_bytes(f);

        widen_values(f, w, dst);
        for (uint32_t i = 0; i < (f.min ? 4 : 2); i++)
            _mm512_store_ps(dst + 1024 + 64 * i, load_scales(scales + 32 * i));
    }
    return wide_bytes(f.min);
}

INLINE size_t widen_k(const form_t f, const uint8_t *w, uint32_t n, uint8_t *dst)
{
    for (; n > 0; n--) {
        __m512 head[4];

        load_head(f, w, head);
        w += form_head_bytes(f);
        for (uint32_t g = 0; g < form_parts(f); g++, dst += wide_bytes(f.min)) {
            const uint8_t *small = w + form_value_bytes(f);

            widen_values(f, w, dst);
            for (uint32_t i = 0; i < (f.min ? 4 : 2); i++)
                _mm512_store_ps(dst + 1024 + 64 * i, scale_small(f, head[i], small + 16 * i));
            w += form_part_bytes(f);
        }
    }
    return form_parts(f) * wide_bytes(f.min);
}

#define WIDEN(name, widen, form) \
    static size_t name(const uint8_t *w, uint32_t n, uint8_t *dst)                                \
    {                                                                                             \
        return widen(form, w, n, dst);                                                            \
    }

WIDEN(widen_q4_0, widen_blocks, FORM_Q4_0)
WIDEN(widen_q4_1, widen_blocks, FORM_Q4_1)
WIDEN(widen_q5_0, widen_blocks, FORM_Q5_0)
WIDEN(widen_q5_1, widen_blocks, FORM_Q5_1)
WIDEN(widen_q8_0, widen_blocks, FORM_Q8_0)
WIDEN(widen_q4_k, widen_k, FORM_Q4_K)
WIDEN(widen_q5_k, widen_k, FORM_Q5_K)
WIDEN(widen_iq4_xs, widen_k, FORM_IQ4_XS)
WIDEN(widen_int4_g128, widen_k, FORM_INT4_G128)

/* ---- Weights in blocks, multiplied ----------------------------------------------------------- */

/* Groups of a block of rows between two changes from tiles to vectors. */
typedef struct turn {
    const uint8_t *acts, *w;
    uint32_t       n, mr;
    bool           first;
    float         *tile;
} turn_t;

static const uint32_t sums_of_0[16] __attribute__((aligned(64))) = {
    BITS_OF_0, BITS_OF_0, BITS_OF_0, BITS_OF_0, BITS_OF_0, BITS_OF_0, BITS_OF_0, BITS_OF_0,
    BITS_OF_0, BITS_OF_0, BITS_OF_0, BITS_OF_0, BITS_OF_0, BITS_OF_0, BITS_OF_0, BITS_OF_0,
};

/* Tile t goes on to the next group; `last` is where the sums of the group before belong. */
#define NEXT_SUMS(t)                                                                              \
    if (last != NULL)                                                                             \
        TILE_STORE(t, last + 256 * t, 64);                                                        \
    TILE_LOAD(t, sums_of_0, 0)

INLINE void store_group(bool two, int32_t *sums)
{
    TILE_STORE(0, sums, 64);
    TILE_STORE(1, sums + 256, 64);
    if (two) {
        TILE_STORE(2, sums + 512, 64);
        TILE_STORE(3, sums + 768, 64);
    }
}

/* The sums of all groups.  A tile is stored not after its products, for which it would wait, but
 * before the next ones. */
INLINE void sum_groups(bool two, bool min, const turn_t *t, int32_t *sums)
{
    const uint8_t *a = t->acts, *w = t->w;
    int32_t       *last = NULL;

    for (uint32_t g = 0; g < t->n; g++, a += 44 * t->mr, w += wide_bytes(min)) {
        TILE_LOAD(4, a, 32);
        TILE_LOAD(6, w, 128);
        NEXT_SUMS(0);
        TILE_DOT8(0, 4, 6);
        TILE_LOAD(7, w + 64, 128);
        NEXT_SUMS(1);
        TILE_DOT8(1, 4, 7);
        if (two) {
            TILE_LOAD(5, a + 32 * TILE_ROWS, 32);
            NEXT_SUMS(2);
            TILE_DOT8(2, 5, 6);
            NEXT_SUMS(3);
            TILE_DOT8(3, 5, 7);
        }
        last = sums;
        sums += two ? 1024 : 512;
    }
    store_group(two, last);
}

/* Of the activations of group g of the next turn what falls to one tile: a tile waits for what is
 * not in the nearest cache, and vectors have the time. */
INLINE void prefetch_acts(const turn_t *t, uint32_t g, uint32_t row, uint32_t column)
{
    const uint32_t lines = 6, i = row / TILE_ROWS * 2 + column / 16;
    const uint8_t *a = t->acts + (size_t)(t->n + g) * 44 * t->mr + 64 * lines * i;

    UNROLL
    for (uint32_t line = 0; line < lines; line++)
        _mm_prefetch((const char *)a + 64 * line, _MM_HINT_T0);
}

/* The sums of rows and 16 columns, which lie at `sums` in the first group. */
INLINE void scale_rows(const uint32_t rows, bool min, const turn_t *t, uint32_t row,
                       uint32_t column, const int32_t *sums)
{
    const float *s = (const float *)(t->acts + 32 * t->mr) + row, *a_sums = s + 2 * t->mr;
    const float *d = (const float *)(t->w + 1024) + column;
    float       *tile = t->tile + row * LLS_PANEL + column;
    __m512       c[TILE_ROWS];

    UNROLL
    for (uint32_t m = 0; m < rows; m++)
        c[m] = t->first ? _mm512_setzero_ps() : _mm512_loadu_ps(tile + m * LLS_PANEL);
    for (uint32_t g = 0; g < t->n; g++, d += wide_bytes(min) / 4) {
        scales_t scales = make_scales(_mm512_load_ps(d), min ? _mm512_load_ps(d + LLS_PANEL)
                                                             : _mm512_setzero_ps());

        if (rows == TILE_ROWS)
            prefetch_acts(t, g, row, column);
        UNROLL
        for (uint32_t m = 0; m < rows; m++)
            c[m] = add_scaled(min, c[m], _mm512_load_si512(sums + 16 * m), &scales, s[m],
                              a_sums[m]);
        sums += t->mr > TILE_ROWS ? 1024 : 512;
        s += 11 * t->mr;
        a_sums += 11 * t->mr;
        __asm__("" : "+r"(s), "+r"(a_sums));    /* else gcc keeps a pointer for each row */
    }
    UNROLL
    for (uint32_t m = 0; m < rows; m++)
        _mm512_storeu_ps(tile + m * LLS_PANEL, c[m]);
}

/* A tile of which `rows` rows are in the block. */
INLINE void scale_tile(uint32_t rows, bool min, const turn_t *t, uint32_t row, uint32_t column,
                       const int32_t *sums)
{
#define SCALE(n)                                                                                  \
    if (rows & n) {                                                                               \
        scale_rows(n, min, t, row, column, sums);                                                 \
        row += n;                                                                                 \
        sums += 16 * n;                                                                           \
    }
    SCALE(16)
    SCALE(8)
    SCALE(4)
    SCALE(2)
    SCALE(1)
#undef SCALE
}

INLINE void multiply_int8(bool min, const uint8_t *acts, const uint8_t *w, uint32_t n, uint32_t mr,
                          bool first, float *tile)
{
    __attribute__((aligned(64))) int32_t sums[TURN_TILES * 256];
    uint32_t n_tiles = mr > TILE_ROWS ? 4 : 2, step = TURN_TILES / n_tiles;
    turn_t   t = { .mr = mr, .tile = tile, .first = first };

    for (uint32_t g = 0; g < n; g += step, t.first = false) {
        t.acts = acts + (size_t)g * 44 * mr;
        t.w = w + (size_t)g * wide_bytes(min);
        t.n = lls_min_u32(step, n - g);
        if (mr > TILE_ROWS)
            sum_groups(true, min, &t, sums);
        else
            sum_groups(false, min, &t, sums);
        for (uint32_t i = 0; i < n_tiles; i++)
            scale_tile(lls_min_u32(TILE_ROWS, mr - i / 2 * TILE_ROWS), min, &t, i / 2 * TILE_ROWS,
                       i % 2 * 16, sums + 256 * i);
    }
}

#define MULTIPLY(name, min, n_groups)                                                             \
    static void name(const uint8_t *acts, const uint8_t *w, uint32_t n, uint32_t mr, bool first,  \
                     float *tile)                                                                 \
    {                                                                                             \
        multiply_int8(min, acts, w, n_groups, mr, first, tile);                                   \
    }

MULTIPLY(multiply_32, false, n)
MULTIPLY(multiply_32_min, true, n)
MULTIPLY(multiply_128_min, true, 4 * n)
MULTIPLY(multiply_256, false, 8 * n)
MULTIPLY(multiply_256_min, true, 8 * n)

/* ---- The table ------------------------------------------------------------------------------- */

void lls_linear_use_int8_tiles(lls_linear_isa_t *k)
{
    static const struct { uint32_t kind; lls_widen_fn widen; lls_multiply_fn multiply; } kinds[] = {
        { LLS_W_Q4_0, widen_q4_0, multiply_32 },    { LLS_W_Q4_1, widen_q4_1, multiply_32_min },
        { LLS_W_Q5_0, widen_q5_0, multiply_32 },    { LLS_W_Q5_1, widen_q5_1, multiply_32_min },
        { LLS_W_Q8_0, widen_q8_0, multiply_32 },    { LLS_W_Q4_K, widen_q4_k, multiply_256_min },
        { LLS_W_Q5_K, widen_q5_k, multiply_256_min },
        { LLS_W_IQ4_XS, widen_iq4_xs, multiply_256 },
        { LLS_W_INT4_G128, widen_int4_g128, multiply_128_min },
    };

    k->widen_from = 1;
    k->max_rows[LLS_FORM_TILE8] = MAX_ROWS;
    for (uint32_t i = 0; i < LLS_ARRAY_LEN(kinds); i++) {
        k->form[kinds[i].kind] = LLS_FORM_TILE8;
        k->widen[kinds[i].kind] = kinds[i].widen;
        k->multiply_wide[kinds[i].kind] = kinds[i].multiply;
    }
}

#endif
