/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include <unistd.h>

#include "base/gguf.h"
#include "base/sort.h"
#include "unit/model_files.h"

/* Reads every byte that an open file offers; returns a sum so that none is optimised away. */
static uint64_t touch_all(const lls_gguf_t *g)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < lls_gguf_n_keys(g); i++) {
        const lls_gguf_value_t *v;
        lls_gguf_str_t          key = lls_gguf_key(g, i, &v), s;
        size_t                  cursor = 0, n = 0;
        double                  f;

        for (size_t k = 0; k < key.len; k++)
            sum += (uint8_t)key.text[k];
        for (; lls_gguf_next_str(v, &cursor, &s); n++)
            for (size_t k = 0; k < s.len; k++)
                sum += (uint8_t)s.text[k];
        assert_true(v->elem_type != LLS_GGUF_STRING || n == v->n);
        for (uint64_t k = 0; lls_gguf_elem_f64(v, k, &f); k++)
            sum += f > 0;
    }
    for (uint64_t i = 0; i < lls_gguf_n_tensors(g); i++) {
        const lls_gguf_tensor_t *t = lls_gguf_tensor(g, i);

        sum += t->bytes == 0 ? 0 : t->data[0] + (uint64_t)t->data[t->bytes - 1];
    }
    return sum;
}

static void check_message(const llm_error_t *err, llm_status_t st)
{
    assert_int_equal(err->status, st);
    assert_true(st < 0 && err->message[0] != '\0');
    for (const char *c = err->message; *c != '\0'; c++)
        assert_true((unsigned char)*c >= ' ');
}

/* Opens a copy and closes it again; whatever the file, nothing stays behind. */
static llm_status_t try_open(const uint8_t *data, size_t n, llm_error_t *err, uint64_t *n_calls)
{
    test_alloc_t    alloc = { 0 };
    llm_allocator_t hook = test_allocator(&alloc);
    uint8_t        *copy = exact_copy(data, n);
    lls_gguf_t     *g;
    lls_mem_t       mem;
    llm_status_t    st;

    lls_mem_init(&mem, &hook);
    st = lls_gguf_open_bytes(&mem, copy, n, "f.gguf", &g, err);
    if (n_calls != NULL)
        *n_calls = alloc.n_calls;
    if (st == LLM_OK)
        touch_all(g);
    else
        check_message(err, st);
    assert_true((g != NULL) == (st == LLM_OK));
    lls_gguf_close(g);
    free(copy);
    assert_int_equal(alloc.live_bytes, 0);
    assert_int_equal(alloc.live_blocks, 0);
    return st;
}

static void check_values(const lls_gguf_t *g)
{
    lls_gguf_str_t s;
    uint64_t       u = 0;
    double         f = 0;
    bool           b = false;

    assert_true(lls_gguf_get_str(g, "general.architecture", &s));
    assert_true(s.len == 5 && memcmp(s.text, "llama", 5) == 0);
    assert_true(lls_gguf_get_u64(g, "t.u8", &u) && u == 200);
    assert_true(lls_gguf_get_u64(g, "t.u16", &u) && u == 60000);
    assert_true(lls_gguf_get_u64(g, "general.alignment", &u) && u == 64);
    assert_true(lls_gguf_get_u64(g, "t.u64", &u) && u == UINT64_MAX);
    assert_false(lls_gguf_get_u64(g, "t.i8", &u));      /* negative */
    assert_false(lls_gguf_get_u64(g, "t.i64", &u));
    assert_false(lls_gguf_get_u64(g, "t.f32", &u));
    assert_false(lls_gguf_get_u64(g, "t.bool", &u));
    assert_false(lls_gguf_get_u64(g, "a.i16", &u));
    assert_false(lls_gguf_get_u64(g, "absent", &u));
    assert_true(lls_gguf_get_f64(g, "t.f32", &f) && f == 1.5);
    assert_true(lls_gguf_get_f64(g, "t.f64", &f) && f == 2.5);
    assert_true(lls_gguf_get_f64(g, "t.i8", &f) && f == -5);
    assert_true(lls_gguf_get_f64(g, "t.i16", &f) && f == -3000);
    assert_true(lls_gguf_get_f64(g, "t.i32", &f) && f == -70000);
    assert_true(lls_gguf_get_f64(g, "t.i64", &f) && f == (double)INT64_MIN);
    assert_false(lls_gguf_get_f64(g, "t.bool", &f));
    assert_true(lls_gguf_get_bool(g, "t.bool", &b) && b);
    assert_false(lls_gguf_get_bool(g, "t.u8", &b));
    assert_false(lls_gguf_get_str(g, "t.u8", &s));
    assert_false(lls_gguf_get_str(g, "a.strings", &s));
    assert_null(lls_gguf_find(g, ""));
    assert_null(lls_gguf_find(g, "t.u"));
    assert_null(lls_gguf_find(g, "t.u88"));
}

