/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packed - packed weights kept in a file, so that the next start need not pack them.
 *
 * A file belongs to one key: whoever asks makes it of all that packing depends on.  It is written
 * beside its place and renamed, so a reader sees a whole file or none, and processes may write the
 * same one at once.  Nothing in it is trusted: its head must be the one expected, and a checksum
 * guards the rest.  It is read into the caller's memory and not mapped: that keeps huge pages, and
 * the checksum has to see every byte anyway.  Files of keys that nobody asks for any more stay
 * until someone removes them.
 */
#ifndef LLS_MODEL_PACKED_H
#define LLS_MODEL_PACKED_H

#include "base/hash.h"
#include "base/mem.h"
#include "tensor/ops.h"

/* Where key's file is in `dir`; to be freed.  NULL when memory is out. */
char *lls_packed_path(lls_mem_t *mem, const char *dir, const lls_hash128_t *key);
/* LLM_ERR_IO: there is none, or it cannot be read; LLM_ERR_FORMAT: it is cut, of another key or
 * changed.  After an error `to` holds anything.  All threads of the backend read and sum up. */
llm_status_t lls_packed_read(const char *path, const lls_hash128_t *key, void *to, uint64_t bytes,
                             const lls_ops_t *ops, void *backend, llm_error_t *err);
llm_status_t lls_packed_write(lls_mem_t *mem, const char *path, const lls_hash128_t *key,
                              const void *from, uint64_t bytes, const lls_ops_t *ops,
                              void *backend, llm_error_t *err);

#endif
