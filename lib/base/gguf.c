/* SPDX-License-Identifier: Apache-2.0 */
#include "base/gguf_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "base/sort.h"
#include "base/utf8.h"

#define ULL(x) ((unsigned long long)(x))
#define SHOWN(s) (int)lls_min_u64((s).len, 100), (s).text /* for %.*s: names of hostile length */
#define MIN_KEY_BYTES 14u    /* length, one character, type, one byte of value */
#define MIN_TENSOR_BYTES 33u /* length, one character, count, one dimension, type, offset */
#define DEFAULT_ALIGNMENT 32u

typedef struct reader {
    const uint8_t *data;
    uint64_t       size, pos;
    const char    *name; /* of the file, in messages */
    llm_error_t   *err;
} reader_t;

/* ORDER gguf value type */
const gguf_value_type_t lls_gguf_value_types[LLS_GGUF_N_VALUE_TYPES] = {
    { "uint8", 1 },  { "int8", 1 },    { "uint16", 2 },  { "int16", 2 },  { "uint32", 4 },
    { "int32", 4 },  { "float32", 4 }, { "bool", 1 },    { "string", 0 }, { "array", 0 },
    { "uint64", 8 }, { "int64", 8 },   { "float64", 8 },
};

/* By ggml's number; block 0: known by name only. */
static const struct ggml_type {
    const char *name;
    uint32_t    block, bytes;
} ggml_types[] = {
    [0] = { "F32", 1, 4 },         [1] = { "F16", 1, 2 },         [2] = { "Q4_0", 32, 18 },
    [3] = { "Q4_1", 32, 20 },      [4] = { "Q4_2", 0, 0 },        [5] = { "Q4_3", 0, 0 },
    [6] = { "Q5_0", 32, 22 },      [7] = { "Q5_1", 32, 24 },      [8] = { "Q8_0", 32, 34 },
    [9] = { "Q8_1", 0, 0 },        [10] = { "Q2_K", 256, 84 },    [11] = { "Q3_K", 256, 110 },
    [12] = { "Q4_K", 256, 144 },   [13] = { "Q5_K", 256, 176 },   [14] = { "Q6_K", 256, 210 },
    [15] = { "Q8_K", 0, 0 },       [16] = { "IQ2_XXS", 0, 0 },    [17] = { "IQ2_XS", 0, 0 },
    [18] = { "IQ3_XXS", 0, 0 },    [19] = { "IQ1_S", 0, 0 },      [20] = { "IQ4_NL", 32, 18 },
    [21] = { "IQ3_S", 0, 0 },      [22] = { "IQ2_S", 0, 0 },      [23] = { "IQ4_XS", 256, 136 },
    [24] = { "I8", 0, 0 },         [25] = { "I16", 0, 0 },        [26] = { "I32", 0, 0 },
    [27] = { "I64", 0, 0 },        [28] = { "F64", 0, 0 },        [29] = { "IQ1_M", 0, 0 },
    [30] = { "BF16", 1, 2 },       [31] = { "Q4_0_4_4", 0, 0 },   [32] = { "Q4_0_4_8", 0, 0 },
    [33] = { "Q4_0_8_8", 0, 0 },   [34] = { "TQ1_0", 0, 0 },      [35] = { "TQ2_0", 0, 0 },
    [39] = { "MXFP4", 0, 0 },      [40] = { "NVFP4", 0, 0 },
};

const char *lls_gguf_type_name(uint32_t ggml_type)
{
    return ggml_type < LLS_ARRAY_LEN(ggml_types) ? ggml_types[ggml_type].name : NULL;
}

/* ---- Reading ---- */

static uint64_t left(const reader_t *r) { return r->size - r->pos; }

/* The next n bytes; NULL if the file ends before. */
static const uint8_t *take(reader_t *r, uint64_t n)
{
    const uint8_t *p = r->data + r->pos;

    if (n > left(r))
        return NULL;
    r->pos += n;
    return p;
}

static bool take_u32(reader_t *r, uint32_t *out)
{
    const uint8_t *p = take(r, 4);

    *out = p == NULL ? 0 : (uint32_t)lls_gguf_load(p, 4);
    return p != NULL;
}

static bool take_u64(reader_t *r, uint64_t *out)
{
    const uint8_t *p = take(r, 8);

    *out = p == NULL ? 0 : lls_gguf_load(p, 8);
    return p != NULL;
}

