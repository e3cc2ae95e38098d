// sql_postgres_load.c: many rows into one table of PostgreSQL, as COPY in its binary form. COPY has no ON
// CONFLICT DO NOTHING: where it meets a row that is known, it is undone, and the rows travel once more, into
// a temporary table of the connection, which has no log, and from there by an INSERT that has it.
//
// The binary form: a head of 19 bytes; of each row the number of columns in 2 bytes, and of each value its
// size in 4 (-1: null) and its bytes, numbers with the highest byte first; at the end -1 in 2 bytes.
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "common/services/sql_postgres_internal.h"

enum {
    PIECE = 64 << 10, // sent at once
    PIECE_MOST = PIECE + SQL_ROW_BYTES + 8 * SQL_VALUES_MOST,
};

static const char head[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0"; // and the zero byte that ends the text

static enum status add_16(struct buffer *piece, int number, struct error *err)
{
    uint16_t bytes = htons((uint16_t)number);
    return buffer_append(piece, &bytes, sizeof bytes, err);
}

static enum status add_32(struct buffer *piece, int32_t number, struct error *err)
{
    uint32_t bytes = htonl((uint32_t)number);
    return buffer_append(piece, &bytes, sizeof bytes, err);
}

static enum status add_64(struct buffer *piece, uint64_t number, struct error *err)
{
    uint32_t bytes[] = {htonl(sizeof number), htonl((uint32_t)(number >> 32)), htonl((uint32_t)number)};
    return buffer_append(piece, bytes, sizeof bytes, err);
}

static enum status add_value(struct buffer *piece, const struct sql_value *value, struct error *err)
{
    uint64_t bits;
    switch (value->type) {
    case SQL_INTEGER:
        return add_64(piece, (uint64_t)value->integer, err);
    case SQL_REAL:
        memcpy(&bits, &value->real, sizeof bits);
        return add_64(piece, bits, err);
    case SQL_TEXT:
    case SQL_BLOB: {
        enum status status = add_32(piece, (int32_t)value->bytes.size, err);
        return status == STATUS_OK ? buffer_append(piece, value->bytes.data, value->bytes.size, err) : status;
    }
    default:
        return add_32(piece, -1, err);
    }
}

static enum status send_piece(struct sql_postgres *postgres, struct buffer *piece, struct error *err)
{
    if (PQputCopyData(postgres->connection, (const char *)piece->data, (int)piece->size) != 1)
        return postgres_fail_connection(postgres, err);
    buffer_clear(piece);
    postgres_start_clock(postgres); // a load takes as long as it goes on
    return postgres_flush(postgres, err);
}

static enum status send_rows(struct sql_postgres *postgres, const struct sql_load *load, struct buffer *piece,
                             struct error *err)
{
    struct sql_value values[SQL_VALUES_MOST];
    enum status status = buffer_append(piece, head, sizeof head, err);
    for (size_t row = 0; row < load->rows && status == STATUS_OK; row++) {
        status = sql_load_row(&postgres->sql, load, row, values, err);
        if (status == STATUS_OK)
            status = add_16(piece, (int)load->column_count, err);
        for (size_t i = 0; i < load->column_count && status == STATUS_OK; i++)
            status = add_value(piece, &values[i], err);
        if (status == STATUS_OK && piece->size >= PIECE)
            status = send_piece(postgres, piece, err);
    }
    if (status == STATUS_OK)
        status = add_16(piece, -1, err);
    return status == STATUS_OK ? send_piece(postgres, piece, err) : status;
}

// The server says first that it is ready to take rows.
static enum status begin_copy(struct sql_postgres *postgres, const char *text, struct error *err)
{
    PGresult *result = NULL;
    if (!PQsendQuery(postgres->connection, text))
        return postgres_fail_connection(postgres, err);
    enum status status = postgres_flush(postgres, err);
    if (status == STATUS_OK)
        status = postgres_receive(postgres, &result, err);
    if (status == STATUS_OK && PQresultStatus(result) != PGRES_COPY_IN)
        status = postgres_fail(postgres, result, err);
    PQclear(result);
    return status;
}

// Ends the COPY also where a row was refused: the connection then lives on.
static enum status copy(struct sql_postgres *postgres, const struct sql_load *load, const char *text,
                        struct error *err)
{
    struct buffer piece;
    struct error unsaid;
    buffer_init(&piece, PIECE_MOST);
    enum status status = begin_copy(postgres, text, err);
    if (status == STATUS_OK) {
        status = send_rows(postgres, load, &piece, err);
        bool good = status == STATUS_OK;
        if (postgres->connection &&
            PQputCopyEnd(postgres->connection, good ? NULL : "a row was refused") != 1)
            status = postgres_fail_connection(postgres, good ? err : &unsaid);
        else if (postgres->connection && good)
            status = postgres_finish(postgres, NULL, err);
        else if (postgres->connection && postgres_finish(postgres, NULL, &unsaid) == STATUS_OK)
            postgres_disconnect(postgres); // it should have said that the COPY is off
    }
    buffer_release(&piece);
    return status;
}

// Rows that are all new.
static enum status copy_straight(struct sql_postgres *postgres, const struct sql_load *load,
                                 struct error *err)
{
    char *fill = memory_format("COPY %s (%s) FROM STDIN (FORMAT binary)", load->table, load->columns);
    enum status status = postgres_run_script(postgres, "SAVEPOINT load", err);
    if (status == STATUS_OK) {
        status = copy(postgres, load, fill, err);
        if (status == STATUS_OK)
            status = postgres_run_script(postgres, "RELEASE load", err);
        else if (status == STATUS_REJECTED)
            status = postgres_run_script(postgres, "ROLLBACK TO load; RELEASE load", err) == STATUS_OK
                         ? STATUS_REJECTED
                         : STATUS_RETRY;
    }
    free(fill);
    return status;
}

static enum status copy_and_move(struct sql_postgres *postgres, const struct sql_load *load, int64_t *changed,
                                 struct error *err)
{
    struct sql *sql = &postgres->sql;
    char *make = memory_format("CREATE TEMP TABLE IF NOT EXISTS load_%s (LIKE %s) ON COMMIT DELETE ROWS",
                               load->table, load->table);
    char *fill = memory_format("COPY load_%s (%s) FROM STDIN (FORMAT binary)", load->table, load->columns);
    char *move = memory_format("INSERT INTO %s (%s) SELECT %s FROM load_%s ON CONFLICT DO NOTHING",
                               load->table, load->columns, load->columns, load->table);
    char *empty = memory_format("TRUNCATE load_%s", load->table); // another load of the transaction may come
    enum status status = postgres_run_script(postgres, make, err);
    if (status == STATUS_OK)
        status = copy(postgres, load, fill, err);
    if (status == STATUS_OK)
        status = sql->ops->start(sql, move, NULL, 0, changed, err);
    if (status == STATUS_OK)
        status = postgres_run_script(postgres, empty, err);
    free(make);
    free(fill);
    free(move);
    free(empty);
    return status;
}

enum status postgres_load(struct sql *sql, const struct sql_load *load, int64_t *changed, struct error *err)
{
    struct sql_postgres *postgres = (struct sql_postgres *)sql;
    postgres_start_clock(postgres);
    enum status status = postgres_stay_connected(postgres, err);
    if (status != STATUS_OK)
        return status;
    status = copy_straight(postgres, load, err);
    *changed = (int64_t)load->rows;
    return status == STATUS_REJECTED ? copy_and_move(postgres, load, changed, err) : status;
}
