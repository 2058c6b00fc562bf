/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include <math.h>
#include <stdio.h>

#include "model/traits.h"

#define LLAMA                                                                                      \
    "\"model_type\":\"llama\",\"hidden_size\":64,\"num_hidden_layers\":4,\"num_attention_heads\":" \
    "4,"                                                                                           \
    "\"num_key_value_heads\":2,\"intermediate_size\":96,\"vocab_size\":128,"                       \
    "\"max_position_embeddings\":512"
#define OF(type)                                                                                   \
    "\"model_type\":\"" type "\",\"hidden_size\":64,\"num_hidden_layers\":6,"                      \
    "\"num_attention_heads\":4,\"intermediate_size\":96,\"vocab_size\":128,"                       \
    "\"max_position_embeddings\":512"

static lls_mem_t mem;

static llm_status_t read_with(const char *text, uint32_t max_len, lls_traits_t *t, llm_error_t *err)
{
    json_t      *config;
    llm_status_t st = lls_json_parse("test", text, strlen(text), &config, err);

    assert_int_equal(st, LLM_OK);
    st = lls_traits_read(&mem, config, "config.json", max_len, t, err);
    json_decref(config);
    return st;
}

static lls_traits_t traits_of(const char *text, uint32_t max_len)
{
    lls_traits_t t;
    llm_error_t  err = { 0 };

    if (read_with(text, max_len, &t, &err) != LLM_OK)
        fail_msg("%s: %s", text, err.message);
    return t;
}

/* The config is refused, and the message has each of the words. */
static void refused(const char *text, llm_status_t status, const char *word, const char *word2)
{
    lls_traits_t t;
    llm_error_t  err = { 0 };
    llm_status_t st = read_with(text, 0, &t, &err);

    if (st != status || strstr(err.message, word) == NULL || strstr(err.message, word2) == NULL)
        fail_msg("%s: status %d, %s", text, st, err.message);
    assert_null(t.layers);
    assert_int_equal(atomic_load(&mem.held), 0);
}

static void old_and_new_names_say_the_same(void **state)
{
    lls_traits_t a =
        traits_of("{" LLAMA ",\"torch_dtype\":\"bfloat16\",\"rope_theta\":5e5,\"rope_scaling\":"
                  "{\"type\":\"linear\",\"factor\":4}}",
                  0);
    lls_traits_t b =
        traits_of("{" LLAMA ",\"dtype\":\"bfloat16\",\"rope_scaling\":null,\"rope_parameters\":"
                  "{\"rope_type\":\"linear\",\"factor\":4.0,\"rope_theta\":500000}}",
                  0);

    assert_string_equal(a.dtype, "bfloat16");
    assert_string_equal(b.dtype, "bfloat16");
    assert_int_equal(a.rope[0].rot_dim, 16);
    assert_memory_equal(a.rope[0].inv_freq, b.rope[0].inv_freq, 8 * sizeof(float));
    assert_float_equal(a.rope[0].inv_freq[1], pow(5e5, -2.0 / 16) / 4, 1e-9);
    assert_int_equal(a.max_positions, 2048);
    assert_int_equal(b.max_positions, 2048);
    assert_int_equal(a.n_groups, 1);
    lls_traits_deinit(&mem, &a);
    lls_traits_deinit(&mem, &b);
}

