/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gguf_int - what gguf.c reads and gguf_get.c looks up: all of it checked once a file is open.
 */
#ifndef LLS_BASE_GGUF_INT_H
#define LLS_BASE_GGUF_INT_H

#include "base/gguf.h"

typedef struct gguf_entry {
    lls_gguf_str_t   name;
    lls_gguf_value_t value;
} gguf_entry_t;

typedef struct gguf_tensor {
    lls_gguf_tensor_t t;
    uint64_t          offset;       /* from the start of the data section */
} gguf_tensor_t;

struct lls_gguf {
    lls_mem_t     *mem;
    lls_map_t      map;             /* owned; empty when opened from memory */
    gguf_entry_t  *keys;
    gguf_tensor_t *tensors;
    uint32_t      *order;           /* keys sorted by name */
    uint32_t       n_keys, n_tensors;
};

typedef struct gguf_value_type {
    const char *name;
    uint32_t    size;               /* of a value; 0: of no fixed size */
} gguf_value_type_t;

/* ORDER gguf value type */
#define LLS_GGUF_N_VALUE_TYPES 13u
extern const gguf_value_type_t lls_gguf_value_types[LLS_GGUF_N_VALUE_TYPES];

/* Little-endian, 1 to 8 bytes. */
static inline uint64_t lls_gguf_load(const uint8_t *p, uint32_t n)
{
    uint64_t v = 0;

    for (uint32_t i = 0; i < n; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

#endif
