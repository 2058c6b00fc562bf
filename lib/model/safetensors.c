/* SPDX-License-Identifier: Apache-2.0 */
#include "model/safetensors.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/sort.h"

#define ULL(x) ((unsigned long long)(x))
#define METADATA "__metadata__"

typedef struct file {
    const uint8_t *data; /* the section of data */
    uint64_t       size; /* its bytes */
    const char    *name; /* of the file, in messages */
    llm_error_t   *err;
} file_t;

LLS_PRINTF(2, 3) static llm_status_t bad(const file_t *f, const char *fmt, ...)
{
    char    text[sizeof f->err->message];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return lls_fail(f->err, LLM_ERR_FORMAT, "%s: %s", f->name, text);
}

/* ---- One tensor ---- */

static llm_status_t read_dtype(const file_t *f, const json_t *tensor, lls_weight_t *t)
{
    static const uint32_t plain[] = { LLS_W_F32, LLS_W_F16, LLS_W_BF16 };
    const char           *dtype = json_string_value(json_object_get(tensor, "dtype"));

    if (dtype == NULL)
        return bad(f, "tensor %.100s has no dtype", t->name);
    for (size_t i = 0; i < LLS_ARRAY_LEN(plain); i++)
        if (strcmp(dtype, lls_scheme_name(plain[i])) == 0) {
            t->scheme = plain[i];
            return LLM_OK;
        }
    return lls_fail(
        f->err, LLM_ERR_UNSUPPORTED,
        "%s: tensor %.100s has dtype %.20s, which is not supported; use F32, F16 or BF16", f->name,
        t->name, dtype);
}

/* A number that is an integer and not negative. */
static bool get_u64(const json_t *value, uint64_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *out = (uint64_t)json_integer_value(value);
    return true;
}

/* Shape, and the bytes that it asks for. */
static llm_status_t read_shape(const file_t *f, const json_t *tensor, lls_weight_t *t)
{
    const json_t *shape = json_object_get(tensor, "shape");

    if (!json_is_array(shape))
        return bad(f, "tensor %.100s has no shape", t->name);
    if (json_array_size(shape) > LLS_ARRAY_LEN(t->shape))
        return bad(f, "tensor %.100s has %llu dimensions, allowed are up to 4", t->name,
                   ULL(json_array_size(shape)));
    t->n_dims = (uint32_t)json_array_size(shape);
    t->bytes = lls_scheme_block_bytes(t->scheme);
    for (uint32_t d = 0; d < LLS_ARRAY_LEN(t->shape); d++) {
        t->shape[d] = 1;
        if (d < t->n_dims && !get_u64(json_array_get(shape, d), &t->shape[d]))
            return bad(f, "dimension %u of tensor %.100s is not a whole number", d, t->name);
        if (!lls_mul_u64(t->bytes, t->shape[d], &t->bytes))
            return bad(f, "the shape of tensor %.100s has 2^64 bytes or more", t->name);
    }
    return LLM_OK;
}

static llm_status_t read_place(const file_t *f, const json_t *tensor, lls_weight_t *t)
{
    const json_t *at = json_object_get(tensor, "data_offsets");
    uint64_t      begin, end;

    if (json_array_size(at) != 2 || !get_u64(json_array_get(at, 0), &begin) ||
        !get_u64(json_array_get(at, 1), &end))
        return bad(f, "data_offsets of tensor %.100s are not two whole numbers", t->name);
    if (begin > end || end > f->size)
        return bad(
            f, "tensor %.100s lies at [%llu, %llu] of %llu bytes of data; is the file complete?",
            t->name, ULL(begin), ULL(end), ULL(f->size));
    if (end - begin != t->bytes)
        return bad(f, "tensor %.100s has %llu bytes, its shape and dtype %s want %llu", t->name,
                   ULL(end - begin), lls_scheme_name(t->scheme), ULL(t->bytes));
    t->data = f->data + begin;
    return LLM_OK;
}

static llm_status_t read_tensor(const file_t *f, const json_t *tensor, lls_weight_t *t)
{
    llm_status_t st;

    if (!json_is_object(tensor))
        return bad(f, "tensor %.100s is not described by an object", t->name);
    st = read_dtype(f, tensor, t);
    if (st == LLM_OK)
        st = read_shape(f, tensor, t);
    if (st == LLM_OK)
        st = read_place(f, tensor, t);
    return st;
}

/* ---- All of them ---- */

static llm_status_t allocate(const file_t *f, lls_mem_t *mem, json_t *header,
                             lls_safetensors_t *out)
{
    size_t      bytes = 0, n = 0;
    const char *name;
    json_t     *value;

    json_object_foreach(header, name, value)
    {
        if (name[0] == '\0')
            return bad(f, "a tensor has no name");
        if (strcmp(name, METADATA) == 0)
            continue;
        bytes += strlen(name) + 1;
        n++;
    }
    if (n >= LLS_NONE)
        return bad(f, "%llu tensors are too many", ULL(n));
    out->items = lls_calloc(mem, n, sizeof *out->items);
    out->names = lls_alloc(mem, bytes);
    if (out->items != NULL && out->names != NULL)
        return LLM_OK;
    return lls_fail(f->err, LLM_ERR_NO_MEMORY, "%s: no memory for %llu tensors", f->name, ULL(n));
}

