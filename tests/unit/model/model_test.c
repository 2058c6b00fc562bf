/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "model/model.h"
#include "unit/files.h"

/* ---- A backend that keeps what it was given, and a checkpoint written on the spot ----------- */

#define PACKED 48u                  /* of each matrix */

static uint32_t n_packed, rows_packed;
static double   sum_packed;

static size_t pack_size(const lls_wspec_t *spec) { return PACKED + spec->n_parts; }

static lls_wmat_t *pack(void *backend, const lls_wspec_t *spec, void *dst)
{
    uint32_t n = spec->n_parts * lls_max_u32(spec->n_experts, 1);

    memset(dst, 1, pack_size(spec));
    n_packed++;
    for (uint32_t i = 0; i < n; i++) {
        const lls_wpart_t *p = &spec->parts[i];
        float              first;

        lls_dequantise(p->scheme, p->data, 0, lls_scheme_block(p->scheme), &first);
        sum_packed += first;
        rows_packed += p->out;
    }
    return dst;
}

static void place(void *backend, void *at, size_t n, lls_mat_bytes_fn bytes_of, const void *user)
{
    size_t bytes = 0;

    for (size_t i = 0; i < n; i++)
        bytes += bytes_of(user, i);
    memset(at, 0x5a, bytes);
}

static void run_all(void *backend, uint32_t n, lls_pool_fn fn, void *arg)
{
    for (uint32_t i = 0; i < n; i++)
        fn(arg, i, 0);
}

static const lls_ops_t fake_ops = { .name = "fake", .pack_size = pack_size, .pack = pack,
                                    .place = place, .run = run_all };

static char folder[256];

#define CONFIG                                                                                     \
    "\"model_type\":\"llama\",\"hidden_size\":8,\"num_hidden_layers\":1,\"num_attention_heads\":"  \
    "2,"                                                                                           \
    "\"num_key_value_heads\":1,\"intermediate_size\":12,\"vocab_size\":16,"                        \
    "\"max_position_embeddings\":32"

static const struct { const char *name; uint32_t rows, cols; } tensors[] = {
    { "model.embed_tokens.weight", 16, 8 },
    { "model.norm.weight", 8, 0 },
    { "lm_head.weight", 16, 8 },
    { "model.layers.0.input_layernorm.weight", 8, 0 },
    { "model.layers.0.post_attention_layernorm.weight", 8, 0 },
    { "model.layers.0.self_attn.q_proj.weight", 8, 8 },
    { "model.layers.0.self_attn.k_proj.weight", 4, 8 },
    { "model.layers.0.self_attn.v_proj.weight", 4, 8 },
    { "model.layers.0.self_attn.o_proj.weight", 8, 8 },
    { "model.layers.0.mlp.gate_proj.weight", 12, 8 },
    { "model.layers.0.mlp.up_proj.weight", 12, 8 },
    { "model.layers.0.mlp.down_proj.weight", 8, 12 },
    { "model.layers.0.self_attn.rotary_emb.inv_freq", 2, 0 },
};

/* All tensors but `without`, `wrong` with a row too many, and `more` beside them; in float32. */
static void write_checkpoint(const char *config, const char *without, const char *wrong,
                             const char *more)
{
    char   header[4096] = "{", *file;
    size_t at = 1, data = 0;

    for (size_t i = 0; i <= LLS_ARRAY_LEN(tensors); i++) {
        bool        extra = i == LLS_ARRAY_LEN(tensors);
        const char *name = extra ? more : tensors[i].name;
        uint32_t    rows = extra ? 3 : tensors[i].rows, cols = extra ? 0 : tensors[i].cols;

        if (name == NULL || (without != NULL && strcmp(name, without) == 0))
            continue;
        rows += wrong != NULL && strcmp(name, wrong) == 0;
        at += (size_t)snprintf(header + at, sizeof header - at,
                               "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[%u", at == 1 ? "" : ",",
                               name, rows);
        if (cols != 0)
            at += (size_t)snprintf(header + at, sizeof header - at, ",%u", cols);
        at += (size_t)snprintf(header + at, sizeof header - at, "],\"data_offsets\":[%zu,", data);
        data += (size_t)rows * (cols != 0 ? cols : 1) * 4;
        at += (size_t)snprintf(header + at, sizeof header - at, "%zu]}", data);
    }
    header[at++] = '}';
    while (at % 8 != 0)
        header[at++] = ' ';
    file = calloc(8 + at + data, 1);
    memcpy(file, &(uint64_t){ at }, 8);
    memcpy(file + 8, header, at);
    for (size_t i = 0; i < data / 4; i++)
        memcpy(file + 8 + at + 4 * i, &(float){ 0.5f }, 4);
    write_file(folder, "model.safetensors", file, 8 + at + data);
    write_file(folder, "config.json", config, strlen(config));
    free(file);
}

