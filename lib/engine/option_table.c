/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <string.h>

#include "engine/options_int.h"
#include "base/num.h"

#define INFO(scope, name, type, value, range, help)                                                \
    { sizeof(llm_option_info_t), scope, name, type, value, range, help }
#define E(name, type, value, range, help) INFO(LLM_SCOPE_ENGINE, name, type, value, range, help)
#define R(name, type, value, range, help) INFO(LLM_SCOPE_REQUEST, name, type, value, range, help)

#define AT_E(field) .offset = offsetof(lls_engine_options_t, field)
#define AT_R(field) .offset = offsetof(lls_request_options_t, field)
#define AT_S(field) .offset = offsetof(lls_request_options_t, sampling.field)
#define U32_MAX_TEXT "4294967295"

static const lls_option_def_t table[] = {
    /* ---- Engine: the typed fields of llm_engine_config_t ---- */
    {.info = E("model", "string", NULL, NULL, "model directory or .gguf file; required"),
     .put = LLS_PUT_STRING,
     AT_E(model)},
    {.info = E("tokenizer", "string", NULL, NULL,
               "directory, tokenizer.json or .gguf file; default: the model's"),
     .put = LLS_PUT_STRING,
     AT_E(tokenizer)},
    {.info = E("device", "string", "auto", NULL, "auto, cpu, or cuda:N in a build with CUDA"),
     .put = LLS_PUT_STRING,
     AT_E(device)},
    {.info = E("dtype", "auto|half|float16|bfloat16|float|float32", "auto", NULL,
               "type of weights and activations; auto: the checkpoint's"),
     .put = LLS_PUT_STRING,
     AT_E(dtype)},
    {.info = E("kv-cache-memory-bytes", "int", NULL, "[1, 9223372036854775807]",
               "exact size of the KV cache; default: by device"),
     .put = LLS_PUT_U64,
     AT_E(kv_cache_memory_bytes)},
    {.info = E("seed", "int", "0", "[0, 18446744073709551615]",
               "requests without a seed of their own take this plus their number"),
     .put = LLS_PUT_U64,
     AT_E(seed)},
    {.info = E("max-model-len", "int", NULL, "[1, 2147483647]",
               "context length in tokens; default, auto and -1: the model's"),
     .put = LLS_PUT_U32,
     AT_E(max_model_len),
     .special = "auto|-1"},
    {.info =
         E("max-num-seqs", "int", NULL, "[1, 65536]", "sequences in one step; default: by device"),
     .put = LLS_PUT_U32,
     AT_E(max_num_seqs)},
    {.info = E("max-num-batched-tokens", "int", NULL, "[1, 16777216]",
               "tokens in one step; default: by device"),
     .put = LLS_PUT_U32,
     AT_E(max_num_batched_tokens)},
    {.info = E("max-num-queued-reqs", "int", "16384", "[1, " U32_MAX_TEXT "]",
               "completions unfinished or not drained to their end; more are refused as busy"),
     .put = LLS_PUT_U32,
     AT_E(max_num_queued_reqs)},
    {.info = E("gpu-memory-utilization", "float", "0.92", "(0, 1]",
               "share of the device's memory that the engine may use"),
     .put = LLS_PUT_F32,
     AT_E(gpu_memory_utilization)},
    {.info = E("cpu-threads", "int", NULL, "[1, 4096]",
               "threads of the CPU backend, the one that steps included; default: CPUs of this "
               "process, by affinity and control group"),
     .put = LLS_PUT_U32,
     AT_E(n_threads)},

    /* ---- Engine: the rest ---- */
    {.info = E("block-size", "int", "32", "[1, 1024]", "tokens in a KV block; even on the CPU"),
     .put = LLS_PUT_U32,
     AT_E(block_size)},
    {.info = E("num-gpu-blocks-override", "int", NULL, "[1, " U32_MAX_TEXT "]",
               "exact number of KV blocks, on any device; default: by memory"),
     .put = LLS_PUT_U32,
     AT_E(num_gpu_blocks_override)},
    {.info = E("kv-cache-dtype", "auto|float16|bfloat16|float32|int8_per_token_head", "auto", NULL,
               "type of the KV cache; auto: float32 if dtype is, else bfloat16; "
               "int8_per_token_head: half the memory, less exact"),
     .put = LLS_PUT_STRING,
     AT_E(kv_cache_dtype),
     .later = "fp8|fp8_e4m3|fp8_e5m2|fp8_inc|fp8_ds_mla|nvfp4"},
    {.info = E("enable-prefix-caching", "bool", "true", NULL,
               "requests share the KV of equal beginnings"),
     .put = LLS_PUT_BOOL,
     AT_E(enable_prefix_caching)},
    {.info = E("enable-chunked-prefill", "bool", "true", NULL,
               "long prompts run in pieces beside other requests"),
     .put = LLS_PUT_BOOL,
     AT_E(enable_chunked_prefill)},
    {.info = E("long-prefill-token-threshold", "int", "0", "[0, 2147483647]",
               "at most so many tokens of one prompt in a step; 0: no limit"),
     .put = LLS_PUT_U32,
     AT_E(long_prefill_token_threshold)},
    {.info = E("scheduling-policy", "fcfs|priority", "fcfs", NULL,
               "order of waiting requests: arrival, or priority and then arrival"),
     .put = LLS_PUT_WORD_BOOL,
     AT_E(by_priority)},
    {.info = E("max-num-queued-tokens", "int", NULL, "[1, " U32_MAX_TEXT "]",
               "prompt tokens of requests in the queue or in prefill, n counts n; a request beyond "
               "is refused as busy unless it is the only one; none: no limit"),
     .put = LLS_PUT_U32,
     AT_E(max_num_queued_tokens),
     .special = "none|null"},
    {.info = E("deadline-admission", "bool", "false", NULL,
               "refuse as busy what its timeouts would end before its prompt has run, at the speed "
               "of the last 100 steps"),
     .put = LLS_PUT_BOOL,
     AT_E(deadline_admission)},
    {.info = E("stream-interval", "int", "1", "[1, " U32_MAX_TEXT "]",
               "least number of tokens a record, but the first and the last"),
     .put = LLS_PUT_U32,
     AT_E(stream_interval)},
    {.info = E("cpu-isa",
               "auto|plain|avx2|avxvnni|avx512|avx512bf16|amxint8|amx|neon|neondotprod|"
               "neoni8mm",
               "auto", NULL, "instruction set of the CPU kernels; amxint8 suits few streams: auto "
               "chooses it for max-num-seqs of at most 4"),
     .put = LLS_PUT_STRING,
     AT_E(cpu_isa)},
    {.info = E("cpu-affinity", "string", NULL, NULL,
               "CPUs as in 0-3,8: worker i keeps to number i of them, the thread that steps should "
               "keep to the first; sets cpu-threads; default: anywhere"),
     .put = LLS_PUT_STRING,
     AT_E(cpu_affinity)},
    {.info = E("huge-pages", "transparent|auto|explicit|off", "transparent", NULL,
               "pages of weights and KV cache, where not transparent of activations too; explicit: "
               "of those that the system has set aside in /proc/sys/vm/nr_hugepages, past the "
               "allocator, or an error; auto: these if there are enough, else transparent ones"),
     .put = LLS_PUT_STRING,
     AT_E(huge_pages)},
    {.info = E("load-format", "auto|safetensors|gguf|dummy", "auto", NULL,
               "how weights are stored; dummy: random ones from config.json alone"),
     .put = LLS_PUT_STRING,
     AT_E(load_format),
     .later = "hf|pt|npcache|mistral|sharded_state|tensorizer|runai_streamer|bitsandbytes"},
    {.info = E("weights-cache-dir", "string", NULL, NULL,
               "directory where packed weights are kept for the next start; default: none"),
     .put = LLS_PUT_STRING,
     AT_E(weights_cache_dir)},
    {.info = E("quantization", "none|int8|int4|int4_g128", "none", NULL,
               "integers for matrices of float32, float16 and bfloat16, made while loading: "
               "a scale for each 32 values, int8 (1.06 bytes a weight) or int4 (0.63), or for each "
               "128, int4_g128 (0.53, coarser: for large models; rows that 128 does not divide as "
               "int4); with int4 embedding and head as int8; norms and routers stay"),
     .put = LLS_PUT_STRING,
     AT_E(quantization),
     .later = "awq|auto_awq|awq_marlin|gptq|auto_gptq|gptq_marlin|fp8|fp8_per_tensor|fp8_per_block|"
              "compressed-tensors|modelopt|modelopt_fp4|mxfp4|mxfp8|nvfp4|torchao|quark|"
              "int8_per_channel_weight_only|bitsandbytes|gguf"},
    {.info = E("skip-tokenizer-init", "bool", "false", NULL, "token ids in and out, no text"),
     .put = LLS_PUT_BOOL,
     AT_E(skip_tokenizer_init)},
    {.info = E("served-model-name", "string", NULL, NULL, "name of the model; default: its path"),
     .put = LLS_PUT_STRING,
     AT_E(served_model_name)},
    {.info = E("max-logprobs", "int", "20", "[-1, 2147483647]",
               "most likeliest tokens that a request may ask for; -1: the vocabulary"),
     .put = LLS_PUT_I32,
     AT_E(max_logprobs)},
    {.info = E("logprobs-mode", "raw_logprobs|processed_logprobs|raw_logits|processed_logits",
               "raw_logprobs", NULL,
               "what logprobs are of: the model's logits, or those that tokens are drawn from"),
     .put = LLS_PUT_WORD_INDEX,
     AT_E(logprobs_mode)},
    {.info = E("reasoning-config", "json", NULL, NULL,
               "an object: reasoning_start_str and reasoning_end_str enclose thoughts; or "
               "reasoning_start_token_ids and reasoning_end_token_ids"),
     .put = LLS_PUT_STRING,
     AT_E(reasoning_config)},
    {.info = E("generation-config", "string", "auto", NULL,
               "auto: the model's generation_config.json; vllm: none; or a folder with one"),
     .put = LLS_PUT_STRING,
     AT_E(generation_config)},
    {.info = E("override-generation-config", "json", NULL, NULL,
               "an object laid over generation_config.json: temperature, top_p, top_k, min_p, "
               "repetition_penalty, max_new_tokens"),
     .put = LLS_PUT_STRING,
     AT_E(override_generation_config)},
    {.info = E("chat-template", "string", NULL, NULL,
               "a file with a Jinja template, or the template; default: the model's"),
     .put = LLS_PUT_STRING,
     AT_E(chat_template)},
    {.info = E("template-time", "int", "-1", "[-1, 253402300799]",
               "what strftime_now() in chat templates tells, in seconds since 1970 UTC; -1: the "
               "clock"),
     .put = LLS_PUT_I64,
     AT_E(template_time)},
    {.info = E("hf-overrides", "json", NULL, NULL, "an object laid over config.json"),
     .put = LLS_PUT_STRING,
     AT_E(hf_overrides)},

    /* ---- Engine: known, and only with their default ---- */
    {.info =
         E("tensor-parallel-size", "int", "1", "[1, 65536]", "ranks that share each matrix; 1")},
    {.info =
         E("pipeline-parallel-size", "int", "1", "[1, 65536]", "ranks that share the layers; 1")},
    {.info = E("data-parallel-size", "int", "1", "[1, 65536]", "replicas; 1")},
    {.info = E("tokenizer-mode", "auto|gguf", "auto", NULL,
               "gguf: only the tokenizer inside a .gguf file will do"),
     .put = LLS_PUT_STRING,
     AT_E(tokenizer_mode),
     .later = "hf|slow|mistral|deepseek_v32|deepseek_v4|inkling|kimi_k3|cohere"},
    {.info = E("enable-lora", "bool", "false", NULL, "adapters; false")},
    {.info = E("speculative-config", "json", NULL, NULL, "drafting; none")},

    /* ---- Request: the typed fields ---- */
    {.info = R("n", "int", "1", "[1, 16384]", "completions"), .put = LLS_PUT_U32, AT_S(n)},
    {.info = R("temperature", "float", "1", "[0, 2]", "0: greedy"),
     .put = LLS_PUT_F32,
     AT_S(temperature),
     .below = "non-negative"},
    {.info = R("top_p", "float", "1", "(0, 1]", "smallest set of likeliest tokens with this mass"),
     .put = LLS_PUT_F32,
     AT_S(top_p)},
    {.info =
         R("top_k", "int", "0", "[0, " U32_MAX_TEXT "]", "so many likeliest tokens; 0 and -1: all"),
     .put = LLS_PUT_U32,
     AT_S(top_k),
     .special = "-1",
     .below = "0 (disable), or at least 1"},
    {.info = R("min_p", "float", "0", "[0, 1]",
               "tokens with this share of the likeliest's probability"),
     .put = LLS_PUT_F32,
     AT_S(min_p)},
    {.info = R("repetition_penalty", "float", "1", "(0, inf)",
               "divides positive and multiplies negative logits of tokens in prompt or output"),
     .put = LLS_PUT_F32,
     AT_S(repetition_penalty),
     .below = "greater than zero"},
    {.info =
         R("presence_penalty", "float", "0", "[-2, 2]", "off the logits of tokens in the output"),
     .put = LLS_PUT_F32,
     AT_S(presence_penalty)},
    {.info = R("frequency_penalty", "float", "0", "[-2, 2]",
               "off the logits, times the count in the output"),
     .put = LLS_PUT_F32,
     AT_S(frequency_penalty)},
    {.info = R("seed", "int", NULL, "[-9223372036854775808, 9223372036854775807]",
               "of the random numbers; none and -1: by the engine"),
     .put = LLS_PUT_LIST,
     .arg = LLS_LIST_SEED,
     .special = "-1|none|null"},
    {.info = R("max_tokens", "int", "16", "[1, " U32_MAX_TEXT "]",
               "most tokens of a completion; none: until the context is full"),
     .put = LLS_PUT_U32,
     AT_S(max_tokens),
     .special = "none|null",
     .special_value = UINT32_MAX},
    {.info = R("min_tokens", "int", "0", "[0, " U32_MAX_TEXT "]", "no EOS and no stop before"),
     .put = LLS_PUT_U32,
     AT_S(min_tokens),
     .below = "greater than or equal to 0"},
    {.info = R("logprobs", "int", NULL, "[-1, 2147483646]",
               "likeliest tokens beside the sampled one; -1: all; true: 1; none: no logprobs"),
     .put = LLS_PUT_LIST,
     .arg = LLS_LIST_LOGPROBS,
     .special = "none|null|true|True",
     .below = "non-negative or -1"},
    {.info = R("prompt_logprobs", "int", NULL, "[-1, 2147483646]", "as logprobs, of the prompt"),
     .put = LLS_PUT_LIST,
     .arg = LLS_LIST_PROMPT_LOGPROBS,
     .special = "none|null|true|True",
     .below = "non-negative or -1"},
    {.info = R("logprob_token_ids", "json", NULL, NULL,
               "an array of at most 128 token ids: logprobs of these in place of the likeliest"),
     .put = LLS_PUT_LIST,
     .arg = LLS_LIST_LOGPROB_IDS},
    {.info = R("prompt_logprob_token_ids", "json", NULL, NULL,
               "likewise of the prompt; not more than max-logprobs, without repeats"),
     .put = LLS_PUT_LIST,
     .arg = LLS_LIST_PROMPT_LOGPROB_IDS},
    {.info = R("prompt_logprob_start", "int", "0", "[0, 2147483647]",
               "with prompt_logprob_token_ids: the first prompt token that tells of the next one"),
     .put = LLS_PUT_U32,
     AT_R(more.prompt_logprob_start),
     .below = "non-negative"},
    {.info = R("thinking_token_budget", "int", NULL, "[-1, 2147483647]",
               "most tokens of a thought, then its end is forced; -1 and none: no limit"),
     .put = LLS_PUT_LIST,
     .arg = LLS_LIST_THINK,
     .special = "none|null",
     .below = "a non-negative integer or -1 for unlimited"},
    {.info = R("extra_args", "json", NULL, NULL, "an object for the logits callback"),
     .put = LLS_PUT_LIST,
     .arg = LLS_LIST_EXTRA_ARGS},
    {.info = R("stop", "json", NULL, NULL, "a string or an array of strings; cut from the text"),
     .put = LLS_PUT_LIST,
     .arg = LLS_LIST_STOP},
    {.info = R("stop_token_ids", "json", NULL, NULL, "an array of token ids"),
     .put = LLS_PUT_LIST,
     .arg = LLS_LIST_STOP_IDS},
    {.info = R("allowed_token_ids", "json", NULL, NULL, "an array of token ids; no others then"),
     .put = LLS_PUT_LIST,
     .arg = LLS_LIST_ALLOWED},
    {.info = R("bad_words", "json", NULL, NULL, "an array of strings that the output may not have"),
     .put = LLS_PUT_LIST,
     .arg = LLS_LIST_BAD_WORDS},
    {.info = R("logit_bias", "json", NULL, NULL, "an object of token id to what is added"),
     .put = LLS_PUT_LIST,
     .arg = LLS_LIST_BIAS},
    {.info = R("ignore_eos", "bool", "false", NULL, "run on past the end of sequence"),
     .put = LLS_PUT_FLAG,
     .arg = LLM_SAMPLE_IGNORE_EOS,
     AT_S(flags)},
    {.info = R("include_stop_str_in_output", "bool", "false", NULL, "leave the stop string in"),
     .put = LLS_PUT_FLAG,
     .arg = LLM_SAMPLE_KEEP_STOP,
     AT_S(flags)},
    {.info = R("skip_special_tokens", "bool", "true", NULL, "drop special tokens from the text"),
     .put = LLS_PUT_NOT_FLAG,
     .arg = LLM_SAMPLE_KEEP_SPECIAL,
     AT_S(flags)},
    {.info = R("detokenize", "bool", "true", NULL, "make text, not only token ids"),
     .put = LLS_PUT_NOT_FLAG,
     .arg = LLM_SAMPLE_NO_TEXT,
     AT_S(flags)},
    {.info = R("repetition_detection", "json", NULL, NULL,
               "an object: ends when a pattern of min_pattern_size to max_pattern_size tokens "
               "stands min_count times at the end"),
     .put = LLS_PUT_LIST,
     .arg = LLS_LIST_REPETITION},
    {.info = R("output_kind", "delta|cumulative|final_only", "delta", NULL, "what a record covers"),
     .put = LLS_PUT_WORD_INDEX,
     AT_R(output_kind)},
    {.info = R("stream_interval", "int", "1", "[1, " U32_MAX_TEXT "]",
               "tokens a record, but the first and the last"),
     .put = LLS_PUT_U32,
     AT_R(stream_interval)},
    {.info = R("priority", "int", "0", "[-2147483648, 2147483647]",
               "lower runs first under scheduling-policy priority"),
     .put = LLS_PUT_I32,
     AT_R(priority)},
    {.info = R("cache_salt", "string", NULL, NULL, "only equal ones share a prefix"),
     .put = LLS_PUT_LIST,
     .arg = LLS_LIST_SALT},
    {.info = R("request_id", "string", NULL, NULL, "a name for logs"),
     .put = LLS_PUT_LIST,
     .arg = LLS_LIST_REQUEST_ID},
    {.info = R("truncate_prompt_tokens", "int", NULL, "[-1, 2147483647]",
               "keep so many tokens of the prompt, at least 1; -1: what fits; none: all"),
     .put = LLS_PUT_I64,
     AT_R(truncate_prompt_tokens),
     .special = "none|null",
     .special_value = LLS_NO_TRUNCATION},
    {.info = R("truncation_side", "left|right", "left", NULL, "where tokens are cut off"),
     .put = LLS_PUT_WORD_BOOL,
     AT_R(truncate_right)},
    {.info = R("spaces_between_special_tokens", "bool", "true", NULL,
               "no effect: only Python's slow tokenizers put spaces there"),
     .put = LLS_PUT_IGNORE},
    {.info = R("flat_logprobs", "bool", "false", NULL,
               "no effect: logprobs are flat arrays here; of the Python interface"),
     .put = LLS_PUT_IGNORE},
    {.info = R("skip_reading_prefix_cache", "bool", "false", NULL, "compute the whole prompt"),
     .put = LLS_PUT_BOOL,
     AT_R(skip_reading_prefix_cache)},

    /* ---- Request: known, and only with their default ---- */
    {.info = R("structured_outputs", "json", NULL, NULL, "guides; none")},
};