static bool take_str(reader_t *r, lls_gguf_str_t *out)
{
    uint64_t       len;
    const uint8_t *p = take_u64(r, &len) ? take(r, len) : NULL;

    *out = p == NULL ? (lls_gguf_str_t){ "", 0 } : (lls_gguf_str_t){ (const char *)p, len };
    return p != NULL;
}

/* LLM_ERR_FORMAT with the name of the file before the rest. */
LLS_PRINTF(2, 3) static llm_status_t bad(const reader_t *r, const char *fmt, ...)
{
    char    text[sizeof r->err->message];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return lls_fail(r->err, LLM_ERR_FORMAT, "%s: %s", r->name, text);
}

static llm_status_t no_memory(const reader_t *r, const char *what, uint64_t n)
{
    return lls_fail(r->err, LLM_ERR_NO_MEMORY, "%s: no memory for %llu %s", r->name, ULL(n), what);
}

/* The file ends inside the i-th `what`, whose name is shown as far as it is known. */
static llm_status_t cut_off(const reader_t *r, const char *what, uint64_t i, lls_gguf_str_t name)
{
    return bad(r, "%s %llu %.*s does not fit: the file ends at byte %llu, reading was at %llu",
               what, ULL(i), SHOWN(name), ULL(r->size), ULL(r->pos));
}

static llm_status_t check_name(const reader_t *r, const char *what, uint64_t i, lls_gguf_str_t name)
{
    if (name.len > 0 && lls_utf8_valid(name.text, name.len) == name.len &&
        memchr(name.text, '\0', name.len) == NULL)
        return LLM_OK;
    return bad(r, "the name of %s %llu is empty or not UTF-8", what, ULL(i));
}

/* ---- Metadata ---- */

static llm_status_t check_value_type(const reader_t *r, lls_gguf_str_t key, uint32_t type,
                                     bool elem)
{
    if (elem && type == LLS_GGUF_ARRAY)
        return lls_fail(r->err, LLM_ERR_UNSUPPORTED,
                        "%s: metadata key %.*s is an array of arrays, which is not supported",
                        r->name, SHOWN(key));
    if (type >= LLS_GGUF_N_VALUE_TYPES)
        return bad(r, "metadata key %.*s has value type %u, known are 0 to %u", SHOWN(key), type,
                   LLS_GGUF_N_VALUE_TYPES - 1);
    return LLM_OK;
}

static llm_status_t too_many(const reader_t *r, lls_gguf_str_t key, const lls_gguf_value_t *v)
{
    return bad(r,
               "metadata key %.*s has %llu values of type %s, the file has "
               "%llu bytes left",
               SHOWN(key), ULL(v->n), lls_gguf_value_types[v->elem_type].name, ULL(left(r)));
}

/* Moves over the elements; all have been counted and found to fit when this returns LLM_OK. */
static llm_status_t skip_elements(reader_t *r, lls_gguf_str_t key, const lls_gguf_value_t *v)
{
    uint32_t       size = lls_gguf_value_types[v->elem_type].size;
    const uint8_t *p;
    lls_gguf_str_t s;

    if (v->n > left(r) / (size == 0 ? 8 : size))
        return too_many(r, key, v);
    if (size == 0) {
        for (uint64_t i = 0; i < v->n; i++)
            if (!take_str(r, &s))
                return cut_off(r, "string", i, key);
        return LLM_OK;
    }
    p = take(r, v->n * size);
    for (uint64_t i = 0; v->elem_type == LLS_GGUF_BOOL && i < v->n; i++)
        if (p[i] > 1)
            return bad(r, "metadata key %.*s has the bool %u, not 0 or 1", SHOWN(key), p[i]);
    return LLM_OK;
}

static llm_status_t read_value(reader_t *r, uint64_t i, lls_gguf_str_t key, lls_gguf_value_t *v)
{
    llm_status_t st;

    if (!take_u32(r, &v->type))
        return cut_off(r, "metadata key", i, key);
    st = check_value_type(r, key, v->type, false);
    if (st != LLM_OK)
        return st;
    v->elem_type = v->type;
    v->n = 1;
    if (v->type == LLS_GGUF_ARRAY) {
        if (!take_u32(r, &v->elem_type) || !take_u64(r, &v->n))
            return cut_off(r, "metadata key", i, key);
        st = check_value_type(r, key, v->elem_type, true);
        if (st != LLM_OK)
            return st;
    }
    v->data = r->data + r->pos;
    st = skip_elements(r, key, v);
    v->bytes = (size_t)(r->data + r->pos - v->data);
    return st;
}

