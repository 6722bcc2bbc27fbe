/*
 * bug.h - conditions that only a mistake in this library makes true.
 *
 * SQ_BUG_ON() is for what is private to the process, or follows from a lock just taken.  What
 * is read from a segment or a file may be damaged: that is an error, never a bug.  With
 * SQ_CHECK (check-asan, check-tsan, check-fuzz) a bug ends the process.  Without it the
 * condition is not evaluated, and there is no code for it.
 */
#ifndef SQ_BUG_H
#define SQ_BUG_H

#ifdef SQ_CHECK
__attribute__((noreturn, format(printf, 3, 4))) void sq_bug(const char *file, int line,
                                                            const char *format, ...);
#define SQ_BUG_ON(condition) ((condition) ? sq_bug(__FILE__, __LINE__, "%s", #condition) : (void)0)
#else
#define SQ_BUG_ON(condition) ((void)sizeof(!(condition)))
#endif

#endif
