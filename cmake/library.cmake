# SPDX-License-Identifier: Apache-2.0
# libllmserve, shared and static, from the objects of all folders; install rules, pkg-config file
# and CMake package.  Without lib/api there is nothing to export, so there is no library.
if(NOT TARGET lls_api)
    return()
endif()
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(objects "")
foreach(folder IN LISTS LLS_FOLDERS)
    if(folder)
        list(APPEND objects $<TARGET_OBJECTS:lls_${folder}>)
    endif()
endforeach()

set(map ${CMAKE_SOURCE_DIR}/cmake/llmserve.map)
add_library(llmserve SHARED ${objects})
add_library(llmserve::llmserve ALIAS llmserve)
set_target_properties(llmserve PROPERTIES
    VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR} LINKER_LANGUAGE C
    LINK_DEPENDS ${map})
target_link_options(llmserve PRIVATE -Wl,--version-script=${map})
if(NOT LLS_SANITIZE)    # the runtimes of sanitizers are resolved in the program
    target_link_options(llmserve PRIVATE -Wl,-z,defs)
endif()
target_link_libraries(llmserve PRIVATE ${LLS_SYSTEM_LIBS})
target_include_directories(llmserve INTERFACE $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include>
                                              $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)

add_library(llmserve_static STATIC ${objects})
add_library(llmserve::static ALIAS llmserve_static)
set_target_properties(llmserve_static PROPERTIES OUTPUT_NAME llmserve EXPORT_NAME static
                                                 LINKER_LANGUAGE C)
target_link_libraries(llmserve_static INTERFACE ${LLS_SYSTEM_LIBS})
target_include_directories(llmserve_static INTERFACE
    $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)

# llm.hpp, header only, for either library
add_library(llmserve_hpp INTERFACE)
target_include_directories(llmserve_hpp INTERFACE ${CMAKE_SOURCE_DIR}/bindings/cpp
                                                  ${CMAKE_SOURCE_DIR}/include)

# The static library names packages that a user of the shared one need not have: an export of its
# own, which the package file includes where these are found.
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/llmserve)
install(FILES ${CMAKE_SOURCE_DIR}/include/llm.h ${CMAKE_SOURCE_DIR}/bindings/cpp/llm.hpp
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS llmserve EXPORT llmserve-shared LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS llmserve_static EXPORT llmserve-static ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT llmserve-shared NAMESPACE llmserve:: DESTINATION ${package_dir})
install(EXPORT llmserve-static NAMESPACE llmserve:: DESTINATION ${package_dir})
configure_package_config_file(${CMAKE_SOURCE_DIR}/cmake/llmserve-config.cmake.in
    ${CMAKE_BINARY_DIR}/llmserve-config.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/llmserve-config-version.cmake
    VERSION ${PROJECT_VERSION} COMPATIBILITY SameMajorVersion)
install(FILES ${CMAKE_BINARY_DIR}/llmserve-config.cmake
              ${CMAKE_BINARY_DIR}/llmserve-config-version.cmake DESTINATION ${package_dir})

file(RELATIVE_PATH pc_to_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(${CMAKE_SOURCE_DIR}/pkgconfig/llmserve.pc.in ${CMAKE_BINARY_DIR}/llmserve.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/llmserve.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

add_subdirectory(${CMAKE_SOURCE_DIR}/lib/cli)
add_subdirectory(${CMAKE_SOURCE_DIR}/bindings/python)
