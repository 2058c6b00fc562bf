/* SPDX-License-Identifier: Apache-2.0 */
#include "text/uniclass.h"

#include <string.h>

void lls_uniclass_init(lls_uniclass_t *u)
{
    for (uint32_t i = 0; i < lls_uniclass_n_runs; i++) {
        uint32_t from = lls_uniclass_runs[i] >> 8;
        uint32_t to =
            i + 1 < lls_uniclass_n_runs ? lls_uniclass_runs[i + 1] >> 8 : LLS_UNICLASS_PLANE;

        if (from >= LLS_UNICLASS_PLANE)
            break;
        if (to > LLS_UNICLASS_PLANE)
            to = LLS_UNICLASS_PLANE;
        memset(u->plane0 + from, (int)(lls_uniclass_runs[i] & 255), to - from);
    }
}

uint8_t lls_uniclass_search(uint32_t cp)
{
    uint32_t lo = 0, hi = lls_uniclass_n_runs;      /* runs[lo] begins at or before cp */

    while (hi - lo > 1) {
        uint32_t mid = (lo + hi) / 2;
        if (lls_uniclass_runs[mid] >> 8 <= cp)
            lo = mid;
        else
            hi = mid;
    }
    return (uint8_t)(lls_uniclass_runs[lo] & 255);
}
