/* SPDX-License-Identifier: Apache-2.0 */
#include "sample/sampler.h"

#include <math.h>
#include <string.h>

#include "base/philox.h"
#include "sample/sample_kernels.h"
#include "sample/sample_threshold.h"

/* ---- Scratch -------------------------------------------------------------------------------- */

static size_t n_peaks(uint32_t n_vocab) { return (size_t)lls_sample_n_blocks(n_vocab) * 16; }

/* Rows of scratch begin at cache lines. */
static size_t span(size_t n, size_t size) { return lls_align_up(n * size, 64); }

size_t lls_sample_scratch_bytes(uint32_t n_vocab)
{
    return span(n_peaks(n_vocab), sizeof(float)) + span(LLS_SAMPLE_BUCKETS, sizeof(double)) +
           5 * span(n_vocab, sizeof(float));
}

void lls_sample_scratch_init(lls_sample_scratch_t *s, void *mem, uint32_t n_vocab,
                             const lls_sample_kernels_t *k)
{
    uint8_t *at = mem;

    s->k = k != NULL ? k : &lls_sample_kernels_plain;
    s->n_vocab = n_vocab;
    s->sums = (double *)at;
    at += span(LLS_SAMPLE_BUCKETS, sizeof(double));
    s->peaks = (float *)at;
    at += span(n_peaks(n_vocab), sizeof(float));
    s->x = (float *)at;
    at += span(n_vocab, sizeof(float));
    s->w = (float *)at;
    at += span(n_vocab, sizeof(float));
    s->id = (uint32_t *)at;
    at += span(n_vocab, sizeof(float));
    s->x2 = (float *)at;
    at += span(n_vocab, sizeof(float));
    s->w2 = (float *)at;
}

/* ---- Who needs what ------------------------------------------------------------------------- */

static bool is_constrained(const lls_sample_row_t *row)
{
    const lls_sample_view_t *p = &row->params;

    return p->n_allowed > 0 || p->n_bias > 0 ||
           (p->n_banned > 0 && row->n_tokens - row->n_prompt < p->min_tokens);
}

static bool is_truncated(const lls_sample_view_t *p)
{
    return p->temperature > 0 && (p->top_k > 0 || p->top_p < 1 || p->min_p > 0);
}

bool lls_sample_needs_penalise(const lls_sample_rows_t *rows)
{
    for (uint32_t i = 0; i < rows->n_rows; i++)
        if (is_constrained(&rows->row[i]) || lls_sample_wants_history(&rows->row[i].params))
            return true;
    return false;
}

bool lls_sample_needs_truncate(const lls_sample_rows_t *rows)
{
    for (uint32_t i = 0; i < rows->n_rows; i++)
        if (is_truncated(&rows->row[i].params))
            return true;
    return false;
}

/* ---- Constrain ------------------------------------------------------------------------------ */

static void keep_allowed(const lls_sample_view_t *p, float *x, lls_sample_scratch_t *s)
{
    for (uint32_t i = 0; i < p->n_allowed; i++)
        s->x[i] = x[p->allowed[i]];
    for (uint32_t i = 0; i < s->n_vocab; i++)
        x[i] = -INFINITY;
    for (uint32_t i = 0; i < p->n_allowed; i++)
        x[p->allowed[i]] = s->x[i];
}

void lls_sample_row_constrain(const lls_sample_row_t *row, float *x, lls_sample_scratch_t *s)
{
    const lls_sample_view_t *p = &row->params;

    lls_assert(p->n_allowed <= s->n_vocab);
    if (p->n_allowed > 0)
        keep_allowed(p, x, s);
    for (uint32_t i = 0; i < p->n_bias; i++)
        x[p->bias[i].token] += p->bias[i].bias;
    if (row->n_tokens - row->n_prompt < p->min_tokens)
        for (uint32_t i = 0; i < p->n_banned; i++)
            x[p->banned[i]] = -INFINITY;
}

/* ---- Penalise ------------------------------------------------------------------------------- */

#define IN_HISTORY 0x80000000u      /* above the count in the output */