static void check_arrays(const lls_gguf_t *g)
{
    static const char *const words[] = { "<s>", "", "h\xc3\xa9llo" };
    const lls_gguf_value_t  *v = lls_gguf_find(g, "a.strings");
    lls_gguf_str_t           s;
    size_t                   cursor = 0;
    int64_t                  i = 0;
    double                   f = 0;

    assert_true(v != NULL && v->n == 3 && v->elem_type == LLS_GGUF_STRING);
    for (int k = 0; k < 3; k++) {
        assert_true(lls_gguf_next_str(v, &cursor, &s) && s.len == strlen(words[k]));
        assert_memory_equal(s.text, words[k], s.len);
    }
    assert_false(lls_gguf_next_str(v, &cursor, &s));
    assert_false(lls_gguf_elem_f64(v, 0, &f));
    assert_false(lls_gguf_elem_i64(v, 0, &i));
    v = lls_gguf_find(g, "a.i16");
    assert_true(lls_gguf_elem_i64(v, 1, &i) && i == -2);
    assert_true(lls_gguf_elem_f64(v, 2, &f) && f == 300);
    assert_false(lls_gguf_elem_i64(v, 3, &i));
    cursor = 0;
    assert_false(lls_gguf_next_str(v, &cursor, &s));
    v = lls_gguf_find(g, "a.f32");
    assert_true(lls_gguf_elem_f64(v, 1, &f) && f == -2);
    assert_false(lls_gguf_elem_i64(v, 1, &i));
    v = lls_gguf_find(g, "a.bool");
    assert_true(lls_gguf_elem_i64(v, 0, &i) && i == 1);
    assert_true(lls_gguf_elem_i64(v, 1, &i) && i == 0);
    v = lls_gguf_find(g, "a.empty");
    assert_true(v != NULL && v->n == 0 && v->bytes == 0);
    assert_false(lls_gguf_elem_i64(v, 0, &i));
    assert_false(lls_gguf_elem_i64(lls_gguf_find(g, "t.u64"), 0, &i));      /* beyond int64 */
}

static void check_tensor(const lls_gguf_t *g, uint64_t i, const char *name, uint32_t type,
                         uint64_t d0, uint64_t d1, uint64_t bytes, uint8_t first)
{
    const lls_gguf_tensor_t *t = lls_gguf_tensor(g, i);

    assert_true(t->name.len == strlen(name) && memcmp(t->name.text, name, t->name.len) == 0);
    assert_int_equal(t->ggml_type, type);
    assert_true(t->shape[0] == d0 && t->shape[1] == d1 && t->shape[2] == 1 && t->shape[3] == 1);
    assert_int_equal(t->bytes, bytes);
    assert_int_equal(t->data[0], first);
}

static void a_file_reads_as_it_was_written(void **state)
{
    for (uint32_t version = 2; version <= 3; version++) {
        buf_t       b = sample_gguf(version);
        lls_gguf_t *g;
        lls_mem_t   mem;
        llm_error_t err;

        lls_mem_init(&mem, NULL);
        assert_int_equal(lls_gguf_open_bytes(&mem, b.data, b.n, "f", &g, &err), LLM_OK);
        assert_int_equal(lls_gguf_n_keys(g), SAMPLE_KEYS);
        assert_int_equal(lls_gguf_n_tensors(g), 4);
        check_values(g);
        check_arrays(g);
        check_tensor(g, 0, "plain", 0, 3, 5, 60, 3);
        check_tensor(g, 1, "nibbles", 2, 64, 2, 72, (uint8_t)(128 * 7 + 3));
        check_tensor(g, 2, "halves", 1, 7, 1, 14, (uint8_t)(64 * 7 + 3));
        check_tensor(g, 3, "bytes", 8, 32, 1, 34, 3);
        lls_gguf_close(g);
        buf_free(&b);
    }
}

static void a_file_cut_at_any_byte_is_refused(void **state)
{
    buf_t       b = sample_gguf(3);
    llm_error_t err;

    assert_int_equal(try_open(b.data, b.n, &err, NULL), LLM_OK);
    for (size_t n = 0; n < b.n; n++)
        assert_int_equal(try_open(b.data, n, &err, NULL), LLM_ERR_FORMAT);
    buf_free(&b);
}

