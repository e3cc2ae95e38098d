// admission.c: the rate of answers while there was something to answer, and the verdict on a newcomer.
#include "producer/gateway/admission.h"

#include <stddef.h>

enum {
    RATE_UNKNOWN = -1,
    RETRY_LEAST_S = 1,
    RETRY_MOST_S = 60,
    BUSY_LEAST_MS = 100,
    SHOWN_LEAST_MS = 1000, // so long must many have waited to show the rate
    STALLED_MS = 30000,    // told where no answer comes at all
};

void admission_init(struct admission *admission, int64_t limit, int64_t in_time_ms)
{
    *admission = (struct admission){.limit = limit, .in_time_ms = in_time_ms, .per_1000_s = RATE_UNKNOWN};
    admission->slice.waiting_least = INT64_MAX;
}

static int64_t drain_ms(int64_t waiting, int64_t per_1000_s)
{
    if (per_1000_s == RATE_UNKNOWN || waiting == 0)
        return 0;
    return per_1000_s > 0 ? waiting * 1000000 / per_1000_s : STALLED_MS;
}

int64_t admission_drain_ms(const struct admission *admission)
{
    return drain_ms(atomic_load(&admission->waiting), atomic_load(&admission->per_1000_s));
}

static int within(int64_t value, int least, int most)
{
    return value < least ? least : value > most ? most : (int)value;
}

// So many are answered in time.
static int64_t places_of(const struct admission *admission, int64_t per_1000_s)
{
    int64_t in_time = per_1000_s > 0 ? per_1000_s * admission->in_time_ms / 1000000 : admission->limit;
    if (per_1000_s == 0 && STALLED_MS > admission->in_time_ms)
        in_time = 0;
    if (in_time < ADMISSION_FEW)
        in_time = ADMISSION_FEW;
    return in_time < admission->limit ? in_time : admission->limit;
}

// With the newcomer so many wait, and so many of its account.
static bool has_room(const struct admission *admission, int64_t waiting, int64_t own, int *retry_after_s)
{
    int64_t per_1000_s = atomic_load(&admission->per_1000_s);
    if (shares_fit(own, places_of(admission, per_1000_s) - (waiting - 1)))
        return true;
    int64_t over_ms = drain_ms(waiting, per_1000_s) - admission->in_time_ms / 2; // then half of it is free
    *retry_after_s = within((over_ms + 999) / 1000, RETRY_LEAST_S, RETRY_MOST_S);
    return false;
}

bool admission_look(const struct admission *admission, const char *account, int *retry_after_s)
{
    const atomic_llong *own = &admission->waiting_of[shares_counter(account)];
    return has_room(admission, atomic_load(&admission->waiting) + 1, atomic_load(own) + 1, retry_after_s);
}

int admission_enter(struct admission *admission, const char *account, int *retry_after_s)
{
    const int counter = shares_counter(account);
    int place = 1 + counter;
    int64_t waiting = atomic_fetch_add(&admission->waiting, 1) + 1;
    int64_t own = atomic_fetch_add(&admission->waiting_of[counter], 1) + 1;
    if (!has_room(admission, waiting, own, retry_after_s))
        admission_leave(admission, &place);
    return place;
}

void admission_leave(struct admission *admission, int *place)
{
    if (*place == 0)
        return;
    atomic_fetch_sub(&admission->waiting, 1);
    atomic_fetch_sub(&admission->waiting_of[*place - 1], 1);
    *place = 0;
}

static int64_t rate_of(int64_t answers, int64_t busy_ms)
{
    return answers * 1000000 / busy_ms;
}

static int64_t rate_of_slices(const struct admission *admission)
{
    int64_t shown_ms = 0, shown = 0, best = 0;
    for (size_t i = 0; i < ADMISSION_SLICES; i++) {
        const struct admission_slice *slice = &admission->slices[i];
        if (slice->busy_ms == 0)
            continue;
        int64_t rate = rate_of(slice->answers, slice->busy_ms);
        best = rate > best ? rate : best;
        if (slice->waiting_least >= ADMISSION_FEW) {
            shown_ms += slice->busy_ms;
            shown += slice->answers;
        }
    }
    return shown_ms >= SHOWN_LEAST_MS ? rate_of(shown, shown_ms) : best;
}

static void end_slice(struct admission *admission, int64_t now_ms)
{
    if (admission->slice.busy_ms >= BUSY_LEAST_MS) {
        admission->slices[admission->next_slice] = admission->slice;
        admission->next_slice = (admission->next_slice + 1) % ADMISSION_SLICES;
        admission->slice = (struct admission_slice){.waiting_least = INT64_MAX};
        atomic_store(&admission->per_1000_s, rate_of_slices(admission));
    }
    admission->slice_start_ms = now_ms;
}

void admission_tick(struct admission *admission, int64_t now_ms)
{
    int64_t waiting = atomic_load(&admission->waiting);
    struct admission_slice *slice = &admission->slice;
    if (admission->busy_since_ms > 0)
        slice->busy_ms += now_ms - admission->busy_since_ms;
    admission->busy_since_ms = waiting > 0 ? now_ms : 0;
    slice->waiting_least = waiting < slice->waiting_least ? waiting : slice->waiting_least;
    if (now_ms - admission->slice_start_ms >= ADMISSION_SLICE_MS)
        end_slice(admission, now_ms);
}

void admission_answered(struct admission *admission, int *place, int64_t now_ms)
{
    if (*place == 0)
        return;
    admission_tick(admission, now_ms);
    admission->slice.answers++;
    admission_leave(admission, place);
}
