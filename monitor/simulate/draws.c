// draws.c: exponentials by inversion, normals by Marsaglia's polar method.
#include "monitor/simulate/draws.h"

#include <assert.h>
#include <math.h>

void draws_begin(struct draws *draws, uint64_t seed, uint64_t purpose, uint64_t number)
{
    assert(number < UINT64_MAX / DRAWS_MOST);
    *draws = (struct draws){
        .stream = {seed, purpose}, .next = number * DRAWS_MOST, .end = number * DRAWS_MOST + DRAWS_MOST};
}

uint64_t draws_bits(struct draws *draws)
{
    assert(draws->next < draws->end);
    return counter_random_bits(&draws->stream, draws->next++);
}

double draws_uniform(struct draws *draws)
{
    assert(draws->next < draws->end);
    return counter_random_uniform(&draws->stream, draws->next++);
}

double draws_normal(struct draws *draws)
{
    if (draws->has_spare) {
        draws->has_spare = false;
        return draws->spare;
    }
    double x, y, square;
    do {
        x = 2 * draws_uniform(draws) - 1;
        y = 2 * draws_uniform(draws) - 1;
        square = x * x + y * y;
    } while (square >= 1 || square < 1e-30);
    double factor = sqrt(-2 * draws_ln(square) / square);
    draws->spare = y * factor;
    draws->has_spare = true;
    return x * factor;
}

double draws_exponential(struct draws *draws)
{
    return -draws_ln(1 - draws_uniform(draws));
}

bool draws_happens(struct draws *draws, double probability)
{
    return draws_uniform(draws) < probability;
}

int draws_index(struct draws *draws, const double *shares, int count)
{
    double left = draws_uniform(draws);
    for (int i = 0; i < count - 1; i++) {
        if (left < shares[i])
            return i;
        left -= shares[i];
    }
    return count - 1;
}

double draws_exp(double x)
{
    // e^x = 2^n e^r, |r| <= ln 2 / 2; ln 2 in two parts, of which n times the first is exact.
    static const double ln2_high = 0x1.62e42fee00000p-1, ln2_low = 0x1.a39ef35793c76p-33;
    static const double log2_e = 0x1.71547652b82fep+0;
    double n = floor(x * log2_e + 0.5);
    double r = (x - n * ln2_high) - n * ln2_low;
    double sum = 1;
    for (int term = 13; term > 0; term--) // Taylor's series; the next term is below 2^-57
        sum = 1 + sum * r / term;
    return ldexp(sum, (int)n);
}

double draws_ln(double x)
{
    static const double ln2_high = 0x1.62e42fee00000p-1, ln2_low = 0x1.a39ef35793c76p-33;
    static const double half_root = 0x1.6a09e667f3bcdp-1; // sqrt(1/2)
    int exponent;
    double mantissa = frexp(x, &exponent);
    if (mantissa < half_root) {
        mantissa *= 2;
        exponent--;
    }
    // ln m = 2 artanh((m - 1) / (m + 1)), whose argument is below 0.172
    double s = (mantissa - 1) / (mantissa + 1), square = s * s, sum = 0;
    for (int power = 21; power >= 3; power -= 2)
        sum = (sum + 1.0 / power) * square;
    return exponent * ln2_high + (exponent * ln2_low + 2 * (s + s * sum));
}