static void windows_form_groups(void **state)
{
    lls_traits_t t = traits_of("{" OF("gemma2") ",\"sliding_window\":40}", 0);

    assert_int_equal(t.n_groups, 2);
    assert_int_equal(t.groups[0].kind, LLS_KV_SLIDING);
    assert_int_equal(t.groups[0].window, 40);
    assert_int_equal(t.groups[1].kind, LLS_KV_FULL);
    assert_int_equal(t.layers[3].group, 1);
    assert_int_equal(t.place, LLS_PLACE_SANDWICH);
    assert_float_equal(t.attn_softcap, 50, 0);
    assert_float_equal(t.embed_scale, 8, 0);
    lls_traits_deinit(&mem, &t);

    t = traits_of("{" OF("gemma3_text") ",\"rope_local_base_freq\":20000}", 0);
    assert_int_equal(t.n_rope_tables, 2);
    assert_int_equal(t.groups[0].n_layers, 5);
    assert_int_equal(t.layers[5].window, 0);
    assert_int_equal(t.layers[5].rope_table, 0);
    assert_int_equal(t.layers[0].rope_table, 1);
    assert_float_equal(t.rope[0].inv_freq[1], pow(1e6, -2.0 / 256), 1e-6);
    assert_float_equal(t.rope[1].inv_freq[1], pow(2e4, -2.0 / 256), 1e-6);
    lls_traits_deinit(&mem, &t);

    t = traits_of("{" OF("qwen2") ",\"sliding_window\":32,\"use_sliding_window\":false}", 0);
    assert_int_equal(t.n_groups, 1);
    assert_int_equal(t.groups[0].kind, LLS_KV_FULL);
    lls_traits_deinit(&mem, &t);

    t = traits_of("{" OF("qwen2") ",\"sliding_window\":32,\"use_sliding_window\":true,"
                  "\"max_window_layers\":4}", 0);
    assert_int_equal(t.groups[0].n_layers, 4);
    assert_int_equal(t.groups[1].window, 32);
    lls_traits_deinit(&mem, &t);

    t = traits_of("{" OF("mistral") ",\"sliding_window\":null}", 0);
    assert_int_equal(t.groups[0].kind, LLS_KV_FULL);
    lls_traits_deinit(&mem, &t);
}

static void layer_types_win(void **state)
{
    lls_traits_t t = traits_of("{" OF("gemma3_text") ",\"sliding_window\":8,\"layer_types\":["
                               "\"full_attention\",\"full_attention\",\"full_attention\","
                               "\"sliding_attention\",\"full_attention\",\"full_attention\"]}", 0);

    assert_int_equal(t.groups[0].n_layers, 5);
    assert_int_equal(t.layers[3].window, 8);
    lls_traits_deinit(&mem, &t);
    refused("{" OF("qwen3") ",\"layer_types\":[\"full_attention\"]}", LLM_ERR_FORMAT, "layer_types",
            "each");
    refused("{" OF("qwen3") ",\"layer_types\":[\"linear_attention\",1,2,3,4,5]}",
            LLM_ERR_UNSUPPORTED, "layer_types", "linear_attention");
}

/* Which table a long rope takes is decided by max_model_len, never by a prompt. */
static void ropes_of_length_are_decided_once(void **state)
{
    const char *phi = "{" OF(
        "phi3") ",\"original_max_position_embeddings\":128,\"rope_scaling\":{\"type\":"
                "\"su\",\"short_factor\":[1,1,1,1,1,1,1,1],\"long_factor\":[2,2,2,2,2,2,2,2]}}";
    const char  *dynamic = "{" LLAMA ",\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":2.0}}";
    lls_traits_t t = traits_of(phi, 128);

    assert_float_equal(t.rope[0].inv_freq[0], 1, 0);
    assert_float_equal(t.rope[0].factor, sqrt(1 + log(4) / log(128)), 1e-6);
    lls_traits_deinit(&mem, &t);
    t = traits_of(phi, 129);
    assert_float_equal(t.rope[0].inv_freq[0], 0.5, 0);
    lls_traits_deinit(&mem, &t);
    t = traits_of(phi, 0);
    assert_float_equal(t.rope[0].inv_freq[0], 0.5, 0);
    assert_int_equal(t.max_positions, 512);
    lls_traits_deinit(&mem, &t);
    t = traits_of(dynamic, 512);
    assert_float_equal(t.rope[0].inv_freq[1], pow(1e4, -1.0 / 8), 1e-7);
    lls_traits_deinit(&mem, &t);
    t = traits_of(dynamic, 1024);
    assert_float_equal(t.rope[0].inv_freq[1], pow(1e4 * pow(3, 16.0 / 14), -1.0 / 8), 1e-7);
    lls_traits_deinit(&mem, &t);
}

