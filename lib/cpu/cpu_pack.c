/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packing of checkpoint matrices into panels.  A panel is written by one thread from 32 lanes: the
 * source rows of its columns, whatever parts they come from.
 */
#include <stdatomic.h>
#include <string.h>

#include "cpu/cpu_int.h"
#include "cpu/cpu_wmat.h"
#include "tensor/quantise.h"

#define CHUNK LLS_K_BLOCK            /* values of a lane that are converted at a time */
#define RELEASE_BYTES (1u << 19)     /* of rows that are given up together */
#define LEAST_BYTES (1u << 16)       /* of rows that are given up at all */

/* Where the values of a column come from; data NULL = zeros. */
typedef struct lane {
    const uint8_t *data;            /* the row, or with `stride` the first value */
    size_t         stride;          /* of transposed parts: bytes from one k to the next */
    uint32_t       scheme;
} lane_t;

typedef struct panel_job {
    lane_t   lanes[LLS_PANEL];
    uint32_t kind, in, n_steps;
    uint8_t *dst;
} panel_job_t;

static uint32_t kind_of(const lls_wspec_t *spec, const lls_wpart_t *part)
{
    uint32_t scheme = lls_quant_scheme(spec->quant, part->scheme, part->in);

    if (scheme != part->scheme)
        return scheme;
    if (spec->dtype == LLS_F32)
        return LLS_W_F32;
    if (part->scheme == LLS_W_IQ4_NL)
        return LLS_W_Q8_0;
    if (part->scheme > LLS_W_BF16)
        return part->scheme;
    return spec->dtype == LLS_F16 ? LLS_W_F16 : LLS_W_BF16;
}

static uint32_t n_experts_of(const lls_wspec_t *spec) { return lls_max_u32(spec->n_experts, 1); }

static size_t header_bytes(const lls_wspec_t *spec)
{
    size_t n = (size_t)n_experts_of(spec) * spec->n_parts;

    return lls_align_up(sizeof(lls_wmat_t) + n * sizeof(lls_wseg_t), 64);
}

static void init_seg(lls_wseg_t *s, uint32_t kind, uint32_t first, uint32_t in)
{
    lls_assert(lls_kind_is_float(kind) || in % lls_kind_step(kind) == 0);
    *s = (lls_wseg_t){ .kind = kind, .first = first,
                       .n_steps = lls_ceil_div(in, lls_kind_step(kind)) };
}

/* Cuts one expert into segments; neighbours of one kind share one.  segs has room for n_parts.
 * Returns the offset behind the last panel. */
static uint64_t cut(const lls_wspec_t *spec, uint32_t expert, uint64_t offset, lls_wseg_t *segs)
{
    const lls_wpart_t *parts = spec->parts + (size_t)expert * spec->n_parts;
    lls_wseg_t         s = { 0 };
    uint32_t           n_segs = 0, first = 0;

    for (uint32_t i = 0; i < spec->n_parts; i++) {
        uint32_t kind = kind_of(spec, &parts[i]);

        if (i == 0 || kind != s.kind)
            init_seg(&s, kind, first, parts[i].in);
        s.n += parts[i].out;
        first += parts[i].out;
        if (i + 1 < spec->n_parts && kind_of(spec, &parts[i + 1]) == kind)
            continue;
        s.offset = offset;
        offset += lls_wseg_n_panels(&s) * lls_wseg_panel_bytes(&s);
        if (segs != NULL)
            segs[n_segs] = s;
        n_segs++;
    }
    return offset;
}

size_t lls_cpu_pack_size(const lls_wspec_t *spec)
{
    uint64_t offset = header_bytes(spec);

    for (uint32_t e = 0; e < n_experts_of(spec); e++)
        offset = cut(spec, e, offset, NULL);
    return offset;
}

/* ---- Lanes ----------------------------------------------------------------------------------- */

static lane_t lane_of(const lls_wpart_t *part, uint32_t i)
{
    uint32_t row = part->row_of != NULL ? part->row_of[i] : i;
    size_t   size = lls_scheme_block_bytes(part->scheme);

    if (part->transposed) {
        lls_assert(part->scheme <= LLS_W_BF16);
        return (lane_t){ (const uint8_t *)part->data + row * size, part->out * size, part->scheme };
    }
    return (lane_t){ (const uint8_t *)part->data +
                         row * lls_scheme_row_bytes(part->scheme, part->in),
                     0, part->scheme };
}

