//! The access log: the contents of a line, in either format.
//!
//! Pure: [`Facts`] and [`Texts`] become an entry of a [`Batch`], and a [`Formatter`] turns a batch into
//! bytes. The time is a field of the entry; writing the bytes is left to `log`. Nothing a peer sent
//! can end a line or a field.
//!
//! The combined format is that of Apache and nginx, followed by `key=value`:
//!
//! ```text
//! 192.0.2.7 - - [21/Nov/2026:13:48:17 +0000] "GET /x HTTP/1.1" 200 123 "referer" "user agent"
//! host="a.example" route="a.example/x" upstream="app" tried=10.0.0.1:80,10.0.0.2:80 retries=1
//! up=310 down=123 spliced=0 head=0.000010 queue=0.000000 connect=0.000200 first_byte=0.001000
//! total=0.001300 end=-- id=- tls=TLSv1.3/TLS_AES_256_GCM_SHA384/a.example/full peer=192.0.2.7
//! stream=- picked=round_robin
//! ```
//!
//! (on one line); calls of gRPC have ` grpc_status=` before `picked`, and where not all requests have a line, `sample=`. An absent value is `-`, a status that was never sent is `000` as in nginx, and a
//! client on a Unix socket is `unix:`. The request line always has three words. The number after the
//! status equals `down`: all bytes sent, including headers, like nginx's `$bytes_sent`.
//!
//! JSON is an object per line with the same names, and besides them `time` (RFC 3339, UTC,
//! microseconds), `client`, `peer`, `method`, `target`, `protocol`, `status`, `referer` and `user_agent`.
//! Times are seconds as numbers, `tried` is an array, what is absent is null. The line is ASCII; bytes
//! of a client that are not UTF-8 are U+FFFD there, while the combined format keeps them as `\xHH`.
//!
//! Where fields are chosen, a line has these and no others, in their order: as `key=value` in the combined format,
//! in an object in JSON.

mod batch;
mod combined;
mod date;
mod entry;
mod field;
mod format;
mod formatter;
mod json;
mod request_id;
mod sample_rate;
mod text;

pub use batch::{Batch, Facts, TRIED_MAX, Texts};
pub use entry::{Protocol, Timers};
pub use field::LogField;
pub use format::{Format, Label, LineLayout, Names};
pub use formatter::Formatter;
pub use request_id::{MADE_LENGTH, RequestIds, is_request_id};
pub use sample_rate::SampleRate;

