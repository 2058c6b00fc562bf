/* SPDX-License-Identifier: Apache-2.0 */
/*
 * block_model - a small random llama in GGUF, its matrices in one block type or each in another.
 */
#ifndef LLS_TEST_BLOCK_MODEL_H
#define LLS_TEST_BLOCK_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#define BLOCK_MODEL_VOCAB 300
#define BLOCK_MODEL_MIXED UINT32_MAX    /* as scheme: every matrix another */

/* scheme: LLS_W_*.  written_out: the values of the blocks in float32. */
void block_model_write(const char *path, uint32_t scheme, bool written_out);

#endif
