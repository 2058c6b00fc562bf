/* SPDX-License-Identifier: Apache-2.0 */
#include "model/rope.h"

#include <math.h>
#include <string.h>

#define PI 3.14159265358979323846

typedef struct rope {               /* one computation of a table */
    lls_config_t         *c;
    const json_t         *params;
    const lls_rope_ask_t *ask;
    const char           *type;
    double                base, factor, attention;      /* attention < 0: by the rule of the type */
    uint32_t              dim, original;
    float                *inv_freq;
} rope_t;

static const char *type_of(lls_config_t *c, const json_t *params)
{
    const json_t *was = c->at;
    const char   *type = "default";

    if (params != NULL) {
        c->at = params;
        type = lls_config_str(c, "rope_type|type", "default");
        c->at = was;
    }
    return strcmp(type, "su") == 0 ? "longrope" : type;
}

/* A number of params, or else of the config itself, as older checkpoints have it. */
static double real_of(rope_t *r, const char *key, double fallback, double min, double max)
{
    const json_t *was = r->c->at;
    double        v = lls_config_real(r->c, key, fallback, min, max);

    if (r->params != NULL) {
        r->c->at = r->params;
        v = lls_config_real(r->c, key, v, min, max);
        r->c->at = was;
    }
    return v;
}

/* A number that only params may have. */
static double param(rope_t *r, const char *key, double fallback, double min, double max)
{
    const json_t *was = r->c->at;
    double        v;

    r->c->at = r->params;
    v = lls_config_real(r->c, key, fallback, min, max);
    r->c->at = was;
    return v;
}

static double plain(const rope_t *r, uint32_t i) { return pow(r->base, -2.0 * i / r->dim); }

static void fill_linear(rope_t *r)
{
    for (uint32_t i = 0; i < r->dim / 2; i++)
        r->inv_freq[i] = (float)(plain(r, i) / r->factor);
}

static void fill_dynamic(rope_t *r)
{
    uint32_t max = r->ask->max_positions, len = lls_max_u32(r->ask->max_model_len, max);

    if (r->dim > 2)
        r->base *= pow(r->factor * len / max - (r->factor - 1), (double)r->dim / (r->dim - 2));
    r->factor = 1;
    fill_linear(r);
}

static double mscale(double scale, double m) { return scale <= 1 ? 1 : 0.1 * m * log(scale) + 1; }

/* The dimension that turns n times within the original context. */
static double yarn_dim(const rope_t *r, double n)
{
    return r->dim * log(r->original / (n * 2 * PI)) / (2 * log(r->base));
}

static void fill_yarn(rope_t *r)
{
    double fast = param(r, "beta_fast", 32, 1e-3, 1e6), slow = param(r, "beta_slow", 1, 1e-3, 1e6);
    double m = param(r, "mscale", 0, 0, 1e3), m_all = param(r, "mscale_all_dim", 0, 0, 1e3);
    double low = yarn_dim(r, fast), high = yarn_dim(r, slow);
    const json_t *truncate = json_object_get(r->params, "truncate");

    if (!json_is_false(truncate)) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(low, 0);
    high = fmin(high, r->dim - 1);
    if (low == high)
        high += 0.001;
    for (uint32_t i = 0; i < r->dim / 2; i++) {
        double ramp = fmin(fmax((i - low) / (high - low), 0), 1), f = plain(r, i);

        r->inv_freq[i] = (float)(f / r->factor * ramp + f * (1 - ramp));
    }
    if (r->attention < 0)
        r->attention = m != 0 && m_all != 0 ? mscale(r->factor, m) / mscale(r->factor, m_all)
                                            : mscale(r->factor, 1);
}

static void fill_llama3(rope_t *r)
{
    double low = param(r, "low_freq_factor", 1, 1e-3, 1e6);
    double high = param(r, "high_freq_factor", 4, 1e-3, 1e6);

    if (low == high) {
        lls_config_refuse(r->c, LLM_ERR_FORMAT, "low_freq_factor",
                          json_object_get(r->params, "low_freq_factor"),
                          "it must differ from high_freq_factor");
        return;
    }
    for (uint32_t i = 0; i < r->dim / 2; i++) {
        double f = plain(r, i), turns = r->original * f / (2 * PI);
        double smooth = fmin(fmax((turns - low) / (high - low), 0), 1);

        r->inv_freq[i] = (float)((1 - smooth) * f / r->factor + smooth * f);
    }
}