/// An entry with a time in 2026 and nothing else.
#[cfg(test)]
pub const NOTHING: Facts = Facts::new(1_795_268_897_123_456, (None, None), Protocol::Http);

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::num::NonZeroU32;
    use std::sync::Arc;
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::address::Address;
    use crate::grpc::status::Status;
    use crate::id::{EndpointId, RouteId, UpstreamId};
    use crate::trace::context::TraceId;

    fn line(facts: &Facts, texts: [&[u8]; 7], name: &str, format: Format) -> String {
        line_of(facts, texts, name, LineLayout { format, ..LineLayout::default() })
    }

    fn line_of(facts: &Facts, texts: [&[u8]; 7], name: &str, layout: LineLayout) -> String {
        let format = layout.format;
        let first = Address::Tcp(([10, 0, 0, 1], 80).into());
        let second = Address::Unix(name.into());
        let endpoints = Box::new([format.address(&second), format.address(&first)]);
        let names = Arc::new(Names {
            layout: Arc::new(layout),
            routes: Arc::new([format.name(name)]),
            upstreams: Box::new([(format.name("app"), endpoints)]),
        });
        let (mut kept, mut batch, mut out) = (Texts::default(), Batch::default(), Vec::new());
        kept.keep(texts);
        batch.push(facts, &kept, &names);
        Formatter::new().write_all(&batch, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn parsed(facts: &Facts, texts: [&[u8]; 7], name: &str) -> Value {
        serde_json::from_str(&line(facts, texts, name, Format::Json)).unwrap()
    }

    const EXCHANGE: Facts = Facts {
        client: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7))),
        peer: Some(IpAddr::V4(Ipv4Addr::new(10, 9, 9, 9))),
        protocol: Protocol::Http2,
        stream: NonZeroU32::new(5),
        status: 200,
        bytes_from_client: 310,
        bytes_to_client: 123,
        bytes_spliced: 7,
        route: Some(RouteId::new(0)),
        upstream: Some(UpstreamId::new(0)),
        timers: Timers {
            head: Some(Duration::from_micros(10)),
            first_byte: Some(Duration::from_millis(1)),
            total: Duration::from_micros(61_000_300),
            ..NOTHING.timers
        },
        ..NOTHING
    };

    const TEXTS: [&[u8]; 7] =
        [b"GET", b"/x", b"a.example", b"https://b.example/", b"curl/8", b"", b"01JD"];

    fn exchange() -> Facts {
        let mut facts = EXCHANGE;
        facts.tried.push(EndpointId::new(1));
        facts.tried.push(EndpointId::new(0));
        facts.picked = "sticky";
        facts
    }

    #[test]
    fn an_exchange_is_one_line() {
        assert_eq!(
            line(&exchange(), TEXTS, "/s", Format::Combined),
            "192.0.2.7 - - [21/Nov/2026:13:48:17 +0000] \"GET /x HTTP/2.0\" 200 123 \
             \"https://b.example/\" \"curl/8\" host=\"a.example\" route=\"/s\" \
             upstream=\"app\" tried=10.0.0.1:80,unix:/s retries=1 up=310 down=123 \
             spliced=7 head=0.000010 queue=- connect=- first_byte=0.001000 total=61.000300 \
             end=-- id=01JD tls=- peer=10.9.9.9 stream=5 picked=sticky\n"
        );
        assert_eq!(
            parsed(&exchange(), TEXTS, "/s"),
            json!({
                "time": "2026-11-21T13:48:17.123456Z", "client": "192.0.2.7", "peer": "10.9.9.9",
                "method": "GET", "target": "/x", "protocol": "HTTP/2.0", "referer": "https://b.example/",
                "user_agent": "curl/8", "host": "a.example", "route": "/s",
                "upstream": "app", "id": "01JD", "tls": null, "status": 200,
                "tried": ["10.0.0.1:80", "unix:/s"], "retries": 1, "up": 310,
                "down": 123, "spliced": 7, "head": 0.00001, "queue": null, "connect": null,
                "first_byte": 0.001, "total": 61.0003, "stream": 5, "end": "--", "picked": "sticky",
            })
        );
    }

    #[test]
    fn a_call_of_grpc_has_its_status() {
        let facts = Facts { call_status: Some(Status::Unavailable), ..EXCHANGE };
        let combined = line(&facts, TEXTS, "/s", Format::Combined);
        assert!(combined.ends_with(" stream=5 grpc_status=14 picked=-\n"), "{combined}");
        assert_eq!(parsed(&facts, TEXTS, "/s")["grpc_status"], 14);
    }

    #[test]
    fn an_absent_value_keeps_its_column() {
        assert_eq!(
            line(&NOTHING, [b""; 7], "/s", Format::Combined),
            "unix: - - [21/Nov/2026:13:48:17 +0000] \"- - HTTP\" 000 0 \"-\" \"-\" host=\"-\" \
             route=\"-\" upstream=\"-\" tried=- retries=0 up=0 down=0 spliced=0 head=- queue=- \
             connect=- first_byte=- total=0.000000 end=-- id=- tls=- peer=unix: stream=- picked=-\n"
        );
        let object = parsed(&NOTHING, [b""; 7], "/s");
        for name in [
            "client", "peer", "method", "target", "host", "status", "route", "id", "tls", "head",
            "stream", "picked",
        ] {
            assert_eq!(object[name], Value::Null, "{name}");
        }
        assert_eq!(object["tried"], json!([]));
    }

    #[test]
    fn a_client_cannot_forge_a_line_or_a_field() {
        let forged: &[u8] = b"x\r\n6.6.6.6 - - \"GET / HTTP/1.1\" 200\\\" end=CH";
        let texts = [forged, forged, forged, forged, forged, b"", b"a\" end=CH\n"];
        let combined = line(&NOTHING, texts, "/s", Format::Combined);
        assert_eq!(combined.lines().count(), 1);
        assert_eq!(combined.matches('"').count(), 12);
        assert!(
            combined
                .contains(" end=-- id=a\\x22\\x20end=CH\\x0A tls=- peer=unix: stream=- picked=-"),
            "{combined}"
        );
        let request = combined.split('"').nth(1).unwrap();
        assert_eq!(request.split(' ').count(), 3, "{request}");
        let object = parsed(&NOTHING, texts, "/s");
        assert_eq!(object["user_agent"].as_str().unwrap().as_bytes(), forged);
        assert_eq!((&object["end"], &object["id"]), (&json!("--"), &json!("a\" end=CH\n")));
    }

    const JSON: LineLayout =
        LineLayout { format: Format::Json, fields: None, sample: SampleRate::ALL };

    #[test]
    fn chosen_fields_are_all_that_a_line_has_and_in_their_order() {
        let fields = ["end", "tried", "first_byte", "connect", "status", "target", "rule", "id"];
        let fields: Box<[LogField]> =
            fields.iter().map(|name| LogField::of_name(name).unwrap()).collect();
        let layout = LineLayout { fields: Some(fields), ..LineLayout::default() };
        assert_eq!(
            line_of(&exchange(), TEXTS, "/s", layout.clone()),
            "end=-- tried=10.0.0.1:80,unix:/s first_byte=0.001000 connect=- status=200 \
             target=\"/x\" rule=- id=01JD\n"
        );
        assert_eq!(
            line_of(&exchange(), TEXTS, "/s", LineLayout { format: Format::Json, ..layout }),
            "{\"end\":\"--\",\"tried\":[\"10.0.0.1:80\",\"unix:/s\"],\"first_byte\":0.001000,\
             \"connect\":null,\"status\":200,\"target\":\"/x\",\"rule\":null,\"id\":\"01JD\"}\n"
        );
    }

    #[test]
    fn every_field_that_is_chosen_says_what_it_says_without_choice() {
        let facts = Facts {
            call_status: Some(Status::Ok),
            rule: "deny",
            trace: Some(TraceId::by_chance(1, 2)),
            ..exchange()
        };
        let sample = SampleRate::new(10_000).unwrap();
        let plain = LineLayout { sample, ..JSON };
        let chosen = LineLayout { fields: Some(LogField::ALL.into()), ..plain.clone() };
        let [plain, chosen] = [plain, chosen].map(|layout| {
            serde_json::from_str::<Value>(&line_of(&facts, TEXTS, "/s", layout)).unwrap()
        });
        assert_eq!(plain, chosen);
        assert_eq!(plain["sample"], 0.01);
        assert_eq!(plain["trace_id"], "00000000000000010000000000000002");
    }

    #[test]
    fn a_line_that_there_is_at_any_rate_says_so() {
        let layout = LineLayout { sample: SampleRate::new(10_000).unwrap(), ..JSON };
        let failed = Facts { status: 502, ..EXCHANGE };
        let combined = LineLayout { format: Format::Combined, ..layout.clone() };
        let line = line_of(&failed, TEXTS, "/s", combined);
        assert!(line.ends_with(" stream=5 sample=1 picked=-\n"), "{line}");
        assert!(line_of(&EXCHANGE, TEXTS, "/s", layout).contains(",\"sample\":0.01,"));
    }

    #[test]
    fn a_client_cannot_forge_a_chosen_field() {
        let forged: &[u8] = b"x\" end=CH\r\nmethod=\"";
        let texts = [forged; 7];
        let layout = LineLayout { fields: Some(LogField::ALL.into()), ..LineLayout::default() };
        let line = line_of(&NOTHING, texts, "/s", layout);
        assert_eq!((line.lines().count(), line.matches('"').count()), (1, 14), "{line}");
        assert_eq!(line.split('"').step_by(2).filter(|part| part.contains(" end=")).count(), 1);
    }

    /// Xorshift (Marsaglia, 2003): the same numbers in every run.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }

        /// Random bytes, rich in those that are special to a format.
        fn bytes(&mut self) -> Vec<u8> {
            const SPECIAL: &[u8] = b"\"\\\r\n\t\0 ,{}[]:=-\x7f\x80\xc3\xa9\xe2\x80\xa8\xf0\x9f\xff";
            let length = self.next() % 24;
            let byte = |choice: u64| match choice % 3 {
                0 => choice.to_le_bytes()[1],
                1 => SPECIAL[(choice >> 8) as usize % SPECIAL.len()],
                _ => b'a',
            };
            (0..length).map(|_| byte(self.next())).collect()
        }
    }

    #[test]
    fn any_bytes_produce_one_well_formed_line() {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for _ in 0..5_000 {
            let [method, target, host, referer, user_agent, name] =
                [(); 6].map(|()| random.bytes());
            let (name, number) = (String::from_utf8_lossy(&name), random.next());
            let mut facts = Facts {
                unix_micros: random.next(),
                status: (number % 1000) as u16,
                bytes_to_client: number,
                route: Some(RouteId::new(0)),
                upstream: Some(UpstreamId::new(0)),
                timers: Timers { head: Some(Duration::from_nanos(number)), ..NOTHING.timers },
                ..NOTHING
            };
            (0..number % 3).for_each(|_| facts.tried.push(EndpointId::new(0)));
            let tls = random.bytes();
            let texts = [&method, &target, &host, &referer, &user_agent, &tls, name.as_bytes()];
            let combined = line(&facts, texts, &name, Format::Combined);
            let json = line(&facts, texts, &name, Format::Json);
            assert!(
                combined.ends_with('\n')
                    && combined
                        .trim_end_matches('\n')
                        .bytes()
                        .all(|byte| (b' '..=b'~').contains(&byte)),
                "{combined}"
            );
            assert_eq!(combined.matches('"').count(), 12, "{combined}");
            let rest = combined.rsplit('"').next().unwrap();
            assert_eq!(rest.split(' ').count(), 17, "{combined}");
            assert!(json.is_ascii() && json.lines().count() == 1, "{json}");
            let object: Value = serde_json::from_str(&json).unwrap();
            assert_eq!(object.as_object().unwrap().len(), 27);
            let expected = String::from_utf8_lossy(&target);
            assert_eq!(object["target"].as_str().unwrap_or_default(), expected);
            assert_eq!(object["tried"].as_array().unwrap().len() as u64, number % 3);
        }
    }
}
