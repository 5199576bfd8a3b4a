//! How the head of an answer is understood, and written again.

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use tokio::time::Instant;

    use crate::buffer::Buffer;
    use crate::filters::Filtered;
    use crate::http::h1::scan::Limits;
    use crate::http::message::date::HttpDate;
    use crate::http::message::head::{Method, Version};
    use crate::id::{EndpointId, UpstreamId};
    use crate::net::lease::Ending;
    use crate::reject::Reject;
    use crate::session::answer::{
        Answer, AnswerRules, Finality, HeadIn, HeadOut, HeadRead, read_answer,
    };
    use crate::session::attempt::RequestTraits;
    use crate::session::record::AttemptTarget;
    use crate::session::simulation::script::Script;

    const LIMITS: Limits = Limits { head_bytes_max: 4096, fields_max: 32 };

    const ASKED: RequestTraits = RequestTraits {
        method: Method::Idempotent,
        version: Version::Http11,
        upgrade: false,
        expects: false,
        persists: true,
    };

    const DATE: &str = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";

    fn answer(bytes: &str, traits: RequestTraits) -> Result<(Answer, String), Reject> {
        let (mut input, mut out) = (Buffer::new(), Buffer::new());
        input.append(bytes.as_bytes());
        let context = Script::read(b"").context();
        let date = Cell::new(HttpDate::of(784_111_777));
        let (upstream, endpoint) = (UpstreamId::new(0), EndpointId::new(0));
        let (started, connect_within) = (Instant::now(), Duration::ZERO);
        let rules = AnswerRules {
            limits: &LIMITS,
            date: &date,
            accept: None,
            via: None,
            set_cookie: None,
            filtered: &Filtered::new(&()),
            context: &context,
            target: &AttemptTarget { upstream, endpoint, started, connect_within },
            route: None,
        };
        let (head, to) = (HeadIn::H1(&mut input, Some(bytes.len())), HeadOut::H1(&mut out));
        let mut answer = Answer::awaited();
        let read = read_answer(head, traits, &rules, to, &mut answer)?;
        assert_eq!(read, HeadRead::Whole, "its length is known");
        Ok((answer, String::from_utf8_lossy(out.filled()).into_owned()))
    }

    #[test]
    fn a_final_response_without_a_date_is_given_one() {
        let traits = RequestTraits { upgrade: true, ..ASKED };
        let theirs = "Date: Mon, 07 Nov 1994 08:49:37 GMT\r\n";
        let named = &format!("{theirs}Connection: date\r\n");
        let switch = "Upgrade: x\r\nConnection: upgrade\r\n";
        for (status, fields, expected) in [
            ("200 OK", "A: b\r\n", Some(DATE)),
            ("304 A", "", Some(DATE)),
            ("500 A", theirs, Some(theirs)),
            ("200 OK", named, Some(DATE)),
            ("103 A", "", None),
            ("101 A", switch, None),
        ] {
            let (_, head) = answer(&format!("HTTP/1.1 {status}\r\n{fields}\r\n"), traits).unwrap();
            let dates: Vec<_> =
                head.split_inclusive('\n').filter(|l| l.starts_with("Date")).collect();
            assert_eq!(dates, expected.as_slice(), "{status} {fields:?}");
        }
    }

    #[test]
    fn an_http_1_0_client_gets_chunks_taken_off_and_a_close() {
        let old = RequestTraits { version: Version::Http10, ..ASKED };
        let (answer, head) =
            answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", old).unwrap();
        assert_eq!(head, format!("HTTP/1.1 200 OK\r\n{DATE}Connection: close\r\n\r\n"));
        assert!(answer.ends_with_connection && answer.upstream_persists);
    }

    #[test]
    fn an_http_1_0_client_that_may_stay_is_told_so() {
        let old = RequestTraits { version: Version::Http10, ..ASKED };
        let (_, head) = answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", old).unwrap();
        assert!(head.contains("Connection: keep-alive\r\n"));
    }

    #[test]
    fn an_unasked_101_is_refused() {
        let bytes = "HTTP/1.1 101 A\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n";
        assert_eq!(answer(bytes, ASKED).err(), Some(Reject::UnaskedUpgrade));
        let traits = RequestTraits { upgrade: true, ..ASKED };
        assert_eq!(answer(bytes, traits).unwrap().0.finality, Finality::Upgrade);
    }

    #[test]
    fn a_101_names_a_protocol_and_never_http_2() {
        let traits = RequestTraits { upgrade: true, ..ASKED };
        let rows = [
            "HTTP/1.1 101 A\r\n\r\n",
            "HTTP/1.1 101 A\r\nUpgrade: x\r\n\r\n",
            "HTTP/1.1 101 A\r\nConnection: upgrade\r\n\r\n",
            "HTTP/1.1 101 A\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
            "HTTP/1.0 101 A\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        ];
        for bytes in rows {
            assert_eq!(answer(bytes, traits).err(), Some(Reject::UnaskedUpgrade), "{bytes:?}");
        }
    }

    #[test]
    fn after_head_a_connection_rests_whatever_was_announced() {
        let bytes = "HTTP/1.1 200 OK\r\n\r\n";
        let to_head = RequestTraits { method: Method::Head, ..ASKED };
        assert_eq!(answer(bytes, to_head).unwrap().0.ending, Ending::Announced);
        assert_eq!(answer(bytes, ASKED).unwrap().0.ending, Ending::Framed);
    }

    #[test]
    fn an_endpoint_that_says_close_is_not_pooled() {
        let rows = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\n\r\n", false),
        ];
        for (bytes, pooled) in rows {
            assert_eq!(answer(bytes, ASKED).unwrap().0.upstream_persists, pooled, "{bytes:?}");
        }
    }
}
