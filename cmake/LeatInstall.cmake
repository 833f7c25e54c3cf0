# What `cmake --install` puts where, by component: ventilator, sink, worker, tools, library, development. The programs
# link leat's parts statically; libleat is for programs of other people.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# ---- programs, units, completion ----

foreach(role ventilator sink worker)
    install(TARGETS leat-${role} RUNTIME COMPONENT ${role})
endforeach()
install(TARGETS leat leat-producer RUNTIME COMPONENT tools)
install(FILES deploy/systemd/leat-ventilator.service DESTINATION lib/systemd/system COMPONENT ventilator)
install(FILES deploy/systemd/leat-sink.service DESTINATION lib/systemd/system COMPONENT sink)
install(FILES deploy/systemd/leat-worker@.service DESTINATION lib/systemd/system COMPONENT worker)
install(FILES deploy/completion/leat.bash RENAME leat
    DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions COMPONENT tools)
foreach(role ventilator sink worker)
    install(FILES deploy/completion/leat.bash RENAME leat-${role}
        DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions COMPONENT ${role})
endforeach()
install(FILES deploy/completion/leat.bash RENAME leat-producer
    DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions COMPONENT tools)

# ---- manual pages: what the programs print of their tables of options ----

set(manuals ${CMAKE_BINARY_DIR}/man)
add_custom_command(OUTPUT ${manuals}/done
    COMMAND ${CMAKE_CURRENT_LIST_DIR}/make_manuals.sh ${CMAKE_RUNTIME_OUTPUT_DIRECTORY} ${manuals}
    DEPENDS leat leat-producer leat-ventilator leat-sink leat-worker ${CMAKE_CURRENT_LIST_DIR}/make_manuals.sh
    COMMENT "manual pages" VERBATIM)
add_custom_target(manuals ALL DEPENDS ${manuals}/done)
foreach(role ventilator sink worker)
    install(FILES ${manuals}/leat-${role}.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT ${role})
endforeach()
install(DIRECTORY ${manuals}/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT tools FILES_MATCHING
    PATTERN "*.1" PATTERN "leat-ventilator.1" EXCLUDE PATTERN "leat-sink.1" EXCLUDE
    PATTERN "leat-worker.1" EXCLUDE)

# ---- libleat ----

# The number in the soname is the number of the interface.
file(STRINGS ${PROJECT_SOURCE_DIR}/include/leat/producer.h api REGEX "^#define LEAT_PRODUCER_API +[0-9]+")
string(REGEX REPLACE ".* ([0-9]+).*" "\\1" LEAT_API "${api}")
if(NOT LEAT_API)
    message(FATAL_ERROR "include/leat/producer.h defines no LEAT_PRODUCER_API")
endif()

# Everything but what producer.h marks is hidden (-fvisibility=hidden), so the parts of leat inside cannot meet another
# leat, or czmq's and the program's own names.
add_library(leat-shared SHARED ${PROJECT_SOURCE_DIR}/producer/producer.c ${PROJECT_SOURCE_DIR}/producer/results.c
    ${PROJECT_SOURCE_DIR}/producer/link.c)
leat_common_settings(leat-shared)
target_include_directories(leat-shared PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries(leat-shared PRIVATE leat_producer_core leat_io leat_wire leat_core m)
target_link_options(leat-shared PRIVATE -Wl,--exclude-libs,ALL -Wl,--no-undefined)
set_target_properties(leat-shared PROPERTIES
    OUTPUT_NAME leat EXPORT_NAME leat SOVERSION ${LEAT_API} VERSION ${LEAT_API}.${PROJECT_VERSION}
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)

# libleat.a: one object with all that libleat needs of leat, its inside made local, so that a program can link it with
# -lleat and never sees our names.
set(archive ${CMAKE_BINARY_DIR}/lib/libleat.a)
add_custom_command(OUTPUT ${archive}
    COMMAND ${CMAKE_CURRENT_LIST_DIR}/make_archive.sh ${CMAKE_C_COMPILER} ${archive} $<TARGET_FILE:libleat>
        $<TARGET_FILE:leat_producer_core> $<TARGET_FILE:leat_io> $<TARGET_FILE:leat_wire>
        $<TARGET_FILE:leat_store_memory> $<TARGET_FILE:leat_core>
    DEPENDS libleat leat_producer_core leat_io leat_wire leat_store_memory leat_core
        ${CMAKE_CURRENT_LIST_DIR}/make_archive.sh
    VERBATIM)
add_custom_target(leat-archive ALL DEPENDS ${archive})

add_library(leat-handler INTERFACE)
set_target_properties(leat-handler PROPERTIES EXPORT_NAME handler)
target_include_directories(leat-handler INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)

set(config ${CMAKE_INSTALL_LIBDIR}/cmake/leat)
install(TARGETS leat-shared EXPORT leat
    LIBRARY COMPONENT library NAMELINK_COMPONENT development)
install(TARGETS leat-handler EXPORT leat)
install(FILES ${archive} DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
install(FILES ${PROJECT_SOURCE_DIR}/include/leat/producer.h ${PROJECT_SOURCE_DIR}/include/leat/handler.h
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/leat COMPONENT development)
install(EXPORT leat NAMESPACE leat:: FILE leatTargets.cmake DESTINATION ${config} COMPONENT development)
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/leatConfig.cmake.in ${CMAKE_BINARY_DIR}/leatConfig.cmake
    INSTALL_DESTINATION ${config} PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/leatConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/leatConfig.cmake ${CMAKE_BINARY_DIR}/leatConfigVersion.cmake
    DESTINATION ${config} COMPONENT development)
file(RELATIVE_PATH LEAT_PREFIX_FROM_PKGCONFIG /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(${CMAKE_CURRENT_LIST_DIR}/leat.pc.in ${CMAKE_BINARY_DIR}/leat.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/leat.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)