static llm_status_t read_keys(lls_gguf_t *g, reader_t *r, uint64_t n)
{
    size_t       cap = 0;
    llm_status_t st;

    if (n > left(r) / MIN_KEY_BYTES || n >= LLS_NONE)
        return bad(r, "%llu metadata keys do not fit into %llu bytes", ULL(n), ULL(left(r)));
    for (uint64_t i = 0; i < n; i++) {
        gguf_entry_t k = { 0 };

        if (!take_str(r, &k.name))
            return cut_off(r, "metadata key", i, k.name);
        st = check_name(r, "metadata key", i, k.name);
        if (st == LLM_OK)
            st = read_value(r, i, k.name, &k.value);
        if (st != LLM_OK)
            return st;
        if (!lls_reserve(g->mem, (void **)&g->keys, &cap, i + 1, sizeof *g->keys))
            return no_memory(r, "metadata keys", n);
        g->keys[g->n_keys++] = k;
    }
    return LLM_OK;
}

static int cmp_keys(const void *ctx, uint32_t a, uint32_t b)
{
    const gguf_entry_t *keys = ctx;

    return lls_cmp_text(keys[a].name.text, keys[a].name.len, keys[b].name.text, keys[b].name.len);
}

static llm_status_t index_keys(lls_gguf_t *g, const reader_t *r)
{
    g->order = lls_calloc(g->mem, g->n_keys, sizeof *g->order);
    if (g->order == NULL)
        return no_memory(r, "metadata keys", g->n_keys);
    for (uint32_t i = 0; i < g->n_keys; i++)
        g->order[i] = i;
    lls_sort_ids(g->order, g->n_keys, cmp_keys, g->keys);
    for (uint32_t i = 1; i < g->n_keys; i++)
        if (cmp_keys(g->keys, g->order[i - 1], g->order[i]) == 0)
            return bad(r, "metadata key %.*s appears twice", SHOWN(g->keys[g->order[i]].name));
    return LLM_OK;
}

/* ---- Tensors ---- */

/* Bytes of the tensor, 0 where we do not know the type; the number of values fits 63 bits. */
static llm_status_t size_tensor(const reader_t *r, lls_gguf_tensor_t *t)
{
    const struct ggml_type *type =
        t->ggml_type < LLS_ARRAY_LEN(ggml_types) ? &ggml_types[t->ggml_type] : &ggml_types[4];
    uint64_t n = 1;

    for (uint32_t d = 0; d < t->n_dims; d++) {
        if (t->shape[d] == 0)
            return bad(r, "tensor %.*s has size 0 in dimension %u", SHOWN(t->name), d);
        if (!lls_mul_u64(n, t->shape[d], &n) || n > INT64_MAX)
            return bad(r, "tensor %.*s of shape [%llu, %llu, %llu, %llu] has 2^63 values or more",
                       SHOWN(t->name), ULL(t->shape[0]), ULL(t->shape[1]), ULL(t->shape[2]),
                       ULL(t->shape[3]));
    }
    if (type->block == 0)
        return LLM_OK;
    if (t->shape[0] % type->block != 0)
        return bad(r, "tensor %.*s of type %s has rows of %llu values, not a multiple of %u",
                   SHOWN(t->name), type->name, ULL(t->shape[0]), type->block);
    if (!lls_mul_u64(n / type->block, type->bytes, &t->bytes))
        return bad(r, "tensor %.*s of %llu values has 2^64 bytes or more", SHOWN(t->name), ULL(n));
    return LLM_OK;
}

static llm_status_t read_tensor(reader_t *r, uint64_t i, gguf_tensor_t *out)
{
    lls_gguf_tensor_t *t = &out->t;
    llm_status_t       st;

    *out = (gguf_tensor_t){ .t.shape = { 1, 1, 1, 1 } };
    if (!take_str(r, &t->name))
        return cut_off(r, "tensor", i, t->name);
    st = check_name(r, "tensor", i, t->name);
    if (st != LLM_OK)
        return st;
    if (!take_u32(r, &t->n_dims))
        return cut_off(r, "tensor", i, t->name);
    if (t->n_dims == 0 || t->n_dims > 4)
        return bad(r, "tensor %.*s has %u dimensions, allowed are 1 to 4", SHOWN(t->name),
                   t->n_dims);
    for (uint32_t d = 0; d < t->n_dims; d++)
        if (!take_u64(r, &t->shape[d]))
            return cut_off(r, "tensor", i, t->name);
    if (!take_u32(r, &t->ggml_type) || !take_u64(r, &out->offset))
        return cut_off(r, "tensor", i, t->name);
    return size_tensor(r, t);
}

