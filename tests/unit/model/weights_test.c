/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "model/safetensors.h"
#include "model/weights.h"
#include "unit/model_files.h"

/* ---- A directory for one test ---- */

static char dir[64];

static int make_dir(void **state)
{
    strcpy(dir, "/tmp/weights_test.XXXXXX");
    return mkdtemp(dir) == NULL;
}

static const char *in_dir(const char *file)
{
    static char path[512];

    snprintf(path, sizeof path, "%s/%s", dir, file);
    return path;
}

static int remove_dir(void **state)
{
    DIR           *d = opendir(dir);
    struct dirent *e;

    while (d != NULL && (e = readdir(d)) != NULL)
        if (e->d_name[0] != '.')
            unlink(in_dir(e->d_name));
    if (d != NULL)
        closedir(d);
    return rmdir(dir);
}

static void write_bytes(const char *file, const void *data, size_t n)
{
    FILE *f = fopen(in_dir(file), "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    fclose(f);
}

static void write_text(const char *file, const char *text)
{
    write_bytes(file, text, strlen(text));
}

static void write_safetensors(const char *file, const char *header, size_t n_data)
{
    buf_t b = safetensors(header, n_data);

    write_bytes(file, b.data, b.n);
    buf_free(&b);
}

static void write_gguf(const char *file)
{
    buf_t b = sample_gguf(3);

    write_bytes(file, b.data, b.n);
    buf_free(&b);
}

/* ---- Opening, with everything counted ---- */

typedef struct opened {
    test_alloc_t   alloc;
    lls_mem_t      mem;
    lls_weights_t *w;
    llm_status_t   st;
    llm_error_t    err;
} opened_t;

static void open_weights(opened_t *o, const char *path, const char *load_format, uint64_t fail_at)
{
    llm_allocator_t hook = test_allocator(&o->alloc);

    memset(o, 0, sizeof *o);
    o->alloc.fail_at = fail_at;
    lls_mem_init(&o->mem, &hook);
    o->st = lls_weights_open(&o->mem, path, load_format, &o->w, &o->err);
    assert_true((o->w != NULL) == (o->st == LLM_OK));
}

static void close_weights(opened_t *o)
{
    lls_weights_close(o->w);
    assert_int_equal(o->alloc.live_bytes, 0);
    assert_int_equal(o->alloc.live_blocks, 0);
}

static void refused(const char *path, const char *load_format, llm_status_t st, const char *why)
{
    opened_t o;

    open_weights(&o, path, load_format, 0);
    if (o.st != st || strstr(o.err.message, why) == NULL)
        fail_msg("status %d (%s), wanted %d and: %s", o.st,
                 o.st == LLM_OK ? "opened" : o.err.message, st, why);
    for (const char *c = o.err.message; *c != '\0'; c++)
        assert_true((unsigned char)*c >= ' ');
    close_weights(&o);
}

static void check_tensor(const lls_weights_t *w, const char *name, uint32_t scheme, uint32_t n_dims,
                         uint64_t d0, uint64_t d1, uint64_t bytes, int first)
{
    const lls_weight_t *t = lls_weights_find(w, name);

    assert_non_null(t);
    assert_string_equal(t->name, name);
    assert_int_equal(t->scheme, scheme);
    assert_int_equal(t->n_dims, n_dims);
    assert_int_equal(t->shape[0], d0);
    assert_int_equal(t->shape[1], d1);
    assert_int_equal(t->bytes, bytes);
    assert_true(bytes == 0 || t->data[0] == (uint8_t)(first * 7 + 3));
}

static void check_sample(const lls_weights_t *w)
{
    assert_int_equal(lls_weights_n(w), 4);
    assert_null(lls_weights_gguf(w));
    assert_string_equal(lls_weights_at(w, 0)->name, "a.weight");
    check_tensor(w, "a.weight", LLS_W_F32, 2, 2, 3, 24, 0);
    check_tensor(w, "scalar", LLS_W_F16, 0, 1, 1, 2, 40);
    check_tensor(w, "empty", LLS_W_F32, 2, 0, 9, 0, 0);
    check_tensor(w, "b.\xc3\xa9", LLS_W_BF16, 4, 1, 2, 16, 24);
    assert_null(lls_weights_find(w, "__metadata__"));
    assert_null(lls_weights_find(w, "a.weigh"));
    assert_null(lls_weights_find(w, ""));
}

static void check_sample_gguf(const lls_weights_t *w)
{
    assert_int_equal(lls_weights_n(w), 4);
    assert_non_null(lls_weights_gguf(w));
    check_tensor(w, "plain", LLS_W_F32, 2, 5, 3, 60, 0);            /* shapes turn round */
    check_tensor(w, "nibbles", LLS_W_Q4_0, 2, 2, 64, 72, 128);
    check_tensor(w, "halves", LLS_W_F16, 1, 7, 1, 14, 64);
    check_tensor(w, "bytes", LLS_W_Q8_0, 1, 32, 1, 34, 256);
}

/* ---- Files as they should be ---- */

static void one_safetensors_file(void **state)
{
    opened_t o;

    write_safetensors("model.safetensors", SAMPLE_HEADER, SAMPLE_DATA);
    open_weights(&o, dir, "auto", 0);
    assert_int_equal(o.st, LLM_OK);
    check_sample(o.w);
    close_weights(&o);
    open_weights(&o, dir, "safetensors", 0);
    assert_int_equal(o.st, LLM_OK);
    close_weights(&o);
    refused(dir, "gguf", LLM_ERR_IO, "no .gguf file found");
    refused(in_dir("model.safetensors"), "auto", LLM_ERR_FORMAT, "give the directory of a model");
}

static const char shard_1[] = "{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                              "\"y\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}";
static const char shard_2[] = "{\"z\":{\"dtype\":\"BF16\",\"shape\":[2,2],\"data_offsets\":[0,8]}}";

static void write_shards(const char *weight_map)
{
    char index[512];

    snprintf(index, sizeof index, "{\"metadata\":{\"total_size\":1},\"weight_map\":%s}",
             weight_map);
    write_safetensors("m-1.safetensors", shard_1, 12);
    write_safetensors("m-2.safetensors", shard_2, 8);
    write_text("model.safetensors.index.json", index);
}

#define GOOD_MAP "{\"x\":\"m-1.safetensors\",\"z\":\"m-2.safetensors\",\"y\":\"m-1.safetensors\"}"

static void shards_with_an_index(void **state)
{
    opened_t o;

    write_shards(GOOD_MAP);
    open_weights(&o, dir, "auto", 0);
    assert_int_equal(o.st, LLM_OK);
    assert_int_equal(lls_weights_n(o.w), 3);
    check_tensor(o.w, "x", LLS_W_F32, 1, 2, 1, 8, 0);
    check_tensor(o.w, "y", LLS_W_F32, 1, 1, 1, 4, 8);
    check_tensor(o.w, "z", LLS_W_BF16, 2, 2, 2, 8, 0);
    close_weights(&o);
}

static void a_gguf_file_or_its_directory(void **state)
{
    opened_t o;

    write_gguf("tiny.Q4_0.gguf");
    open_weights(&o, dir, "auto", 0);
    assert_int_equal(o.st, LLM_OK);
    check_sample_gguf(o.w);
    close_weights(&o);
    open_weights(&o, in_dir("tiny.Q4_0.gguf"), "gguf", 0);
    assert_int_equal(o.st, LLM_OK);
    close_weights(&o);
    write_gguf("no_extension");
    open_weights(&o, in_dir("no_extension"), "auto", 0);
    assert_int_equal(o.st, LLM_OK);
    check_sample_gguf(o.w);
    close_weights(&o);
    refused(dir, "safetensors", LLM_ERR_IO,
            "no model.safetensors or model.safetensors.index.json found");
    refused(in_dir("no_extension"), "safetensors", LLM_ERR_FORMAT, "not a directory");
    write_gguf("second.gguf");
    refused(dir, "auto", LLM_ERR_INVALID, "2 .gguf files; give the path of one");
    write_safetensors("model.safetensors", SAMPLE_HEADER, SAMPLE_DATA);
    open_weights(&o, dir, "auto", 0);               /* goes before GGUF */
    assert_int_equal(o.st, LLM_OK);
    check_sample(o.w);
    close_weights(&o);
}

/* ---- What is not there ---- */

static void what_is_missing_is_said(void **state)
{
    refused(dir, "auto", LLM_ERR_IO,
            "no model.safetensors or model.safetensors.index.json or .gguf file found");
    refused(in_dir("nowhere"), "auto", LLM_ERR_IO, "No such file");
    refused(in_dir("nowhere"), "safetensors", LLM_ERR_IO, "no such directory");
    refused(in_dir("nowhere.gguf"), "gguf", LLM_ERR_IO, "No such file");
    refused(dir, "pickle", LLM_ERR_INVALID, "load-format pickle is not");
    write_text("pytorch_model.bin", "x");
    refused(dir, "auto", LLM_ERR_UNSUPPORTED, "convert to safetensors");
    unlink(in_dir("pytorch_model.bin"));
    write_text("pytorch_model.bin.index.json", "x");
    refused(dir, "auto", LLM_ERR_UNSUPPORTED, "convert to safetensors");
    write_text("README.md", "hello");
    refused(in_dir("README.md"), "auto", LLM_ERR_FORMAT, "not a GGUF file");
    refused(in_dir("README.md"), "gguf", LLM_ERR_FORMAT, "not a GGUF file");
    write_text("model.safetensors", "");
    refused(dir, "auto", LLM_ERR_FORMAT, "0 bytes");
    unlink(in_dir("model.safetensors"));
    assert_int_equal(mkfifo(in_dir("model.safetensors"), 0600), 0);
    refused(dir, "auto", LLM_ERR_IO, "not a regular file");
    lls_weights_close(NULL);
}

/* ---- GGUF that we cannot use ---- */

static void types_of_gguf_are_refused_by_name(void **state)
{
    static const struct { uint32_t type; const char *why; } cases[] = {
        { 18, "tensor blk.0.attn_q.weight has type IQ3_XXS, which is not supported; use a file of" },
        { 24, "has type I8, which" },
        { 500, "has type 500, which is not known" },
    };

    for (size_t i = 0; i < LLS_ARRAY_LEN(cases); i++) {
        buf_t b = { 0 };

        gguf_header(&b, 3, 1, 0);
        gguf_tensor(&b, "blk.0.attn_q.weight", 2, 256, 2, cases[i].type, 0);
        put_pad(&b, 32);
        put_data(&b, 288);
        write_bytes("m.gguf", b.data, b.n);
        refused(dir, "auto", LLM_ERR_UNSUPPORTED, cases[i].why);
        buf_free(&b);
    }
}

static void a_split_gguf_is_refused(void **state)
{
    buf_t b = { 0 };

    gguf_header(&b, 3, 0, 1);
    gguf_key(&b, "split.count", 2, 3, 2);
    write_bytes("m.gguf", b.data, b.n);
    refused(dir, "auto", LLM_ERR_UNSUPPORTED, "one of 3 parts of a split GGUF");
    buf_free(&b);
}

/* ---- Safetensors made to harm ---- */

#define T(dtype, shape, offsets)                                                                   \
    "{\"w\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"
#define TWO(a, b)                                                                                  \
    "{\"v\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":" a "},"                             \
    "\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":" b "}}"