static llm_status_t read_tensors(const file_t *f, json_t *header, lls_safetensors_t *out)
{
    char        *text = out->names;
    const char  *name;
    json_t      *value;
    llm_status_t st;

    json_object_foreach(header, name, value)
    {
        lls_weight_t *t = &out->items[out->n];
        size_t        len = strlen(name) + 1;

        if (strcmp(name, METADATA) == 0)
            continue;
        t->name = memcpy(text, name, len);
        text += len;
        st = read_tensor(f, value, t);
        if (st != LLM_OK)
            return st;
        out->n++;
    }
    return LLM_OK;
}

/* By place; an empty tensor before one that begins at the same byte. */
static int cmp_places(const void *ctx, uint32_t a, uint32_t b)
{
    const lls_weight_t *t = ctx;

    if (t[a].data != t[b].data)
        return t[a].data > t[b].data ? 1 : -1;
    return (t[a].bytes > t[b].bytes) - (t[a].bytes < t[b].bytes);
}

static llm_status_t check_cover(const file_t *f, const lls_safetensors_t *file, uint32_t *ids)
{
    uint64_t at = 0, begin;

    for (uint32_t i = 0; i < file->n; i++)
        ids[i] = i;
    lls_sort_ids(ids, file->n, cmp_places, file->items);
    for (uint32_t i = 0; i < file->n; i++) {
        const lls_weight_t *t = &file->items[ids[i]];

        begin = (uint64_t)(t->data - f->data);
        if (begin < at)
            return bad(
                f, "tensor %.100s at byte %llu of data overlaps tensor %.100s, which ends at %llu",
                t->name, ULL(begin), file->items[ids[i - 1]].name, ULL(at));
        if (begin > at)
            return bad(f,
                       "%llu bytes before tensor %.100s at byte %llu of data belong to no tensor",
                       ULL(begin - at), t->name, ULL(begin));
        at += t->bytes;
    }
    if (at != f->size)
        return bad(f, "the file has %llu bytes of data, its tensors cover %llu", ULL(f->size),
                   ULL(at));
    return LLM_OK;
}

static llm_status_t cross_check(const file_t *f, lls_mem_t *mem, const lls_safetensors_t *file)
{
    uint32_t    *ids = lls_calloc(mem, file->n, sizeof *ids);
    llm_status_t st;

    if (ids == NULL)
        return lls_fail(f->err, LLM_ERR_NO_MEMORY, "%s: no memory for %u tensors", f->name,
                        file->n);
    st = check_cover(f, file, ids);
    lls_free(mem, ids);
    return st;
}

/* lls_json_parse() takes the last of two equal keys; here a second one may hide the first. */
static llm_status_t parse_header(const file_t *f, const char *text, size_t len, json_t **out)
{
    json_error_t why = { 0 };

    *out = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
    if (json_is_object(*out))
        return LLM_OK;
    if (*out == NULL && lls_json_out_of_memory(&why))
        return lls_fail(f->err, LLM_ERR_NO_MEMORY, "%s: no memory for a header of %llu bytes",
                        f->name, ULL(len));
    if (*out == NULL)
        return bad(f, "header, column %d: %s", why.column, why.text);
    return bad(f, "the header is not a JSON object");
}

/* Where the header ends; f->data and f->size are still the whole file. */
static llm_status_t find_header(const file_t *f, uint64_t *len)
{
    *len = 0;
    if (f->size < 8)
        return bad(f, "not a safetensors file: it has %llu bytes", ULL(f->size));
    for (int i = 0; i < 8; i++)
        *len |= (uint64_t)f->data[i] << (8 * i);
    if (*len > f->size - 8)
        return bad(f,
                   "a header of %llu bytes does not fit into a file of %llu; is the file complete?",
                   ULL(*len), ULL(f->size));
    if (*len > LLS_SAFETENSORS_MAX_HEADER)
        return bad(f, "a header of %llu bytes is too long, at most %u are allowed", ULL(*len),
                   LLS_SAFETENSORS_MAX_HEADER);
    return LLM_OK;
}

llm_status_t lls_safetensors_init(lls_mem_t *mem, lls_safetensors_t *file, const uint8_t *data,
                                  uint64_t size, const char *name, llm_error_t *err)
{
    file_t       f = { .data = data, .size = size, .name = name, .err = err };
    json_t      *header = NULL;
    uint64_t     len;
    llm_status_t st = find_header(&f, &len);

    *file = (lls_safetensors_t){ 0 };
    if (st != LLM_OK)
        return st;
    f.data += 8 + len;
    f.size -= 8 + len;
    st = parse_header(&f, (const char *)data + 8, len, &header);
    if (st == LLM_OK)
        st = allocate(&f, mem, header, file);
    if (st == LLM_OK)
        st = read_tensors(&f, header, file);
    if (st == LLM_OK)
        st = cross_check(&f, mem, file);
    json_decref(header);
    if (st != LLM_OK)
        lls_safetensors_deinit(mem, file);
    return st;
}

void lls_safetensors_deinit(lls_mem_t *mem, lls_safetensors_t *file)
{
    lls_free(mem, file->items);
    lls_free(mem, file->names);
    *file = (lls_safetensors_t){ 0 };
}
