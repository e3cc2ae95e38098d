// run_length.c: the equations of the average run length L(s) of a chart that stands at s:
//     L(s) = 1 + sum over the next states t below the limit of P(s -> t) L(t).
// Continuous states become the nodes of a quadrature (Nystroem's method). Scores of a Bernoulli CUSUM become
// whole multiples of a step: states form a lattice, and the matrix has a narrow band.
#include "common/statistics/run_length.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/memory.h"
#include "common/statistics/numeric.h"
#include "common/statistics/special.h"

enum {
    NODES = 96,
    FINENESS = 256,               // the greater score is about as many steps
    MOST_STATES = 16384,          // of a lattice
    MOST_CELLS = 4 * 1024 * 1024, // of its band: 32 MiB
};

static const double MOST_LIMIT = 30;
static const double MOST_RUN_LENGTH = 1e12; // beyond, the equations are singular but for rounding

static double density(double z)
{
    return exp(-z * z / 2) / sqrt(2 * M_PI);
}

struct lattice {
    long up, down; // steps of the positive and of the negative score
    double step, p_up;
};

// The step divides the smaller score into the whole number that makes the greater one a whole number of steps
// as nearly as can be.
static struct lattice lattice_of(const struct bernoulli_cusum *cusum, double p)
{
    bool event_is_up = cusum->event > 0;
    double up = event_is_up ? cusum->event : cusum->none, down = -(event_is_up ? cusum->none : cusum->event);
    double small = fmin(up, down), ratio = fmax(up, down) / small, best_error = INFINITY;
    long best = 1, most = fmax(1, FINENESS / ratio);
    for (long parts = 1; parts <= most; parts++) {
        double exact = (double)parts * ratio, error = fabs(round(exact) - exact) / exact;
        if (error < best_error) {
            best_error = error;
            best = parts;
        }
    }
    double step = small / (double)best;
    return (struct lattice){lround(up / step), lround(down / step), step, event_is_up ? p : 1 - p};
}

// L(0) with the alarm at state `states`. Elimination without pivots: a row's probabilities sum to at most 1,
// so the diagonal dominates. band: row s holds columns s - down .. s + up.
static double lattice_run_length(const struct lattice *lattice, long states)
{
    long width = lattice->down + lattice->up + 1;
    if (states > MOST_STATES || states * width > MOST_CELLS)
        return NAN;
    double *band = memory_alloc((size_t)(states * width) * sizeof *band);
    double *run = memory_alloc((size_t)states * sizeof *run);
#define CELL(row, column) band[(row)*width + (column) - (row) + lattice->down]
    for (long s = 0; s < states; s++) {
        run[s] = 1;
        CELL(s, s) += 1;
        CELL(s, s > lattice->down ? s - lattice->down : 0) -= 1 - lattice->p_up;
        if (s + lattice->up < states)
            CELL(s, s + lattice->up) -= lattice->p_up;
    }
    for (long k = 0; k < states; k++)
        for (long row = k + 1; row < states && row <= k + lattice->down; row++) {
            double factor = CELL(row, k) / CELL(k, k);
            if (factor == 0)
                continue;
            for (long column = k + 1; column < states && column <= k + lattice->up; column++)
                CELL(row, column) -= factor * CELL(k, column);
            run[row] -= factor * run[k];
        }
    for (long s = states - 1; s >= 0; s--) {
        for (long column = s + 1; column < states && column <= s + lattice->up; column++)
            run[s] -= CELL(s, column) * run[column];
        run[s] /= CELL(s, s);
    }
#undef CELL
    double from_zero = run[0];
    free(band);
    free(run);
    return from_zero;
}

double bernoulli_cusum_run_length(const struct bernoulli_cusum *cusum, double limit, double p)
{
    struct lattice lattice = lattice_of(cusum, p);
    double states = ceil(limit / lattice.step - 1e-6); // a sum that reaches the limit may be rounded below it
    return states <= MOST_STATES ? lattice_run_length(&lattice, (long)fmax(1, states)) : NAN;
}

double bernoulli_cusum_limit(const struct bernoulli_cusum *cusum, double p, double run_length)
{
    struct lattice lattice = lattice_of(cusum, p);
    long low = 0, high = lattice.up; // the alarm at state `low` comes too early, at `high` late enough
    for (double reached; !((reached = lattice_run_length(&lattice, high)) >= run_length); high *= 2) {
        if (isnan(reached))
            return NAN;
        low = high;
    }
    while (high - low > 1) {
        long middle = low + (high - low) / 2;
        if (lattice_run_length(&lattice, middle) >= run_length)
            high = middle;
        else
            low = middle;
    }
    return ((double)high - 0.5) * lattice.step; // between two states, so that no rounding can matter
}

// The equations at the nodes and, before them, at the start 0: of going to a node by its density, and to 0
// itself by a probability.
double normal_cusum_run_length(double k, double limit, double shift)
{
    enum { N = NODES + 1 };
    struct quadrature_node nodes[NODES];
    double *matrix = memory_alloc(sizeof(double) * N * N), run[N];
    numeric_quadrature(0, limit, nodes, NODES);
    for (int row = 0; row < N; row++) {
        double s = row == 0 ? 0 : nodes[row - 1].at, *cells = matrix + row * N;
        cells[0] = -special_normal_tail(s + shift - k);
        for (int i = 0; i < NODES; i++)
            cells[i + 1] = -nodes[i].weight * density(nodes[i].at - s + k - shift);
        cells[row] += 1;
        run[row] = 1;
    }
    bool solved = numeric_solve(matrix, run, N);
    free(matrix);
    return solved && run[0] > 0 && run[0] < MOST_RUN_LENGTH ? run[0] : INFINITY;
}

static double cusum_at(void *k, double limit)
{
    return normal_cusum_run_length(*(const double *)k, limit, 0);
}

double normal_cusum_limit(double k, double run_length)
{
    return run_length < MOST_RUN_LENGTH
               ? numeric_reach(&(struct rising_function){cusum_at, &k}, run_length, 0, MOST_LIMIT)
               : NAN;
}

double run_length_of_both(double a, double b)
{
    return 1 / (1 / a + 1 / b);
}