/* Each with 16 bytes of data. */
static const struct {
    const char *header;
    llm_status_t st;
    const char *why;
} hostile[] = {
    { "", LLM_ERR_FORMAT, "header, column" },
    { "[]", LLM_ERR_FORMAT, "not a JSON object" },
    { "{", LLM_ERR_FORMAT, "header, column" },
    { "{}x", LLM_ERR_FORMAT, "header, column" },
    { "{}", LLM_ERR_FORMAT, "16 bytes of data, its tensors cover 0" },
    { "{\"w\":1}", LLM_ERR_FORMAT, "tensor w is not described by an object" },
    { "{\"\":{}}", LLM_ERR_FORMAT, "no name" },
    { "{\"w\":{}}", LLM_ERR_FORMAT, "tensor w has no dtype" },
    { "{\"a\\u0000b\":{}}", LLM_ERR_FORMAT, "header, column" },
    { "{\"w\":{\"dtype\":\"F32\"}}", LLM_ERR_FORMAT, "tensor w has no shape" },
    { "{\"w\":{\"dtype\":\"F32\",\"shape\":[4]}}", LLM_ERR_FORMAT, "data_offsets of tensor w" },
    { "{\"w\":{},\"w\":{}}", LLM_ERR_FORMAT, "duplicate" },
    { T("\"I8\"", "[16]", "[0,16]"), LLM_ERR_UNSUPPORTED,
      "tensor w has dtype I8, which is not supported" },
    { T("\"F8_E4M3\"", "[16]", "[0,16]"), LLM_ERR_UNSUPPORTED, "dtype F8_E4M3" },
    { T("7", "[16]", "[0,16]"), LLM_ERR_FORMAT, "no dtype" },
    { T("\"F32\"", "[5]", "[0,16]"), LLM_ERR_FORMAT,
      "has 16 bytes, its shape and dtype F32 want 20" },
    { T("\"F32\"", "[-4]", "[0,16]"), LLM_ERR_FORMAT,
      "dimension 0 of tensor w is not a whole number" },
    { T("\"F32\"", "[4.0]", "[0,16]"), LLM_ERR_FORMAT,
      "dimension 0 of tensor w is not a whole number" },
    { T("\"F32\"", "[4,\"1\"]", "[0,16]"), LLM_ERR_FORMAT, "dimension 1 of tensor w" },
    { T("\"F32\"", "[1,1,1,1,4]", "[0,16]"), LLM_ERR_FORMAT, "5 dimensions, allowed are up to 4" },
    { T("\"F32\"", "[4294967296,4294967296]", "[0,16]"), LLM_ERR_FORMAT, "2^64 bytes or more" },
    { T("\"F32\"", "[9223372036854775807]", "[0,16]"), LLM_ERR_FORMAT, "2^64 bytes or more" },
    { T("\"F32\"", "[99999999999999999999]", "[0,16]"), LLM_ERR_FORMAT, "too big integer" },
    { T("\"F32\"", "[4]", "[16,0]"), LLM_ERR_FORMAT, "[16, 0] of 16 bytes" },
    { T("\"F32\"", "[4]", "[0,17]"), LLM_ERR_FORMAT, "[0, 17] of 16 bytes of data" },
    { T("\"F32\"", "[4]", "[9223372036854775792,9223372036854775807]"), LLM_ERR_FORMAT,
      "of 16 bytes" },
    { T("\"F32\"", "[4]", "[-16,0]"), LLM_ERR_FORMAT, "not two whole numbers" },
    { T("\"F32\"", "[4]", "[0,16,16]"), LLM_ERR_FORMAT, "not two whole numbers" },
    { T("\"F32\"", "[4]", "{\"0\":0}"), LLM_ERR_FORMAT, "not two whole numbers" },
    { T("\"F32\"", "[3]", "[4,16]"), LLM_ERR_FORMAT, "4 bytes before tensor w" },
    { T("\"F32\"", "[3]", "[0,12]"), LLM_ERR_FORMAT, "16 bytes of data, its tensors cover 12" },
    { TWO("[0,8]", "[0,8]"), LLM_ERR_FORMAT, "overlaps tensor" },
    { TWO("[0,8]", "[4,12]"), LLM_ERR_FORMAT,
      "w at byte 4 of data overlaps tensor v, which ends at 8" },
    { TWO("[8,16]", "[4,12]"), LLM_ERR_FORMAT, "4 bytes before tensor w" },
};

