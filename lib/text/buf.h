/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf - growing arrays of bytes, ids and spans, on a lls_mem_t.  A zeroed one with its mem set is
 * empty; `put` is false when memory is out, and nothing has changed then.
 */
#ifndef LLS_TEXT_BUF_H
#define LLS_TEXT_BUF_H

#include <string.h>

#include "base/mem.h"
#include "base/num.h"

typedef struct lls_buf {
    lls_mem_t *mem;
    char      *data;
    size_t     len, cap;
} lls_buf_t;

typedef struct lls_ids {
    lls_mem_t *mem;
    int32_t   *data;
    size_t     n, cap;
} lls_ids_t;

typedef struct lls_span {           /* bytes [begin, end) of a text */
    uint32_t begin, end;
} lls_span_t;

typedef struct lls_spans {
    lls_mem_t  *mem;
    lls_span_t *data;
    size_t      n, cap;
} lls_spans_t;

/* Up to 8 bytes as a number, the first lowest, zero above them; only they are read. */
static inline uint64_t lls_load_short(const char *p, size_t n)
{
    const uint8_t *b = (const uint8_t *)p;
    uint64_t       v;
    uint32_t       lo, hi;

    if (n >= 8) {
        memcpy(&v, p, 8);
        return v;
    }
    if (n >= 4) {
        memcpy(&lo, p, 4);
        memcpy(&hi, p + n - 4, 4);
        return lo | (uint64_t)hi << (8 * (n - 4));
    }
    if (n == 0)
        return 0;
    return b[0] | (uint64_t)b[n / 2] << (8 * (n / 2)) | (uint64_t)b[n - 1] << (8 * (n - 1));
}

static inline bool lls_buf_room(lls_buf_t *b, size_t n)
{
    if (b->cap - b->len >= n)
        return true;
    return n <= SIZE_MAX - b->len && lls_reserve(b->mem, (void **)&b->data, &b->cap, b->len + n, 1);
}

static inline bool lls_buf_put(lls_buf_t *b, const void *data, size_t n)
{
    if (!lls_buf_room(b, n))
        return false;
    if (n != 0)
        memcpy(b->data + b->len, data, n);
    b->len += n;
    return true;
}

/* A NUL behind the data that does not count. */
static inline bool lls_buf_end(lls_buf_t *b)
{
    if (!lls_buf_room(b, 1))
        return false;
    b->data[b->len] = '\0';
    return true;
}

static inline void lls_buf_deinit(lls_buf_t *b)
{
    lls_free(b->mem, b->data);
    b->data = NULL;
    b->len = b->cap = 0;
}

static inline bool lls_ids_room(lls_ids_t *a, size_t n)
{
    if (a->cap - a->n >= n)
        return true;
    return n <= SIZE_MAX - a->n &&
           lls_reserve(a->mem, (void **)&a->data, &a->cap, a->n + n, sizeof *a->data);
}

static inline bool lls_ids_put(lls_ids_t *a, int32_t id)
{
    if (!lls_ids_room(a, 1))
        return false;
    a->data[a->n++] = id;
    return true;
}

static inline bool lls_spans_put(lls_spans_t *a, size_t begin, size_t end)
{
    if (a->n == a->cap &&
        !lls_reserve(a->mem, (void **)&a->data, &a->cap, a->n + 1, sizeof *a->data))
        return false;
    a->data[a->n++] = (lls_span_t){ (uint32_t)begin, (uint32_t)end };
    return true;
}

#endif
