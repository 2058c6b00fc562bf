/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gguf - the GGUF container, versions 2 and 3: typed metadata and a table of tensors.
 *
 * Everything is checked against the length of the file before it is believed or allocated for:
 * counts, string lengths, nesting of arrays, tensor shapes, offsets, alignment, overlap, duplicate
 * names.  Tables grow with what was really read, so a small file cannot ask for much memory.  What
 * this returns points into the mapped file and lives until lls_gguf_close(); a file that another
 * process shortens meanwhile is beyond any check.  Read only after open, so any thread may use it.
 *
 * Keys and names of tensors are not empty, well-formed UTF-8 and without NUL; values that are
 * strings are bytes as the file has them.
 */
#ifndef LLS_BASE_GGUF_H
#define LLS_BASE_GGUF_H

#include "base/io.h"

/* ORDER gguf value type: numbers of the file format. */
enum lls_gguf_type {
    LLS_GGUF_U8, LLS_GGUF_I8, LLS_GGUF_U16, LLS_GGUF_I16, LLS_GGUF_U32, LLS_GGUF_I32, LLS_GGUF_F32,
    LLS_GGUF_BOOL, LLS_GGUF_STRING, LLS_GGUF_ARRAY, LLS_GGUF_U64, LLS_GGUF_I64, LLS_GGUF_F64
};

typedef struct lls_gguf lls_gguf_t;

typedef struct lls_gguf_str {       /* not NUL-terminated */
    const char *text;
    size_t      len;
} lls_gguf_str_t;

typedef struct lls_gguf_value {
    uint32_t       type;            /* enum lls_gguf_type */
    uint32_t       elem_type;       /* of an array; arrays of arrays are refused at open */
    uint64_t       n;               /* elements of an array, else 1 */
    const uint8_t *data;            /* as in the file: little-endian, strings with length */
    size_t         bytes;           /* of data */
} lls_gguf_value_t;

typedef struct lls_gguf_tensor {
    lls_gguf_str_t name;
    uint32_t       ggml_type;       /* 0 F32, 1 F16, 3 Q4_1, ...: lls_gguf_type_name() */
    uint32_t       n_dims;
    uint64_t       shape[4];        /* as in the file: shape[0] is contiguous; 1 beyond n_dims */
    const uint8_t *data;
    uint64_t       bytes;           /* 0, and no data, where the size of the type is not known */
} lls_gguf_tensor_t;

/* True if the file begins with GGUF's magic; false also when it cannot be read. */
bool         lls_gguf_probe(const char *path);
llm_status_t lls_gguf_open(lls_mem_t *mem, const char *path, lls_gguf_t **out, llm_error_t *err);
/* The same for a file in memory, which must outlive the result; name stands in messages only. */
llm_status_t lls_gguf_open_bytes(lls_mem_t *mem, const uint8_t *data, uint64_t size,
                                 const char *name, lls_gguf_t **out, llm_error_t *err);
void         lls_gguf_close(lls_gguf_t *gguf);

/* Metadata by key; false if absent or of another type.  Integers of any width convert if they fit,
 * and to f64 always. */
const lls_gguf_value_t *lls_gguf_find(const lls_gguf_t *gguf, const char *key);
bool lls_gguf_get_u64(const lls_gguf_t *gguf, const char *key, uint64_t *out);
bool lls_gguf_get_f64(const lls_gguf_t *gguf, const char *key, double *out);
bool lls_gguf_get_bool(const lls_gguf_t *gguf, const char *key, bool *out);
bool lls_gguf_get_str(const lls_gguf_t *gguf, const char *key, lls_gguf_str_t *out);
/* An array of strings is walked front to back: start with *cursor = 0; false past the end. */
bool lls_gguf_next_str(const lls_gguf_value_t *array, size_t *cursor, lls_gguf_str_t *out);
/* Element i of an array of numbers, converted; false if out of range or not a number, and for i64
 * if it is a float or does not fit.  A bool is 0 or 1. */
bool lls_gguf_elem_f64(const lls_gguf_value_t *array, uint64_t i, double *out);
bool lls_gguf_elem_i64(const lls_gguf_value_t *array, uint64_t i, int64_t *out);

uint64_t                 lls_gguf_n_keys(const lls_gguf_t *gguf);
lls_gguf_str_t lls_gguf_key(const lls_gguf_t *gguf, uint64_t i, const lls_gguf_value_t **value);
const lls_map_t         *lls_gguf_map(const lls_gguf_t *gguf);     /* size 0 when from memory */
uint64_t                 lls_gguf_n_tensors(const lls_gguf_t *gguf);
const lls_gguf_tensor_t *lls_gguf_tensor(const lls_gguf_t *gguf, uint64_t i);
/* "Q4_K", also of types whose size is not known to us; NULL if never heard of.  Static. */
const char              *lls_gguf_type_name(uint32_t ggml_type);

#endif