static void penalise_token(const lls_sample_view_t *p, float *x, uint32_t seen)
{
    uint32_t count = seen & ~IN_HISTORY;

    if (p->repetition != 1)
        *x = *x > 0 ? *x / p->repetition : *x * p->repetition;
    *x -= p->frequency * (float)count;
    *x -= p->presence * (float)(count > 0);
}

/* Counts live in scratch that holds anything: three walks over the history clear, count, apply. */
static void penalise_history(const lls_sample_row_t *row, float *x, lls_sample_scratch_t *s)
{
    const lls_sample_view_t *p = &row->params;
    uint32_t                *seen = s->id;
    uint32_t                 first = p->repetition != 1 ? 0 : row->n_prompt;

    for (uint32_t i = first; i < row->n_tokens; i++)
        seen[row->tokens[i]] = 0;
    for (uint32_t i = first; i < row->n_tokens; i++)
        seen[row->tokens[i]] = (seen[row->tokens[i]] | IN_HISTORY) + (i >= row->n_prompt);
    for (uint32_t i = first; i < row->n_tokens; i++) {
        int32_t token = row->tokens[i];
        if (seen[token] != 0)
            penalise_token(p, &x[token], seen[token]);
        seen[token] = 0;
    }
}

/* The last token of a word is banned where the output ends with the tokens before it. */
static void ban_words(const lls_sample_row_t *row, float *x)
{
    const lls_sample_view_t *p = &row->params;
    const int32_t           *word = p->bad_tokens, *end = row->tokens + row->n_tokens;
    uint32_t                 n_out = row->n_tokens - row->n_prompt;

    for (uint32_t i = 0; i < p->n_bad; i++) {
        uint32_t before = p->bad_lens[i] - 1;
        if (before <= n_out && memcmp(end - before, word, before * sizeof *word) == 0)
            x[word[before]] = -INFINITY;
        word += before + 1;
    }
}

void lls_sample_row_penalise(const lls_sample_row_t *row, float *x, lls_sample_scratch_t *s)
{
    const lls_sample_view_t *p = &row->params;

    if (!lls_sample_wants_history(p))
        return;
    lls_assert(row->tokens != NULL && row->n_prompt <= row->n_tokens);
    if (p->repetition != 1 || p->frequency != 0 || p->presence != 0)
        penalise_history(row, x, s);
    if (p->n_bad > 0)
        ban_words(row, x);
    if (row->forced > 0)
        x[row->forced - 1] = LLS_SAMPLE_FORCED;
}

/* ---- Truncate ------------------------------------------------------------------------------- */

/* Of so many groups the largest logits are looked at first for top_p alone. */
#define TOP_P_GROUPS 256u
/* A longer list of survivors is left as a dense row, which is drawn from faster. */
#define MAX_COMPACT  4096u

static lls_sample_scale_t scale_of(const lls_sample_view_t *p, float max)
{
    return (lls_sample_scale_t){.max = max,
                                .inv_t = p->temperature > 0 ? 1.0f / p->temperature : 1.0f,
                                .y_min = p->min_p > 0 ? lls_sample_log(p->min_p) : -INFINITY};
}

/* A logit that at least n logits reach: the n-th largest of the groups' largest. */
static float reached_by(lls_sample_scratch_t *s, uint32_t n, const lls_sample_scale_t *scale)
{
    uint32_t n_groups = (uint32_t)n_peaks(s->n_vocab);
    lls_sample_list_t groups = { .x = s->peaks, .w = NULL, .n = n_groups };

    return n <= n_groups ? lls_sample_threshold(&groups, n, scale, s) : -INFINITY;
}

/* Drops what is below low; order is kept. */
static uint32_t keep_from(lls_sample_scratch_t *s, uint32_t n, float low)
{
    uint32_t m = 0;

    for (uint32_t i = 0; i < n; i++) {
        s->x[m] = s->x[i];
        s->id[m] = s->id[i];
        m += s->x[i] >= low;
    }
    return m;
}