static void hostile_headers_are_refused_with_the_reason(void **state)
{
    for (size_t i = 0; i < LLS_ARRAY_LEN(hostile); i++) {
        write_safetensors("model.safetensors", hostile[i].header, 16);
        refused(dir, "auto", hostile[i].st, hostile[i].why);
    }
}

static void the_length_of_the_header_is_checked_first(void **state)
{
    static const uint64_t lengths[] = { 9, 16, 1000, 1ull << 40, UINT64_MAX, UINT64_MAX - 7 };
    buf_t                 b = { 0 };

    for (size_t i = 0; i < LLS_ARRAY_LEN(lengths); i++) {
        b.n = 0;
        put_u64(&b, lengths[i]);
        buf_put(&b, "{}      ", 8);
        write_bytes("model.safetensors", b.data, b.n);
        refused(dir, "auto", LLM_ERR_FORMAT, "does not fit into a file of 16");
    }
    b.n = 0;
    put_u64(&b, LLS_SAFETENSORS_MAX_HEADER + 1);
    write_bytes("model.safetensors", b.data, b.n);
    assert_int_equal(truncate(in_dir("model.safetensors"), 200000000), 0);      /* a hole on disk */
    refused(dir, "auto", LLM_ERR_FORMAT, "at most 100000000");
    buf_free(&b);
}

