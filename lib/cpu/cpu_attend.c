/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/cpu_attend_int.h"

#include <math.h>
#include <string.h>

#include "cpu/cpu_math.h"

#define FEW_ROWS 14u                /* rows of an item that still use the registers well */
#define UNITS_PER_THREAD 4u         /* with fewer, tiles are split among threads */
#define PARTS_PER_THREAD 6u
#define MAX_SLOTS 8192u             /* bound of the memory for split tiles */
#define WORTH_A_FORK 100000u        /* multiplications: some microseconds on one thread */

const lls_attend_kernels_t *lls_attend_kernels(uint32_t isa, const lls_kv_layout_t *l)
{
    if (l->block_tokens % 16 != 0 || LLS_ATTEND_TILE % l->block_tokens != 0)
        return &lls_attend_plain;
#if defined(__x86_64__)
    if (lls_isa_has_tiles(isa) && l->dtype == LLS_BF16)
        return &lls_attend_amx;
    if (isa >= LLS_ISA_AVX512)
        return &lls_attend_avx512;
    if (isa >= LLS_ISA_AVX2)
        return &lls_attend_avx2;
#elif defined(__aarch64__)
    if (isa != LLS_ISA_PLAIN)
        return &lls_attend_neon;
#endif
    return &lls_attend_plain;
}

/* ---- The cut -------------------------------------------------------------------------------- */

static uint32_t run_length(const lls_batch_t *b, uint32_t row)
{
    return b->row_start[row + 1] - b->row_start[row];
}

/* Tiles that the tokens [token, token + n) of a run see: [*begin, *end). */
static void tiles_of(const lls_attend_job_t *j, uint32_t row, uint32_t token, uint32_t n,
                     uint32_t *begin, uint32_t *end)
{
    uint32_t pos = j->batch->context[row] - run_length(j->batch, row) + token;

    *begin = lls_kv_first_needed(&j->mask, pos) / LLS_ATTEND_TILE;
    *end = lls_ceil_div(pos + n, LLS_ATTEND_TILE);
}

static uint32_t tiles_of_row(const lls_attend_job_t *j, uint32_t row, uint32_t *begin)
{
    uint32_t end;

    tiles_of(j, row, 0, run_length(j->batch, row), begin, &end);
    return end - *begin;
}

static uint32_t count_units(const lls_attend_job_t *j, uint32_t query_tokens)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < j->batch->n_rows; i++)
        n += j->n_kv * lls_ceil_div(run_length(j->batch, i), query_tokens);
    return n;
}

/* As many query tokens an item as fit, but enough items for all threads. */
static void choose_query_tokens(lls_attend_job_t *j)
{
    uint32_t t = lls_max_u32(LLS_ATTEND_ROWS / j->group, 1);
    uint32_t least = lls_max_u32(FEW_ROWS / j->group, 1);

    t = lls_min_u32(t, j->batch->max_n);
    while (t > least && count_units(j, t) < UNITS_PER_THREAD * j->n_threads)
        t = lls_max_u32(least, t * 3 / 4);
    j->query_tokens = lls_max_u32(t, 1);
    j->n_units = count_units(j, j->query_tokens);
}

/* Splits tiles if there are few units: one query over a long context still uses all threads. */
static void choose_split(lls_attend_job_t *j)
{
    uint64_t tiles = 0;

    j->tiles_per_item = 0;
    if (j->n_threads == 1 || j->n_units >= UNITS_PER_THREAD * j->n_threads)
        return;
    for (uint32_t i = 0; i < j->batch->n_rows; i++) {
        uint32_t begin;
        tiles += (uint64_t)j->n_kv * lls_ceil_div(run_length(j->batch, i), j->query_tokens) *
                 tiles_of_row(j, i, &begin);
    }
    if (tiles > MAX_SLOTS || tiles <= j->n_units)
        return;
    j->tiles_per_item = (uint32_t)((tiles - 1) / (PARTS_PER_THREAD * j->n_threads) + 1);
}

static uint32_t parts_of_row(const lls_attend_job_t *j, uint32_t row)
{
    uint32_t begin;

    return j->tiles_per_item == 0 ? 1 : lls_ceil_div(tiles_of_row(j, row, &begin),
                                                     j->tiles_per_item);
}

