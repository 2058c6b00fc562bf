/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/cpu_row_kernels.h"

#if defined(__AVX2__)
#  define LLS_ROW_KERNELS lls_row_kernels_avx2
#  include "cpu/cpu_row_kernels_body.h"
#endif