static void deep_json_ends_at_a_limit(void **state)
{
    static char header[200001];

    memset(header, '[', sizeof header - 1);
    memcpy(header, "{\"w\":", 5);
    write_safetensors("model.safetensors", header, 0);
    refused(dir, "auto", LLM_ERR_FORMAT, "depth");
    write_bytes("model.safetensors.index.json", header, sizeof header - 1);
    unlink(in_dir("model.safetensors"));
    refused(dir, "auto", LLM_ERR_FORMAT, "depth");
}

static void an_index_cannot_lead_astray(void **state)
{
    static const struct {
        const char *map;
        llm_status_t st;
        const char *why;
    } cases[] = {
        { "7", LLM_ERR_FORMAT, "weight_map is absent or empty" },
        { "{}", LLM_ERR_FORMAT, "weight_map is absent or empty" },
        { "{\"x\":3}", LLM_ERR_FORMAT, "the file of tensor x is not a string" },
        { "{\"x\":\"\"}", LLM_ERR_FORMAT, "not a plain file name" },
        { "{\"x\":\"../m-1.safetensors\"}", LLM_ERR_FORMAT,
          "../m-1.safetensors, which is not a plain" },
        { "{\"x\":\"/etc/passwd\"}", LLM_ERR_FORMAT, "not a plain file name" },
        { "{\"x\":\"..\"}", LLM_ERR_FORMAT, "not a plain file name" },
        { "{\"x\":\"a\\u0000b\"}", LLM_ERR_FORMAT, "not a plain file name" },
        { "{\"x\":\"m-3.safetensors\"}", LLM_ERR_IO, "m-3.safetensors" },
        { "{\"x\":\".\"}", LLM_ERR_IO, "not a regular file" },
        { "{\"x\":\"model.safetensors.index.json\"}", LLM_ERR_FORMAT, "header of" },
        { "{\"q\":\"m-1.safetensors\"}", LLM_ERR_FORMAT, "tensor q is not in m-1.safetensors" },
        { "{\"x\":\"m-2.safetensors\",\"y\":\"m-1.safetensors\"}", LLM_ERR_FORMAT,
          "tensor x is not in m-2.safetensors" },
    };

    for (size_t i = 0; i < LLS_ARRAY_LEN(cases); i++) {
        write_shards(cases[i].map);
        refused(dir, "auto", cases[i].st, cases[i].why);
    }
    write_shards(GOOD_MAP);
    write_safetensors("m-2.safetensors", shard_1, 12);
    refused(dir, "auto", LLM_ERR_FORMAT, "is in two of its files");
    write_text("model.safetensors.index.json", "[]");
    refused(dir, "auto", LLM_ERR_FORMAT, "weight_map is absent");
    write_text("model.safetensors.index.json", "{");
    refused(dir, "auto", LLM_ERR_FORMAT, "line 1");
}

