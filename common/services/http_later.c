// http_later.c: answers that other threads leave in a mailbox for the server's thread, which alone speaks
// with libmicrohttpd. A handle holds the mailbox, so that an answer to a server that has ended finds it
// closed.
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/memory.h"
#include "common/services/http_internal.h"

struct http_later {
    struct http_mailbox *mailbox;
    struct http_request *request; // server's thread; NULL: it has ended
    struct MHD_Response *response;
    unsigned code;
    struct http_later *next;
};

struct http_mailbox {
    bool tls;
    int wake_fd;
    pthread_mutex_t lock; // over all below
    struct http_later *answered;
    bool closed;
    int holders; // handles, and the server
};

struct http_mailbox *http_mailbox_open(bool tls)
{
    struct http_mailbox *mailbox = memory_alloc(sizeof *mailbox);
    *mailbox =
        (struct http_mailbox){.tls = tls, .wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .holders = 1};
    if (mailbox->wake_fd < 0) {
        free(mailbox);
        return NULL;
    }
    pthread_mutex_init(&mailbox->lock, NULL);
    return mailbox;
}

int http_mailbox_fd(const struct http_mailbox *mailbox)
{
    return mailbox->wake_fd;
}

void http_mailbox_wake(struct http_mailbox *mailbox)
{
    eventfd_write(mailbox->wake_fd, 1);
}

// With the lock, which it gives back.
static void let_go(struct http_mailbox *mailbox)
{
    bool last = --mailbox->holders == 0;
    pthread_mutex_unlock(&mailbox->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&mailbox->lock);
    free(mailbox);
}

static void free_later(struct http_later *later)
{
    if (later->response)
        MHD_destroy_response(later->response);
    free(later);
}

struct http_later *http_defer(struct http_request *request)
{
    struct http_mailbox *mailbox = request->mailbox;
    struct http_later *later = memory_alloc(sizeof *later);
    later->mailbox = mailbox;
    later->request = request;
    request->later = later;
    pthread_mutex_lock(&mailbox->lock);
    mailbox->holders++;
    pthread_mutex_unlock(&mailbox->lock);
    return later;
}

void http_later_orphan(struct http_later *later)
{
    later->request = NULL;
}

static void send_later(struct http_later *later, unsigned code, struct MHD_Response *response)
{
    struct http_mailbox *mailbox = later->mailbox;
    later->code = code;
    later->response = response;
    pthread_mutex_lock(&mailbox->lock);
    if (mailbox->closed) {
        free_later(later);
    } else {
        later->next = mailbox->answered;
        mailbox->answered = later;
        http_mailbox_wake(mailbox); // under the lock: closing it closes the descriptor
    }
    let_go(mailbox);
}

void http_later_answer(struct http_later *later, const struct http_reply *reply)
{
    send_later(later, reply->code, http_response_make(reply, later->mailbox->tls));
}

void http_later_problem(struct http_later *later, const struct http_problem *problem)
{
    send_later(later, problem->status, http_response_problem(problem, later->mailbox->tls));
}

static struct http_later *pop(struct http_mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock);
    struct http_later *first = mailbox->answered;
    if (first)
        mailbox->answered = first->next;
    pthread_mutex_unlock(&mailbox->lock);
    return first;
}

void http_mailbox_clear_wake(struct http_mailbox *mailbox)
{
    eventfd_t wakes;
    eventfd_read(mailbox->wake_fd, &wakes);
}

struct http_request *http_mailbox_take(struct http_mailbox *mailbox)
{
    struct http_request *request = NULL;
    for (struct http_later *later; !request && (later = pop(mailbox)); free_later(later)) {
        request = later->request;
        if (!request)
            continue;
        request->later = NULL;
        request->code = later->code;
        request->response = later->response;
        later->response = NULL;
    }
    return request;
}

void http_mailbox_close(struct http_mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock);
    mailbox->closed = true;
    close(mailbox->wake_fd);
    for (struct http_later *later = mailbox->answered, *next; later; later = next) {
        next = later->next;
        free_later(later);
    }
    mailbox->answered = NULL;
    let_go(mailbox);
}
