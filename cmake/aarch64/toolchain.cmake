# SPDX-License-Identifier: Apache-2.0
# For aarch64 on another machine, programs run by qemu; LLS_SYSROOT is what sysroot.sh has made.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)

if(NOT LLS_SYSROOT)
    set(LLS_SYSROOT ${CMAKE_BINARY_DIR}/sysroot)
endif()
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES LLS_SYSROOT)
# The C library is the cross compiler's own, so the sysroot is none for the compiler.
set(CMAKE_FIND_ROOT_PATH ${LLS_SYSROOT} /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(ENV{PKG_CONFIG_LIBDIR}
    ${LLS_SYSROOT}/usr/lib/aarch64-linux-gnu/pkgconfig:${LLS_SYSROOT}/usr/share/pkgconfig)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${LLS_SYSROOT})

set(LLS_LIBC /usr/aarch64-linux-gnu)
set(CMAKE_CROSSCOMPILING_EMULATOR
    "qemu-aarch64-static;-cpu;max,pauth-impdef=on;-L;${LLS_LIBC}")