/* Columns [first, first + 32) of a matrix, `end` and behind being zeros. */
static void find_lanes(const lls_wpart_t *part, uint32_t first, uint32_t end, lane_t *lanes)
{
    uint32_t i = 0;

    memset(lanes, 0, LLS_PANEL * sizeof *lanes);
    for (; first >= part->out; part++)
        first -= part->out, end -= part->out;
    for (; i < LLS_PANEL && first < end; i++) {
        for (; first >= part->out; part++)
            first -= part->out, end -= part->out;
        lanes[i] = lane_of(part, first++);
    }
}

/* Values [k, k + n) of a lane to float32. */
static void read_lane(const lane_t *lane, uint32_t k, uint32_t n, float *out)
{
    if (lane->data == NULL) {
        memset(out, 0, n * sizeof *out);
    } else if (lane->stride == 0) {
        lls_dequantise(lane->scheme, lane->data, k, n, out);
    } else {
        for (uint32_t i = 0; i < n; i++)
            lls_dequantise(lane->scheme, lane->data + (k + i) * lane->stride, 0, 1, out + i);
    }
}

static uint32_t load_u32(const uint8_t *p)
{
    uint32_t u;

    memcpy(&u, p, sizeof u);
    return u;
}

/* ---- Words ----------------------------------------------------------------------------------- */

typedef uint32_t words_t __attribute__((vector_size(16)));

static inline words_t load_words(const uint8_t *p)
{
    words_t w;

    memcpy(&w, p, sizeof w);
    return w;
}

static inline void store_words(uint8_t *p, words_t w) { memcpy(p, &w, sizeof w); }

/* Four words of each of four lanes, to where those of the first lane belong. */
static inline void put_square(words_t a, words_t b, words_t c, words_t d, uint8_t *dst)
{
    words_t ab = __builtin_shufflevector(a, b, 0, 4, 1, 5);
    words_t cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);

    store_words(dst, __builtin_shufflevector(ab, cd, 0, 1, 4, 5));
    store_words(dst + LLS_PANEL * 4, __builtin_shufflevector(ab, cd, 2, 3, 6, 7));
    ab = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    cd = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    store_words(dst + LLS_PANEL * 8, __builtin_shufflevector(ab, cd, 0, 1, 4, 5));
    store_words(dst + LLS_PANEL * 12, __builtin_shufflevector(ab, cd, 2, 3, 6, 7));
}

/* ---- Panels of plain values ------------------------------------------------------------------ */

static void put_value(uint32_t kind, uint8_t *step, uint32_t odd, uint32_t lane, float v)
{
    uint16_t h = kind == LLS_W_F16 ? lls_f32_to_f16(v) : lls_f32_to_bf16(v);

    switch (kind) {
    case LLS_W_F32: memcpy(step + (odd * LLS_PANEL + lane) * 4, &v, 4); break;
    case LLS_W_F16: memcpy(step + (odd * LLS_PANEL + lane) * 2, &h, 2); break;
    default:        memcpy(step + (lane * 2 + odd) * 2, &h, 2);
    }
}

/* From any scheme and layout, through float32. */
static void pack_converted(const panel_job_t *j)
{
    uint32_t step = lls_kind_step_bytes(j->kind);
    float    values[CHUNK];

    for (uint32_t lane = 0; lane < LLS_PANEL; lane++)
        for (uint32_t k = 0; k < j->in; k += CHUNK) {
            uint32_t n = lls_min_u32(CHUNK, j->in - k);
            uint8_t *dst = j->dst + (size_t)(k / 2) * step;

            read_lane(&j->lanes[lane], k, n, values);
            for (uint32_t i = 0; i < n; i++)
                put_value(j->kind, dst + i / 2 * step, i % 2, lane, values[i]);
            if (n % 2 != 0)
                put_value(j->kind, dst + n / 2 * step, 1, lane, 0.0f);
        }
}

