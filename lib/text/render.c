/* SPDX-License-Identifier: Apache-2.0 */
#include "text/render.h"

#include <string.h>

#include "base/num.h"

const char *lls_render_find(const char *architecture)
{
    static const struct row {
        const char *architecture, *text;
    } rows[] = {
        {"gpt_oss", lls_render_harmony},
        {"gpt-oss", lls_render_harmony},
        {"deepseek_v32", lls_render_deepseek_v32},
    };

    for (size_t i = 0; architecture != NULL && i < LLS_ARRAY_LEN(rows); i++)
        if (strcmp(architecture, rows[i].architecture) == 0)
            return rows[i].text;
    return NULL;
}
