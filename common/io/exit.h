/* Exit statuses of all leat programs; scripts and supervisors may rely on them. */
#ifndef LEAT_IO_EXIT_H
#define LEAT_IO_EXIT_H

#include "core/err.h"

enum leat_exit {
    LEAT_EXIT_OK = 0,
    LEAT_EXIT_FAILED = 1,    /* it ran, and something of what was asked for failed */
    LEAT_EXIT_USAGE = 2,     /* unknown option, bad value, missing argument: fix the command */
    LEAT_EXIT_DEADLINE = 3,  /* --deadline came first; it ended in order */
    LEAT_EXIT_INTERNAL = 70, /* a broken part of our own, as EX_SOFTWARE */
    LEAT_EXIT_STORE = 74, /* a write or flush of the store failed, as EX_IOERR: look at the disk */
    LEAT_EXIT_UNAVAILABLE = 75, /* cannot start for now, as EX_TEMPFAIL: address or directory in
                                   use, no room, ...; starting again later may help */
};

/* The status with which a program ends that could not start because of `err`. */
static inline enum leat_exit leat_exit_for(enum leat_err err)
{
    switch ((unsigned)err) {
    case LEAT_OK:
        return LEAT_EXIT_OK;
    case LEAT_ERR_INVALID:
    case LEAT_ERR_LIMIT:
    case LEAT_ERR_REFUSED:
        return LEAT_EXIT_USAGE;
    case LEAT_ERR_CORRUPT:
    case LEAT_ERR_IO:
        return LEAT_EXIT_STORE;
    case LEAT_ERR_STATE:
        return LEAT_EXIT_INTERNAL;
    default:
        return LEAT_EXIT_UNAVAILABLE;
    }
}

#endif
