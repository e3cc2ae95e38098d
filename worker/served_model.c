// served_model.c: opens and closes what belongs to one model.
#include "worker/served_model.h"

enum status served_model_open(struct served_model *served, const struct config *config, int max_batch,
                              struct error *err)
{
    flights_init(&served->flights);
    enum status status = engine_open(&served->engine, config, max_batch, EXPLAIN_LAST, err);
    if (status == STATUS_OK)
        known_images_init(&served->known_images, &served->engine);
    return status;
}

void served_model_close(struct served_model *served)
{
    known_images_release(&served->known_images);
    engine_close(&served->engine);
    flights_release(&served->flights);
}