static void ends_are_read(void **state)
{
    lls_traits_t t = traits_of(
        "{" OF("opt") ",\"ffn_dim\":80,\"do_layer_norm_before\":false,"
                      "\"word_embed_proj_dim\":32,\"eos_token_id\":[2,7,900],\"bos_token_id\":1}",
        0);

    assert_int_equal(t.place, LLS_PLACE_POST);
    assert_int_equal(t.final_norm, 0);
    assert_int_equal(t.embed_dim, 32);
    assert_int_equal(t.n_positions, 514);
    assert_int_equal(t.n_eos_ids, 2);
    assert_int_equal(t.eos_ids[1], 7);
    assert_int_equal(t.bos_id, 1);
    lls_traits_deinit(&mem, &t);

    t = traits_of(
        "{\"model_type\":\"gpt2\",\"n_embd\":60,\"n_head\":3,\"n_layer\":2,\"n_positions\":64,"
        "\"vocab_size\":99,\"n_inner\":null}",
        64);
    assert_int_equal(t.intermediate, 240);
    assert_int_equal(t.head_dim, 20);
    assert_int_equal(t.act, LLS_ACT_GELU_TANH);
    assert_int_equal(t.tied, 1);
    lls_traits_deinit(&mem, &t);
}

static void experts_are_read(void **state)
{
    lls_traits_t t = traits_of("{" OF("qwen3_moe") ",\"num_experts\":8,\"num_experts_per_tok\":2,"
                               "\"moe_intermediate_size\":16,\"decoder_sparse_step\":2,"
                               "\"mlp_only_layers\":[3],\"norm_topk_prob\":true}", 0);

    assert_int_equal(t.layers[0].ffn, LLS_FFN_GLU);
    assert_int_equal(t.layers[1].ffn, LLS_FFN_MOE);
    assert_int_equal(t.layers[3].ffn, LLS_FFN_GLU);
    assert_int_equal(t.route.n_experts, 8);
    assert_true(t.route.renorm);
    lls_traits_deinit(&mem, &t);
    refused("{" OF("mixtral") ",\"num_local_experts\":2,\"num_experts_per_tok\":3}", LLM_ERR_FORMAT,
            "num_experts_per_tok", "3");
    refused("{" OF("mixtral") "}", LLM_ERR_FORMAT, "num_local_experts", "absent");
}

static void what_is_not_understood_is_named(void **state)
{
    refused("[1]", LLM_ERR_FORMAT, "not a JSON object", "config.json");
    refused("{}", LLM_ERR_FORMAT, "model_type", "absent");
    refused("{\"model_type\":\"lama\"}", LLM_ERR_UNSUPPORTED, "lama", "qwen3_moe");
    refused("{\"model_type\":7}", LLM_ERR_FORMAT, "model_type is 7", "string");
    refused("{" LLAMA ",\"quantization_config\":{\"quant_method\":\"awq\"}}", LLM_ERR_UNSUPPORTED,
            "quantization_config", "awq");
    refused("{" LLAMA ",\"num_experts\":8}", LLM_ERR_UNSUPPORTED, "num_experts is 8", "llama");
    refused("{" LLAMA ",\"residual_multiplier\":0.5}", LLM_ERR_UNSUPPORTED, "residual_multiplier",
            "0.5");
    refused("{" LLAMA ",\"hidden_act\":\"relu2\"}", LLM_ERR_UNSUPPORTED, "relu2", "silu");
    refused("{" LLAMA ",\"rope_scaling\":{\"type\":\"mrope\",\"factor\":2}}", LLM_ERR_UNSUPPORTED,
            "mrope", "llama3");
    refused("{" OF("gpt2") ",\"scale_attn_by_inverse_layer_idx\":true}", LLM_ERR_UNSUPPORTED,
            "scale_attn_by_inverse_layer_idx", "gpt2");
    refused("{" OF("mistral") ",\"attention_bias\":true}", LLM_ERR_UNSUPPORTED, "attention_bias",
            "true");
}

