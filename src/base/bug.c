/*
 * bug.c - see bug.h: how a process ends that finds a bug in itself.
 */
#include "base/bug.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef SQ_CHECK
/* Of the sanitizer, if the build has one. */
__attribute__((weak)) void __sanitizer_print_stack_trace(void);

void sq_bug(const char *file, int line, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "%s:%d: a bug: ", file, line);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    if (__sanitizer_print_stack_trace != NULL)
        __sanitizer_print_stack_trace();
    abort();
}
#endif
