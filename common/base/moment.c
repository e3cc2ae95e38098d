// moment.c: ISO 8601 by hand, since strptime depends on the locale and takes what isn't there.
#include "common/base/moment.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { DAY_S = 24 * 3600, HOUR_S = 3600 };

static const int64_t latest_ms = 253402300799999; // 9999-12-31T23:59:59.999Z

// Exactly count digits at **text, which moves behind them.
static bool take_number(const char **text, int count, int *number)
{
    *number = 0;
    for (int i = 0; i < count; i++) {
        char c = (*text)[i];
        if (c < '0' || c > '9')
            return false;
        *number = *number * 10 + (c - '0');
    }
    *text += count;
    return true;
}

static bool take_character(const char **text, char wanted)
{
    if (**text != wanted)
        return false;
    ++*text;
    return true;
}

// *days since 1970-01-01; false where the calendar has no such day.
static bool take_date(const char **text, int64_t *days)
{
    int year, month, day;
    if (!take_number(text, 4, &year) || !take_character(text, '-') || !take_number(text, 2, &month) ||
        !take_character(text, '-') || !take_number(text, 2, &day))
        return false;
    struct tm date = {.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day};
    time_t seconds = timegm(&date); // moves 31 April on to 1 May
    *days = seconds / DAY_S;
    return year >= 1970 && date.tm_mon == month - 1 && date.tm_mday == day;
}

// A fraction of any length, of which three digits count.
static bool take_fraction(const char **text, int *milliseconds)
{
    int scale = 100, digits = 0;
    for (; **text >= '0' && **text <= '9'; ++*text, scale /= 10, digits++)
        *milliseconds += (**text - '0') * scale;
    return digits > 0;
}

static bool take_clock(const char **text, int64_t *milliseconds)
{
    int hour, minute, second = 0, fraction = 0;
    if (!take_number(text, 2, &hour) || !take_character(text, ':') || !take_number(text, 2, &minute))
        return false;
    if (take_character(text, ':')) {
        if (!take_number(text, 2, &second))
            return false;
        if (take_character(text, '.') && !take_fraction(text, &fraction))
            return false;
    }
    *milliseconds = ((int64_t)hour * HOUR_S + minute * 60 + second) * 1000 + fraction;
    return hour <= 23 && minute <= 59 && second <= 59;
}

// How far the zone's clocks are ahead of UTC; nothing and Z are UTC.
static bool take_zone(const char **text, int64_t *ahead_s)
{
    int hours, minutes;
    *ahead_s = 0;
    if (**text == '\0' || take_character(text, 'Z') || take_character(text, 'z'))
        return true;
    int sign = **text == '-' ? -1 : 1;
    if (!take_character(text, '+') && !take_character(text, '-'))
        return false;
    if (!take_number(text, 2, &hours))
        return false;
    take_character(text, ':');
    if (!take_number(text, 2, &minutes) || hours > 23 || minutes > 59)
        return false;
    *ahead_s = sign * ((int64_t)hours * HOUR_S + minutes * 60);
    return true;
}

static bool parse_iso(const char *text, int64_t *unix_ms)
{
    int64_t days, clock_ms = 0, ahead_s = 0;
    if (!take_date(&text, &days))
        return false;
    if (take_character(&text, 'T') || take_character(&text, 't') || take_character(&text, ' '))
        if (!take_clock(&text, &clock_ms) || !take_zone(&text, &ahead_s))
            return false;
    *unix_ms = (days * DAY_S - ahead_s) * 1000 + clock_ms;
    return *text == '\0' && *unix_ms >= 0;
}

// Twelve digits at least: fewer are more likely a year or Unix seconds than a moment in the early seventies.
static bool parse_unix(const char *text, int64_t *unix_ms)
{
    size_t length = strlen(text);
    if (length < 12 || length > 15 || strspn(text, "0123456789") != length)
        return false;
    *unix_ms = 0;
    for (; *text; text++)
        *unix_ms = *unix_ms * 10 + (*text - '0');
    return *unix_ms <= latest_ms;
}

enum status moment_parse(const char *text, int64_t *unix_ms, struct error *err)
{
    if (parse_unix(text, unix_ms) || parse_iso(text, unix_ms))
        return STATUS_OK;
    return error_set(err, STATUS_REJECTED,
                     "'%.64s' is no time; write 2026-11-23, 2026-11-23T13:45:10Z or Unix milliseconds", text);
}

void moment_format(int64_t unix_ms, char text[MOMENT_TEXT_SIZE])
{
    struct tm date;
    time_t seconds = (time_t)(unix_ms / 1000);
    if (unix_ms < 0 || unix_ms > latest_ms || !gmtime_r(&seconds, &date)) {
        snprintf(text, MOMENT_TEXT_SIZE, "-");
        return;
    }
    char whole[24];
    strftime(whole, sizeof whole, "%Y-%m-%dT%H:%M:%S", &date);
    snprintf(text, MOMENT_TEXT_SIZE, "%s.%03dZ", whole, (int)(unix_ms % 1000));
}
