/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Truncate and draw.
 *
 * The token drawn is the one with the best score among those that are kept.  So nothing needs to be
 * cut off first: the winner of a race of all tokens is mostly kept, which one sum of the mass, or
 * count, above it tells.  If it is not, nothing below it is either, and the tokens above it race
 * again.
 */
#include "sample/sampler.h"

#include <math.h>

#include "base/philox.h"
#include "sample/sample_kernels.h"
#include "sample/sample_threshold.h"

/* The logits that so many groups' largest reach are tried first as candidates for top_p. */
#define TOP_P_GROUPS 256u
/* One block of so many is a sample of the row. */
#define SAMPLE_STEP 16u

/* Tokens that can still win: those of x >= low, of the whole row (id NULL) or of a list. */
typedef struct field {
    const float    *x;
    const uint32_t *id;
    uint32_t        n;
    float           low;
} field_t;

typedef struct bounds {
    double min, max;
} bounds_t;

/* Which tokens are kept: those of x >= floor with fewer than k larger logits, whose mass is less
 * than the part p of the mass from floor on. */
typedef struct rule {
    lls_sample_scale_t scale;
    float    floor;
    uint32_t k;                     /* LLS_NONE = any number */
    double   p;                     /* 1 = any mass */
    bool     has_total;             /* else the field holds all from floor on */
    bounds_t total;                 /* of the mass of the row from floor on */
} rule_t;

static uint32_t n_groups(const lls_sample_scratch_t *s) { return lls_sample_n_peaks(s->n_vocab); }

static bool is_truncated(const lls_sample_view_t *p)
{
    return p->temperature > 0 && (p->top_k > 0 || p->top_p < 1 || p->min_p > 0);
}

bool lls_sample_needs_truncate(const lls_sample_rows_t *rows)
{
    for (uint32_t i = 0; rows->dense && i < rows->n_rows; i++)
        if (is_truncated(&rows->row[i].params))
            return true;
    return false;
}

/* ---- Candidates ------------------------------------------------------------------------------ */

/* What at least n logits reach: just below the n-th largest of the groups' largest. */
static float reached_by(uint32_t n, const rule_t *r, const lls_sample_scratch_t *s)
{
    lls_sample_list_t groups = { .x = s->peaks, .n = n_groups(s) };

    return n <= groups.n ? lls_sample_near_threshold(&groups, n, &r->scale, s) : -INFINITY;
}

static field_t whole_row(const float *x, float low, const lls_sample_scratch_t *s)
{
    return (field_t){ .x = x, .n = s->n_vocab, .low = low };
}

/* Tokens from low on, as a list where they are few. */
static field_t field_from(const float *x, float low, const lls_sample_scratch_t *s)
{
    field_t f = whole_row(x, low, s);

    if (low == -INFINITY || s->k->count_from(s->peaks, n_groups(s), low) > n_groups(s) / 2)
        return f;
    f.n = s->k->gather(x, s->n_vocab, s->peaks, low, s->x, s->id);
    f.x = s->x;
    f.id = s->id;
    return f;
}

typedef void (*mass_fn)(const float *x, uint32_t n, const lls_sample_scale_t *s, float low,
                        float high, double sums[2]);

/* How sums of weights are made, the quick ways first. */
enum { QUICK, NEAR, EXACT };

static mass_fn mass_of(int grade, const lls_sample_kernels_t *k)
{
    return grade == QUICK ? k->mass_quick : grade == NEAR ? k->mass_about : k->mass;
}

static int quickest(const rule_t *r)
{
    return fabsf(r->scale.max) * r->scale.inv_t <= LLS_SAMPLE_QUICK_Y ? QUICK : NEAR;
}

/* What the exact sum is, with a part of `slack` for rounding of differences. */
static bounds_t bounds_of(double sum, int grade, double slack)
{
    static const double least[] = { LLS_SAMPLE_QUICK_MIN, LLS_SAMPLE_ABOUT_MIN, 1 };
    static const double most[] = { LLS_SAMPLE_QUICK_MAX, LLS_SAMPLE_ABOUT_MAX, 1 };

    return (bounds_t){ fmax(0, sum - slack) / most[grade], (sum + slack) / least[grade] };
}

/* Whether the part p of the mass is likely to be in the groups whose largest reach low: from these
 * and a sample of the blocks. */
static bool is_narrow(const float *x, float low, const rule_t *r, const lls_sample_scratch_t *s)
{
    mass_fn mass = mass_of(quickest(r), s->k);
    double  held[2], sums[2], rest = 0;

    mass(s->peaks, n_groups(s), &r->scale, low, low, held);
    for (uint32_t b = SAMPLE_STEP / 2; b < s->n_vocab / LLS_SAMPLE_BLOCK; b += SAMPLE_STEP) {
        mass(x + (size_t)b * LLS_SAMPLE_BLOCK, LLS_SAMPLE_BLOCK, &r->scale, r->floor, low, sums);
        rest += sums[0] - sums[1];
    }
    return held[0] >= 0.9 * r->p * (held[0] + rest * SAMPLE_STEP);
}

