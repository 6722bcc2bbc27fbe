/*
 * folder.h - a folder of its own for each test.  A test that leaves anything there but the two
 * files named here fails; the folder is removed.
 */
#ifndef FOLDER_H
#define FOLDER_H

#include "support/helper.h"

extern char folder_path[64];
extern char folder_file[96], folder_other[96]; /* in it */
extern char folder_queue[64]; /* helper_name("a") of the test: children have numbers of their own */

int folder_setup(void **state);
int folder_setup_in_memory(void **state);
int folder_teardown(void **state);

/* A test between folder_setup() and folder_teardown(), which include helper.h's; or one that
 * writes so many files that they are to be in memory. */
#define FOLDER_TEST(f) cmocka_unit_test_setup_teardown(f, folder_setup, folder_teardown)
#define FOLDER_TEST_MEMORY(f)                                                                      \
    cmocka_unit_test_setup_teardown(f, folder_setup_in_memory, folder_teardown)

#endif
