/*
 * machine.c - the names that make figures mean something: processor, kernel,
 * compiler.
 */
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bench.h"

const char *machine_cpu(void)
{
    static char text[160];
    char line[256], model[120] = "unknown processor";
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file && fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon) {
            colon[strcspn(colon, "\n")] = '\0';
            snprintf(model, sizeof model, "%.100s", colon + 1 + (colon[1] == ' '));
            break;
        }
    }
    if (file)
        fclose(file);
    snprintf(text, sizeof text, "%s, %ld online", model, sysconf(_SC_NPROCESSORS_ONLN));
    return text;
}

const char *machine_kernel(void)
{
    static char text[160];
    struct utsname name;
    if (uname(&name) < 0)
        return "unknown kernel";
    snprintf(text, sizeof text, "%.60s %.80s", name.sysname, name.release);
    return text;
}

const char *machine_compiler(void)
{
#if defined(__clang__)
    return "clang " __clang_version__;
#elif defined(__GNUC__)
    return "gcc " __VERSION__;
#else
    return "unknown compiler";
#endif
}
