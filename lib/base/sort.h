/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sort - order and search of an array of indices, for tables whose names come from files.
 *
 * In place and n log n whatever the input, so that no file can choose a slow case; nothing is
 * allocated, which the C library's qsort() does not promise.  Not stable.
 */
#ifndef LLS_BASE_SORT_H
#define LLS_BASE_SORT_H

#include <stddef.h>
#include <stdint.h>

/* Less than, equal to or greater than 0, as for qsort(); a and b are elements of ids. */
typedef int lls_cmp_ids_fn(const void *ctx, uint32_t a, uint32_t b);

void lls_sort_ids(uint32_t *ids, uint32_t n, lls_cmp_ids_fn *cmp, const void *ctx);

/* Text of len bytes against another, bytewise, the shorter first when it is a prefix. */
int lls_cmp_text(const char *a, size_t a_len, const char *b, size_t b_len);

#endif