/* Headers in memory: cut anywhere, wrong anywhere, always a status and nothing left behind. */
static llm_status_t try_header(const uint8_t *data, size_t n, llm_error_t *err)
{
    test_alloc_t      alloc = { 0 };
    llm_allocator_t   hook = test_allocator(&alloc);
    uint8_t          *copy = exact_copy(data, n);
    lls_safetensors_t file;
    lls_mem_t         mem;
    llm_status_t      st;
    volatile uint8_t  last;

    lls_mem_init(&mem, &hook);
    st = lls_safetensors_init(&mem, &file, copy, n, "f.safetensors", err);
    for (uint32_t i = 0; i < file.n; i++)
        if (file.items[i].bytes > 0)
            last = file.items[i].data[file.items[i].bytes - 1];
    (void)last;
    assert_true(st == LLM_OK || (file.n == 0 && err->status == st && err->message[0] != '\0'));
    lls_safetensors_deinit(&mem, &file);
    free(copy);
    assert_int_equal(alloc.live_bytes, 0);
    return st;
}

static void a_file_cut_or_flipped_anywhere_is_handled(void **state)
{
    static const uint8_t masks[] = { 1, 2, 4, 8, 16, 32, 64, 128, 0xff };
    buf_t                b = safetensors(SAMPLE_HEADER, SAMPLE_DATA);
    llm_error_t          err;
    size_t               n_refused = 0;

    assert_int_equal(try_header(b.data, b.n, &err), LLM_OK);
    for (size_t n = 0; n < b.n; n++)
        assert_int_equal(try_header(b.data, n, &err), LLM_ERR_FORMAT);
    for (size_t i = 0; i < b.n - SAMPLE_DATA; i++)
        for (size_t k = 0; k < sizeof masks; k++) {
            b.data[i] ^= masks[k];
            n_refused += try_header(b.data, b.n, &err) != LLM_OK;
            b.data[i] ^= masks[k];
        }
    assert_true(n_refused > 1000);
    buf_free(&b);
}