static llm_status_t read_tensors(lls_gguf_t *g, reader_t *r, uint64_t n)
{
    size_t        cap = 0;
    llm_status_t  st;
    gguf_tensor_t t;

    if (n > left(r) / MIN_TENSOR_BYTES || n >= LLS_NONE)
        return bad(r, "%llu tensors do not fit into %llu bytes", ULL(n), ULL(left(r)));
    for (uint64_t i = 0; i < n; i++) {
        st = read_tensor(r, i, &t);
        if (st != LLM_OK)
            return st;
        if (!lls_reserve(g->mem, (void **)&g->tensors, &cap, i + 1, sizeof *g->tensors))
            return no_memory(r, "tensors", n);
        g->tensors[g->n_tensors++] = t;
    }
    return LLM_OK;
}

static llm_status_t find_alignment(const lls_gguf_t *g, const reader_t *r, uint64_t *align)
{
    *align = DEFAULT_ALIGNMENT;
    if (lls_gguf_find(g, "general.alignment") == NULL)
        return LLM_OK;
    if (!lls_gguf_get_u64(g, "general.alignment", align) || *align > UINT32_MAX)
        return bad(r, "general.alignment is not an unsigned 32-bit number");
    if (*align == 0 || (*align & (*align - 1)) != 0)
        return bad(r, "general.alignment %llu is not a power of two", ULL(*align));
    return LLM_OK;
}

/* Gives a tensor its bytes; `data` of them, the rest of the file, begin at r->pos. */
static llm_status_t place_tensor(const reader_t *r, gguf_tensor_t *t, uint64_t align)
{
    uint64_t data = left(r);

    if (t->offset % align != 0)
        return bad(r, "tensor %.*s begins at %llu, not a multiple of the alignment %llu",
                   SHOWN(t->t.name), ULL(t->offset), ULL(align));
    if (t->offset > data || t->t.bytes > data - t->offset)
        return bad(r,
                   "tensor %.*s of %llu bytes at %llu does not fit into %llu bytes of data; "
                   "is the file complete?",
                   SHOWN(t->t.name), ULL(t->t.bytes), ULL(t->offset), ULL(data));
    if (t->t.bytes > 0)
        t->t.data = r->data + r->pos + t->offset;
    return LLM_OK;
}

static llm_status_t place_tensors(const lls_gguf_t *g, reader_t *r)
{
    uint64_t     align, start;
    llm_status_t st = find_alignment(g, r, &align);

    if (st != LLM_OK || g->n_tensors == 0)
        return st;
    start = (r->pos + align - 1) & ~(align - 1);
    if (start > r->size)
        return bad(r, "data begins at %llu, the file ends at %llu", ULL(start), ULL(r->size));
    r->pos = start;
    for (uint32_t i = 0; i < g->n_tensors && st == LLM_OK; i++)
        st = place_tensor(r, &g->tensors[i], align);
    return st;
}

static int cmp_names(const void *ctx, uint32_t a, uint32_t b)
{
    const gguf_tensor_t *t = ctx;

    return lls_cmp_text(t[a].t.name.text, t[a].t.name.len, t[b].t.name.text, t[b].t.name.len);
}

static int cmp_offsets(const void *ctx, uint32_t a, uint32_t b)
{
    const gguf_tensor_t *t = ctx;

    return (t[a].offset > t[b].offset) - (t[a].offset < t[b].offset);
}

/* Names are unique and no two tensors share a byte; those of unknown size take part by name. */
static llm_status_t check_tensors(const lls_gguf_t *g, const reader_t *r, uint32_t *ids)
{
    const gguf_tensor_t *t = g->tensors, *last = NULL;

    for (uint32_t i = 0; i < g->n_tensors; i++)
        ids[i] = i;
    lls_sort_ids(ids, g->n_tensors, cmp_names, t);
    for (uint32_t i = 1; i < g->n_tensors; i++)
        if (cmp_names(t, ids[i - 1], ids[i]) == 0)
            return bad(r, "tensor %.*s appears twice", SHOWN(t[ids[i]].t.name));
    lls_sort_ids(ids, g->n_tensors, cmp_offsets, t);
    for (uint32_t i = 0; i < g->n_tensors; i++) {
        const gguf_tensor_t *now = &t[ids[i]];

        if (now->t.bytes == 0)
            continue;
        if (last != NULL && last->t.bytes > now->offset - last->offset)
            return bad(r, "tensor %.*s (%llu bytes at %llu) overlaps tensor %.*s at %llu",
                       SHOWN(last->t.name), ULL(last->t.bytes), ULL(last->offset),
                       SHOWN(now->t.name), ULL(now->offset));
        last = now;
    }
    return LLM_OK;
}

