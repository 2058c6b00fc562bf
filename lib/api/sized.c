/* SPDX-License-Identifier: Apache-2.0 */
#include "api/sized.h"

#include <string.h>

#define MAX_SIZE 65536u             /* no struct of ours will ever be larger: a size not set */

static uint32_t size_of(const void *sized)
{
    uint32_t size;

    memcpy(&size, sized, sizeof size);
    return size;
}

static llm_status_t check_size(uint32_t size, size_t first, const char *name, llm_error_t *err)
{
    if (size >= first && size <= MAX_SIZE)
        return LLM_OK;
    return lls_fail_param(err, LLM_ERR_INVALID, "struct_size",
                          "%s.struct_size is %u; zero the struct and set it to sizeof(%s), %zu or "
                          "more", name, size, name, first);
}

llm_status_t lls_sized_take(void *to, size_t ours, size_t first, const void *from, const char *name,
                            llm_error_t *err)
{
    uint32_t     size = size_of(from);
    llm_status_t st = check_size(size, first, name, err);

    if (st != LLM_OK)
        return st;
    for (size_t i = ours; i < size; i++)
        if (((const unsigned char *)from)[i] != 0)
            return lls_fail_param(err, LLM_ERR_UNSUPPORTED, "struct_size",
                                  "byte %zu of %s is set, this library knows %zu bytes; zero what "
                                  "it does not know or use a newer library", i, name, ours);
    memset(to, 0, ours);
    memcpy(to, from, size < ours ? size : ours);
    size = (uint32_t)ours;
    memcpy(to, &size, sizeof size);
    return LLM_OK;
}

llm_status_t lls_sized_give(void *to, const void *from, size_t ours, size_t first, const char *name,
                            llm_error_t *err)
{
    uint32_t     size = size_of(to);
    llm_status_t st = check_size(size, first, name, err);

    if (st != LLM_OK)
        return st;
    memset(to, 0, size);
    memcpy(to, from, size < ours ? size : ours);
    memcpy(to, &size, sizeof size);
    return LLM_OK;
}

llm_status_t lls_sized_check_flags(uint32_t flags, uint32_t known, llm_error_t *err)
{
    return flags & ~known ? lls_fail_param(err, LLM_ERR_UNSUPPORTED, "flags",
                                           "flags %#x has bits that are not known here", flags)
                          : LLM_OK;
}
