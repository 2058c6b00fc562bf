/* SPDX-License-Identifier: Apache-2.0 */
#include "text/uniclass.h"

#include <string.h>

uint8_t lls_runs_search(const uint32_t *runs, uint32_t n, uint32_t cp)
{
    uint32_t lo = 0, hi = n;                        /* runs[lo] begins at or before cp */

    while (hi - lo > 1) {
        uint32_t mid = (lo + hi) / 2;
        if (runs[mid] >> 8 <= cp)
            lo = mid;
        else
            hi = mid;
    }
    return (uint8_t)(runs[lo] & 255);
}

void lls_runs_expand(const uint32_t *runs, uint32_t n, uint8_t plane[LLS_UNICLASS_PLANE])
{
    for (uint32_t i = 0; i < n && runs[i] >> 8 < LLS_UNICLASS_PLANE; i++) {
        uint32_t from = runs[i] >> 8, to = i + 1 < n ? runs[i + 1] >> 8 : LLS_UNICLASS_PLANE;

        if (to > LLS_UNICLASS_PLANE)
            to = LLS_UNICLASS_PLANE;
        memset(plane + from, (int)(runs[i] & 255), to - from);
    }
}

void lls_uniclass_init(lls_uniclass_t *u)
{
    lls_runs_expand(lls_uniclass_runs, lls_uniclass_n_runs, u->plane0);
}

uint8_t lls_uniclass_search(uint32_t cp)
{
    return lls_runs_search(lls_uniclass_runs, lls_uniclass_n_runs, cp);
}
