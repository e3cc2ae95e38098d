// fuzz_report_request.c: any bytes as a stored request of a report. One that is taken is written as a text
// that is taken again and gives the same text.
#include <stdlib.h>

#include "monitor/report/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stored_request stored, again;
    struct buffer first, second;
    struct error err;
    if (report_request_read((struct bytes){data, size}, &stored, &err) != STATUS_OK)
        return 0;
    buffer_init(&first, 4 * REPORT_REQUEST_MOST);
    buffer_init(&second, 4 * REPORT_REQUEST_MOST);
    if (report_request_write(&stored.request, &first, &err) != STATUS_OK)
        abort();
    if (first.size <= REPORT_REQUEST_MOST) {
        if (report_request_read(buffer_bytes(&first), &again, &err) != STATUS_OK ||
            report_request_write(&again.request, &second, &err) != STATUS_OK ||
            !bytes_equal(buffer_bytes(&first), buffer_bytes(&second)))
            abort();
        stored_request_release(&again);
    }
    stored_request_release(&stored);
    buffer_release(&first);
    buffer_release(&second);
    return 0;
}
