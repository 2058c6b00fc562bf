/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config - reads numbers, words and flags out of a config.json that nobody has checked.
 *
 * The first failure sticks and names file, key and value; later calls give their default.  Keys are
 * alternatives separated by '|', new names and old ones; null counts as absent.  The reader
 * remembers which keys of the must-understand list were asked for: lls_config_finish() refuses a
 * config that says something else on that list that would change results and that nobody has read.
 */
#ifndef LLS_MODEL_CONFIG_H
#define LLS_MODEL_CONFIG_H

#include "base/json.h"
#include "base/num.h"

typedef struct lls_config {
    const json_t *at;               /* the object that keys are looked up in */
    const char   *file, *model_type;    /* for messages */
    uint64_t      read;             /* bit i: key i of the must-understand list was asked for */
    llm_status_t  status;
    llm_error_t  *err;
} lls_config_t;

void lls_config_init(lls_config_t *c, const json_t *root, const char *file, llm_error_t *err);

/* NULL if absent or null. */
const json_t *lls_config_get(lls_config_t *c, const char *keys);
/* An integer in [min, max]; absent is an error if fallback is LLS_NONE. */
uint32_t    lls_config_u32(lls_config_t *c, const char *keys, uint32_t fallback, uint32_t min,
                           uint32_t max);
double lls_config_real(lls_config_t *c, const char *keys, double fallback, double min, double max);
bool        lls_config_bool(lls_config_t *c, const char *keys, bool fallback);
/* Borrowed from the config; absent is an error if fallback is NULL. */
const char *lls_config_str(lls_config_t *c, const char *keys, const char *fallback);

/* "config.json: key is value; why". */
void lls_config_refuse(lls_config_t *c, llm_status_t status, const char *key, const json_t *value,
                       const char *why);
/* Checks the must-understand list against what was read. */
void lls_config_finish(lls_config_t *c, const json_t *root);

#endif