static void hostile_numbers_are_refused(void **state)
{
    static const char *const keys[] = { "hidden_size", "num_hidden_layers", "num_attention_heads",
                                        "num_key_value_heads", "vocab_size", "intermediate_size",
                                        "max_position_embeddings", "head_dim" };
    static const char *const values[] = {
        "-1",   "0",  "64.5", "\"64\"",     "9223372036854775807", "1e300",
        "[64]", "{}", "true", "4294967295", "4294967360"};
    char text[512];

    for (size_t k = 0; k < LLS_ARRAY_LEN(keys); k++)
        for (size_t v = 0; v < LLS_ARRAY_LEN(values); v++) {
            snprintf(text, sizeof text, "{" LLAMA ",\"%s\":%s}", keys[k], values[v]);
            refused(text, LLM_ERR_FORMAT, keys[k], "integer");
        }
    refused("{" LLAMA ",\"num_attention_heads\":5}", LLM_ERR_FORMAT, "64", "5");
    refused("{" LLAMA ",\"num_key_value_heads\":3}", LLM_ERR_FORMAT, "4", "3");
    refused("{" LLAMA ",\"head_dim\":1}", LLM_ERR_FORMAT, "1 dimensions", "heads");
    refused("{" LLAMA ",\"head_dim\":7}", LLM_ERR_FORMAT, "7", "even");
    refused("{" OF("opt") ",\"ffn_dim\":80,\"hidden_size\":28,\"word_embed_proj_dim\":28}",
            LLM_ERR_FORMAT, "7 dimensions", "even");
    refused("{" LLAMA ",\"head_dim\":4096,\"num_attention_heads\":16384,\"num_key_value_heads\":1}",
            LLM_ERR_FORMAT, "16384", "range");
    refused("{" LLAMA ",\"rms_norm_eps\":-1}", LLM_ERR_FORMAT, "rms_norm_eps", "-1");
    refused("{" LLAMA ",\"rope_theta\":0}", LLM_ERR_FORMAT, "rope_theta", "0");
    refused("{" LLAMA ",\"rope_scaling\":[1]}", LLM_ERR_FORMAT, "rope_parameters", "object");
    refused("{" LLAMA ",\"rope_scaling\":{\"type\":\"linear\"}}", LLM_ERR_FORMAT, "factor",
            "absent");
    refused("{" LLAMA ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":0}}", LLM_ERR_FORMAT,
            "factor", "0");
    refused("{" LLAMA ",\"rope_scaling\":{\"type\":\"llama3\",\"factor\":8,\"low_freq_factor\":2,"
            "\"high_freq_factor\":2}}", LLM_ERR_FORMAT, "low_freq_factor", "differ");
    refused(
        "{" OF(
            "phi3") ",\"rope_scaling\":{\"type\":\"longrope\",\"short_factor\":[1],\"long_factor\":"
                    "[1]}}",
        LLM_ERR_FORMAT, "short_factor", "list");
    refused("{" OF("phi3") ",\"partial_rotary_factor\":0.1}", LLM_ERR_FORMAT, "1 of 16", "even");
    refused("{" LLAMA ",\"tie_word_embeddings\":1}", LLM_ERR_FORMAT, "tie_word_embeddings",
            "true or false");
}

static void positions_of_a_table_are_the_limit(void **state)
{
    lls_traits_t t;
    llm_error_t  err;

    assert_int_equal(read_with("{" OF("gpt2") "}", 513, &t, &err), LLM_ERR_INVALID);
    assert_string_equal(err.param, "max-model-len");
    assert_non_null(strstr(err.message, "512 learned positions"));
}

static void no_memory_is_told_and_nothing_stays(void **state)
{
    const char  *text = "{" OF("gemma3_text") "}";
    llm_status_t st = LLM_ERR_NO_MEMORY;

    for (uint64_t n = 1; st == LLM_ERR_NO_MEMORY; n++) {
        test_alloc_t    a = { .fail_at = n };
        llm_allocator_t hook = test_allocator(&a);
        lls_mem_t       own;
        lls_traits_t    t;
        llm_error_t     err;
        json_t         *config;

        lls_mem_init(&own, &hook);
        assert_int_equal(lls_json_parse("test", text, strlen(text), &config, &err), LLM_OK);
        st = lls_traits_read(&own, config, "config.json", 0, &t, &err);
        json_decref(config);
        lls_traits_deinit(&own, &t);
        assert_int_equal(a.live_bytes, 0);
        assert_true(n < 20);
    }
    assert_int_equal(st, LLM_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(old_and_new_names_say_the_same),
        cmocka_unit_test(windows_form_groups),
        cmocka_unit_test(layer_types_win),
        cmocka_unit_test(ropes_of_length_are_decided_once),
        cmocka_unit_test(ends_are_read),
        cmocka_unit_test(experts_are_read),
        cmocka_unit_test(what_is_not_understood_is_named),
        cmocka_unit_test(hostile_numbers_are_refused),
        cmocka_unit_test(positions_of_a_table_are_the_limit),
        cmocka_unit_test(no_memory_is_told_and_nothing_stays),
    };

    lls_mem_init(&mem, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