/* ---- Memory ---- */

static uint64_t walk_failures(const char *path)
{
    uint64_t n = 0;
    opened_t o;

    do {
        open_weights(&o, path, "auto", ++n);
        assert_true(o.st == LLM_OK || o.st == LLM_ERR_NO_MEMORY);
        close_weights(&o);
    } while (o.st != LLM_OK);
    return n;
}

static void a_failed_allocation_leaves_nothing(void **state)
{
    write_gguf("m.gguf");
    assert_true(walk_failures(dir) > 9);
    assert_true(walk_failures(in_dir("m.gguf")) > 6);
    write_shards(GOOD_MAP);
    assert_true(walk_failures(dir) > 12);
    write_safetensors("model.safetensors", SAMPLE_HEADER, SAMPLE_DATA);
    assert_true(walk_failures(dir) > 8);
    unlink(in_dir("model.safetensors"));
    unlink(in_dir("model.safetensors.index.json"));
    unlink(in_dir("m.gguf"));
}

/* ---- Memory that jansson takes ---- */

static struct {
    uint64_t n_calls, fail_at;
    int64_t  live;
} parser;

static void *parser_malloc(size_t n)
{
    void *p = ++parser.n_calls == parser.fail_at ? NULL : malloc(n);

    parser.live += p != NULL;
    return p;
}

static void parser_free(void *p)
{
    parser.live -= p != NULL;
    free(p);
}

/* jansson drops a character when the buffer of a token cannot grow, and goes on: what follows is
 * then an error of another kind, but an error with a reason it is. */
static uint64_t walk_parser_failures(void)
{
    uint64_t n = 0, n_named = 0;
    opened_t o;

    do {
        parser.n_calls = 0;
        parser.fail_at = ++n;
        open_weights(&o, dir, "auto", 0);
        n_named += o.st == LLM_ERR_NO_MEMORY;
        assert_true(o.st == LLM_OK || o.err.message[0] != '\0');
        assert_true((o.st == LLM_OK) == (parser.n_calls < parser.fail_at));
        close_weights(&o);
        assert_int_equal(parser.live, 0);
    } while (o.st != LLM_OK);
    return n_named;
}