static uint32_t keep_top_k(lls_sample_scratch_t *s, uint32_t n, uint32_t k,
                           const lls_sample_scale_t *scale)
{
    lls_sample_list_t list = { .x = s->x, .w = NULL, .n = n };

    return n <= k ? n : keep_from(s, n, lls_sample_threshold(&list, k, scale, s));
}

/* The candidates with mass `target` of a row whose candidates are in s->x, weights in s->w. */
static uint32_t keep_mass(lls_sample_scratch_t *s, uint32_t n, double target,
                          const lls_sample_scale_t *scale)
{
    lls_sample_list_t list = { .x = s->x, .w = s->w, .n = n };

    return keep_from(s, n, lls_sample_threshold(&list, target, scale, s));
}

static uint32_t candidates(const float *x, float low, const lls_sample_scale_t *scale,
                           lls_sample_scratch_t *s)
{
    return s->k->gather(x, s->n_vocab, s->peaks, low, scale, s->x, s->id);
}

/* A logit that everything with y >= y_min reaches, rounding included. */
static float floor_of(const lls_sample_scale_t *scale)
{
    return scale->y_min < -1e-3f ? scale->max + 1.001f * scale->y_min / scale->inv_t : -INFINITY;
}

/* top_p of the whole row (after min_p): mostly a few hundred candidates hold the mass. */
static uint32_t nucleus_of_row(const float *x, float top_p, const lls_sample_scale_t *scale,
                               lls_sample_scratch_t *s)
{
    double   target = (double)top_p * s->k->weigh(x, s->n_vocab, scale, NULL);
    float    low = reached_by(s, TOP_P_GROUPS, scale);
    uint32_t n = candidates(x, low, scale, s);

    if (s->k->weigh(s->x, n, scale, s->w) < target && low > -INFINITY) {
        n = candidates(x, floor_of(scale), scale, s);
        s->k->weigh(s->x, n, scale, s->w);
    }
    return keep_mass(s, n, target, scale);
}

static uint32_t survivors(const lls_sample_view_t *p, const float *x,
                          const lls_sample_scale_t *scale, lls_sample_scratch_t *s)
{
    uint32_t n;

    if (p->top_k == 0 && p->top_p < 1)
        return nucleus_of_row(x, p->top_p, scale, s);
    n = candidates(x, p->top_k > 0 ? reached_by(s, p->top_k, scale) : floor_of(scale), scale, s);
    if (p->top_k > 0)
        n = keep_top_k(s, n, p->top_k, scale);
    if (p->top_p < 1) {
        double mass = s->k->weigh(s->x, n, scale, s->w);
        n = keep_mass(s, n, (double)p->top_p * mass, scale);
    }
    return n;
}

/* Everything but the n survivors becomes -inf. */
static void write_dense(float *x, uint32_t n, const lls_sample_scratch_t *s)
{
    uint32_t at = 0;

    for (uint32_t i = 0; i < n; at = s->id[i++] + 1)
        for (; at < s->id[i]; at++)
            x[at] = -INFINITY;
    for (; at < s->n_vocab; at++)
        x[at] = -INFINITY;
}

void lls_sample_row_truncate(const lls_sample_row_t *row, float *x, bool dense,
                             lls_sample_out_t *out, lls_sample_scratch_t *s)
{
    lls_sample_scale_t scale;
    uint32_t           n;
    float              max;

    *out = (lls_sample_out_t){ .status = LLS_ROW_OK, .n_kept = LLS_NONE };
    if (!is_truncated(&row->params))
        return;
    if (!s->k->scan(x, s->n_vocab, s->peaks, &max) || max == -INFINITY) {
        out->status = LLS_ROW_NAN;
        return;
    }
    scale = scale_of(&row->params, max);
    n = survivors(&row->params, x, &scale, s);
    lls_assert(n >= 1);
    if (dense || n > MAX_COMPACT || n > s->n_vocab / 2) {
        write_dense(x, n, s);
        return;
    }
    memcpy(x, s->x, n * sizeof *x);
    memcpy(x + s->n_vocab - n, s->id, n * sizeof *x);
    out->n_kept = n;
}

