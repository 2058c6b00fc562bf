/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena - one of the few large blocks of an engine: weights, KV cache, activations.
 *
 * Reads of these fill the TLB, so they should lie in huge pages.  Transparent ones need nobody's
 * consent: the block comes from the host's allocator, and the kernel is advised.  Explicit ones are
 * those that an administrator has set aside (/proc/sys/vm/nr_hugepages): the block is mapped and
 * the allocator not asked, but its bytes count as held all the same.  Either way no page of it is
 * there before it is touched.  Pages set aside are reserved by init, so a touch never fails.
 */
#ifndef LLS_BASE_ARENA_H
#define LLS_BASE_ARENA_H

#include "base/mem.h"

#define LLS_ARENA_ALIGN 4096u       /* of its beginning; bytes must have room for it */
#define LLS_HUGE_PAGE   (2u << 20)  /* of the explicit ones */

/* ORDER huge_pages */
enum lls_huge_pages { LLS_HUGE_TRANSPARENT, LLS_HUGE_AUTO, LLS_HUGE_EXPLICIT, LLS_HUGE_OFF };

typedef struct lls_arena {
    uint8_t *base;                  /* aligned; NULL = none */
    size_t   bytes;                 /* as asked for */
    void    *block;                 /* as allocated */
    size_t   mapped;                /* bytes of explicit huge pages; 0 = from the allocator */
} lls_arena_t;

/* auto: explicit ones if there are enough, else transparent ones.  The message names `option`. */
llm_status_t lls_arena_init(lls_arena_t *a, lls_mem_t *mem, size_t bytes, uint32_t huge_pages,
                            const char *option, llm_error_t *err);
/* Of a zeroed one does nothing. */
void         lls_arena_deinit(lls_arena_t *a, lls_mem_t *mem);
/* For use: from base on. */
static inline size_t lls_arena_room(const lls_arena_t *a) { return a->bytes - LLS_ARENA_ALIGN; }

#endif
