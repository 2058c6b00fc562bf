/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sized - structs that begin with struct_size, across versions of the header.
 *
 * A caller's struct may be larger than ours: what we do not know must be zero.  It may be as small
 * as it was in its first release, and what it lacks is zero.  Structs that we fill are filled as
 * far as the caller knows them; what he knows and we do not is zeroed.
 */
#ifndef LLS_API_SIZED_H
#define LLS_API_SIZED_H

#include "base/status.h"

/* Copies the caller's struct `from` onto ours, of `ours` bytes, of which the first release had
 * `first`.  name is for the message: "llm_request_t". */
llm_status_t lls_sized_take(void *to, size_t ours, size_t first, const void *from, const char *name,
                            llm_error_t *err);
/* Fills the caller's struct, whose struct_size is set, from ours. */
llm_status_t lls_sized_give(void *to, const void *from, size_t ours, size_t first, const char *name,
                            llm_error_t *err);
/* Bits of a flags field that we do not know are refused, as unknown bytes are. */
llm_status_t lls_sized_check_flags(uint32_t flags, uint32_t known, llm_error_t *err);

#endif