/* Words of four bytes that stay as they are: float32, or pairs of bfloat16. */
static void pack_words(const panel_job_t *j, uint32_t n_words)
{
    for (uint32_t w = 0; w < n_words; w++)
        for (uint32_t lane = 0; lane < LLS_PANEL; lane++) {
            const uint8_t *data = j->lanes[lane].data;
            uint32_t       u = data != NULL ? load_u32(data + (size_t)w * 4) : 0;

            memcpy(j->dst + ((size_t)w * LLS_PANEL + lane) * 4, &u, 4);
        }
}

static bool is_stored_as(const panel_job_t *j)
{
    for (uint32_t i = 0; i < LLS_PANEL; i++)
        if (j->lanes[i].data != NULL && (j->lanes[i].stride != 0 || j->lanes[i].scheme != j->kind))
            return false;
    return true;
}

static void pack_plain(const panel_job_t *j)
{
    if (j->in % 2 == 0 && j->kind != LLS_W_F16 && is_stored_as(j))
        pack_words(j, j->kind == LLS_W_F32 ? j->in : j->in / 2);
    else
        pack_converted(j);
}

/* ---- Panels of blocks ------------------------------------------------------------------------ */

/* A block's fields: f16 scale, f16 minimum, 32 fifth bits, words of values. */
typedef struct fields { uint32_t bytes, min, fifth, values; } fields_t;

static fields_t fields_of(uint32_t kind)
{
    switch (kind) {
    case LLS_W_Q4_0: return (fields_t){ 18, 0, 0, 2 };
    case LLS_W_Q4_1: return (fields_t){ 20, 2, 0, 4 };
    case LLS_W_Q5_0: return (fields_t){ 22, 0, 2, 6 };
    case LLS_W_Q5_1: return (fields_t){ 24, 2, 4, 8 };
    case LLS_W_INT4_G128: return (fields_t){ 68, 2, 0, 4 };
    default:         return (fields_t){ 34, 0, 0, 2 };
    }
}

/* Four bits to the fifth bits of four bytes. */
static uint32_t spread_bits(uint32_t bits)
{
    return (bits & 1) << 4 | (bits & 2) << 11 | (bits & 4) << 18 | (bits & 8) << 25;
}

/* Words 4 i .. of a panel's values from block b of one lane. */
static void put_q5(const uint8_t *b, uint32_t fifth, const uint8_t *values, uint8_t *dst)
{
    uint32_t bits = load_u32(b + fifth);

    for (uint32_t i = 0; i < 8; i++) {
        uint32_t u = load_u32(values + i % 4 * 4) >> (i < 4 ? 0 : 4) & 0x0f0f0f0fu;

        u |= spread_bits(bits >> 4 * i & 15);
        memcpy(dst + (size_t)i * LLS_PANEL * 4, &u, 4);
    }
}

static void put_words(const uint8_t *values, uint32_t n, uint32_t flip, uint8_t *dst)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t u = load_u32(values + i * 4) ^ flip;

        memcpy(dst + (size_t)i * LLS_PANEL * 4, &u, 4);
    }
}

/* What Q8_0 adds to a word. */
static inline uint32_t flip_of(uint32_t kind) { return kind == LLS_W_Q8_0 ? 0x80808080u : 0; }

static inline void put_scales(uint32_t kind, fields_t f, const uint8_t *b, uint32_t lane,
                              uint8_t *dst)
{
    uint8_t *scales = dst + lls_kind_scales_at(kind) + lane * 2;

    memcpy(scales, b, 2);
    if (f.min != 0)
        memcpy(scales + 64, b + f.min, 2);
}

/* One block of one lane; dst is the step. */
static inline void put_block(uint32_t kind, fields_t f, const uint8_t *b, uint32_t lane,
                             uint8_t *dst)
{
    uint8_t *words = dst + lls_kind_values_at(kind) + lane * 4;

    if (f.fifth != 0)
        put_q5(b, f.fifth, b + f.values, words);
    else
        put_words(b + f.values, (f.bytes - f.values) / 4, flip_of(kind), words);
    put_scales(kind, f, b, lane, dst);
}

/* Block s of a lane; of one without data, one with scales 0. */
static inline const uint8_t *block_of(const lane_t *lane, uint32_t s, uint32_t bytes)
{
    static const uint8_t zeros[LLS_K_BLOCK];

    return lane->data != NULL ? lane->data + (size_t)s * bytes : zeros;
}