bool lls_sample_row_is_usable(const float *x, uint32_t n)
{
    bool is_number = true, is_finite = false;

    for (uint32_t i = 0; i < n; i++) {
        is_number &= x[i] < INFINITY;       /* not NaN either */
        is_finite |= x[i] > -INFINITY;
    }
    return is_number && is_finite;
}

/* ---- Draw ----------------------------------------------------------------------------------- */

float lls_sample_noise(uint64_t seed, uint32_t position, uint32_t token)
{
    lls_philox_t r = lls_philox(seed, (lls_philox_t){ { position, token / 4, 0, 0 } });

    return lls_sample_noise_of(r.w[token % 4]);
}

static int32_t draw_compact(const lls_sample_row_t *row, const float *x, uint32_t n,
                            const lls_sample_scratch_t *s)
{
    lls_sample_best_t  best = { -INFINITY, 0 };
    lls_sample_scale_t scale;
    float              max = x[0];

    for (uint32_t i = 1; i < n; i++)
        max = x[i] > max ? x[i] : max;
    scale = scale_of(&row->params, max);
    for (uint32_t i = 0; i < n; i++) {
        float    y = (x[i] - scale.max) * scale.inv_t;
        uint32_t id;

        if (y + LLS_SAMPLE_NOISE_MAX < best.score)
            continue;
        memcpy(&id, &x[s->n_vocab - n + i], sizeof id);
        y += lls_sample_noise(row->params.seed, row->position, id);
        if (y > best.score)
            best = (lls_sample_best_t){ y, id };
    }
    return (int32_t)best.id;
}

static float peak_of_block(const float *peaks)
{
    float m = peaks[0];

    for (int i = 1; i < 16; i++)
        m = peaks[i] > m ? peaks[i] : m;
    return m;
}

/* The lowest id of the largest logit. */
static int32_t draw_greedy(const float *x, float max, const lls_sample_scratch_t *s)
{
    uint32_t b = 0, i;

    while (peak_of_block(s->peaks + (size_t)b * 16) < max)
        b++;
    for (i = b * LLS_SAMPLE_BLOCK; x[i] < max;)
        i++;
    return (int32_t)i;
}

/* The block of the largest logit first: blocks that cannot beat it are left out. */
static int32_t draw_dense(const lls_sample_row_t *row, const float *x, float max,
                          lls_sample_scratch_t *s)
{
    lls_sample_scale_t scale = scale_of(&row->params, max);
    lls_sample_best_t  best = { -INFINITY, 0 };
    uint32_t           n_blocks = lls_sample_n_blocks(s->n_vocab), top = 0;

    for (uint32_t b = 0; b < n_blocks; b++) {
        s->peaks[b] = peak_of_block(s->peaks + (size_t)b * 16);
        if (s->peaks[b] == max && s->peaks[top] < max)
            top = b;
    }
    for (uint32_t i = 0; i <= n_blocks; i++) {
        uint32_t b = i == 0 ? top : i - 1, first = b * LLS_SAMPLE_BLOCK;

        if ((i > 0 && b == top) ||
            (s->peaks[b] - max) * scale.inv_t + LLS_SAMPLE_NOISE_MAX < best.score ||
            s->peaks[b] == -INFINITY)
            continue;
        s->k->race(x, first, lls_min_u32(LLS_SAMPLE_BLOCK, s->n_vocab - first), s->peaks[b], &scale,
                   row->params.seed, row->position, &best);
    }
    return (int32_t)best.id;
}

int32_t lls_sample_row_draw(const lls_sample_row_t *row, const float *x, lls_sample_out_t *out,
                            lls_sample_scratch_t *s)
{
    float max;

    if (out->n_kept != LLS_NONE)
        return out->status == LLS_ROW_OK ? draw_compact(row, x, out->n_kept, s) : 0;
    if (!s->k->scan(x, s->n_vocab, s->peaks, &max) || max == -INFINITY) {
        out->status = LLS_ROW_NAN;
        return 0;
    }
    out->status = LLS_ROW_OK;
    return row->params.temperature == 0 ? draw_greedy(x, max, s) : draw_dense(row, x, max, s);
}
