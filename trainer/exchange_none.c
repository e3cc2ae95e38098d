// exchange_none.c: a build without Open MPI. See exchange_mpi.h.
#include "trainer/exchange_mpi.h"

const char *const exchange_mpi_note = "built without Open MPI: one process trains alone";

enum status exchange_mpi_open(struct exchange **exchange, struct error *err)
{
    *exchange = NULL;
    return error_set(err, STATUS_REJECTED,
                     "%d processes were started, and this build has no Open MPI: install libopenmpi-dev and "
                     "build again, or train without mpirun",
                     exchange_mpi_launched());
}

void exchange_mpi_close(struct exchange *exchange)
{
    (void)exchange; // none was ever opened
}