const lls_option_def_t *lls_option_def(size_t index)
{
    return index < LLS_ARRAY_LEN(table) ? &table[index] : NULL;
}

const llm_option_info_t *llm_option_info(size_t index)
{
    return index < LLS_ARRAY_LEN(table) ? &table[index].info : NULL;
}

static char plain(char c) { return c == '_' ? '-' : c; }

static bool same_name(const char *a, const char *b)
{
    while (*a != '\0' && plain(*a) == plain(*b)) {
        a++;
        b++;
    }
    return *a == *b;
}

const lls_option_def_t *lls_option_find(int32_t scope, const char *name)
{
    for (size_t i = 0; i < LLS_ARRAY_LEN(table); i++)
        if (table[i].info.scope == scope && same_name(table[i].info.name, name))
            return &table[i];
    return NULL;
}

/* Insertions, deletions and changes from a to b; names longer than the row end there. */
static uint32_t edit_distance(const char *a, const char *b)
{
    uint32_t row[65], n = (uint32_t)strnlen(b, 64);

    for (uint32_t j = 0; j <= n; j++)
        row[j] = j;
    for (uint32_t i = 0; i < 64 && a[i] != '\0'; i++) {
        uint32_t diagonal = row[0];
        row[0] = i + 1;
        for (uint32_t j = 1; j <= n; j++) {
            uint32_t change = diagonal + (plain(a[i]) != plain(b[j - 1]));
            diagonal = row[j];
            row[j] = lls_min_u32(change, lls_min_u32(row[j], row[j - 1]) + 1);
        }
    }
    return row[n];
}

const lls_option_def_t *lls_option_nearest(int32_t scope, const char *name)
{
    const lls_option_def_t *best = NULL;
    uint32_t                best_distance = UINT32_MAX;

    for (size_t i = 0; i < LLS_ARRAY_LEN(table); i++) {
        uint32_t d = table[i].info.scope == scope ? edit_distance(name, table[i].info.name)
                                                  : UINT32_MAX;
        if (d < best_distance) {
            best_distance = d;
            best = &table[i];
        }
    }
    return best;
}
