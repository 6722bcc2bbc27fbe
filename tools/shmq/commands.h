/*
 * commands.h - the subcommands of shmq.  Each gets the command line from
 * its own name on and returns an exit code.
 */
#ifndef SHMQ_COMMANDS_H
#define SHMQ_COMMANDS_H

int cmd_create(int argc, char **argv);
int cmd_put(int argc, char **argv);
int cmd_get(int argc, char **argv);
int cmd_peek(int argc, char **argv);
int cmd_purge(int argc, char **argv);
int cmd_ls(int argc, char **argv);
int cmd_rm(int argc, char **argv);
int cmd_save(int argc, char **argv);
int cmd_load(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_import(int argc, char **argv);
int cmd_browse(int argc, char **argv);
int cmd_find(int argc, char **argv);
int cmd_update(int argc, char **argv);
int cmd_remove(int argc, char **argv);
int cmd_redrive(int argc, char **argv);
int cmd_subscribe(int argc, char **argv);
int cmd_unsubscribe(int argc, char **argv);
int cmd_groups(int argc, char **argv);
int cmd_seek(int argc, char **argv);
int cmd_part(int argc, char **argv);
int cmd_pause(int argc, char **argv);
int cmd_resume(int argc, char **argv);
int cmd_policy(int argc, char **argv);
int cmd_work(int argc, char **argv);

#endif
