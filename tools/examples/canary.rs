//! Requests with `X-Canary: 1` go to the canary, and the answers to them say so.
//!
//! `canary LISTEN STABLE CANARY`

use std::error::Error;

use evener::{
    ClientRequest, ClientResponse, Config, Edits, Evener, Filters, RouteBuilder, RouteChoice,
    UpstreamBuilder, Verdict,
};

struct Canary;

impl Filters for Canary {
    /// Whether the request goes to the canary.
    type Context = bool;

    fn route<'a>(
        &'a self,
        request: &ClientRequest<'a>,
        choice: &mut RouteChoice<'a>,
        _: &mut Edits<'a>,
        goes_there: &mut bool,
    ) -> Verdict {
        if request.header("X-Canary").is_some_and(|value| value == b"1") {
            *goes_there = choice.set_upstream("canary");
        }
        Verdict::Continue
    }

    fn response_out<'a>(
        &'a self,
        _: &ClientResponse<'a>,
        edits: &mut Edits<'a>,
        went_there: &'a bool,
    ) {
        if *went_there {
            edits.set_header("X-Served-By", b"canary").expect("a name and a value");
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [listen, stable, canary] = &words[..] else {
        return Err("canary LISTEN STABLE CANARY".into());
    };
    let config = Config::builder()
        .listen(listen)
        .threads(1)
        .upstream(UpstreamBuilder::new("stable").endpoint(stable))
        .upstream(UpstreamBuilder::new("canary").endpoint(canary).check("off"))
        .route(RouteBuilder::prefix("/").upstream("stable"))
        .route(RouteBuilder::path("/canary").upstream("canary"));
    Ok(Evener::new(config.build()?).filters(Canary).run()?)
}
