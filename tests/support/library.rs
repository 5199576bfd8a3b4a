//! Runs peers from third-party async libraries, each on its own runtime.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::thread;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::HANG;

/// Runs a future on this thread; panics if it hangs.
pub fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    #[expect(clippy::disallowed_methods, reason = "the rule is about sessions")]
    let limited = async { tokio::time::timeout(HANG, work).await };
    runtime.block_on(limited).expect("no hang")
}

/// Runs a future on this thread for as long as it takes.
pub fn run_forever(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
}

/// Runs a future beside the others of its runtime.
#[expect(clippy::disallowed_methods, reason = "the rule is about workers")]
pub fn spawn<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(work)
}

/// Starts an origin that serves one connection.
pub fn origin(serve: impl AsyncFnOnce(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        run(async {
            let listener = TcpListener::from_std(listener).unwrap();
            serve(listener.accept().await.unwrap().0).await;
        });
    });
    address
}
