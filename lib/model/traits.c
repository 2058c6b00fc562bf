/* SPDX-License-Identifier: Apache-2.0 */
#include "model/traits.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/family.h"
#include "model/rope.h"

#define MAX_WIDTH (1u << 24)

static uint8_t act_kind(lls_config_t *c, const char *fallback)
{
    static const struct { const char *name; uint8_t kind; } acts[] = {
        { "silu", LLS_ACT_SILU },          { "swish", LLS_ACT_SILU },
        { "gelu", LLS_ACT_GELU },          { "gelu_new", LLS_ACT_GELU_TANH },
        { "gelu_fast", LLS_ACT_GELU_TANH }, { "gelu_pytorch_tanh", LLS_ACT_GELU_TANH },
        { "relu", LLS_ACT_RELU },
    };
    const char *keys = "hidden_activation|hidden_act|activation_function";
    const char *name = lls_config_str(c, keys, fallback);

    for (uint32_t i = 0; i < LLS_ARRAY_LEN(acts); i++)
        if (strcmp(name, acts[i].name) == 0)
            return acts[i].kind;
    lls_config_refuse(c, LLM_ERR_UNSUPPORTED, "hidden_act", lls_config_get(c, keys),
                      "silu, gelu, gelu_new, gelu_pytorch_tanh and relu are known");
    return LLS_ACT_NONE;
}

static void must_divide(lls_config_t *c, const char *what, uint32_t n, uint32_t by)
{
    if (c->status == LLM_OK && by != 0 && n % by != 0)
        c->status = lls_fail(c->err, LLM_ERR_FORMAT, "%s: %s: %u is not a multiple of %u", c->file,
                             what, n, by);
}

static void read_sizes(lls_config_t *c, lls_traits_t *t)
{
    const lls_family_t *f = t->family;
    uint32_t            inner = f->position == LLS_POS_LEARNED ? 0 : LLS_NONE;

    t->hidden = lls_config_u32(c, "hidden_size|n_embd", LLS_NONE, 1, 1u << 20);
    t->n_layers = lls_config_u32(c, "num_hidden_layers|n_layer", LLS_NONE, 1, 4096);
    t->n_heads = lls_config_u32(c, "num_attention_heads|n_head", LLS_NONE, 1, 1u << 14);
    t->n_kv = lls_config_u32(c, "num_key_value_heads", t->n_heads, 1, 1u << 14);
    t->n_vocab = lls_config_u32(c, "vocab_size", LLS_NONE, 1, MAX_WIDTH);
    t->intermediate = lls_config_u32(c, "intermediate_size|n_inner|ffn_dim", inner, 1, MAX_WIDTH);
    t->max_positions =
        lls_config_u32(c, "max_position_embeddings|n_positions", LLS_NONE, 1, 1u << 30);
    t->head_dim = lls_config_u32(c, "head_dim", f->head_dim, 1, 4096);
    if (c->status != LLM_OK)
        return;
    if (t->intermediate == 0)
        t->intermediate = 4 * t->hidden;
    if (t->head_dim == 0) {
        must_divide(c, "hidden size over attention heads", t->hidden, t->n_heads);
        t->head_dim = t->hidden / t->n_heads;
    }
    must_divide(c, "attention heads over key-value heads", t->n_heads, t->n_kv);
    if (c->status == LLM_OK && (t->head_dim < 2 || t->head_dim > 4096 || t->head_dim % 2 != 0 ||
                                (uint64_t)t->n_heads * t->head_dim > MAX_WIDTH))
        c->status = lls_fail(c->err, LLM_ERR_FORMAT,
                             "%s: %u heads of %u dimensions: not even, or out of range", c->file,
                             t->n_heads, t->head_dim);
}

static void read_kinds(lls_config_t *c, lls_traits_t *t)
{
    const lls_family_t *f = t->family;

    t->place = f->place;
    t->norm = f->norm;
    t->qk_norm = f->qk_norm;
    t->position = f->position;
    t->bias_qkv = f->bias_qkv;
    t->bias_o = f->bias_o;
    t->bias_mlp = f->bias_mlp;
    t->final_norm = 1;
    t->embed_dim = t->hidden;
    t->embed_scale = 1;
    t->attn_scale = (float)(1 / sqrt(t->head_dim));
    t->act = act_kind(c, f->act);
    t->tied = lls_config_bool(c, "tie_word_embeddings", f->tied);
    t->norm_eps =
        (float)lls_config_real(c, "rms_norm_eps|layer_norm_epsilon|layer_norm_eps", f->eps, 0, 1);
}

/* ---- Windows and groups --------------------------------------------------------------------- */