/* Block s of the four lanes from `lane` on. */
__attribute__((always_inline)) static inline void
put_four(const panel_job_t *j, uint32_t kind, fields_t f, uint32_t s, uint32_t lane, uint8_t *dst)
{
    const lane_t  *l = &j->lanes[lane];
    const uint8_t *a = block_of(l, s, f.bytes), *b = block_of(l + 1, s, f.bytes);
    const uint8_t *c = block_of(l + 2, s, f.bytes), *d = block_of(l + 3, s, f.bytes);
    uint8_t       *words = dst + lls_kind_values_at(kind) + lane * 4;
    uint32_t       flip = flip_of(kind);

    for (uint32_t at = f.values; at < f.bytes; at += sizeof(words_t))
        put_square(load_words(a + at) ^ flip, load_words(b + at) ^ flip, load_words(c + at) ^ flip,
                   load_words(d + at) ^ flip, words + (at - f.values) * LLS_PANEL);
    put_scales(kind, f, a, lane, dst);
    put_scales(kind, f, b, lane + 1, dst);
    put_scales(kind, f, c, lane + 2, dst);
    put_scales(kind, f, d, lane + 3, dst);
}

/* Steps outside, lanes inside: 32 sources are read forwards, the panel is written forwards. */
__attribute__((always_inline)) static inline void put_blocks(const panel_job_t *j, uint32_t kind)
{
    fields_t f = fields_of(kind);
    uint8_t *dst = j->dst;

    for (uint32_t s = 0; s < j->n_steps; s++, dst += lls_kind_step_bytes(kind))
        for (uint32_t lane = 0; lane < LLS_PANEL; lane += 4)
            if (f.fifth == 0)
                put_four(j, kind, f, s, lane, dst);
            else
                for (uint32_t i = lane; i < lane + 4; i++)
                    put_block(kind, f, block_of(&j->lanes[i], s, f.bytes), i, dst);
}

/* 32 rows that are read side by side are too many streams for the processor to foresee. */
static void fetch_rows(const panel_job_t *j, size_t bytes)
{
    for (uint32_t lane = 0; lane < LLS_PANEL; lane++)
        for (size_t at = 0; j->lanes[lane].data != NULL && at < bytes; at += 64)
            __builtin_prefetch(j->lanes[lane].data + at);
}

static void pack_blocks(const panel_job_t *j)
{
    fetch_rows(j, (size_t)j->n_steps * fields_of(j->kind).bytes);
    switch (j->kind) {                          /* constants let the compiler unroll */
    case LLS_W_Q4_0: put_blocks(j, LLS_W_Q4_0); break;
    case LLS_W_Q4_1: put_blocks(j, LLS_W_Q4_1); break;
    case LLS_W_Q5_0: put_blocks(j, LLS_W_Q5_0); break;
    case LLS_W_Q5_1: put_blocks(j, LLS_W_Q5_1); break;
    case LLS_W_INT4_G128: put_blocks(j, LLS_W_INT4_G128); break;
    default:         put_blocks(j, LLS_W_Q8_0);
    }
}

/* Blocks of codes of 4 bits as Q8_0. */
static void put_codes(const uint8_t *b, uint32_t lane, uint8_t *dst)
{
    for (uint32_t i = 0; i < LLS_GROUP; i++)
        dst[(i / 4 * LLS_PANEL + lane) * 4 + i % 4] =
            lls_iq4_values[b[2 + i % 16] >> (i < 16 ? 0 : 4) & 15];
    memcpy(dst + lls_kind_value_bytes(LLS_W_Q8_0) + lane * 2, b, 2);
}

/* Plain values as a block of a kind. */
static void put_quantised(uint32_t kind, fields_t f, const lane_t *l, uint32_t s, uint32_t lane,
                          uint8_t *dst)
{
    uint32_t n = lls_kind_step(kind);
    float    values[LLS_QUANT_LONG];
    uint8_t  block[LLS_QUANT_LONG];

    read_lane(l, s * n, n, values);
    lls_quantise_block(kind, values, block);
    put_block(kind, f, block, lane, dst);
}

static bool is_zero_or(const lane_t *lane, uint32_t scheme)
{
    return lane->data == NULL || lane->scheme == scheme;
}

