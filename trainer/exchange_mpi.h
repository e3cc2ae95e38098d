// exchange_mpi.h: the processes that mpirun has started, as an exchange (kernels/exchange.h). exchange_mpi.c
// is built where Open MPI is there, exchange_none.c elsewhere.
//
// A sum is made by one process for each part of the values, from all processes' parts in the order of their
// ranks, and given to all: the same bits in every process, and in every run of as many.
//
// Thread: the one that opened it. Waiting for the others takes a processor's whole time.
#ifndef SKINSIGHT_TRAINER_EXCHANGE_MPI_H
#define SKINSIGHT_TRAINER_EXCHANGE_MPI_H

#include "kernels/exchange.h"

// What --version and --help say of this build; NULL: it has Open MPI.
extern const char *const exchange_mpi_note;

// How many processes mpirun has started; 1: it was not used.
int exchange_mpi_launched(void);
// Joins them, once in a process. REJECTED: this build has no Open MPI, or there are too many. FATAL: MPI
// can't be started.
enum status exchange_mpi_open(struct exchange **exchange, struct error *err) MUST_CHECK;
// Waits until all have called it; where one was lost, mpirun ends the others. NULL is allowed.
void exchange_mpi_close(struct exchange *exchange);

#endif