static bool has_window(lls_config_t *c, const lls_traits_t *t, uint32_t layer)
{
    switch (t->family->window_rule) {
    case LLS_WINDOW_ALL:     return true;
    case LLS_WINDOW_FLAG:    return lls_config_bool(c, "use_sliding_window", false);
    case LLS_WINDOW_LATE:
        return lls_config_bool(c, "use_sliding_window", false) &&
               layer >= lls_config_u32(c, "max_window_layers", 28, 0, MAX_WIDTH);
    case LLS_WINDOW_EVEN:    return layer % 2 == 0;
    case LLS_WINDOW_PATTERN:
        return (layer + 1) % lls_config_u32(c, "sliding_window_pattern|_sliding_window_pattern", 6,
                                            1, MAX_WIDTH) !=
               0;
    default:                 return false;
    }
}

/* One entry of layer_types. */
static bool says_window(lls_config_t *c, const json_t *type)
{
    const char *name = json_is_string(type) ? json_string_value(type) : "";

    if (strcmp(name, "sliding_attention") == 0)
        return true;
    if (strcmp(name, "full_attention") != 0)
        lls_config_refuse(c, LLM_ERR_UNSUPPORTED, "layer_types", type,
                          "full_attention and sliding_attention are known");
    return false;
}

static void read_windows(lls_config_t *c, lls_traits_t *t)
{
    const json_t *types = lls_config_get(c, "layer_types");
    bool          off = json_is_null(json_object_get(c->at, "sliding_window"));
    uint32_t      window = off ? 0 : t->family->window;

    window = lls_config_u32(c, "sliding_window", window, 0, 1u << 30);
    if (types != NULL && json_array_size(types) != t->n_layers)
        lls_config_refuse(c, LLM_ERR_FORMAT, "layer_types", types,
                          "a list of one type for each layer is needed");
    for (uint32_t i = 0; i < t->n_layers && c->status == LLM_OK; i++) {
        bool slides =
            types != NULL ? says_window(c, json_array_get(types, i)) : has_window(c, t, i);

        t->layers[i].window = slides ? window : 0;
        if (slides && types != NULL && window == 0)
            lls_config_refuse(c, LLM_ERR_FORMAT, "sliding_window", NULL,
                              "layer_types has sliding_attention");
    }
}

/* Layers of one kind and window share a group, in order of their first layer. */
static void form_groups(lls_config_t *c, lls_traits_t *t)
{
    for (uint32_t i = 0, g; i < t->n_layers && c->status == LLM_OK; i++) {
        for (g = 0; g < t->n_groups && t->groups[g].window != t->layers[i].window; g++)
            ;
        if (g == LLS_MAX_GROUPS) {
            c->status = lls_fail(c->err, LLM_ERR_UNSUPPORTED, "%s: more than %d kinds of attention",
                                 c->file, LLS_MAX_GROUPS);
            return;
        }
        if (g == t->n_groups) {
            t->groups[g].window = t->layers[i].window;
            t->groups[g].kind = t->layers[i].window != 0 ? LLS_KV_SLIDING : LLS_KV_FULL;
            t->n_groups++;
        }
        t->groups[g].n_layers++;
        t->layers[i].group = (uint8_t)g;
    }
}

/* ---- Positions ------------------------------------------------------------------------------ */

/* Two tables where the config has one for each kind of layer, or a base of its own for windows. */
static void read_ropes(lls_config_t *c, lls_mem_t *mem, uint32_t max_model_len, lls_traits_t *t)
{
    const json_t  *params = lls_config_get(c, "rope_parameters|rope_scaling");
    const json_t  *full = params, *local = NULL, *was = c->at;
    lls_rope_ask_t ask = { t->head_dim, t->max_positions, max_model_len, t->family->theta,
                           t->family->yarn_is_longrope };
    bool           two = t->family->window_rule == LLS_WINDOW_PATTERN;

    if (params != NULL && !json_is_object(params))
        lls_config_refuse(c, LLM_ERR_FORMAT, "rope_parameters", params, "an object is needed");
    if (json_is_object(json_object_get(params, "full_attention"))) {
        full = json_object_get(params, "full_attention");
        local = json_object_get(params, "sliding_attention");
        local = json_is_object(local) ? local : NULL;
        two = true;
    }
    t->max_positions = lls_rope_context(c, full, t->max_positions);
    ask.max_model_len = max_model_len != 0 ? max_model_len : t->max_positions;
    t->n_rope_tables = two ? 2 : 1;
    lls_rope_read(c, mem, full, &ask, &t->rope[0]);
    if (!two || c->status != LLM_OK)
        return;
    ask.theta = lls_config_real(c, "rope_local_base_freq", 1e4, 1, 1e12);
    c->at = local;
    lls_rope_read(c, mem, local, &ask, &t->rope[1]);
    c->at = was;
    for (uint32_t i = 0; i < t->n_layers; i++)
        t->layers[i].rope_table = t->layers[i].window != 0;
}