/* Lanes that become Q8_0, Q4_1 or INT4_G128 from several schemes may share a panel. */
static void pack_mixed(const panel_job_t *j)
{
    fields_t f = fields_of(j->kind);
    uint8_t *dst = j->dst;

    for (uint32_t s = 0; s < j->n_steps; s++, dst += lls_kind_step_bytes(j->kind))
        for (uint32_t lane = 0; lane < LLS_PANEL; lane++) {
            const lane_t *l = &j->lanes[lane];

            if (is_zero_or(l, j->kind))
                put_block(j->kind, f, block_of(l, s, f.bytes), lane, dst);
            else if (l->scheme <= LLS_W_BF16)
                put_quantised(j->kind, f, l, s, lane, dst);
            else
                put_codes(block_of(l, s, lls_scheme_block_bytes(l->scheme)), lane, dst);
        }
}

static bool is_mixed(const panel_job_t *j)
{
    for (uint32_t lane = 0; lane < LLS_PANEL; lane++)
        if (!is_zero_or(&j->lanes[lane], j->kind))
            return true;
    return false;
}

/* ---- Panels of blocks with two levels of scales ---------------------------------------------- */

/* Values [0, 32) from q as words of nibbles or of bytes. */
static inline void put_part(uint32_t kind, const uint8_t *q, uint8_t *dst)
{
    for (uint32_t i = 0; i < lls_kind_value_bytes(kind) / 128; i++) {
        uint32_t u = load_u32(q + 4 * i);

        if (lls_kind_is_q4(kind))
            u |= load_u32(q + 16 + 4 * i) << 4;
        memcpy(dst + (size_t)i * LLS_PANEL * 4, &u, 4);
    }
}

static void put_k_block(uint32_t kind, const lls_kblock_t *b, uint32_t lane, uint8_t *dst)
{
    uint32_t n = lls_kind_has_halves(kind) ? 2 : 1;
    uint8_t *part = dst + lls_kind_head_bytes(kind);

    memcpy(dst + 2 * lane, &b->d, 2);
    if (lls_kind_has_min(kind))
        memcpy(dst + 64 + 2 * lane, &b->d_min, 2);
    for (uint32_t g = 0; g < LLS_K_BLOCK / LLS_GROUP; g++, part += lls_kind_part_bytes(kind)) {
        uint8_t *small = part + lls_kind_value_bytes(kind) + lane;

        put_part(kind, b->q + g * LLS_GROUP, part + 4 * lane);
        for (uint32_t h = 0; h < n; h++) {
            small[h * LLS_PANEL] = (uint8_t)b->scales[n * g + h];
            if (lls_kind_has_min(kind))
                small[(n + h) * LLS_PANEL] = (uint8_t)b->mins[n * g + h];
        }
    }
}

static void pack_k_blocks(const panel_job_t *j)
{
    uint32_t     bytes = lls_scheme_block_bytes(j->kind);
    uint8_t     *dst = j->dst;
    lls_kblock_t b;

    for (uint32_t s = 0; s < j->n_steps; s++, dst += lls_kind_step_bytes(j->kind))
        for (uint32_t lane = 0; lane < LLS_PANEL; lane++) {
            lls_k_unpack(j->kind, block_of(&j->lanes[lane], s, bytes), &b);
            put_k_block(j->kind, &b, lane, dst);
        }
}

/* ---- The whole matrix ------------------------------------------------------------------------ */

typedef struct pack_job {
    const lls_wspec_t *spec;
    lls_wmat_t        *w;
    uint32_t           n_panels, n_items;
    atomic_bool       *too_large;       /* a weight, for f16 */
} pack_job_t;

/* Rows of one part that have been read. */
typedef struct read_rows { const uint8_t *begin, *end; } read_rows_t;

/* The rows of a panel, as far as they are of the part of its first column; rows out of order are
 * those between the least and the most. */
static read_rows_t rows_read(const lls_wpart_t *part, uint32_t first)
{
    uint32_t       least = LLS_NONE, most = 0;
    const uint8_t *data;
    size_t         bytes;

    for (; first >= part->out; part++)
        first -= part->out;
    if (part->transposed)
        return (read_rows_t){ 0 };
    for (uint32_t i = first; i < part->out && i < first + LLS_PANEL; i++) {
        uint32_t row = part->row_of != NULL ? part->row_of[i] : i;

        least = lls_min_u32(least, row);
        most = lls_max_u32(most, row);
    }
    data = part->data;
    bytes = lls_scheme_row_bytes(part->scheme, part->in);
    return (read_rows_t){ data + least * bytes, data + (most + 1) * bytes };
}