static llm_status_t cross_check(const lls_gguf_t *g, const reader_t *r)
{
    uint32_t    *ids = lls_calloc(g->mem, g->n_tensors, sizeof *ids);
    llm_status_t st;

    if (ids == NULL)
        return no_memory(r, "tensors", g->n_tensors);
    st = check_tensors(g, r, ids);
    lls_free(g->mem, ids);
    return st;
}

/* ---- Open and close ---- */

static llm_status_t check_version(const reader_t *r, uint32_t version)
{
    if (version == 2 || version == 3)
        return LLM_OK;
    if ((version & 0xffffu) == 0 && version != 0)
        return lls_fail(r->err, LLM_ERR_UNSUPPORTED,
                        "%s: big-endian GGUF is not supported; convert it to little-endian",
                        r->name);
    return lls_fail(r->err, LLM_ERR_UNSUPPORTED,
                    "%s: GGUF version %u is not supported; convert it to version 3", r->name,
                    version);
}

static llm_status_t read_header(reader_t *r, uint64_t *n_tensors, uint64_t *n_keys)
{
    const uint8_t *magic = take(r, 4);
    uint32_t       version;
    llm_status_t   st;

    if (magic == NULL || memcmp(magic, "GGUF", 4) != 0)
        return bad(r, "not a GGUF file: it does not begin with GGUF");
    if (!take_u32(r, &version))
        return cut_off(r, "header field", 0, (lls_gguf_str_t){ "version", 7 });
    st = check_version(r, version);
    if (st != LLM_OK)
        return st;
    if (!take_u64(r, n_tensors) || !take_u64(r, n_keys))
        return cut_off(r, "header field", 1, (lls_gguf_str_t){ "counts", 6 });
    return LLM_OK;
}

static llm_status_t read_all(lls_gguf_t *g, reader_t *r)
{
    uint64_t     n_tensors, n_keys;
    llm_status_t st = read_header(r, &n_tensors, &n_keys);

    if (st == LLM_OK)
        st = read_keys(g, r, n_keys);
    if (st == LLM_OK)
        st = index_keys(g, r);
    if (st == LLM_OK)
        st = read_tensors(g, r, n_tensors);
    if (st == LLM_OK)
        st = place_tensors(g, r);
    if (st == LLM_OK)
        st = cross_check(g, r);
    return st;
}

llm_status_t lls_gguf_open_bytes(lls_mem_t *mem, const uint8_t *data, uint64_t size,
                                 const char *name, lls_gguf_t **out, llm_error_t *err)
{
    reader_t     r = { .data = data, .size = size, .name = name, .err = err };
    lls_gguf_t  *g = lls_zalloc(mem, sizeof *g);
    llm_status_t st;

    *out = NULL;
    if (g == NULL)
        return lls_fail(err, LLM_ERR_NO_MEMORY, "%s: no memory", name);
    g->mem = mem;
    st = read_all(g, &r);
    if (st == LLM_OK)
        *out = g;
    else
        lls_gguf_close(g);
    return st;
}

llm_status_t lls_gguf_open(lls_mem_t *mem, const char *path, lls_gguf_t **out, llm_error_t *err)
{
    lls_map_t    map;
    llm_status_t st = lls_map_file(path, &map, err);

    *out = NULL;
    if (st != LLM_OK)
        return st;
    st = lls_gguf_open_bytes(mem, map.data, map.size, path, out, err);
    if (st == LLM_OK)
        (*out)->map = map;
    else
        lls_unmap_file(&map);
    return st;
}

void lls_gguf_close(lls_gguf_t *g)
{
    if (g == NULL)
        return;
    lls_unmap_file(&g->map);
    lls_free(g->mem, g->keys);
    lls_free(g->mem, g->order);
    lls_free(g->mem, g->tensors);
    lls_free(g->mem, g);
}

bool lls_gguf_probe(const char *path)
{
    lls_map_t map;
    bool      yes;

    if (lls_map_file(path, &map, NULL) != LLM_OK)
        return false;
    yes = map.size >= 4 && memcmp(map.data, "GGUF", 4) == 0;
    lls_unmap_file(&map);
    return yes;
}