static void read_positions(lls_config_t *c, lls_mem_t *mem, uint32_t max_model_len, lls_traits_t *t)
{
    if (t->position == LLS_POS_ROPE) {
        read_ropes(c, mem, max_model_len, t);
        return;
    }
    t->n_positions = t->max_positions + t->position_offset;
    if (c->status == LLM_OK && max_model_len > t->max_positions)
        c->status = lls_fail_param(c->err, LLM_ERR_INVALID, "max-model-len",
                                   "max-model-len is %u, but %s has %u learned positions",
                                   max_model_len, c->file, t->max_positions);
}

/* ---- Tokens, dtype -------------------------------------------------------------------------- */

static void add_eos(lls_traits_t *t, const json_t *id)
{
    if (json_is_integer(id) && json_integer_value(id) >= 0 && json_integer_value(id) < t->n_vocab &&
        t->n_eos_ids < LLS_ARRAY_LEN(t->eos_ids))
        t->eos_ids[t->n_eos_ids++] = (int32_t)json_integer_value(id);
}

static void read_tokens(lls_config_t *c, lls_traits_t *t)
{
    const json_t *eos = lls_config_get(c, "eos_token_id"), *bos = lls_config_get(c, "bos_token_id");

    t->bos_id = json_is_integer(bos) && json_integer_value(bos) >= 0 &&
                        json_integer_value(bos) < t->n_vocab
                    ? (int32_t)json_integer_value(bos) : -1;
    for (size_t i = 0; i < LLS_ARRAY_LEN(t->eos_ids); i++)
        t->eos_ids[i] = -1;
    add_eos(t, eos);
    for (size_t i = 0; i < json_array_size(eos); i++)
        add_eos(t, json_array_get(eos, i));
    snprintf(t->dtype, sizeof t->dtype, "%.15s", lls_config_str(c, "dtype|torch_dtype", ""));
}

/* ---- All together --------------------------------------------------------------------------- */

static void find_family(lls_config_t *c, lls_traits_t *t)
{
    char        known[256];
    const char *type = lls_config_str(c, "model_type", NULL);

    if (c->status != LLM_OK)
        return;
    t->family = lls_family_find(type);
    if (t->family == NULL) {
        c->status = lls_fail(c->err, LLM_ERR_UNSUPPORTED,
                             "%s: model_type %.60s is not supported; known are %s", c->file, type,
                             lls_family_list(known, sizeof known));
        return;
    }
    snprintf(t->model_type, sizeof t->model_type, "%s", type);
    c->model_type = t->family->model_type;
}

static void make_layers(lls_config_t *c, lls_mem_t *mem, lls_traits_t *t)
{
    t->layers = lls_calloc(mem, t->n_layers, sizeof *t->layers);
    if (t->layers == NULL) {
        c->status = lls_fail(c->err, LLM_ERR_NO_MEMORY, "traits of %u layers", t->n_layers);
        return;
    }
    for (uint32_t i = 0; i < t->n_layers; i++)
        t->layers[i].ffn = t->family->ffn;
}

llm_status_t lls_traits_read(lls_mem_t *mem, const json_t *config, const char *file,
                             uint32_t max_model_len, lls_traits_t *t, llm_error_t *err)
{
    lls_config_t c;

    memset(t, 0, sizeof *t);
    lls_config_init(&c, config, file, err);
    if (!json_is_object(config))
        return lls_fail(err, LLM_ERR_FORMAT, "%s: not a JSON object", file);
    find_family(&c, t);
    if (c.status == LLM_OK)
        read_sizes(&c, t);
    if (c.status == LLM_OK)
        make_layers(&c, mem, t);
    if (c.status == LLM_OK) {
        read_kinds(&c, t);
        read_windows(&c, t);
        if (t->family->fixup != NULL)
            t->family->fixup(&c, t);
        form_groups(&c, t);
        read_positions(&c, mem, max_model_len, t);
        read_tokens(&c, t);
        lls_config_finish(&c, config);
    }
    if (c.status != LLM_OK)
        lls_traits_deinit(mem, t);
    return c.status;
}

void lls_traits_deinit(lls_mem_t *mem, lls_traits_t *t)
{
    for (uint32_t i = 0; i < LLS_MAX_ROPE_TABLES; i++)
        lls_free(mem, t->rope[i].inv_freq);
    lls_free(mem, t->layers);
    memset(t, 0, sizeof *t);
}
