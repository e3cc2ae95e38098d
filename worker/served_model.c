// served_model.c: opens and closes what belongs to one model.
#include "worker/served_model.h"

enum status served_model_open(struct served_model *served, const struct config *config, int max_batch,
                              struct error *err)
{
    flights_init(&served->flights);
    return engine_open(&served->engine, config, max_batch, EXPLAIN_LAST, err);
}

void served_model_close(struct served_model *served)
{
    engine_close(&served->engine);
    flights_release(&served->flights);
}