static int make_folder(void **state)
{
    snprintf(folder, sizeof folder, "/tmp/lls_model_test.XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    char path[512];

    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, i == 0 ? "config.json" : "model.safetensors");
        unlink(path);
    }
    return rmdir(folder);
}

static llm_status_t open_with(lls_mem_t *mem, const lls_model_options_t *o, lls_model_t **m,
                              llm_error_t *err)
{
    lls_model_options_t options = *o;

    options.path = options.path == NULL ? folder : options.path;
    return lls_model_open(mem, NULL, &options, m, err);
}

static void refused(const lls_model_options_t *o, llm_status_t status, const char *word,
                    const char *word2)
{
    lls_mem_t    mem;
    lls_model_t *m;
    llm_error_t  err = { 0 };
    llm_status_t st;

    lls_mem_init(&mem, NULL);
    st = open_with(&mem, o, &m, &err);
    if (st != status || strstr(err.message, word) == NULL || strstr(err.message, word2) == NULL)
        fail_msg("%s: status %d: %s", word, st, err.message);
    assert_null(m);
    assert_int_equal(atomic_load(&mem.held), 0);
}

/* ---- Tests ---------------------------------------------------------------------------------- */

static void a_model_opens_and_loads(void **state)
{
    lls_mem_t    mem;
    lls_model_t *m;
    llm_error_t  err = { 0 };
    uint8_t     *arena;
    size_t       bytes;

    lls_mem_init(&mem, NULL);
    write_checkpoint("{" CONFIG "}", NULL, NULL, NULL);
    if (open_with(&mem, &(lls_model_options_t){ 0 }, &m, &err) != LLM_OK)
        fail_msg("%s", err.message);
    assert_int_equal(lls_model_dtype(m), LLS_F32);
    assert_int_equal(lls_model_traits(m)->max_positions, 32);
    bytes = lls_model_weight_bytes(m, &fake_ops);
    assert_int_equal(bytes, 6 * 64 + 3 * 64 + 64);      /* matrices, norms, frequencies */
    arena = aligned_alloc(64, bytes + 64);
    memset(arena, 0xa5, bytes + 64);
    n_packed = rows_packed = 0;
    sum_packed = 0;
    assert_int_equal(lls_model_load(m, &fake_ops, NULL, arena, NULL, NULL, &err), LLM_OK);
    assert_int_equal(n_packed, 6);
    assert_int_equal(rows_packed, 16 + 16 + 16 + 8 + 24 + 8);
    assert_true(sum_packed == 0.5 * 9);
    assert_int_equal(lls_model_weight_bytes(m, &fake_ops), bytes);
    for (uint32_t i = 0; i < 64; i++)
        assert_int_equal(arena[bytes + i], 0xa5);
    lls_model_close(m);
    free(arena);
    assert_int_equal(atomic_load(&mem.held), 0);
}

