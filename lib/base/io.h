/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io - files: mapped or read whole, and written whole.
 */
#ifndef LLS_BASE_IO_H
#define LLS_BASE_IO_H

#include "base/mem.h"

typedef struct lls_map {            /* borrowed pages; empty files have data "" and size 0 */
    const uint8_t *data;
    uint64_t       size;
    int64_t        changed_ns;      /* when the file was last written, since 1970 */
} lls_map_t;

/* LLM_ERR_IO names the path and the reason. */
llm_status_t lls_map_file(const char *path, lls_map_t *map, llm_error_t *err);
void         lls_unmap_file(lls_map_t *map);

/* The whole file with a NUL after it; at most `limit` bytes.  The caller frees *text. */
llm_status_t lls_read_file(lls_mem_t *mem, const char *path, uint64_t limit, char **text,
                           size_t *len, llm_error_t *err);

/* A file of exactly `size` bytes, to be read from in any order and by any thread, then closed;
 * LLM_ERR_FORMAT for another size. */
llm_status_t lls_open_exact(const char *path, uint64_t size, int *fd, llm_error_t *err);
llm_status_t lls_read_at(int fd, const char *path, uint64_t at, void *to, size_t n,
                         llm_error_t *err);
void         lls_close(int fd);
/* A head and what follows it, under a name of its own and then renamed: readers of `path` see a
 * whole file or the one before. */
llm_status_t lls_write_whole(lls_mem_t *mem, const char *path, const void *head, uint64_t n_head,
                             const void *from, uint64_t n, llm_error_t *err);

bool lls_path_is_dir(const char *path);
bool lls_path_exists(const char *path);
/* dir + "/" + name, to be freed; NULL when memory is out. */
char *lls_path_join(lls_mem_t *mem, const char *dir, const char *name);

#endif