/* For top_p of a whole row: a short list where it surely holds all that are kept, and then
 * r->total; else the row. */
static field_t nucleus_field(const float *x, rule_t *r, const lls_sample_scratch_t *s)
{
    field_t row = whole_row(x, r->floor, s), f;
    float   low = reached_by(TOP_P_GROUPS, r, s);
    double   held[2], sums[2];
    bounds_t rest;

    if (low <= r->floor || !is_narrow(x, low, r, s))
        return row;
    f = field_from(x, low, s);
    if (f.id == NULL)
        return row;
    s->k->mass(f.x, f.n, &r->scale, low, low, held);
    mass_of(quickest(r), s->k)(x, s->n_vocab, &r->scale, r->floor, low, sums);
    rest = bounds_of(sums[0] - sums[1], quickest(r), 1e-4 * sums[0]);
    r->total = (bounds_t){ held[0] + rest.min, held[0] + rest.max };
    r->has_total = true;
    return held[0] < r->p * r->total.max ? row : f;
}

/* The rule of row, and a field that holds all tokens that are kept. */
static field_t field_of(const lls_sample_view_t *p, const float *x, float max, rule_t *r,
                        const lls_sample_scratch_t *s)
{
    field_t f;

    *r = (rule_t){ .scale = { .max = max, .inv_t = 1.0f / p->temperature }, .floor = -INFINITY,
                   .k = p->top_k > 0 ? p->top_k : LLS_NONE, .p = (double)p->top_p };
    if (p->min_p > 0)
        r->floor = lls_sample_floor(&r->scale, lls_sample_log(p->min_p));
    if (p->top_k == 0 && p->top_p < 1)
        return nucleus_field(x, r, s);
    f = field_from(x, p->top_k > 0 ? fmaxf(r->floor, reached_by(p->top_k, r, s)) : r->floor, s);
    if (p->top_k > 0 && p->top_p < 1) {     /* the mass of what top_k keeps must be known */
        lls_sample_list_t list = { .x = f.x, .n = f.n };
        r->floor = fmaxf(r->floor, lls_sample_threshold(&list, p->top_k, &r->scale, s));
        r->k = LLS_NONE;
        f.low = r->floor;
    }
    return f;
}

/* ---- The race -------------------------------------------------------------------------------- */

float lls_sample_noise(uint64_t seed, uint32_t position, uint32_t token)
{
    lls_philox_t r = lls_philox(seed, (lls_philox_t){ { position, token / 4, 0, 0 } });

    return lls_sample_noise_of(r.w[token % 4]);
}

static float peak_of_block(const float *peaks)
{
    float m = peaks[0];

    for (int i = 1; i < 16; i++)
        m = peaks[i] > m ? peaks[i] : m;
    return m;
}

/* The lowest id of the largest logit. */
static uint32_t top_token(const float *x, float max, const lls_sample_scratch_t *s)
{
    uint32_t b = 0, i;

    while (peak_of_block(s->peaks + (size_t)b * 16) < max)
        b++;
    for (i = b * LLS_SAMPLE_BLOCK; x[i] < max;)
        i++;
    return i;
}

/* The likeliest token first: many others then lose at once. */
static void race_row(const lls_sample_row_t *row, const rule_t *r, const field_t *f,
                     const lls_sample_scratch_t *s, lls_sample_best_t *best)
{
    uint32_t id = top_token(f->x, r->scale.max, s);

    *best = (lls_sample_best_t){ lls_sample_noise(row->params.seed, row->position, id),
                                 r->scale.max, id };
    s->k->race(f->x, f->n, s->peaks, f->low, &r->scale, row->params.seed, row->position, s->next,
               best);
}

static lls_sample_best_t race(const lls_sample_row_t *row, const rule_t *r, const field_t *f,
                              const lls_sample_scratch_t *s)
{
    lls_sample_best_t best = { .score = -INFINITY };

    if (f->id == NULL)
        race_row(row, r, f, s, &best);
    else
        s->k->race_list(f->x, f->id, f->n, f->low, &r->scale, row->params.seed, row->position,
                        &best);
    return best;
}

/* ---- Who is kept ----------------------------------------------------------------------------- */

