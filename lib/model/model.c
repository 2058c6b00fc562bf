/* SPDX-License-Identifier: Apache-2.0 */
#include "model/model.h"

#include <math.h>
#include <string.h>

#include "model/gguf_config.h"
#include "model/model_int.h"

#define MAX_CONFIG_BYTES (16u << 20)

/* ---- Config --------------------------------------------------------------------------------- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL || slash[1] == '\0' ? path : slash + 1;
}

static llm_status_t load_config(lls_model_t *m, const lls_model_options_t *o, json_t **out,
                                llm_error_t *err)
{
    char        *path;
    llm_status_t st;

    if (lls_weights_gguf(m->weights) != NULL)
        return lls_gguf_config(lls_weights_gguf(m->weights), base_name(o->path), out, err);
    *out = NULL;
    path = lls_path_join(m->mem, o->path, "config.json");
    if (path == NULL)
        return lls_fail(err, LLM_ERR_NO_MEMORY, "path of config.json");
    st = lls_json_load(m->mem, path, MAX_CONFIG_BYTES, out, err);
    lls_free(m->mem, path);
    return st;
}

/* Keys of hf-overrides replace keys of the config. */
static llm_status_t override_config(json_t *config, const char *text, llm_error_t *err)
{
    json_t      *overrides;
    llm_status_t st;

    if (text == NULL || text[0] == '\0')
        return LLM_OK;
    st = lls_json_parse("hf-overrides", text, strlen(text), &overrides, err);
    if (st != LLM_OK)
        return st;
    if (!json_is_object(overrides))
        st = lls_fail_param(err, LLM_ERR_INVALID, "hf-overrides",
                            "hf-overrides is not a JSON object");
    else if (json_is_object(config) && json_object_update(config, overrides) != 0)
        st = lls_fail(err, LLM_ERR_NO_MEMORY, "config with hf-overrides");
    json_decref(overrides);
    return st;
}

static llm_status_t read_traits(lls_model_t *m, const lls_model_options_t *o, llm_error_t *err)
{
    bool         gguf = lls_weights_gguf(m->weights) != NULL;
    json_t      *config;
    llm_status_t st = load_config(m, o, &config, err);

    if (st == LLM_OK)
        st = override_config(config, o->hf_overrides, err);
    if (st == LLM_OK)
        st = lls_traits_read(m->mem, config, gguf ? base_name(o->path) : "config.json",
                             o->max_model_len, &m->traits, err);
    json_decref(config);
    return st;
}

/* ---- Element type --------------------------------------------------------------------------- */

static bool dtype_of(const char *name, uint32_t *dtype)
{
    static const struct { const char *name; uint32_t dtype; } names[] = {
        { "float32", LLS_F32 }, { "float", LLS_F32 },     { "float16", LLS_F16 },
        { "half", LLS_F16 },    { "bfloat16", LLS_BF16 },
    };

    for (uint32_t i = 0; i < LLS_ARRAY_LEN(names); i++)
        if (strcmp(name, names[i].name) == 0) {
            *dtype = names[i].dtype;
            return true;
        }
    return false;
}

/* What the config says, else the type of most bytes; beside quantised matrices the rest is
 * bfloat16. */
static uint32_t dtype_of_checkpoint(const lls_model_t *m)
{
    uint64_t bytes[LLS_N_SCHEMES] = { 0 }, most = 0;
    uint32_t dtype = LLS_BF16;

    if (lls_weights_gguf(m->weights) == NULL && dtype_of(m->traits.dtype, &dtype))
        return dtype;
    for (uint32_t i = 0; i < lls_weights_n(m->weights); i++)
        bytes[lls_weights_at(m->weights, i)->scheme] += lls_weights_at(m->weights, i)->bytes;
    for (uint32_t s = 0; s < LLS_N_SCHEMES; s++)
        if (bytes[s] > most) {
            most = bytes[s];
            dtype = s == LLS_W_F32 ? LLS_F32 : s == LLS_W_F16 ? LLS_F16 : LLS_BF16;
        }
    return dtype;
}

static llm_status_t choose_dtype(lls_model_t *m, const char *name, llm_error_t *err)
{
    if (name == NULL || name[0] == '\0' || strcmp(name, "auto") == 0)
        m->dtype = dtype_of_checkpoint(m);
    else if (!dtype_of(name, &m->dtype))
        return lls_fail_param(err, LLM_ERR_INVALID, "dtype",
                              "dtype is \"%.40s\"; use auto, float32, bfloat16 or float16", name);
    /* transformers keeps the scale of the embedding in the dtype of the model */
    if (m->dtype == LLS_BF16)
        m->traits.embed_scale = lls_bf16_to_f32(lls_f32_to_bf16(m->traits.embed_scale));
    else if (m->dtype == LLS_F16)
        m->traits.embed_scale = lls_f16_to_f32(lls_f32_to_f16(m->traits.embed_scale));
    return LLM_OK;
}

