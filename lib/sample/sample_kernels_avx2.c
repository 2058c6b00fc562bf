/* SPDX-License-Identifier: Apache-2.0 */
#if defined(__x86_64__)
#define KERNELS lls_sample_kernels_avx2
#include "sample/sample_kernels_body.h"
#else
typedef int lls_sample_kernels_avx2_are_for_x86;
#endif
