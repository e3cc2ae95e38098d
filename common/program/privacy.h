// privacy.h: what a process does so that pictures of patients stay in it.
#ifndef SKINSIGHT_COMMON_PROGRAM_PRIVACY_H
#define SKINSIGHT_COMMON_PROGRAM_PRIVACY_H

// No core dump, neither to a file nor to a program that takes them, and no other process of the same user
// reads this one's memory. The process' own files in /proc belong to root from then on. Programs built with a
// sanitizer stay as they are: their reports look into the process. Thread: main, first of all.
void privacy_keep(void);
// Undone, but for the file: for a command whose pictures are made up and which needs its files in /proc.
void privacy_lift(void);

#endif
