/* SPDX-License-Identifier: Apache-2.0 */
#include "model/config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What changes results where it is not understood, and the number that means "not used"; true
 * stands for 1, and null, false and empty never mean anything. */
static const struct { const char *key; double neutral; } must_understand[] = {
    { "quantization_config", 0 },       { "rope_scaling", 0 },
    { "rope_parameters", 0 },           { "layer_types", 0 },
    { "sliding_window", 0 },            { "attn_logit_softcapping", 0 },
    { "final_logit_softcapping", 0 },   { "query_pre_attn_scalar", 0 },
    { "num_local_experts", 0 },         { "num_experts", 0 },
    { "n_routed_experts", 0 },          { "shared_expert_intermediate_size", 0 },
    { "n_shared_experts", 0 },          { "kv_lora_rank", 0 },
    { "attention_bias", 0 },            { "qkv_bias", 0 },
    { "mlp_bias", 0 },                  { "partial_rotary_factor", 1 },
    { "rotary_pct", 1 },                { "rope_local_base_freq", 0 },
    { "embedding_multiplier", 1 },      { "residual_multiplier", 1 },
    { "attention_multiplier", 0 },      { "logits_scaling", 1 },
    { "logit_scale", 1 },               { "scale_emb", 1 },
    { "scale_depth", 1 },               { "dim_model_base", 0 },
    { "alibi", 0 },                     { "parallel_attn", 0 },
    { "use_parallel_residual", 0 },     { "qk_layernorm", 0 },
    { "use_qk_norm", 0 },               { "no_rope_layers", 0 },
    { "attention_chunk_size", 0 },      { "use_bidirectional_attention", 0 },
    { "scale_attn_by_inverse_layer_idx", 0 }, { "add_cross_attention", 0 },
    { "is_encoder_decoder", 0 },        { "text_config", 0 },
    { "vision_config", 0 },             { "audio_config", 0 },
    { "num_nextn_predict_layers", 0 },
    { "layer_norm_elementwise_affine", 1 }, { "rope_theta", 0 },
    { "per_layer_config", 0 },          { "clip_qkv", 0 },
    { "attention_out_bias", 0 },        { "attn_output_gate", 0 },
    { "hidden_size_per_layer_input", 0 },
    { "swiglu_limit", 0 },              { "mamba_d_state", 0 },
};

_Static_assert(LLS_ARRAY_LEN(must_understand) <= 64, "one bit a key in lls_config.read");

void lls_config_init(lls_config_t *c, const json_t *root, const char *file, llm_error_t *err)
{
    *c = (lls_config_t){ .at = root, .file = file, .model_type = "?", .err = err };
}

void lls_config_refuse(lls_config_t *c, llm_status_t status, const char *key, const json_t *value,
                       const char *why)
{
    char *text;

    if (c->status != LLM_OK)
        return;
    text = value == NULL
               ? NULL
               : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
    c->status = lls_fail(c->err, status, "%s: %s is %.60s%s; %s", c->file, key,
                         value == NULL ? "absent" : text == NULL ? "?" : text,
                         text != NULL && strlen(text) > 60 ? "..." : "", why);
    free(text);
}

static void note_read(lls_config_t *c, const char *key)
{
    for (uint32_t i = 0; i < LLS_ARRAY_LEN(must_understand); i++)
        if (strcmp(must_understand[i].key, key) == 0)
            c->read |= UINT64_C(1) << i;
}

/* The first alternative that is there; its name in key. */
static const json_t *find(lls_config_t *c, const char *keys, char key[64])
{
    const json_t *found = NULL, *v;
    char          name[64];

    for (const char *k = keys; *k != '\0';) {
        size_t len = strcspn(k, "|");

        lls_assert(len < sizeof name);
        snprintf(name, sizeof name, "%.*s", (int)len, k);
        note_read(c, name);
        v = json_object_get(c->at, name);
        if (found == NULL && v != NULL && !json_is_null(v)) {
            found = v;
            memcpy(key, name, sizeof name);
        }
        k += len + (k[len] == '|');
    }
    if (found == NULL)
        snprintf(key, 64, "%.*s", (int)strcspn(keys, "|"), keys);
    return found;
}

const json_t *lls_config_get(lls_config_t *c, const char *keys)
{
    char key[64];

    return find(c, keys, key);
}

uint32_t lls_config_u32(lls_config_t *c, const char *keys, uint32_t fallback, uint32_t min,
                        uint32_t max)
{
    char          key[64], why[80];
    const json_t *v = find(c, keys, key);

    if (c->status != LLM_OK || (v == NULL && fallback != LLS_NONE))
        return fallback;
    if (v != NULL && json_is_integer(v) && json_integer_value(v) >= min &&
        json_integer_value(v) <= max)
        return (uint32_t)json_integer_value(v);
    snprintf(why, sizeof why, "an integer from %u to %u is needed", min, max);
    lls_config_refuse(c, LLM_ERR_FORMAT, key, v, why);
    return fallback;
}

double lls_config_real(lls_config_t *c, const char *keys, double fallback, double min, double max)
{
    char          key[64], why[80];
    const json_t *v = find(c, keys, key);

    if (c->status != LLM_OK || v == NULL)
        return fallback;
    if (json_is_number(v) && json_number_value(v) >= min && json_number_value(v) <= max)
        return json_number_value(v);
    snprintf(why, sizeof why, "a number from %g to %g is needed", min, max);
    lls_config_refuse(c, LLM_ERR_FORMAT, key, v, why);
    return fallback;
}

bool lls_config_bool(lls_config_t *c, const char *keys, bool fallback)
{
    char          key[64];
    const json_t *v = find(c, keys, key);

    if (c->status != LLM_OK || v == NULL)
        return fallback;
    if (!json_is_boolean(v))
        lls_config_refuse(c, LLM_ERR_FORMAT, key, v, "true or false is needed");
    return json_is_true(v);
}

const char *lls_config_str(lls_config_t *c, const char *keys, const char *fallback)
{
    char          key[64];
    const json_t *v = find(c, keys, key);

    if (c->status != LLM_OK || (v == NULL && fallback != NULL))
        return fallback != NULL ? fallback : "";
    if (v != NULL && json_is_string(v))
        return json_string_value(v);
    lls_config_refuse(c, LLM_ERR_FORMAT, key, v, "a string is needed");
    return fallback != NULL ? fallback : "";
}

static bool is_neutral(const json_t *v, double neutral)
{
    switch (json_typeof(v)) {
    case JSON_NULL:
    case JSON_FALSE:  return true;
    case JSON_TRUE:   return neutral == 1;
    case JSON_INTEGER:
    case JSON_REAL:   return json_number_value(v) == neutral;
    case JSON_ARRAY:  return json_array_size(v) == 0;
    case JSON_OBJECT: return json_object_size(v) == 0;
    default:          return false;
    }
}

void lls_config_finish(lls_config_t *c, const json_t *root)
{
    char why[120];

    for (uint32_t i = 0; i < LLS_ARRAY_LEN(must_understand) && c->status == LLM_OK; i++) {
        const json_t *v = json_object_get(root, must_understand[i].key);

        if (v == NULL || (c->read >> i & 1) != 0 || is_neutral(v, must_understand[i].neutral))
            continue;
        snprintf(why, sizeof why, "models of type %.60s are not supported with it", c->model_type);
        lls_config_refuse(c, LLM_ERR_UNSUPPORTED, must_understand[i].key, v, why);
    }
}
