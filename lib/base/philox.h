/* SPDX-License-Identifier: Apache-2.0 */
/*
 * philox - counter-based random numbers: the value is a function of key and counter, so nothing has
 * to be carried, and any order of evaluation gives the same numbers.  Philox4x32-10 of Salmon et
 * al., "Parallel random numbers: as easy as 1, 2, 3" (2011).  The same on the CPU and in CUDA.
 */
#ifndef LLS_BASE_PHILOX_H
#define LLS_BASE_PHILOX_H

#include <stdint.h>

typedef struct lls_philox { uint32_t w[4]; } lls_philox_t;

static inline lls_philox_t lls_philox(uint64_t key, lls_philox_t c)
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);

    for (int i = 0; i < 10; i++) {
        uint64_t a = (uint64_t)0xd2511f53u * c.w[0], b = (uint64_t)0xcd9e8d57u * c.w[2];
        c = (lls_philox_t){ { (uint32_t)(b >> 32) ^ c.w[1] ^ k0, (uint32_t)b,
                              (uint32_t)(a >> 32) ^ c.w[3] ^ k1, (uint32_t)a } };
        k0 += 0x9e3779b9u;
        k1 += 0xbb67ae85u;
    }
    return c;
}

#endif