static void fill_spans(lls_attend_job_t *j)
{
    lls_attend_span_t at = { 0, 0, 0 };
    uint32_t          n = j->batch->n_rows, begin;

    for (uint32_t i = 0; i < n; i++) {
        uint32_t units = j->n_kv * lls_ceil_div(run_length(j->batch, i), j->query_tokens);
        uint32_t parts = parts_of_row(j, i);
        j->spans[i] = at;
        for (uint32_t u = 0; u < units && j->tiles_per_item != 0; u++)
            atomic_store_explicit(&j->left[at.unit + u], parts, memory_order_relaxed);
        at.item += units * parts;
        at.unit += units;
        at.slot += j->tiles_per_item == 0 ? 0 : units * tiles_of_row(j, i, &begin);
    }
    j->spans[n] = at;
    j->n_items = at.item;
    j->n_slots = at.slot;
}

static uint32_t row_of_item(const lls_attend_job_t *j, uint32_t item)
{
    uint32_t lo = 0, hi = j->batch->n_rows;

    while (hi - lo > 1) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (j->spans[mid].item <= item)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

void lls_attend_cut(lls_attend_job_t *j)
{
    choose_query_tokens(j);
    choose_split(j);
    fill_spans(j);
}

/* Those with the most tiles of a run first. */
bool lls_attend_take(lls_attend_job_t *j, lls_attend_item_t *it)
{
    uint32_t i = atomic_fetch_add_explicit(&j->next, 1, memory_order_relaxed);
    uint32_t row, n, units, parts, unit, part, begin, tiles;

    if (i >= j->n_items)
        return false;
    row = row_of_item(j, i);
    n = run_length(j->batch, row);
    units = lls_ceil_div(n, j->query_tokens);
    parts = parts_of_row(j, row);
    i -= j->spans[row].item;
    unit = i / parts;
    part = i % parts;
    *it = (lls_attend_item_t){ .row = row, .head = unit / units,
                               .token = (units - 1 - unit % units) * j->query_tokens };
    it->n_tokens = lls_min_u32(j->query_tokens, n - it->token);
    tiles_of(j, row, it->token, it->n_tokens, &it->tile, &it->tile_end);
    if (j->tiles_per_item != 0) {
        tiles = tiles_of_row(j, row, &begin);
        it->unit = j->spans[row].unit + unit;
        it->slot = j->spans[row].slot + unit * tiles - begin;
        it->tile = lls_max_u32(it->tile, begin + part * j->tiles_per_item);
        it->tile_end = lls_min_u32(it->tile_end, begin + (part + 1) * j->tiles_per_item);
    }
    return true;
}

/* ---- Work ----------------------------------------------------------------------------------- */

static void clear_total(const lls_attend_job_t *j, uint32_t rows, float *total)
{
    for (uint32_t m = 0; m < lls_align_up(rows, LLS_ATTEND_ALIGN); m++) {
        total[m] = -INFINITY;
        lls_attend_sum(total, rows)[m] = 0.0f;
    }
    memset(lls_attend_o(total, rows), 0, (size_t)rows * j->kv.padded_dim * sizeof *total);
}

static void store(const lls_attend_job_t *j, const lls_attend_item_t *it, float *total)
{
    uint32_t     rows = it->n_tokens * j->group, d = j->kv.head_dim;
    const float *sum = lls_attend_sum(total, rows), *o = lls_attend_o(total, rows);

    for (uint32_t m = 0; m < rows; m++, o += j->kv.padded_dim) {
        uint32_t token = j->batch->row_start[it->row] + it->token + m / j->group;
        float   *out = lls_row_f32(j->out, token);
        j->k->scale(out + (size_t)(it->head * j->group + m % j->group) * d, o, 1.0f / sum[m], d);
    }
}

static float *slot_of(const lls_attend_job_t *j, const lls_attend_item_t *it, uint32_t tile)
{
    return j->slots + (it->slot + tile) * j->slot_floats;
}

static void merge_slots(const lls_attend_job_t *j, const lls_attend_item_t *it, float *total)
{
    uint32_t begin, end, rows = it->n_tokens * j->group;

    tiles_of(j, it->row, it->token, it->n_tokens, &begin, &end);
    clear_total(j, rows, total);
    for (uint32_t t = begin; t < end; t++)
        j->k->merge(&j->kv, rows, total, slot_of(j, it, t));
    store(j, it, total);
}

/* What one thread does; done once for each thread that may come.  Its memory: the total, then what
 * the kernels want.  The next item is taken before the last tile of this one, which may fetch ahead
 * for it. */
static void work(void *arg, uint32_t item, uint32_t ith)
{
    lls_attend_job_t *j = arg;
    lls_attend_item_t it, after;
    float            *total = (float *)(j->work + ith * j->work_bytes);
    void             *own = total + j->total_floats;
    bool              split = j->tiles_per_item != 0, more = lls_attend_take(j, &it);

    while (more) {
        uint32_t rows = it.n_tokens * j->group;
        bool     taken = false;
        j->k->load(j, own, &it);
        clear_total(j, rows, total);
        for (uint32_t t = it.tile; t < it.tile_end; t++) {
            float *to = split ? slot_of(j, &it, t) : total;
            if (t + 1 == it.tile_end) {
                more = lls_attend_take(j, &after);
                taken = true;
            }
            if (split)
                clear_total(j, rows, to);
            j->k->tile(j, own, &it, t, taken && more ? &after : NULL, to);
        }
        if (!split)
            store(j, &it, total);
        else if (atomic_fetch_sub_explicit(&j->left[it.unit], 1, memory_order_acq_rel) == 1)
            merge_slots(j, &it, total);
        if (!taken)
            more = lls_attend_take(j, &after);
        it = after;
    }
}

/* ---- The op --------------------------------------------------------------------------------- */

/* Scratch: spans, counters, each thread's memory, slots.  Only upper bounds of the batch count
 * here, so that what was planned is enough for every batch within them. */
static size_t lay_out_scratch(lls_attend_job_t *j, uint8_t *at)
{
    uint32_t most = lls_max_u32(LLS_ATTEND_ROWS, j->group), units = UNITS_PER_THREAD * j->n_threads;
    uint64_t slots = (uint64_t)units * lls_ceil_div(j->batch->max_context, LLS_ATTEND_TILE);
    size_t   spans = lls_align_up((j->batch->n_rows + 1) * sizeof *j->spans, 64);
    size_t   left = lls_align_up(units * sizeof *j->left, 64);

    j->total_floats = lls_align_up(lls_attend_part_floats(&j->kv, most), LLS_ATTEND_ALIGN);
    j->work_bytes = j->total_floats * sizeof(float) + j->k->work_bytes(&j->kv, most);
    j->slot_floats = lls_align_up(lls_attend_part_floats(&j->kv,
                                                         lls_max_u32(FEW_ROWS, j->group)),
                                  LLS_ATTEND_ALIGN);
    if (at != NULL) {
        j->spans = (lls_attend_span_t *)at;
        j->left = (_Atomic uint32_t *)(at + spans);
        j->work = at + spans + left;
        j->slots = (float *)(j->work + j->n_threads * j->work_bytes);
    }
    slots = j->n_threads == 1 ? 0 : lls_min_u64(slots, MAX_SLOTS);
    return spans + left + j->n_threads * j->work_bytes + slots * j->slot_floats * sizeof(float);
}

static lls_attend_job_t job_of(const lls_exec_t *x, lls_out_t out, lls_in_t qkv,
                               const lls_batch_t *batch, const lls_pages_t *pages,
                               const lls_attend_t *a)
{
    const lls_cpu_t *cpu = lls_cpu_of(x);
    lls_attend_job_t j = { .q = qkv, .out = out, .batch = batch, .pages = pages,
                           .table = batch->table[a->group], .stride = batch->max_blocks[a->group],
                           .n_q = a->n_q, .n_kv = a->n_kv, .group = a->n_q / a->n_kv,
                           .mask = { .kind = (uint8_t)a->kind, .window = a->window },
                           .kv = lls_kv_layout(pages->dtype, pages->block_tokens, a->head_dim),
                           .n_threads = lls_pool_n(cpu->pool) };

    j.q_scale = a->softcap == 0.0f ? a->scale * LLS_LOG2E : a->scale / a->softcap;
    j.cap = a->softcap * LLS_LOG2E;
    j.k = lls_attend_kernels(cpu->isa, &j.kv);
    return j;
}

void lls_cpu_attend(lls_exec_t *x, lls_out_t out, lls_in_t qkv, const lls_batch_t *batch,
                    const lls_pages_t *pages, const lls_attend_t *a)
{
    lls_attend_job_t j = job_of(x, out, qkv, batch, pages, a);
    uint64_t         cost = (uint64_t)batch->n_tokens * batch->max_context * a->n_q * a->head_dim;
    uint8_t         *scratch;

    lls_assert(a->n_q % a->n_kv == 0 && a->kind != LLS_KV_STATE);
    scratch = lls_scratch(x, lay_out_scratch(&j, NULL));
    if (x->planning || batch->n_rows == 0)
        return;
    if (cost < WORTH_A_FORK)
        j.n_threads = 1;
    lay_out_scratch(&j, scratch);
    lls_attend_cut(&j);
    lls_pool_run(lls_cpu_of(x)->pool, j.n_threads, work, &j);
}
