//! Sources of endpoints that a program brings along: what comes of their answers, and of their failures.

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use evener::{
    Config, ConfigBuilder, CustomSource, Evener, EvenerHandle, RouteBuilder, UpstreamBuilder,
};

use crate::support::{Client, Origin, eventually};

/// Gives one answer after the other, the last one again and again, and counts the calls.
#[derive(Clone)]
struct Answers {
    all: Vec<Answer>,
    asked: Arc<Mutex<usize>>,
}

#[derive(Clone)]
enum Answer {
    These(Vec<String>),
    Fails,
    Panics,
}

impl CustomSource for Answers {
    fn endpoints(&mut self) -> Result<Vec<String>, Box<dyn Error + Send + Sync>> {
        let nth = {
            let mut asked = self.asked.lock().unwrap();
            *asked += 1;
            *asked - 1
        };
        match &self.all[nth.min(self.all.len() - 1)] {
            Answer::These(endpoints) => Ok(endpoints.clone()),
            Answer::Fails => Err("nobody knows".into()),
            Answer::Panics => panic!("as it should"),
        }
    }

    fn interval(&self) -> Duration {
        Duration::ZERO
    }
}

fn answers(all: Vec<Answer>) -> Answers {
    Answers { all, asked: Arc::default() }
}

fn these(origins: &[&Origin]) -> Answer {
    Answer::These(origins.iter().map(|origin| origin.address.to_string()).collect())
}

fn builder(source: Answers) -> ConfigBuilder {
    let route = RouteBuilder::prefix("/").endpoint("custom:registry");
    let builder = Config::builder().listen("127.0.0.1:0").threads(1).check("off");
    builder.custom_source("registry", source).route(route)
}

fn start(source: Answers) -> EvenerHandle {
    Evener::new(builder(source).build().unwrap()).start().unwrap()
}

fn get(running: &EvenerHandle) -> (u16, String) {
    let mut client = Client::connect(running.address().unwrap());
    client.get("/");
    let answer = client.response();
    (answer.status, answer.text())
}

#[test]
fn endpoints_are_those_that_it_finds_as_soon_as_it_finds_others() {
    let [one, two] = ["one", "two"].map(Origin::named);
    let running = start(answers(vec![these(&[&one]), these(&[&two])]));
    assert_eq!(get(&running), (200, "one".to_owned()));
    eventually("the other one is asked", || get(&running).1 == "two");
    running.stop_at_once();
}

#[test]
fn what_it_found_last_stays_while_it_fails() {
    let [one, two] = ["one", "two"].map(Origin::named);
    let listing = |text: &str| Answer::These(vec![text.to_owned()]);
    let wrong = [
        Answer::Fails,
        Answer::Panics,
        Answer::These(Vec::new()),
        listing("no address"),
        listing("custom:registry"),
    ];
    let running = wrong.map(|wrong| {
        let source = answers(vec![these(&[&one]), wrong, these(&[&two])]);
        (Arc::clone(&source.asked), start(source))
    });
    for (asked, running) in &running {
        eventually("it is asked again", || *asked.lock().unwrap() >= 2);
        let text = get(running).1;
        assert!(text == "one" || *asked.lock().unwrap() > 2, "{text}");
    }
    for (_, running) in &running {
        eventually("the other one is asked", || get(running).1 == "two");
    }
}

#[test]
fn one_that_knows_nothing_at_start_is_waited_for_with_503() {
    let one = Origin::named("one");
    let running = start(answers(vec![Answer::Fails, these(&[&one])]));
    assert_eq!(get(&running).0, 503);
    eventually("there is an endpoint", || get(&running).1 == "one");
}

#[test]
fn endpoints_have_weights_and_backups_and_stand_beside_others() {
    let [one, two] = ["one", "two"].map(Origin::named);
    let (refusing, last) = (Origin::refusing(), two.address);
    let found = [format!("{}@3", refusing.address), format!("{last} backup")];
    let source = answers(vec![Answer::These(found.into())]);
    let upstream = UpstreamBuilder::new("app").endpoint("custom:registry").set("retries", 3);
    let config = |upstream: UpstreamBuilder| {
        let route = RouteBuilder::path("/").upstream("app");
        let builder = Config::builder().listen("127.0.0.1:0").threads(1).check("off");
        builder.custom_source("registry", source.clone()).upstream(upstream).route(route).build()
    };
    let running = Evener::new(config(upstream.clone()).unwrap()).start().unwrap();
    assert_eq!(get(&running).1, "two");
    let beside = upstream.endpoint(&one.address.to_string());
    running.reload(config(beside).unwrap()).unwrap();
    assert_eq!(get(&running).1, "one");
}

#[test]
fn a_name_that_no_source_has_is_a_mistake() {
    let route = RouteBuilder::prefix("/").endpoint("custom:other");
    let built = builder(answers(vec![Answer::Fails])).route(route.host("a.test")).build();
    let expected = "upstream a.test/: custom:other: there is no such source: add a custom_source";
    assert_eq!(built.unwrap_err().lines(), [expected]);
    for (endpoint, expected) in [
        ("custom:a b", "has letters, digits, - and _ only"),
        ("https://custom:a", "leave the scheme out: what it lists has its own"),
        ("custom:a@2", "leave the weight out: what it lists has its own"),
        ("Custom:a", "write custom: in lower case"),
    ] {
        let built = Config::builder().route(RouteBuilder::prefix("/").endpoint(endpoint)).build();
        let told = built.unwrap_err().lines();
        assert!(told.len() == 1 && told[0].contains(expected), "{told:?}");
    }
}

#[test]
fn elsewhere_there_are_none() {
    let said = "custom: is for configurations that are built in code";
    let text = "routes: [{prefix: /, endpoints: ['custom:registry']}]";
    let told = [
        Config::from_yaml(text).unwrap_err().lines(),
        Config::from_words(["--route", "/=custom:registry"]).unwrap_err().lines(),
    ];
    for told in told {
        assert!(told.len() == 1 && told[0].contains(said), "{told:?}");
    }
}
