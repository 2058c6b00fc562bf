/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/cpu_row_kernels.h"

#if defined(__aarch64__)
#  define LLS_ROW_KERNELS lls_row_kernels_neon
#  include "cpu/cpu_row_kernels_body.h"
#endif
