# Debian packages, one per component: cpack -G DEB in the build directory (scripts/packages does it).
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME leat)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "leat maintainers <maintainers@leat.invalid>")
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_BINARY_DIR}/packages)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
# The value that CPack takes for "none": any other would become the first line of every package's description.
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_NAME} built using CMake")
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_COMPONENTS_ALL ventilator sink worker tools library development)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_ENABLE_COMPONENT_DEPENDS OFF)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

# leat_package(COMPONENT name section "one line" "more lines")
macro(leat_package component name section summary text)
    string(TOUPPER ${component} upper)
    set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${name})
    set(CPACK_DEBIAN_${upper}_PACKAGE_SECTION ${section})
    set(CPACK_DEBIAN_${upper}_DESCRIPTION "${summary}\n${text}")
endmacro()

leat_package(ventilator leat-ventilator net "durable, distributed job queue: the broker of jobs"
    "The ventilator keeps jobs on its disk until they have ended, and pushes them to workers on any number of hosts.")
leat_package(sink leat-sink net "durable, distributed job queue: the keeper of results"
    "The sink stores the final result of each job, and answers questions about them.")
leat_package(worker leat-worker net "durable, distributed job queue: runs the jobs"
    "A worker runs jobs as commands or C functions, with timeouts, retries and rate limits.")
leat_package(tools leat-tools net "durable, distributed job queue: commands for people and scripts"
    "leat asks, pauses, retries and ends; leat-producer submits jobs from lines, files or a ticker.")
leat_package(library libleat${LEAT_API} libs "durable, distributed job queue: library to submit jobs"
    "Programs in C submit jobs and wait for their results with it.")
leat_package(development libleat-dev libdevel "durable, distributed job queue: headers and static library"
    "For programs that submit jobs, and for handlers that workers load.")
# Of the programs, only what dpkg-shlibdeps finds; the units need no user of their own (DynamicUser).
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "libleat${LEAT_API} (= ${PROJECT_VERSION})")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SUGGESTS "libczmq-dev, libzmq3-dev")
set(CPACK_DEBIAN_TOOLS_PACKAGE_SUGGESTS "leat-ventilator, leat-sink, leat-worker, bash-completion")

# Units are known and running ones restarted at an upgrade; nothing is started unasked at the first installation.
foreach(role ventilator sink worker)
    string(TOUPPER ${role} upper)
    set(LEAT_UNIT leat-${role}.service)
    if(role STREQUAL "worker")
        set(LEAT_UNIT "leat-worker@*.service")
    endif()
    set(scripts)
    foreach(script postinst prerm postrm)
        configure_file(${PROJECT_SOURCE_DIR}/deploy/packages/${script}.in
            ${CMAKE_BINARY_DIR}/deb/${role}/${script} @ONLY
            FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
        list(APPEND scripts ${CMAKE_BINARY_DIR}/deb/${role}/${script})
    endforeach()
    set(CPACK_DEBIAN_${upper}_PACKAGE_CONTROL_EXTRA "${scripts}")
endforeach()

include(CPack)
