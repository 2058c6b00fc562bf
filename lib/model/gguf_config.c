/* SPDX-License-Identifier: Apache-2.0 */
#include "model/gguf_config.h"

#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "tensor/tensor.h"

typedef struct maker {
    const lls_gguf_t *gguf;
    const char       *file;
    char              arch[32];
    json_t           *out;
    bool              failed;       /* no memory */
} maker_t;

/* Owns value; a value that could not be made is a failure too. */
static void put(maker_t *m, json_t *object, const char *key, json_t *value)
{
    if (value == NULL || json_object_set_new(object, key, value) != 0)
        m->failed = true;
}

static void set(maker_t *m, const char *key, json_t *value) { put(m, m->out, key, value); }

static const char *path(const maker_t *m, const char *key, char text[128])
{
    bool own = strncmp(key, "tokenizer.", 10) != 0;

    snprintf(text, 128, "%s%s%s", own ? m->arch : "", own ? "." : "", key);
    return text;
}

/* ORDER config keys: metadata key below the architecture, config key. */
static const struct { const char *from, *to; } integers[] = {
    { "block_count", "num_hidden_layers" },
    { "context_length", "max_position_embeddings" },
    { "embedding_length", "hidden_size" },
    { "feed_forward_length", "intermediate_size" },
    { "expert_feed_forward_length", "moe_intermediate_size" },
    { "attention.head_count", "num_attention_heads" },
    { "attention.head_count_kv", "num_key_value_heads" },
    { "attention.key_length", "head_dim" },
    { "attention.sliding_window", "sliding_window" },
    { "expert_used_count", "num_experts_per_tok" },
    { "tokenizer.ggml.bos_token_id", "bos_token_id" },
    { "tokenizer.ggml.eos_token_id", "eos_token_id" },
};

static const struct { const char *from, *to; } reals[] = {
    { "attention.layer_norm_rms_epsilon", "rms_norm_eps" },
    { "attention.layer_norm_epsilon", "rms_norm_eps" },
    { "attn_logit_softcapping", "attn_logit_softcapping" },
    { "final_logit_softcapping", "final_logit_softcapping" },
};

static void copy_numbers(maker_t *m)
{
    char     key[128];
    uint64_t u;
    double   d;

    for (size_t i = 0; i < LLS_ARRAY_LEN(integers); i++)
        if (lls_gguf_get_u64(m->gguf, path(m, integers[i].from, key), &u))
            set(m, integers[i].to, json_integer((json_int_t)lls_min_u64(u, INT64_MAX)));
    for (size_t i = 0; i < LLS_ARRAY_LEN(reals); i++)
        if (lls_gguf_get_f64(m->gguf, path(m, reals[i].from, key), &d))
            set(m, reals[i].to, json_real(d));
}

static const lls_gguf_tensor_t *tensor(const maker_t *m, const char *name)
{
    for (uint64_t i = 0; i < lls_gguf_n_tensors(m->gguf); i++) {
        const lls_gguf_tensor_t *t = lls_gguf_tensor(m->gguf, i);

        if (t->name.len == strlen(name) && memcmp(t->name.text, name, t->name.len) == 0)
            return t;
    }
    return NULL;
}

/* ---- Ropes ---------------------------------------------------------------------------------- */

/* A tensor of float32 factors as a list, NULL if there is none. */
static json_t *factors(maker_t *m, const char *name)
{
    const lls_gguf_tensor_t *t = tensor(m, name);
    json_t                  *list;
    float                    f;

    if (t == NULL || t->ggml_type != 0 || t->bytes > 4 * 4096)
        return NULL;
    list = json_array();
    for (uint64_t i = 0; i < t->bytes / sizeof f && !m->failed; i++) {
        memcpy(&f, t->data + i * sizeof f, sizeof f);
        m->failed = json_array_append_new(list, json_real(f)) != 0;
    }
    m->failed |= list == NULL;
    return list;
}

static void copy_rope_scaling(maker_t *m, json_t *rope)
{
    char           key[128], type[16];
    lls_gguf_str_t text;
    uint64_t       u;
    double         d = 1;

    if (lls_gguf_get_str(m->gguf, path(m, "rope.scaling.type", key), &text)) {
        snprintf(type, sizeof type, "%.*s", (int)lls_min_u64(text.len, 15), text.text);
        put(m, rope, "rope_type",
            json_string_nocheck(strcmp(type, "none") == 0 ? "default" : type));
    }
    if (lls_gguf_get_f64(m->gguf, path(m, "rope.scaling.factor", key), &d))
        put(m, rope, "factor", json_real(d));
    if (lls_gguf_get_u64(m->gguf, path(m, "rope.scaling.original_context_length", key), &u))
        put(m, rope, "original_max_position_embeddings",
            json_integer((json_int_t)lls_min_u64(u, INT64_MAX)));
    if (lls_gguf_get_f64(m->gguf, path(m, "rope.scaling.attn_factor", key), &d))
        put(m, rope, "attention_factor", json_real(d));
}

/* Llama 3 keeps the outcome of its scaling as a divisor for each frequency, which is what longrope
 * does with equal lists; Phi-3 keeps both lists. */
