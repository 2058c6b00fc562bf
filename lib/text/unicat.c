/* SPDX-License-Identifier: Apache-2.0 */
#include "text/unicat.h"

#include "text/uniclass.h"

void lls_unicat_init(lls_unicat_t *u)
{
    lls_runs_expand(lls_unicat_runs, lls_unicat_n_runs, u->plane0);
}

uint8_t lls_unicat_search(uint32_t cp)
{
    return lls_runs_search(lls_unicat_runs, lls_unicat_n_runs, cp);
}

uint8_t lls_script_of(uint32_t cp)
{
    return lls_runs_search(lls_script_runs, lls_script_n_runs, cp);
}

bool lls_is_inert(uint32_t cp)
{
    size_t at = lls_range_at(lls_inert_runs, sizeof *lls_inert_runs, lls_inert_n_runs, cp);

    return at < lls_inert_n_runs && cp >= lls_inert_runs[at].from;
}

size_t lls_lower(uint32_t cp, uint32_t out[2])
{
    const lls_lower_run_t *run;
    size_t                 at;

    out[0] = cp;
    if (cp < 0x80) {
        out[0] = cp >= 'A' && cp <= 'Z' ? cp + 32 : cp;
        return 1;
    }
    if (cp == 0x130) {                      /* the one that becomes two: i and a dot above */
        out[0] = 'i';
        out[1] = 0x307;
        return 2;
    }
    at = lls_range_at(lls_lower_runs, sizeof *lls_lower_runs, lls_lower_n_runs, cp);
    run = &lls_lower_runs[at];
    if (at < lls_lower_n_runs && cp >= run->from && (cp - run->from) % (uint32_t)run->step == 0)
        out[0] = (uint32_t)((int32_t)cp + run->distance);
    return 1;
}
