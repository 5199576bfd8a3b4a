// The load of tools/instructions: a fixed number of requests over a fixed number of connections, each
// of which sends its next request when it has received the response.
//
//   load PORT CONNECTIONS REQUESTS < REQUEST
//
// A response is assumed to arrive in one read, which holds for the small ones used here.

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    REQUEST_MAX = 64 * 1024,
    EVENTS = 64,
    STALLED_MILLIS = 20000, // a proxy under valgrind is about fifty times slower
};

static char request[REQUEST_MAX];
static size_t length;

static void give_up(const char *why) {
    fprintf(stderr, "load: %s\n", why);
    exit(1);
}

static void ask(int connection) {
    if (write(connection, request, length) != (ssize_t)length) {
        give_up("a request was sent only in part");
    }
}

static int open_connection(int port) {
    int connection = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (connect(connection, (struct sockaddr *)&address, sizeof address) != 0) {
        give_up("cannot connect");
    }
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return connection;
}

int main(int count, char **words) {
    if (count != 4) {
        give_up("usage: load PORT CONNECTIONS REQUESTS < REQUEST");
    }
    int port = atoi(words[1]), open = atoi(words[2]);
    long left = atol(words[3]);
    length = fread(request, 1, sizeof request, stdin);
    int reactor = epoll_create1(0);
    for (int index = 0; index < open; index++) {
        int connection = open_connection(port);
        struct epoll_event event = {.events = EPOLLIN, .data.fd = connection};
        epoll_ctl(reactor, EPOLL_CTL_ADD, connection, &event);
        ask(connection);
        left--;
    }
    static char answer[REQUEST_MAX];
    struct epoll_event events[EVENTS];
    while (open > 0) {
        int ready = epoll_wait(reactor, events, EVENTS, STALLED_MILLIS);
        if (ready <= 0) {
            give_up("no response for 20 s");
        }
        for (int index = 0; index < ready; index++) {
            int connection = events[index].data.fd;
            if (read(connection, answer, sizeof answer) <= 0) {
                give_up("a connection was closed under a request");
            }
            if (left > 0) {
                ask(connection);
                left--;
            } else {
                close(connection);
                open--;
            }
        }
    }
}
