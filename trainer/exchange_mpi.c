// exchange_mpi.c: sums over Open MPI. See exchange_mpi.h.
//
// MPI_Allreduce would leave the order of a sum to the library. So each process gets one part of everybody's
// values (MPI_Alltoall), adds them up in the order of ranks, and gives the sums to all (MPI_Allgather): as
// many bytes as the best all-reduce moves.
#include "trainer/exchange_mpi.h"

#include <mpi.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"

enum { PIECE_BYTES = 1 << 20 }; // of one process's values at a time

struct exchange_mpi {
    struct exchange exchange; // first
    bool lost;                // a call of MPI failed: what was on the way is unknown
    char *mine, *theirs;      // PIECE_BYTES and what makes parts equal
};

// sums[i] := the sum over the ranks of parts[rank * count + i].
typedef void (*add_parts)(void *sums, const void *parts, size_t count, int size);

static void add_floats(void *sums, const void *parts, size_t count, int size)
{
    const float *values = parts;
    for (size_t i = 0; i < count; i++) {
        double sum = 0;
        for (int rank = 0; rank < size; rank++)
            sum += (double)values[(size_t)rank * count + i];
        ((float *)sums)[i] = (float)sum;
    }
}

static void add_doubles(void *sums, const void *parts, size_t count, int size)
{
    const double *values = parts;
    for (size_t i = 0; i < count; i++) {
        double sum = 0;
        for (int rank = 0; rank < size; rank++)
            sum += values[(size_t)rank * count + i];
        ((double *)sums)[i] = sum;
    }
}

static enum status lose(struct exchange_mpi *mpi, int code, struct error *err)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    mpi->lost = true;
    MPI_Error_string(code, text, &length);
    text[strcspn(text, "\n")] = '\0';
    return error_set(err, STATUS_FATAL, "another process of this training is lost (%s): go on with --resume",
                     text);
}

// A piece of the values: `count` of `width` bytes, that fit into PIECE_BYTES.
static enum status sum_piece(struct exchange_mpi *mpi, void *values, size_t count, size_t width,
                             add_parts add, struct error *err)
{
    int size = mpi->exchange.size;
    size_t part = (count + (size_t)size - 1) / (size_t)size, bytes = count * width;
    int part_bytes = (int)(part * width);
    memcpy(mpi->mine, values, bytes);
    memset(mpi->mine + bytes, 0, (size_t)size * (size_t)part_bytes - bytes);
    int code =
        MPI_Alltoall(mpi->mine, part_bytes, MPI_BYTE, mpi->theirs, part_bytes, MPI_BYTE, MPI_COMM_WORLD);
    if (code == MPI_SUCCESS) {
        add(mpi->mine, mpi->theirs, part, size);
        code =
            MPI_Allgather(mpi->mine, part_bytes, MPI_BYTE, mpi->theirs, part_bytes, MPI_BYTE, MPI_COMM_WORLD);
    }
    if (code != MPI_SUCCESS)
        return lose(mpi, code, err);
    memcpy(values, mpi->theirs, bytes);
    return STATUS_OK;
}

static enum status sum_all(struct exchange *exchange, void *values, size_t count, size_t width, add_parts add,
                           struct error *err)
{
    struct exchange_mpi *mpi = (struct exchange_mpi *)exchange;
    size_t most = PIECE_BYTES / width;
    enum status status = STATUS_OK;
    for (size_t first = 0; first < count && status == STATUS_OK; first += most)
        status = sum_piece(mpi, (char *)values + first * width, count - first < most ? count - first : most,
                           width, add, err);
    return status;
}

static enum status sum_floats(struct exchange *exchange, float *values, size_t count, struct error *err)
{
    return sum_all(exchange, values, count, sizeof *values, add_floats, err);
}

static enum status sum_doubles(struct exchange *exchange, double *values, size_t count, struct error *err)
{
    return sum_all(exchange, values, count, sizeof *values, add_doubles, err);
}

static const struct exchange_ops ops = {.sum_floats = sum_floats, .sum_doubles = sum_doubles};

const char *const exchange_mpi_note = NULL;

enum status exchange_mpi_open(struct exchange **exchange, struct error *err)
{
    int threads, rank, size;
    *exchange = NULL;
    // One process would read the other's memory, which privacy.h forbids: through shared memory instead.
    setenv("OMPI_MCA_btl_vader_single_copy_mechanism", "none", 0);
    setenv("OMPI_MCA_btl_sm_single_copy_mechanism", "none", 0); // Open MPI 5
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &threads) != MPI_SUCCESS ||
        threads < MPI_THREAD_FUNNELED)
        return error_set(err, STATUS_FATAL, "MPI can't be started for a process with threads");
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (size > EXCHANGE_MOST_PROCESSES) {
        MPI_Finalize();
        return error_set(err, STATUS_REJECTED, "%d processes were started; at most %d can train together",
                         size, (int)EXCHANGE_MOST_PROCESSES);
    }
    struct exchange_mpi *mpi = memory_alloc(sizeof *mpi);
    size_t room = PIECE_BYTES + (size_t)size * sizeof(double);
    mpi->exchange = (struct exchange){&ops, rank, size};
    mpi->mine = memory_alloc(room);
    mpi->theirs = memory_alloc(room);
    *exchange = &mpi->exchange;
    return STATUS_OK;
}

void exchange_mpi_close(struct exchange *exchange)
{
    struct exchange_mpi *mpi = (struct exchange_mpi *)exchange;
    if (!mpi)
        return;
    if (mpi->lost)
        MPI_Abort(MPI_COMM_WORLD, 1);
    MPI_Finalize();
    free(mpi->mine);
    free(mpi->theirs);
    free(mpi);
}