static void every_byte_of_the_header_may_be_wrong(void **state)
{
    static const uint8_t masks[] = { 1, 2, 4, 8, 16, 32, 64, 128, 0xff, 0x7f };
    buf_t                b = sample_gguf(3);
    llm_error_t          err;
    size_t               n_refused = 0;

    for (size_t i = 0; i < b.n - 290; i++)
        for (size_t k = 0; k < sizeof masks; k++) {
            b.data[i] ^= masks[k];
            n_refused += try_open(b.data, b.n, &err, NULL) != LLM_OK;
            b.data[i] ^= masks[k];
        }
    assert_true(n_refused > 1000);
    buf_free(&b);
}

/* ---- Files made to harm ---- */

static void put_alignment(buf_t *b, uint64_t align)
{
    gguf_header(b, 3, 1, 1);
    gguf_key(b, "general.alignment", 4, align, 4);
    gguf_tensor(b, "w", 1, 4, 0, 0, 0);
}

static void put_one(buf_t *b, uint32_t n_dims, uint64_t d0, uint64_t d1, uint32_t type,
                    uint64_t offset)
{
    gguf_header(b, 3, 1, 0);
    gguf_tensor(b, "w", n_dims, d0, d1, type, offset);
}

static void put_two(buf_t *b, const char *second, uint64_t offset)
{
    gguf_header(b, 3, 2, 0);
    gguf_tensor(b, "w", 1, 16, 0, 0, 0);
    gguf_tensor(b, second, 1, 4, 0, 0, offset);
}

static void put_array(buf_t *b, uint32_t elem_type, uint64_t n)
{
    gguf_header(b, 3, 0, 1);
    gguf_key_array(b, "a", elem_type, n);
}

static void put_key_name(buf_t *b, const char *name, size_t len)
{
    gguf_header(b, 3, 0, 1);
    put_strn(b, name, len);
    put_u32(b, 0);
    put_int(b, 1, 1);
}

static void put_case(buf_t *b, int which)
{
    switch (which) {
    case 0: gguf_header(b, 1, 0, 0); break;
    case 1: gguf_header(b, 0x03000000u, 0, 0); break;
    case 2: gguf_header(b, 4, 0, 0); break;
    case 3: buf_put(b, "GGML", 4); break;
    case 4: gguf_header(b, 3, 0, UINT64_MAX); break;
    case 5: gguf_header(b, 3, UINT64_MAX, 0); break;
    case 6: gguf_header(b, 3, 1ull << 32, 1ull << 32); break;
    case 7: put_alignment(b, 0); break;
    case 8: put_alignment(b, 48); break;
    case 9: put_alignment(b, 1u << 31); break;
    case 10: gguf_header(b, 3, 1, 1); gguf_key_str(b, "general.alignment", "32"); put_str(b, "w");
             put_u32(b, 1); put_u64(b, 1); put_u32(b, 0); put_u64(b, 0); break;
    case 11: put_one(b, 0, 0, 0, 0, 0); break;
    case 12: put_one(b, 5, 1, 1, 0, 0); break;
    case 13: put_one(b, 2, 4, 0, 0, 0); break;
    case 14: put_one(b, 2, 1ull << 32, 1ull << 32, 0, 0); break;
    case 15: put_one(b, 2, 1ull << 31, 1ull << 31, 0, 0); break;
    case 16: put_one(b, 1, INT64_MAX - 31, 0, 0, 0); break;
    case 17: put_one(b, 1, 33, 0, 2, 0); break;
    case 18: put_one(b, 1, 4, 0, 0, 8); break;
    case 19: put_one(b, 1, 4, 0, 0, UINT64_MAX - 31); break;
    case 20: put_one(b, 1, 4, 0, 0, 1 << 20); break;
    case 21: put_two(b, "v", 32); break;
    case 22: put_two(b, "v", 0); break;
    case 23: put_two(b, "w", 64); break;
    case 24: put_array(b, 9, 1); put_u32(b, 4); put_u64(b, 1); put_u32(b, 1); break;
    case 25: put_array(b, 4, 1ull << 62); break;
    case 26: put_array(b, 8, 1ull << 61); break;
    case 27: put_array(b, 13, 1); break;
    case 28: put_array(b, 7, 2); put_int(b, 2, 2); break;
    case 29: put_array(b, 8, 1); put_u64(b, UINT64_MAX); break;
    case 30: gguf_header(b, 3, 0, 1); gguf_key(b, "k", 99, 0, 4); break;
    case 31: gguf_header(b, 3, 0, 1); gguf_key(b, "k", 7, 255, 1); break;
    case 32: gguf_header(b, 3, 0, 2); gguf_key(b, "k", 0, 1, 1); gguf_key(b, "k", 4, 1, 4); break;
    case 33: put_key_name(b, "", 0); break;
    case 34: put_key_name(b, "a\0b", 3); break;
    case 35: put_key_name(b, "a\xff", 2); break;
    case 36: gguf_header(b, 3, 0, 1); put_u64(b, UINT64_MAX - 7); break;
    case 37: put_one(b, 2, 1ull << 62, 2, 12, 0); break;
    default: break;
    }
}