static void copy_rope_factors(maker_t *m, json_t *rope)
{
    json_t *once = factors(m, "rope_freqs.weight");
    json_t *brief = factors(m, "rope_factors_short.weight"),
           *wide = factors(m, "rope_factors_long.weight");

    if (once != NULL) {
        put(m, rope, "rope_type", json_string("longrope"));
        put(m, rope, "attention_factor", json_real(1));
        put(m, rope, "short_factor", json_incref(once));
        put(m, rope, "long_factor", json_incref(once));
    } else if (brief != NULL && wide != NULL) {
        put(m, rope, "rope_type", json_string("longrope"));
        put(m, rope, "short_factor", json_incref(brief));
        put(m, rope, "long_factor", json_incref(wide));
    }
    json_decref(once);
    json_decref(brief);
    json_decref(wide);
}

static void copy_rope(maker_t *m)
{
    json_t  *rope = json_object();
    char     key[128];
    uint64_t dims = 0, head = 0, embed = 0, heads = 0;
    double   theta;

    if (rope == NULL) {
        m->failed = true;
        return;
    }
    if (lls_gguf_get_f64(m->gguf, path(m, "rope.freq_base", key), &theta))
        put(m, rope, "rope_theta", json_real(theta));
    lls_gguf_get_u64(m->gguf, path(m, "rope.dimension_count", key), &dims);
    lls_gguf_get_u64(m->gguf, path(m, "embedding_length", key), &embed);
    lls_gguf_get_u64(m->gguf, path(m, "attention.head_count", key), &heads);
    if (!lls_gguf_get_u64(m->gguf, path(m, "attention.key_length", key), &head) && heads != 0)
        head = embed / heads;
    if (dims != 0 && head != 0 && dims != head)
        put(m, rope, "partial_rotary_factor", json_real((double)dims / (double)head));
    copy_rope_scaling(m, rope);
    copy_rope_factors(m, rope);
    set(m, "rope_parameters", rope);
}

/* ---- Architectures -------------------------------------------------------------------------- */

static void llama(maker_t *m)
{
    uint64_t experts = 0;
    char     key[128];

    lls_gguf_get_u64(m->gguf, path(m, "expert_count", key), &experts);
    set(m, "model_type", json_string(experts != 0 ? "mixtral" : "llama"));
    if (experts != 0)
        set(m, "num_local_experts", json_integer((json_int_t)lls_min_u64(experts, INT64_MAX)));
    set(m, "attention_bias", json_boolean(tensor(m, "blk.0.attn_q.bias") != NULL));
    json_object_del(m->out, "sliding_window");
}

static void qwen2(maker_t *m) { set(m, "model_type", json_string("qwen2")); }

static void qwen3(maker_t *m) { set(m, "model_type", json_string("qwen3")); }

static void gpt2(maker_t *m) { set(m, "model_type", json_string("gpt2")); }

static void phi3(maker_t *m) { set(m, "model_type", json_string("phi3")); }

/* The scale of attention is not in the metadata: that of a head, but for the largest model. */
static void gemma2(maker_t *m)
{
    json_int_t layers = json_integer_value(json_object_get(m->out, "num_hidden_layers"));
    json_int_t hidden = json_integer_value(json_object_get(m->out, "hidden_size"));
    json_int_t heads = json_integer_value(json_object_get(m->out, "num_attention_heads"));
    json_int_t head_dim = json_integer_value(json_object_get(m->out, "head_dim"));

    set(m, "model_type", json_string("gemma2"));
    if (layers == 46 && heads > 0)
        head_dim = hidden / heads;
    if (head_dim > 0)
        set(m, "query_pre_attn_scalar", json_integer(head_dim));
}

static const struct { const char *name; void (*fill)(maker_t *); } architectures[] = {
    { "llama", llama }, { "qwen2", qwen2 },   { "qwen3", qwen3 },
    { "gpt2", gpt2 },   { "gemma2", gemma2 }, { "phi3", phi3 },
};

static llm_status_t fill(maker_t *m, llm_error_t *err)
{
    lls_gguf_str_t           arch = { "", 0 };
    const lls_gguf_tensor_t *embed = tensor(m, "token_embd.weight");

    lls_gguf_get_str(m->gguf, "general.architecture", &arch);
    snprintf(m->arch, sizeof m->arch, "%.*s", (int)lls_min_u64(arch.len, sizeof m->arch - 1),
             arch.text);
    for (size_t i = 0; i < LLS_ARRAY_LEN(architectures); i++) {
        if (strcmp(m->arch, architectures[i].name) != 0)
            continue;
        copy_numbers(m);
        copy_rope(m);
        if (embed != NULL && embed->n_dims == 2)
            set(m, "vocab_size", json_integer((json_int_t)lls_min_u64(embed->shape[1], INT64_MAX)));
        set(m, "tie_word_embeddings", json_boolean(tensor(m, "output.weight") == NULL));
        architectures[i].fill(m);
        return LLM_OK;
    }
    return lls_fail(
        err, LLM_ERR_UNSUPPORTED,
        "%s: architecture \"%s\" is not supported in GGUF; known are llama, qwen2, qwen3, "
        "gpt2, gemma2, phi3",
        m->file, m->arch);
}

llm_status_t lls_gguf_config(const lls_gguf_t *gguf, const char *file, json_t **out,
                             llm_error_t *err)
{
    maker_t      m = { .gguf = gguf, .file = file, .out = json_object() };
    llm_status_t st;

    *out = NULL;
    st = m.out != NULL ? fill(&m, err) : LLM_OK;
    if (st == LLM_OK && (m.out == NULL || m.failed))
        st = lls_fail(err, LLM_ERR_NO_MEMORY, "%s: no memory for the metadata", file);
    if (st == LLM_OK)
        *out = m.out;
    else
        json_decref(m.out);
    return st;
}