static void tensors_that_do_not_fit_are_named(void **state)
{
    const lls_model_options_t o = { 0 };

    for (size_t i = 0; i + 1 < LLS_ARRAY_LEN(tensors); i++) {
        write_checkpoint("{" CONFIG "}", tensors[i].name, NULL, NULL);
        refused(&o, LLM_ERR_FORMAT, tensors[i].name, "is missing");
        write_checkpoint("{" CONFIG "}", NULL, tensors[i].name, NULL);
        refused(&o, LLM_ERR_FORMAT, tensors[i].name, "the config asks for");
    }
    write_checkpoint("{" CONFIG "}", NULL, NULL, "model.layers.1.mlp.up_proj.weight");
    refused(&o, LLM_ERR_FORMAT, "model.layers.1.mlp.up_proj.weight", "1 tensors have no place");
    write_checkpoint("{" CONFIG ",\"num_hidden_layers\":2}", NULL, NULL, NULL);
    refused(&o, LLM_ERR_FORMAT, "model.layers.1.input_layernorm.weight", "is missing");
    write_checkpoint("{" CONFIG "}", NULL, NULL, "model.layers.0.self_attn.q_proj.bias");
    refused(&o, LLM_ERR_FORMAT, "q_proj.bias", "no place");
}

static void a_tied_head_may_be_there(void **state)
{
    lls_mem_t    mem;
    lls_model_t *m;
    llm_error_t  err;

    lls_mem_init(&mem, NULL);
    for (int i = 0; i < 2; i++) {
        write_checkpoint("{" CONFIG ",\"tie_word_embeddings\":true}",
                         i == 0 ? NULL : "lm_head.weight", NULL, NULL);
        assert_int_equal(open_with(&mem, &(lls_model_options_t){ 0 }, &m, &err), LLM_OK);
        assert_int_equal(lls_model_weight_bytes(m, &fake_ops), 5 * 64 + 3 * 64 + 64);
        lls_model_close(m);
    }
}

static void options_are_checked(void **state)
{
    lls_mem_t    mem;
    lls_model_t *m;
    llm_error_t  err;

    lls_mem_init(&mem, NULL);
    write_checkpoint("{" CONFIG ",\"dtype\":\"float16\"}", NULL, NULL, NULL);
    assert_int_equal(open_with(&mem, &(lls_model_options_t){ 0 }, &m, &err), LLM_OK);
    assert_int_equal(lls_model_dtype(m), LLS_F16);
    lls_model_close(m);
    assert_int_equal(open_with(&mem, &(lls_model_options_t){.dtype = "bfloat16"}, &m, &err),
                     LLM_OK);
    assert_int_equal(lls_model_dtype(m), LLS_BF16);
    lls_model_close(m);
    refused(&(lls_model_options_t){ .dtype = "int3" }, LLM_ERR_INVALID, "int3", "bfloat16");
    refused(&(lls_model_options_t){.hf_overrides = "{"}, LLM_ERR_FORMAT, "hf-overrides", "line 1");
    refused(&(lls_model_options_t){.hf_overrides = "[]"}, LLM_ERR_INVALID, "hf-overrides",
            "object");
    refused(&(lls_model_options_t){ .hf_overrides = "{\"vocab_size\":17}" }, LLM_ERR_FORMAT,
            "model.embed_tokens.weight", "[17, 8]");
    refused(&(lls_model_options_t){ .hf_overrides = "{\"hidden_size\":-8}" }, LLM_ERR_FORMAT,
            "hidden_size", "-8");
    refused(&(lls_model_options_t){ .quantization = "int3" }, LLM_ERR_INVALID, "int3", "int4_g128");
    refused(&(lls_model_options_t){ .path = "/nowhere/at/all" }, LLM_ERR_IO, "/nowhere/at/all", "");
}

static void configs_that_are_no_configs(void **state)
{
    const lls_model_options_t o = { 0 };
    char                     *deep = malloc(300001);

    write_checkpoint("", NULL, NULL, NULL);
    refused(&o, LLM_ERR_FORMAT, "config.json", "line 1");
    write_checkpoint("{" CONFIG, NULL, NULL, NULL);
    refused(&o, LLM_ERR_FORMAT, "config.json", "line 1");
    write_checkpoint("null", NULL, NULL, NULL);
    refused(&o, LLM_ERR_FORMAT, "config.json", "object");
    memset(deep, '[', 300000);
    deep[300000] = '\0';
    write_checkpoint(deep, NULL, NULL, NULL);
    refused(&o, LLM_ERR_FORMAT, "config.json", "depth");
    free(deep);
}