/* Of small matrices nothing: who loads gives them up whole, and each call interrupts every CPU. */
static void release(const lls_wspec_t *spec, const read_rows_t *r)
{
    if (spec->release != NULL && r->end - r->begin >= (ptrdiff_t)LEAST_BYTES)
        spec->release(r->begin, (size_t)(r->end - r->begin));
}

static void note_read(const lls_wspec_t *spec, read_rows_t more, read_rows_t *r)
{
    if (more.begin == r->end && r->end != NULL && r->end - r->begin < (ptrdiff_t)RELEASE_BYTES) {
        r->end = more.end;
        return;
    }
    release(spec, r);
    *r = more;
}

static void pack_seg(const pack_job_t *job, const lls_wpart_t *parts, const lls_wseg_t *s,
                     uint32_t begin,
                     uint32_t end)
{
    panel_job_t j = { .kind = s->kind, .in = job->w->in, .n_steps = s->n_steps };
    read_rows_t read = { 0 };

    for (uint32_t p = begin; p < end; p++) {
        find_lanes(parts, s->first + p * LLS_PANEL, s->first + s->n, j.lanes);
        j.dst = (uint8_t *)job->w + s->offset + p * lls_wseg_panel_bytes(s);
        if (lls_kind_is_float(s->kind))
            pack_plain(&j);
        else if (lls_scheme_is_k(s->kind))
            pack_k_blocks(&j);
        else if (is_mixed(&j))
            pack_mixed(&j);
        else
            pack_blocks(&j);
        if (!lls_wmat_fits_f16(s->kind, j.dst, s->n_steps))
            atomic_store_explicit(job->too_large, true, memory_order_relaxed);
        note_read(job->spec, rows_read(parts, s->first + p * LLS_PANEL), &read);
    }
    release(job->spec, &read);
}

/* The panels of a matrix are dealt out as the linear op does it, so that the pages of a panel lie
 * near the CPU that will read it. */
static void pack_item(void *arg, uint32_t item, uint32_t ith)
{
    const pack_job_t *job = arg;
    uint32_t          at = 0, begin, end;

    lls_share(job->n_panels, 1, item, job->n_items, &begin, &end);
    for (uint32_t e = 0; e < job->w->n_experts; e++)
        for (uint32_t i = 0; i < job->w->n_segs && at < end; i++) {
            const lls_wseg_t *s = lls_wmat_segs(job->w, e) + i;
            uint32_t          n = lls_wseg_n_panels(s);

            if (at + n > begin)
                pack_seg(job, job->spec->parts + (size_t)e * job->spec->n_parts, s,
                         lls_sub_u32(begin, at), lls_min_u32(end - at, n));
            at += n;
        }
}

lls_wmat_t *lls_cpu_pack(void *backend, const lls_wspec_t *spec, void *dst)
{
    lls_cpu_t  *cpu = backend;
    uint64_t    offset = header_bytes(spec);
    atomic_bool too_large = false;
    pack_job_t  job = { .spec = spec, .w = dst, .too_large = &too_large };

    lls_assert((uintptr_t)dst % 64 == 0);
    memset(dst, 0, offset);
    job.w->n_experts = n_experts_of(spec);
    job.w->n_segs = spec->n_parts;
    job.w->in = spec->parts[0].in;
    for (uint32_t i = 0; i < spec->n_parts; i++)
        job.w->out += spec->parts[i].out;
    for (uint32_t e = 0; e < job.w->n_experts; e++)
        offset = cut(spec, e, offset, job.w->segs + (size_t)e * job.w->n_segs);
    for (uint32_t i = 0; i < job.w->n_experts * job.w->n_segs; i++)
        job.n_panels += lls_wseg_n_panels(&job.w->segs[i]);
    job.n_items = lls_cpu_n_panel_items(cpu, job.n_panels);
    lls_pool_run(cpu->pool, job.n_items, pack_item, &job);
    job.w->fits_f16 = !atomic_load_explicit(&too_large, memory_order_relaxed);
    return job.w;
}
