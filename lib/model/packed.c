/* SPDX-License-Identifier: Apache-2.0 */
#include "model/packed.h"

#include <stdio.h>
#include <string.h>

#include "base/io.h"

typedef struct head {               /* little-endian, as every machine this runs on */
    char          magic[8];
    lls_hash128_t key;
    uint64_t      bytes, sum[4];
} head_t;

#define MAGIC "LLSPACK1"
#define PRIME 0x9e3779b97f4a7c15u

/* Four chains: one alone would wait for its multiplications.  Each step is a bijection of the
 * chain, so one changed word always shows; against an adversary it is no protection. */
static void sum_of(const uint8_t *p, uint64_t n, uint64_t sum[4])
{
    uint64_t w[4];

    for (uint32_t i = 0; i < 4; i++)
        sum[i] = i + 1;
    for (uint64_t at = 0; at < n; at += sizeof w) {
        uint64_t left = n - at;
        memset(w, 0, sizeof w);
        memcpy(w, p + at, left < sizeof w ? left : sizeof w);
        for (uint32_t i = 0; i < 4; i++) {
            uint64_t x = (sum[i] ^ w[i]) * PRIME;
            sum[i] = x << 31 | x >> 33;
        }
    }
}

static head_t head_of(const lls_hash128_t *key, const void *data, uint64_t bytes)
{
    head_t h = { .magic = MAGIC, .key = *key, .bytes = bytes };

    sum_of(data, bytes, h.sum);
    return h;
}

char *lls_packed_path(lls_mem_t *mem, const char *dir, const lls_hash128_t *key)
{
    char name[64];

    snprintf(name, sizeof name, "%016llx%016llx.packed", (unsigned long long)key->hi,
             (unsigned long long)key->lo);
    return lls_path_join(mem, dir, name);
}

llm_status_t lls_packed_read(const char *path, const lls_hash128_t *key, void *to, uint64_t bytes,
                             llm_error_t *err)
{
    head_t       found, expected;
    llm_status_t st = lls_read_exact(path, &found, sizeof found, to, bytes, err);

    if (st != LLM_OK)
        return st;
    expected = head_of(key, to, bytes);
    return memcmp(&found, &expected, sizeof found) == 0
               ? LLM_OK
               : lls_fail(err, LLM_ERR_FORMAT, "%s: not what was written there", path);
}

llm_status_t lls_packed_write(lls_mem_t *mem, const char *path, const lls_hash128_t *key,
                              const void *from, uint64_t bytes, llm_error_t *err)
{
    head_t h = head_of(key, from, bytes);

    return lls_write_whole(mem, path, &h, sizeof h, from, bytes, err);
}