/* A container with nothing but its architecture. */
static void architectures_of_gguf(void **state)
{
    static const char key[] = "general.architecture", arch[] = "falcon";
    uint8_t           file[128] = "GGUF";
    size_t            at = 24;
    char              path[512];

    snprintf(path, sizeof path, "%s/model.safetensors", folder);    /* its bytes say what it is */
    memcpy(file + 4, &(uint32_t){ 3 }, 4);
    memcpy(file + 16, &(uint64_t){ 1 }, 8);
    memcpy(file + at, &(uint64_t){ sizeof key - 1 }, 8);
    memcpy(file + at + 8, key, sizeof key - 1);
    at += 8 + sizeof key - 1;
    memcpy(file + at, &(uint32_t){ 8 }, 4);
    memcpy(file + at + 4, &(uint64_t){ sizeof arch - 1 }, 8);
    memcpy(file + at + 12, arch, sizeof arch - 1);
    at += 12 + sizeof arch - 1;
    write_file(folder, "model.safetensors", file, at);
    refused(&(lls_model_options_t){.path = path, .load_format = "gguf"}, LLM_ERR_UNSUPPORTED,
            "falcon", "known are llama");
    refused(&(lls_model_options_t){ .path = TEST_DIR "/golden/gguf/qwen3.gguf",
                                    .hf_overrides = "{\"num_hidden_layers\":3}" },
            LLM_ERR_FORMAT, "blk.2.attn_norm.weight", "is missing");
    refused(&(lls_model_options_t){ .path = TEST_DIR "/golden/gguf/qwen3.gguf",
                                    .hf_overrides = "{\"num_hidden_layers\":1}" },
            LLM_ERR_FORMAT, "blk.1.", "no place");
}

static int32_t stop_at(void *user, uint64_t done, uint64_t total)
{
    uint32_t *left = user;

    assert_true(done <= total);
    return (*left)-- == 0;
}

static void loading_can_be_stopped(void **state)
{
    lls_mem_t    mem;
    lls_model_t *m;
    llm_error_t  err;
    void        *arena;
    uint32_t     left = 3;

    lls_mem_init(&mem, NULL);
    write_checkpoint("{" CONFIG "}", NULL, NULL, NULL);
    assert_int_equal(open_with(&mem, &(lls_model_options_t){ 0 }, &m, &err), LLM_OK);
    arena = aligned_alloc(64, lls_model_weight_bytes(m, &fake_ops));
    assert_int_equal(lls_model_load(m, &fake_ops, NULL, arena, stop_at, &left, &err),
                     LLM_ERR_CANCELLED);
    left = 100;
    assert_int_equal(lls_model_load(m, &fake_ops, NULL, arena, stop_at, &left, &err), LLM_OK);
    lls_model_close(m);
    free(arena);
    assert_int_equal(atomic_load(&mem.held), 0);
}

/* Loads once with packed weights kept in `cache`; returns the matrices that had to be packed. */
static uint32_t load_with_cache(lls_mem_t *mem, const lls_ops_t *ops, const char *cache,
                                uint8_t *arena)
{
    lls_model_t *m;
    llm_error_t  err = { 0 };

    if (open_with(mem, &(lls_model_options_t){ .weights_cache_dir = cache }, &m, &err) != LLM_OK)
        fail_msg("%s", err.message);
    n_packed = 0;
    memset(arena, 0xa5, 1024);
    assert_int_equal(lls_model_load(m, ops, NULL, arena, NULL, NULL, &err), LLM_OK);
    lls_model_close(m);
    assert_int_equal(atomic_load(&mem->held), 0);
    return n_packed;
}

static uint32_t empty(const char *dir, void (*with)(const char *path))
{
    DIR     *d = opendir(dir);
    uint32_t n = 0;

    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char path[600];
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%.200s", dir, e->d_name);
        with(path);
        n++;
    }
    closedir(d);
    return n;
}

static void change_a_byte(const char *path)
{
    FILE *f = fopen(path, "r+b");

    fseek(f, 100, SEEK_SET);
    fputc(0x77, f);
    fclose(f);
}

