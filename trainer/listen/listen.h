// listen.h: the command "listen": what comes back from the clinics becomes the next data set.
//
//     feedback, predictions -> follow -> index -> outcomes -> image_fetch, version -> training
//
// Everything lies in one folder, closed to others: listen.db (the index), images/, the versions,
// left_out.csv, models/. One listen at a time has it. Main thread, and those that fetch images.
#ifndef SKINSIGHT_TRAINER_LISTEN_LISTEN_H
#define SKINSIGHT_TRAINER_LISTEN_LISTEN_H

#include "common/program/config.h"

enum { LISTEN_RECIPE_MOST = 256 }; // arguments of train behind "--"

extern const struct option listen_flags[];
enum status listen_check(const struct config *config, struct error *err) MUST_CHECK;
enum status listen_command(struct config *config, struct error *err) MUST_CHECK;

#endif