static void fill_longrope(rope_t *r)
{
    const char   *key = r->ask->max_model_len > r->original ? "long_factor" : "short_factor";
    const json_t *factors = json_object_get(r->params, key);

    if (json_array_size(factors) != r->dim / 2) {
        lls_config_refuse(r->c, LLM_ERR_FORMAT, key, factors,
                          "a list of one factor for each pair of rotated dimensions is needed");
        return;
    }
    for (uint32_t i = 0; i < r->dim / 2; i++) {
        double f = json_number_value(json_array_get(factors, i));

        if (!(f > 0)) {
            lls_config_refuse(r->c, LLM_ERR_FORMAT, key, factors, "factors must be above 0");
            return;
        }
        r->inv_freq[i] = (float)(plain(r, i) / f);
    }
    if (r->attention < 0)
        r->attention = r->factor <= 1 || r->original < 2
                           ? 1
                           : sqrt(1 + log(r->factor) / log(r->original));
}

/* Keys common to the scaled types; the type's name is checked here. */
static void read_scaling(rope_t *r)
{
    bool     is_longrope = strcmp(r->type, "longrope") == 0;
    uint32_t max = r->ask->max_positions;
    double   ratio;

    r->original = (uint32_t)real_of(r, "original_max_position_embeddings", max, 1, 1u << 30);
    ratio = (double)max / r->original;
    if (!is_longrope && strcmp(r->type, "yarn") != 0 &&
        json_object_get(r->params, "factor") == NULL)
        lls_config_refuse(r->c, LLM_ERR_FORMAT, "factor", NULL, "this rope_type needs it");
    r->factor = param(r, "factor", ratio, 1e-3, 1e6);
    r->attention = param(r, "attention_factor", -1, -1, 1e6);
}

static void fill(rope_t *r)
{
    static const struct { const char *type; void (*fill)(rope_t *); } types[] = {
        { "linear", fill_linear },  { "dynamic", fill_dynamic },   { "yarn", fill_yarn },
        { "llama3", fill_llama3 },  { "longrope", fill_longrope },
    };

    r->factor = 1;
    r->attention = 1;
    if (strcmp(r->type, "default") == 0) {
        fill_linear(r);
        return;
    }
    for (uint32_t i = 0; i < LLS_ARRAY_LEN(types); i++)
        if (strcmp(r->type, types[i].type) == 0) {
            read_scaling(r);
            if (r->c->status == LLM_OK)
                types[i].fill(r);
            return;
        }
    lls_config_refuse(r->c, LLM_ERR_UNSUPPORTED, "rope_type",
                      json_object_get(r->params, json_object_get(r->params, "rope_type") != NULL
                                                     ? "rope_type" : "type"),
                      "default, linear, dynamic, yarn, llama3 and longrope are known");
}

void lls_rope_read(lls_config_t *c, lls_mem_t *mem, const json_t *params, const lls_rope_ask_t *ask,
                   lls_rope_traits_t *out)
{
    rope_t r = { .c = c, .params = params, .ask = ask };
    double partial;

    r.type = type_of(c, params);
    if (ask->yarn_is_longrope && strcmp(r.type, "yarn") == 0)
        r.type = "longrope";
    r.base = real_of(&r, "rope_theta", ask->theta, 1.001, 1e12);
    partial = real_of(&r, "partial_rotary_factor", 1, 1e-3, 1);
    r.dim = (uint32_t)(ask->head_dim * partial);
    if (c->status == LLM_OK && (r.dim < 2 || r.dim % 2 != 0))
        c->status =
            lls_fail(c->err, LLM_ERR_FORMAT,
                     "%s: %u of %u dimensions of a head are rotated; an even number is needed",
                     c->file, r.dim, ask->head_dim);
    if (c->status != LLM_OK)
        return;
    r.inv_freq = lls_calloc(mem, r.dim / 2, sizeof *r.inv_freq);
    *out = (lls_rope_traits_t){ .rot_dim = r.dim, .inv_freq = r.inv_freq };
    if (r.inv_freq == NULL) {
        c->status = lls_fail(c->err, LLM_ERR_NO_MEMORY, "rotary frequencies");
        return;
    }
    fill(&r);
    out->factor = r.attention < 0 ? 1.0f : (float)r.attention;
}

uint32_t lls_rope_context(lls_config_t *c, const json_t *params, uint32_t max_positions)
{
    rope_t      r = { .c = c, .params = params };
    const char *type = type_of(c, params);
    double      n = max_positions;

    if (strcmp(type, "linear") != 0 && strcmp(type, "dynamic") != 0 && strcmp(type, "yarn") != 0)
        return max_positions;
    if (strcmp(type, "yarn") == 0)
        n = real_of(&r, "original_max_position_embeddings", max_positions, 1, 1u << 30);
    return (uint32_t)fmin(n * param(&r, "factor", 1, 1e-3, 1e6), 1u << 30);
}
