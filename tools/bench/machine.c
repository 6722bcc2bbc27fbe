/*
 * machine.c - what makes figures mean something: processor, kernel, compiler, and
 * how much others use the processors.
 */
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bench/bench.h"

/* Jiffies of all processors so far: all of them, and those in which one ran. */
static bool jiffies(unsigned long long *all, unsigned long long *ran)
{
    unsigned long long v[8] = {0};
    FILE *file = fopen("/proc/stat", "r");
    if (!file)
        return false;
    int n = fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1], &v[2], &v[3],
                   &v[4], &v[5], &v[6], &v[7]);
    fclose(file);
    *all = v[0] + v[1] + v[2] + v[3] + v[4] + v[5] + v[6] + v[7];
    *ran = *all - v[3] - v[4];
    return n == 8;
}

double machine_busy(void)
{
    unsigned long long all[2], ran[2];
    if (!jiffies(&all[0], &ran[0]))
        return 0;
    usleep(500000);
    if (!jiffies(&all[1], &ran[1]) || all[1] == all[0])
        return 0;
    return 100.0 * (double)(ran[1] - ran[0]) / (double)(all[1] - all[0]);
}

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