/* What each message must say; the order is that of put_case(). */
static const char *const refusals[] = {
    "version 1 is not supported",
    "big-endian",
    "version 4",
    "does not begin with GGUF",
    "18446744073709551615 metadata keys do not fit",
    "18446744073709551615 tensors do not fit",
    "4294967296 metadata keys do not fit",
    "general.alignment 0 is not",
    "general.alignment 48 is not",
    "data begins at 2147483648",
    "general.alignment is not an unsigned",
    "w has 0 dimensions",
    "w has 5 dimensions",
    "w has size 0 in dimension 1",
    "[4294967296, 4294967296, 1, 1]",
    "2^64 bytes",
    "2^64 bytes",
    "rows of 33 values, not a multiple of 32",
    "begins at 8, not a multiple of the alignment 32",
    "at 18446744073709551584 does not fit",
    "16 bytes at 1048576 does not fit into",
    "w (64 bytes at 0) overlaps tensor v at 32",
    "overlaps",
    "tensor w appears twice",
    "key a is an array of arrays",
    "4611686018427387904 values of type uint32",
    "2305843009213693952 values of type string",
    "a has value type 13",
    "the bool 2",
    "string 0 a does not",
    "k has value type 99",
    "the bool 255",
    "metadata key k appears twice",
    "is empty or not UTF-8",
    "is empty or not UTF-8",
    "is empty or not UTF-8",
    "metadata key 0",
    "[4611686018427387904, 2, 1, 1] has 2^63 values",
};

static void hostile_files_are_refused_with_the_reason(void **state)
{
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        buf_t        b = { 0 };
        llm_error_t  err;
        llm_status_t st;
        uint64_t     n_calls;

        put_case(&b, (int)i);
        if (i >= 7)
            put_pad(&b, 32), put_data(&b, 256);     /* so that only what is meant is wrong */
        st = try_open(b.data, b.n, &err, &n_calls);
        if (st == LLM_OK || strstr(err.message, refusals[i]) == NULL)
            fail_msg("case %zu: %s, wanted: %s", i, st == LLM_OK ? "opened" : err.message,
                     refusals[i]);
        assert_in_range(n_calls, 1, 6);             /* a huge count allocates for what was read */
        buf_free(&b);
    }
}

static void types_that_we_cannot_read_are_named_but_open(void **state)
{
    buf_t       b = { 0 };
    lls_gguf_t *g;
    lls_mem_t   mem;
    llm_error_t err;

    gguf_header(&b, 3, 2, 0);
    gguf_tensor(&b, "k", 2, 256, 2, 18, 0);
    gguf_tensor(&b, "new", 2, 256, 2, 777, 0);
    put_pad(&b, 32);
    lls_mem_init(&mem, NULL);
    assert_int_equal(lls_gguf_open_bytes(&mem, b.data, b.n, "f", &g, &err), LLM_OK);
    for (uint64_t i = 0; i < 2; i++) {
        assert_int_equal(lls_gguf_tensor(g, i)->bytes, 0);
        assert_null(lls_gguf_tensor(g, i)->data);
    }
    assert_string_equal(lls_gguf_type_name(18), "IQ3_XXS");
    assert_string_equal(lls_gguf_type_name(30), "BF16");
    assert_null(lls_gguf_type_name(777));
    assert_null(lls_gguf_type_name(37));
    lls_gguf_close(g);
    buf_free(&b);
}

static void a_failed_allocation_leaves_nothing(void **state)
{
    buf_t        b = sample_gguf(3);
    llm_status_t st = LLM_ERR_NO_MEMORY;
    uint64_t     n = 0;

    while (st != LLM_OK) {
        test_alloc_t    alloc = { .fail_at = ++n };
        llm_allocator_t hook = test_allocator(&alloc);
        lls_gguf_t     *g;
        lls_mem_t       mem;
        llm_error_t     err;

        lls_mem_init(&mem, &hook);
        st = lls_gguf_open_bytes(&mem, b.data, b.n, "f.gguf", &g, &err);
        assert_true(st == LLM_OK || (st == LLM_ERR_NO_MEMORY && g == NULL));
        lls_gguf_close(g);
        assert_int_equal(alloc.live_bytes, 0);
    }
    assert_true(n > 4);
    buf_free(&b);
}

