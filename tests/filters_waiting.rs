//! Filters that take their time, on a paused clock.

use std::sync::Arc;
use std::time::Duration;

use evener::filters::{Filters, Verdict};
use evener::id::{ListenerId, UpstreamId};
use evener::net::limiter::ConnectionPermit;
use evener::net::socket::Socket;
use evener::net::stream::Stream;
use evener::plan::handle::PlanHandle;
use evener::plan::listener::{Listener, ListenerKind};
use evener::session;
use evener::session::accepted::Accepted;
use tokio::net::UnixStream;
use tokio::time::sleep;

use crate::support::paused::{Endpoint, context, run, send, until};

/// What filters take to admit a request, and endpoints to answer it.
const EACH: Duration = Duration::from_secs(2);

struct Hesitant;

impl Filters for Hesitant {
    type Context = ();

    async fn admit(&self, (): &mut ()) -> Verdict {
        sleep(EACH).await;
        Verdict::Continue
    }
}

async fn slow(mut stream: UnixStream) {
    loop {
        until(&mut stream, "\r\n\r\n").await;
        sleep(EACH).await;
        send(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    }
}

/// Of the second request, too, whose connection is there already.
#[test]
fn an_endpoint_is_not_charged_with_the_time_that_filters_take() {
    run(Duration::from_millis(10), async {
        let endpoint = Endpoint::start("slow", slow);
        let context = context(&[&endpoint.route(), "--response-timeout", "3s", "--retries", "0"]);
        let (mut client, theirs) = UnixStream::pair().unwrap();
        let (handle, kind) = (PlanHandle::new(context.clone()), ListenerKind::HTTP);
        let listener = Listener::new(ListenerId::FIRST, kind, &handle, Arc::new(Hesitant));
        let stream = Stream::Plain(Socket::Unix(theirs));
        session::spawn(Accepted::new(stream, None, ConnectionPermit::alone(), &listener));
        for requests in 1..=2 {
            send(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            let head = until(&mut client, "\r\n\r\n").await;
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            sleep(Duration::from_millis(50)).await;
            let durations = &context.upstream_counts(UpstreamId::new(0)).durations;
            let spent = Duration::from_micros(durations.sum_micros()).as_secs();
            assert_eq!(spent, EACH.as_secs() * requests, "{requests}");
        }
    });
}