/* ---- Quantisation ---------------------------------------------------------------------------- */

static llm_status_t choose_quant(lls_model_t *m, const char *name, llm_error_t *err)
{
    /* ORDER quant */
    static const char *const names[] = { "none", "int8", "int4", "int4_g128" };

    for (uint32_t i = 0; name != NULL && i < LLS_ARRAY_LEN(names); i++)
        if (strcmp(name, names[i]) == 0) {
            m->quant = i;
            return LLM_OK;
        }
    if (name == NULL)
        return LLM_OK;
    return lls_fail_param(err, LLM_ERR_INVALID, "quantization",
                          "quantization is \"%.40s\"; use none, int8, int4 or int4_g128", name);
}

/* ---- Life ----------------------------------------------------------------------------------- */

static llm_status_t open_parts(lls_model_t *m, const lls_model_options_t *o, llm_error_t *err)
{
    const char  *format = o->load_format != NULL ? o->load_format : "auto";
    llm_status_t st = lls_weights_open(m->mem, o->path, format, &m->weights, err);

    if (st == LLM_OK)
        st = read_traits(m, o, err);
    if (st == LLM_OK)
        st = choose_dtype(m, o->dtype, err);
    if (st == LLM_OK)
        st = choose_quant(m, o->quantization, err);
    if (st == LLM_OK)
        st = lls_model_bind(m, err);
    return st;
}

llm_status_t lls_model_open(lls_mem_t *mem, const lls_log_t *log,
                            const lls_model_options_t *options, lls_model_t **out, llm_error_t *err)
{
    lls_model_t *m = lls_zalloc(mem, sizeof *m);
    llm_status_t st;

    *out = NULL;
    if (m == NULL)
        return lls_fail(err, LLM_ERR_NO_MEMORY, "model");
    m->mem = mem;
    m->log = log;
    m->cache_dir = options->weights_cache_dir;
    st = open_parts(m, options, err);
    if (st == LLM_OK)
        *out = m;
    else
        lls_model_close(m);
    return st;
}

void lls_model_close(lls_model_t *m)
{
    if (m == NULL)
        return;
    lls_bind_deinit(m->mem, &m->bind);
    lls_free(m->mem, m->layers);
    lls_traits_deinit(m->mem, &m->traits);
    lls_weights_close(m->weights);
    lls_free(m->mem, m);
}

const lls_traits_t *lls_model_traits(const lls_model_t *m) { return &m->traits; }
uint32_t            lls_model_dtype(const lls_model_t *m) { return m->dtype; }

/* ---- Cache ---------------------------------------------------------------------------------- */

static uint64_t layer_page_bytes(const lls_model_t *m, const lls_ops_t *ops, uint32_t kv_dtype,
                                 uint32_t block_tokens)
{
    return lls_align_up(ops->page_bytes(kv_dtype, block_tokens, m->traits.n_kv, m->traits.head_dim),
                        64);
}

uint64_t lls_model_block_bytes(const lls_model_t *m, const lls_ops_t *ops, uint32_t group,
                               uint32_t kv_dtype, uint32_t block_tokens)
{
    lls_assert(group < m->traits.n_groups);
    return m->traits.groups[group].n_layers * layer_page_bytes(m, ops, kv_dtype, block_tokens);
}

void lls_model_bind_pages(lls_model_t *m, const lls_ops_t *ops, uint32_t group, uint8_t *base,
                          uint64_t block_bytes, uint32_t kv_dtype, uint32_t block_tokens)
{
    uint64_t page = layer_page_bytes(m, ops, kv_dtype, block_tokens), at = 0;

    lls_assert(block_bytes >= lls_model_block_bytes(m, ops, group, kv_dtype, block_tokens));
    for (uint32_t i = 0; i < m->traits.n_layers; i++) {
        lls_layer_t *l = &m->layers[i];

        if (l->traits.group != group)
            continue;
        l->pages = (lls_pages_t){ .base = base == NULL ? NULL : base + at,
                                  .block_bytes = block_bytes, .dtype = kv_dtype,
                                  .block_tokens = block_tokens, .n_heads = m->traits.n_kv,
                                  .head_dim = m->traits.head_dim };
        at += page;
    }
}
