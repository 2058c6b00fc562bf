/* SPDX-License-Identifier: Apache-2.0 */
#include "base/gguf_int.h"

#include <string.h>

#include "base/sort.h"

const lls_gguf_value_t *lls_gguf_find(const lls_gguf_t *g, const char *key)
{
    size_t   len = strlen(key);
    uint32_t lo = 0, hi = g->n_keys;

    while (lo < hi) {
        uint32_t            mid = lo + (hi - lo) / 2;
        const gguf_entry_t *k = &g->keys[g->order[mid]];
        int                 c = lls_cmp_text(key, len, k->name.text, k->name.len);

        if (c == 0)
            return &k->value;
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

/* The integer at p in two's complement of 64 bits; false if type is none. */
static bool load_int(uint32_t type, const uint8_t *p, uint64_t *bits, bool *negative)
{
    uint32_t size;

    switch (type) {
    case LLS_GGUF_U8:
    case LLS_GGUF_U16:
    case LLS_GGUF_U32:
    case LLS_GGUF_U64:
    case LLS_GGUF_BOOL:
        *bits = lls_gguf_load(p, lls_gguf_value_types[type].size);
        *negative = false;
        return true;
    case LLS_GGUF_I8:
    case LLS_GGUF_I16:
    case LLS_GGUF_I32:
    case LLS_GGUF_I64:
        size = lls_gguf_value_types[type].size;
        *bits = lls_gguf_load(p, size);
        *negative = (p[size - 1] & 0x80) != 0;
        if (*negative && size < 8)
            *bits |= UINT64_MAX << (8 * size);
        return true;
    default:
        return false;
    }
}

static bool load_f64(uint32_t type, const uint8_t *p, double *out)
{
    uint64_t bits;
    bool     negative;
    float    f;

    if (type == LLS_GGUF_F32) {
        memcpy(&f, p, sizeof f);
        *out = (double)f;
        return true;
    }
    if (type == LLS_GGUF_F64) {
        memcpy(out, p, sizeof *out);
        return true;
    }
    if (!load_int(type, p, &bits, &negative))
        return false;
    *out = negative ? (double)(int64_t)bits : (double)bits;
    return true;
}

bool lls_gguf_get_u64(const lls_gguf_t *g, const char *key, uint64_t *out)
{
    const lls_gguf_value_t *v = lls_gguf_find(g, key);
    uint64_t                bits;
    bool                    negative;

    if (v == NULL || v->type == LLS_GGUF_BOOL || !load_int(v->type, v->data, &bits, &negative) ||
        negative)
        return false;
    *out = bits;
    return true;
}

bool lls_gguf_get_f64(const lls_gguf_t *g, const char *key, double *out)
{
    const lls_gguf_value_t *v = lls_gguf_find(g, key);

    return v != NULL && v->type != LLS_GGUF_BOOL && load_f64(v->type, v->data, out);
}

bool lls_gguf_get_bool(const lls_gguf_t *g, const char *key, bool *out)
{
    const lls_gguf_value_t *v = lls_gguf_find(g, key);

    if (v == NULL || v->type != LLS_GGUF_BOOL)
        return false;
    *out = v->data[0] != 0;
    return true;
}

bool lls_gguf_get_str(const lls_gguf_t *g, const char *key, lls_gguf_str_t *out)
{
    const lls_gguf_value_t *v = lls_gguf_find(g, key);

    if (v == NULL || v->type != LLS_GGUF_STRING)
        return false;
    *out = (lls_gguf_str_t){ (const char *)v->data + 8, v->bytes - 8 };
    return true;
}

bool lls_gguf_next_str(const lls_gguf_value_t *array, size_t *cursor, lls_gguf_str_t *out)
{
    uint64_t len;

    if (array->elem_type != LLS_GGUF_STRING || *cursor >= array->bytes)
        return false;
    len = lls_gguf_load(array->data + *cursor, 8);
    *out = (lls_gguf_str_t){ (const char *)array->data + *cursor + 8, len };
    *cursor += 8 + len;
    return true;
}

bool lls_gguf_elem_f64(const lls_gguf_value_t *array, uint64_t i, double *out)
{
    return i < array->n && array->elem_type < LLS_GGUF_N_VALUE_TYPES &&
           load_f64(array->elem_type, array->data + i * lls_gguf_value_types[array->elem_type].size,
                    out);
}

bool lls_gguf_elem_i64(const lls_gguf_value_t *array, uint64_t i, int64_t *out)
{
    uint64_t bits;
    bool     negative;

    if (i >= array->n ||
        !load_int(array->elem_type, array->data + i * lls_gguf_value_types[array->elem_type].size,
                  &bits, &negative))
        return false;
    if (!negative && bits > INT64_MAX)
        return false;
    *out = (int64_t)bits;
    return true;
}

uint64_t lls_gguf_n_keys(const lls_gguf_t *g) { return g->n_keys; }

lls_gguf_str_t lls_gguf_key(const lls_gguf_t *g, uint64_t i, const lls_gguf_value_t **value)
{
    lls_assert(i < g->n_keys);
    if (value != NULL)
        *value = &g->keys[i].value;
    return g->keys[i].name;
}

const lls_map_t *lls_gguf_map(const lls_gguf_t *g) { return &g->map; }

uint64_t lls_gguf_n_tensors(const lls_gguf_t *g) { return g->n_tensors; }

const lls_gguf_tensor_t *lls_gguf_tensor(const lls_gguf_t *g, uint64_t i)
{
    lls_assert(i < g->n_tensors);
    return &g->tensors[i].t;
}