/* 1 if the mass above v is less than p of all, 0 if not, -1 if sums of this grade cannot tell. */
static int try_nucleus(const rule_t *r, const field_t *f, const float *x, float v, int grade,
                       const lls_sample_scratch_t *s)
{
    int      f_grade = f->id != NULL ? EXACT : grade;
    double   sums[2];
    bounds_t above, total;

    mass_of(f_grade, s->k)(f->x, f->n, &r->scale, r->floor, lls_sample_above(v), sums);
    above = bounds_of(sums[1], f_grade, 0);
    total = bounds_of(sums[0], f_grade, 0);
    if (f->id != NULL && r->has_total)
        total = r->total;
    if (f->id != NULL && r->has_total && grade == EXACT) {
        s->k->mass(x, s->n_vocab, &r->scale, r->floor, r->floor, sums);
        total = bounds_of(sums[0], EXACT, 0);
    }
    if (above.max < r->p * total.min)
        return 1;
    return above.min >= r->p * total.max ? 0 : -1;
}

static bool is_kept(const rule_t *r, const field_t *f, const float *x, float v,
                    const lls_sample_scratch_t *s)
{
    int kept = -1;

    if (v == r->scale.max)
        return true;
    if (r->k != LLS_NONE && s->k->count_from(f->x, f->n, lls_sample_above(v)) >= r->k)
        return false;
    if (r->p >= 1)
        return true;
    for (int grade = quickest(r); kept < 0; grade++)
        kept = try_nucleus(r, f, x, v, grade, s);
    return kept == 1;
}

/* ---- Draw ------------------------------------------------------------------------------------ */

static int32_t draw_kept(const lls_sample_row_t *row, const lls_sample_view_t *params,
                         const float *x, float max, const lls_sample_scratch_t *s)
{
    rule_t            r;
    field_t           f = field_of(params, x, max, &r, s);
    lls_sample_best_t best = race(row, &r, &f, s);

    while (!is_kept(&r, &f, x, best.x, s)) {
        f.low = lls_sample_above(best.x);
        best = race(row, &r, &f, s);
    }
    return (int32_t)best.id;
}

/* Scratch with the row's peaks; false for a row of which nothing can be drawn. */
static bool find_peaks(const lls_sample_row_t *row, const float *x, bool is_whole,
                       lls_sample_scratch_t *s, float *max)
{
    if (row->peaks == NULL || !is_whole || lls_sample_row_changes(row))
        return s->k->scan(x, s->n_vocab, s->peaks, max) && *max > -INFINITY;
    s->peaks = row->peaks;
    *max = s->k->largest(s->peaks, n_groups(s));
    return *max < INFINITY && *max > -INFINITY;
}

int32_t lls_sample_row_draw(const lls_sample_row_t *row, const float *x, lls_sample_out_t *out,
                            const lls_sample_scratch_t *scratch)
{
    lls_sample_scratch_t s = *scratch;
    lls_sample_view_t    as_is = { .temperature = row->params.temperature, .top_p = 1 };
    bool                 is_whole = out->n_kept == LLS_NONE;
    float                max;

    if (!find_peaks(row, x, is_whole, &s, &max)) {
        out->status = LLS_ROW_NAN;
        return 0;
    }
    out->status = LLS_ROW_OK;
    if (row->params.temperature == 0)
        return (int32_t)top_token(x, max, &s);
    return draw_kept(row, is_whole ? &row->params : &as_is, x, max, &s);
}

/* ---- Truncate -------------------------------------------------------------------------------- */

/* The smallest logit that is kept. */
static float lowest_kept(const lls_sample_view_t *p, const float *x, float max,
                         const lls_sample_scratch_t *s)
{
    rule_t            r;
    field_t           f = field_of(p, x, max, &r, s);
    lls_sample_list_t list = { .x = f.x, .n = f.n };
    double            total[2];

    if (r.k != LLS_NONE)
        return fmaxf(r.floor, lls_sample_threshold(&list, r.k, &r.scale, s));
    if (r.p >= 1)
        return r.floor;
    s->k->mass(r.has_total ? x : f.x, r.has_total ? s->n_vocab : f.n, &r.scale, r.floor, r.floor,
               total);
    s->k->weigh(f.x, f.n, &r.scale, s->w);
    list.w = s->w;
    return fmaxf(r.floor, lls_sample_threshold(&list, r.p * total[0], &r.scale, s));
}

void lls_sample_row_truncate(const lls_sample_row_t *row, float *x, lls_sample_out_t *out,
                             const lls_sample_scratch_t *s)
{
    float max, low;

    *out = (lls_sample_out_t){ .status = LLS_ROW_OK, .n_kept = LLS_NONE };
    if (!is_truncated(&row->params))
        return;
    if (!s->k->scan(x, s->n_vocab, s->peaks, &max) || max == -INFINITY) {
        out->status = LLS_ROW_NAN;
        return;
    }
    low = lowest_kept(&row->params, x, max, s);
    out->n_kept = 0;
    for (uint32_t i = 0; i < s->n_vocab; i++) {
        out->n_kept += x[i] >= low && x[i] > -INFINITY;
        x[i] = x[i] >= low ? x[i] : -INFINITY;
    }
}
