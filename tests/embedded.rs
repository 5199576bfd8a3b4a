//! The balancer within another program: how it starts, follows another configuration, and ends.

use evener::{Config, Evener, EvenerHandle, RouteBuilder, RunError, StartError};

use crate::support::{Client, Origin, eventually};

fn config(origin: &Origin, prefix: &str) -> Config {
    let route = RouteBuilder::prefix(prefix).endpoint(&origin.address.to_string());
    Config::builder().listen("127.0.0.1:0").threads(1).check("off").route(route).build().unwrap()
}

fn client(running: &EvenerHandle) -> Client {
    Client::connect(running.address().unwrap())
}

fn get(running: &EvenerHandle, path: &str) -> u16 {
    let mut client = client(running);
    client.get(path);
    client.response().status
}

#[test]
fn it_serves_until_it_is_stopped_and_drains_what_runs() {
    let origin = Origin::named("hello");
    let running = Evener::new(config(&origin, "/")).start().unwrap();
    let address = running.address().unwrap();
    let mut client = client(&running);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx");
    eventually("the request has arrived", || origin.connections() == 1);
    let stopping = std::thread::spawn(|| running.stop());
    eventually("it listens no more", || std::net::TcpStream::connect(address).is_err());
    client.send("y");
    assert_eq!(client.response().text(), "hello");
    stopping.join().unwrap();
}

#[test]
fn it_follows_another_configuration_or_says_why_not() {
    let origin = Origin::named("hello");
    let running = Evener::new(config(&origin, "/a")).start().unwrap();
    assert_eq!([get(&running, "/a"), get(&running, "/b")], [200, 404]);
    let changes = running.reload(config(&origin, "/b")).unwrap();
    assert!(!changes.is_empty());
    assert_eq!([get(&running, "/a"), get(&running, "/b")], [404, 200]);
    let route = RouteBuilder::prefix("/").endpoint("10.0.0.1:80");
    let other = Config::builder().listen("127.0.0.1:0").threads(2).route(route).build().unwrap();
    assert_eq!(
        running.reload(other).unwrap_err(),
        ["a reload cannot change threads: upgrade or restart for that"]
    );
    assert_eq!(get(&running, "/b"), 200);
    running.stop_at_once();
}

#[test]
fn an_address_in_use_is_an_error_of_the_start() {
    let origin = Origin::named("hello");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let route = RouteBuilder::prefix("/").endpoint(&origin.address.to_string());
    let listen = taken.local_addr().unwrap().to_string();
    let config = Config::builder().listen(&listen).threads(1).route(route).build().unwrap();
    let Err(RunError::Start(StartError::InUse(address, holder))) = Evener::new(config).start()
    else {
        panic!("it has started")
    };
    assert_eq!(address.to_string(), listen);
    assert_eq!(holder.map(|holder| holder.pid), Some(std::process::id()));
}