/* ---- Files on disk ---- */

static void write_temp(char *path, const uint8_t *data, size_t n)
{
    int fd;

    strcpy(path, "/tmp/gguf_test.XXXXXX");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_true(n == 0 || write(fd, data, n) == (ssize_t)n);
    close(fd);
}

static void files_on_disk_are_mapped(void **state)
{
    buf_t       b = sample_gguf(3);
    char        path[64];
    lls_gguf_t *g;
    lls_mem_t   mem;
    llm_error_t err;

    lls_mem_init(&mem, NULL);
    write_temp(path, b.data, b.n);
    assert_true(lls_gguf_probe(path));
    assert_int_equal(lls_gguf_open(&mem, path, &g, &err), LLM_OK);
    check_values(g);
    lls_gguf_close(g);
    unlink(path);
    assert_false(lls_gguf_probe(path));
    assert_int_equal(lls_gguf_open(&mem, path, &g, &err), LLM_ERR_IO);
    assert_non_null(strstr(err.message, path));
    write_temp(path, NULL, 0);
    assert_false(lls_gguf_probe(path));
    assert_int_equal(lls_gguf_open(&mem, path, &g, &err), LLM_ERR_FORMAT);
    unlink(path);
    assert_false(lls_gguf_probe("/tmp"));
    assert_int_equal(lls_gguf_open(&mem, "/tmp", &g, &err), LLM_ERR_IO);
    assert_int_equal(lls_gguf_open(&mem, "/tmp", &g, NULL), LLM_ERR_IO);
    lls_gguf_close(NULL);
    assert_int_equal(atomic_load(&mem.held), 0);
    buf_free(&b);
}

static void the_demonstration_model_opens(void **state)
{
    char           path[512];
    lls_gguf_t    *g;
    lls_mem_t      mem;
    llm_error_t    err;
    lls_gguf_str_t s;
    uint64_t       u;

    if (!demo_model_path(path, sizeof path))
        skip();
    lls_mem_init(&mem, NULL);
    if (lls_gguf_open(&mem, path, &g, &err) != LLM_OK)
        fail_msg("%s", err.message);
    assert_true(lls_gguf_get_str(g, "general.architecture", &s));
    assert_true(s.len == 5 && memcmp(s.text, "llama", 5) == 0);
    assert_true(lls_gguf_get_u64(g, "llama.block_count", &u) && u == 30);
    assert_int_equal(lls_gguf_find(g, "tokenizer.ggml.tokens")->n, 49152);
    assert_int_equal(lls_gguf_n_tensors(g), 272);
    touch_all(g);
    assert_true(atomic_load(&mem.held) < 200000);
    lls_gguf_close(g);
}

/* ---- Sorting ---- */

static int cmp_values(const void *ctx, uint32_t a, uint32_t b)
{
    const uint32_t *v = ctx;

    return (v[a] > v[b]) - (v[a] < v[b]);
}

static void indices_sort_whatever_their_order(void **state)
{
    uint32_t v[200], ids[200], seen;

    for (uint32_t n = 0; n <= 200; n++)
        for (uint32_t kind = 0; kind < 4; kind++) {
            for (uint32_t i = 0; i < n; i++) {
                v[i] = kind == 0 ? i : kind == 1 ? n - i : kind == 2 ? 5 : (i * 2654435761u) >> 24;
                ids[i] = i;
            }
            lls_sort_ids(ids, n, cmp_values, v);
            seen = 0;
            for (uint32_t i = 0; i < n; i++) {
                assert_true(i == 0 || v[ids[i - 1]] <= v[ids[i]]);
                seen += ids[i];
            }
            assert_int_equal(seen, n == 0 ? 0 : n * (n - 1) / 2);
        }
    assert_true(lls_cmp_text("ab", 2, "abc", 3) < 0 && lls_cmp_text("b", 1, "abc", 3) > 0);
    assert_true(lls_cmp_text("", 0, "", 0) == 0 && lls_cmp_text("\xff", 1, "a", 1) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_reads_as_it_was_written),
        cmocka_unit_test(a_file_cut_at_any_byte_is_refused),
        cmocka_unit_test(every_byte_of_the_header_may_be_wrong),
        cmocka_unit_test(hostile_files_are_refused_with_the_reason),
        cmocka_unit_test(types_that_we_cannot_read_are_named_but_open),
        cmocka_unit_test(a_failed_allocation_leaves_nothing),
        cmocka_unit_test(files_on_disk_are_mapped),
        cmocka_unit_test(the_demonstration_model_opens),
        cmocka_unit_test(indices_sort_whatever_their_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