static void a_parser_without_memory_gives_an_error(void **state)
{
    json_set_alloc_funcs(parser_malloc, parser_free);
    write_shards(GOOD_MAP);
    assert_true(walk_parser_failures() > 20);
    write_safetensors("model.safetensors", SAMPLE_HEADER, SAMPLE_DATA);
    assert_true(walk_parser_failures() > 20);
    json_set_alloc_funcs(malloc, free);
}

static size_t resident_bytes(void)
{
    FILE  *f = fopen("/proc/self/statm", "r");
    size_t total = 0, resident = 0;

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%zu %zu", &total, &resident), 2);
    fclose(f);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static uint64_t sum_of(const lls_weight_t *t)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < t->bytes; i++)
        sum += t->data[i];
    return sum;
}

static void pages_that_are_done_with_leave_memory(void **state)
{
    const size_t        half = 8 << 20;
    const lls_weight_t *big;
    size_t              before, during;
    uint64_t            sum, small;
    char                header[256];
    opened_t            o;

    snprintf(header, sizeof header,
             "{\"s\":{\"dtype\":\"BF16\",\"shape\":[50],\"data_offsets\":[0,100]},"
             "\"big\":{\"dtype\":\"F32\",\"shape\":[%zu],\"data_offsets\":[100,%zu]}}",
             half / 4, half + 100);
    write_safetensors("model.safetensors", header, half + 100);
    open_weights(&o, dir, "auto", 0);
    assert_int_equal(o.st, LLM_OK);
    big = lls_weights_find(o.w, "big");
    small = sum_of(lls_weights_find(o.w, "s"));
    lls_weights_will_need(big);
    before = resident_bytes();
    sum = sum_of(big);
    during = resident_bytes();
    lls_weights_done_with(big);
    assert_true(during >= before + half / 2);
    assert_true(resident_bytes() + half / 2 <= during);
    assert_int_equal(sum_of(big), sum);             /* comes back from the file */
    lls_weights_done_with(lls_weights_find(o.w, "s"));
    assert_int_equal(sum_of(lls_weights_find(o.w, "s")), small);
    close_weights(&o);
}

static void the_demonstration_model_opens(void **state)
{
    char                path[512];
    opened_t            o;
    const lls_weight_t *t;
    uint64_t            bytes = 0;

    if (!demo_model_path(path, sizeof path))
        skip();
    open_weights(&o, path, "auto", 0);
    if (o.st != LLM_OK)
        fail_msg("%s", o.err.message);
    t = lls_weights_find(o.w, "token_embd.weight");
    assert_true(t != NULL && t->n_dims == 2 && t->shape[0] == 49152 && t->shape[1] == 576);
    for (uint32_t i = 0; i < lls_weights_n(o.w); i++) {
        t = lls_weights_at(o.w, i);
        assert_ptr_equal(lls_weights_find(o.w, t->name), t);
        assert_int_equal(t->bytes, lls_scheme_row_bytes(t->scheme, t->shape[t->n_dims - 1]) *
                                       (t->n_dims == 2 ? t->shape[0] : 1));
        bytes += t->bytes;
    }
    assert_in_range(bytes, 90000000, 98362432);
    close_weights(&o);
}

#define in_a_directory(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_a_directory(one_safetensors_file),
        in_a_directory(shards_with_an_index),
        in_a_directory(a_gguf_file_or_its_directory),
        in_a_directory(what_is_missing_is_said),
        in_a_directory(types_of_gguf_are_refused_by_name),
        in_a_directory(a_split_gguf_is_refused),
        in_a_directory(hostile_headers_are_refused_with_the_reason),
        in_a_directory(the_length_of_the_header_is_checked_first),
        in_a_directory(deep_json_ends_at_a_limit),
        in_a_directory(an_index_cannot_lead_astray),
        cmocka_unit_test(a_file_cut_or_flipped_anywhere_is_handled),
        in_a_directory(a_failed_allocation_leaves_nothing),
        in_a_directory(a_parser_without_memory_gives_an_error),
        in_a_directory(pages_that_are_done_with_leave_memory),
        cmocka_unit_test(the_demonstration_model_opens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