static void remove_path(const char *path) { assert_int_equal(unlink(path), 0); }

static void packed_weights_are_read_again_when_nothing_changed(void **state)
{
    static _Alignas(64) uint8_t first[1024], again[1024];
    char                        cache[] = "/tmp/lls_cache_XXXXXX", path[512];
    struct timespec             then[2] = { { 1, 0 }, { 1, 0 } };
    lls_ops_t                   other = fake_ops;
    lls_mem_t                   mem;

    other.layout = 1;
    lls_mem_init(&mem, NULL);
    assert_non_null(mkdtemp(cache));
    write_checkpoint("{" CONFIG "}", NULL, NULL, NULL);
    assert_int_equal(load_with_cache(&mem, &fake_ops, cache, first), 6);
    assert_int_equal(load_with_cache(&mem, &fake_ops, cache, again), 0);
    assert_memory_equal(first, again, sizeof first);
    assert_int_equal(load_with_cache(&mem, &other, cache, again), 6);
    assert_int_equal(empty(cache, change_a_byte), 2);
    assert_int_equal(load_with_cache(&mem, &fake_ops, cache, again), 6);
    assert_memory_equal(first, again, sizeof first);
    assert_int_equal(load_with_cache(&mem, &fake_ops, cache, again), 0);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    assert_int_equal(utimensat(AT_FDCWD, path, then, 0), 0);
    assert_int_equal(load_with_cache(&mem, &fake_ops, cache, again), 6);
    assert_int_equal(empty(cache, remove_path), 3);
    assert_int_equal(rmdir(cache), 0);
    assert_int_equal(load_with_cache(&mem, &fake_ops, cache, again), 6);    /* it works without */
}

/* Opens and loads a model with the n-th allocation failing, for every n. */
static void walk_failures(const char *path)
{
    llm_status_t st = LLM_ERR_NO_MEMORY;

    for (uint64_t n = 1; st == LLM_ERR_NO_MEMORY; n++) {
        test_alloc_t        a = { .fail_at = n };
        llm_allocator_t     hook = test_allocator(&a);
        lls_mem_t           mem;
        lls_model_t        *m;
        llm_error_t         err = { 0 };

        lls_mem_init(&mem, &hook);
        st = open_with(&mem, &(lls_model_options_t){ .path = path }, &m, &err);
        if (st == LLM_OK) {
            uint64_t calls = a.n_calls;
            void    *arena = aligned_alloc(64, lls_model_weight_bytes(m, &fake_ops));

            assert_int_equal(lls_model_load(m, &fake_ops, NULL, arena, NULL, NULL, &err), LLM_OK);
            assert_int_equal(a.n_calls, calls);         /* loading allocates nothing */
            free(arena);
        } else {
            assert_int_equal(err.status, LLM_ERR_NO_MEMORY);
            assert_true(err.message[0] != '\0');
        }
        lls_model_close(m);
        assert_int_equal(a.live_bytes, 0);
        assert_true(n < 1000);
    }
    assert_int_equal(st, LLM_OK);
}

static void no_memory_is_told_and_nothing_stays(void **state)
{
    write_checkpoint("{" CONFIG "}", NULL, NULL, NULL);
    walk_failures(NULL);
    walk_failures(TEST_DIR "/golden/qwen3_moe");
    walk_failures(TEST_DIR "/golden/opt_post");
    walk_failures(TEST_DIR "/golden/gemma3");
    walk_failures(TEST_DIR "/golden/gguf/llama.gguf");
    walk_failures(TEST_DIR "/golden/gguf/phi3.gguf");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_opens_and_loads),
        cmocka_unit_test(tensors_that_do_not_fit_are_named),
        cmocka_unit_test(a_tied_head_may_be_there),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(configs_that_are_no_configs),
        cmocka_unit_test(architectures_of_gguf),
        cmocka_unit_test(loading_can_be_stopped),
        cmocka_unit_test(packed_weights_are_read_again_when_nothing_changed),
        cmocka_unit_test(no_memory_is_told_and_nothing_stays),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
