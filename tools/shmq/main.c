/*
 * main.c - the command shmq: finds the subcommand and runs it.
 */
#include <stdio.h>
#include <string.h>

#include "common/cli.h"
#include "shmq/commands.h"

static const char help[] =
    "Usage: shmq COMMAND [ARGUMENT ...]\n"
    "Work with message queues in shared memory.\n"
    "\n"
    "  shmq create NAME [OPTION ...]    make a queue\n"
    "  shmq put NAME [MESSAGE]          append a message, or standard input\n"
    "  shmq get NAME [OPTION ...]       take messages and print them\n"
    "  shmq peek NAME [OPTION ...]      print messages without taking them\n"
    "  shmq work NAME -- COMMAND ...    run a command for each message\n"
    "  shmq purge NAME                  remove all messages\n"
    "  shmq ls [-l | --json]            list the queues\n"
    "  shmq rm NAME ...                 remove queues\n"
    "  shmq save NAME [FILE]            write all that a queue holds to a file\n"
    "  shmq load FILE [--name NAME]     make a queue of it\n"
    "  shmq export NAME                 print its messages as lines of JSON\n"
    "  shmq import NAME [FILE]          put messages of such lines\n"
    "\n"
    "Messages that are not finished:\n"
    "  shmq browse NAME [OPTION ...]    show them, with all that they have\n"
    "  shmq find NAME ID                print one\n"
    "  shmq update NAME ID [MESSAGE]    replace its bytes\n"
    "  shmq remove NAME ID ...          remove some\n"
    "  shmq redrive NAME [--id ID]      put dead letters back\n"
    "\n"
    "Groups, and how they hand messages out:\n"
    "  shmq subscribe NAME GROUP        make a group of a topic\n"
    "  shmq unsubscribe NAME GROUP      remove it\n"
    "  shmq groups NAME [--json]        list them with their figures\n"
    "  shmq seek NAME GROUP PLACE       move one to another place\n"
    "  shmq part NAME                   begin a new part of a topic\n"
    "  shmq pause NAME [GROUP]          hand out nothing more\n"
    "  shmq resume NAME [GROUP]         hand messages out again\n"
    "  shmq policy NAME [GROUP]         show or change lease, retries, dead letters\n"
    "\n"
    "  shmq help [COMMAND]              show this, or the help of a command\n"
    "  shmq --version                   show the version\n"
    "\n"
    "'shmq COMMAND --help' shows the options of a command.  Exit codes: 0 done,\n"
    "1 nothing there, nothing came or no room in time, 2 wrong usage, 3 other failure.\n";

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"create", cmd_create},
    {"put", cmd_put},
    {"get", cmd_get},
    {"peek", cmd_peek},
    {"purge", cmd_purge},
    {"ls", cmd_ls},
    {"rm", cmd_rm},
    {"save", cmd_save},
    {"load", cmd_load},
    {"export", cmd_export},
    {"import", cmd_import},
    {"browse", cmd_browse},
    {"find", cmd_find},
    {"update", cmd_update},
    {"remove", cmd_remove},
    {"redrive", cmd_redrive},
    {"subscribe", cmd_subscribe},
    {"unsubscribe", cmd_unsubscribe},
    {"groups", cmd_groups},
    {"seek", cmd_seek},
    {"part", cmd_part},
    {"pause", cmd_pause},
    {"resume", cmd_resume},
    {"policy", cmd_policy},
    {"work", cmd_work},
};

static int run_command(const char *name, int argc, char **argv)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(argc, argv);
    if (name[0] == '-')
        return cli_usage(NULL, "unknown option '%s'", name);
    return cli_usage(NULL, "unknown command '%s'", name);
}

static int show_help(const char *command)
{
    char name[32];
    char option[] = "--help";
    char *arguments[] = {name, option, NULL};

    if (!command)
        return cli_print(help);
    snprintf(name, sizeof(name), "%s", command);
    return run_command(name, 2, arguments);
}

int main(int argc, char **argv)
{
    const char *first = argc > 1 ? argv[1] : NULL;

    cli_start();
    if (!first)
        return cli_usage(NULL, "no command given");
    if (strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0)
        return show_help(NULL);
    if (strcmp(first, "help") == 0)
        return show_help(argc > 2 ? argv[2] : NULL);
    if (strcmp(first, "--version") == 0 || strcmp(first, "-V") == 0)
        return cli_print_version();
    return run_command(first, argc - 1, argv + 1);
}
