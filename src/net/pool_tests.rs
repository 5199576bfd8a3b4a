//! Pools of several workers that share a shelf.

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream as StdTcpStream};
    use std::sync::Arc;
    use std::thread;
    use std::time::Duration;

    use tokio::net::TcpStream;
    use tokio::runtime::{Builder, Runtime};
    use tokio::time::{Instant, advance};

    use crate::buffer::Buffer;
    use crate::net::lease::{Ending, Lease, Origin, QUARANTINE};
    use crate::net::memory::Memory;
    use crate::net::pool::{NotPooled, Pool};
    use crate::net::shelf::{Habit, Shelf};
    use crate::net::socket::Socket;
    use crate::net::stream::Stream;
    use crate::upstream::settings::Keeping;

    const KEEPING: Keeping = Keeping { idle_max: 8, idle_timeout: Duration::from_secs(50) };

    fn pool(keeping: Keeping, shelf: &Arc<Shelf>) -> Pool {
        let mut pool = Pool::new();
        pool.set_keeping(keeping, Some(shelf));
        pool
    }

    /// Two workers' pools.
    fn sharing(keeping: Keeping) -> [Pool; 2] {
        let shelf = Arc::new(Shelf::new(2, Habit::USUAL));
        [(), ()].map(|()| pool(keeping, &shelf))
    }

    fn pair(carried: u64) -> (Lease, Memory) {
        let (ours, theirs) = Memory::pair(100);
        (Lease { carried, ..Lease::new(Socket::Memory(ours).into()) }, theirs)
    }

    fn put(pool: &mut Pool, lease: Lease) -> Result<(), NotPooled> {
        pool.put(lease, Ending::Framed, Instant::now())
    }

    /// What a worker gets, as [`crate::session::attempt::idle`] asks for it.
    fn lease(pool: &mut Pool) -> Option<Lease> {
        pool.lease(Instant::now()).or_else(|| pool.lease_shelved(Instant::now()))
    }

    #[tokio::test(start_paused = true)]
    async fn what_one_worker_has_used_another_leases() {
        let [mut one, mut other] = sharing(KEEPING);
        let (opened, _peer) = pair(7);
        put(&mut one, opened).unwrap();
        assert!(other.lease(Instant::now()).is_none());
        let leased = lease(&mut other).unwrap();
        assert_eq!((leased.origin, leased.carried), (Origin::Shelf, 7));
        assert!(lease(&mut one).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_whose_clock_is_behind_leases_it_all_the_same() {
        let [mut one, mut other] = sharing(KEEPING);
        let ((opened, _peer), now) = (pair(1), Instant::now());
        one.put(opened, Ending::Framed, now + Duration::from_millis(1)).unwrap();
        assert!(other.lease_shelved(now).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_used_last_is_leased_first_whoever_puts_it_there() {
        let [mut one, mut other] = sharing(KEEPING);
        let (pairs, now) = ([1, 2].map(pair), Instant::now());
        let [(early, _a), (late, _b)] = pairs;
        one.put(late, Ending::Framed, now + Duration::from_secs(1)).unwrap();
        other.put(early, Ending::Framed, now).unwrap();
        advance(Duration::from_secs(1)).await;
        assert_eq!([1, 2].map(|_| lease(&mut one).unwrap().carried), [2, 1]);
    }

    /// Has a worker come often enough to keep what it leases.
    async fn come_often(pool: &mut Pool) -> Memory {
        let (opened, peer) = pair(1);
        put(pool, opened).unwrap();
        for _ in 0..=Habit::USUAL.times {
            let leased = lease(pool).unwrap();
            assert_eq!(leased.origin, Origin::Shelf);
            put(pool, leased).unwrap();
            advance(Duration::from_millis(10)).await;
        }
        peer
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_comes_often_keeps_what_it_has() {
        let [mut one, mut other] = sharing(KEEPING);
        let _peer = come_often(&mut one).await;
        assert!(lease(&mut other).is_none());
        let own = one.lease(Instant::now()).unwrap();
        assert_eq!(own.origin, Origin::Pool);
        put(&mut one, own).unwrap();
        assert_eq!(one.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_comes_now_and_then_keeps_nothing() {
        let [mut one, _] = sharing(KEEPING);
        let (opened, _peer) = pair(1);
        put(&mut one, opened).unwrap();
        for _ in 0..20 {
            advance(Habit::USUAL.window).await;
            let leased = lease(&mut one).unwrap();
            put(&mut one, leased).unwrap();
            assert_eq!(one.len(), 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_worker_has_not_used_goes_to_the_shelf_with_the_next_sweep() {
        let [mut one, mut other] = sharing(KEEPING);
        let _peer = come_often(&mut one).await;
        one.sweep(Instant::now());
        assert_eq!(one.len(), 1);
        advance(Habit::USUAL.window).await;
        one.sweep(Instant::now());
        assert_eq!(one.len(), 0);
        assert_eq!(lease(&mut other).unwrap().carried, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn all_together_keep_as_many_as_without_a_shelf() {
        for origin in [Origin::Opened, Origin::Shelf, Origin::Pool] {
            let keeping = Keeping { idle_max: 3, ..KEEPING };
            let (mut pools, mut peers) = (sharing(keeping), Vec::new());
            for pool in &mut pools {
                for _ in 0..20 {
                    let (opened, peer) = pair(0);
                    peers.push(peer);
                    let _ = put(pool, Lease { origin, ..opened });
                }
            }
            let shelved = pools[0].sweep_shelf(Instant::now());
            let own: usize = pools.iter().map(Pool::len).sum();
            assert_eq!(own + shelved, 2 * keeping.idle_max, "{origin:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_much_by_other_rules_leaves_the_shelf_with_the_next_sweep() {
        let shelf = Arc::new(Shelf::new(2, Habit::USUAL));
        let mut one = pool(KEEPING, &shelf);
        let _peers = [1, 2, 3, 4].map(|carried| {
            let (opened, peer) = pair(carried);
            put(&mut one, opened).unwrap();
            peer
        });
        one.set_keeping(Keeping { idle_max: 1, ..KEEPING }, Some(&shelf));
        assert_eq!(one.sweep_shelf(Instant::now()), 2);
        assert_eq!([1, 2].map(|_| lease(&mut one).unwrap().carried), [4, 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_endpoint_has_ended_or_spoken_on_is_neither_leased_nor_left_on_the_shelf() {
        let [mut one, mut other] = sharing(KEEPING);
        let [(ended, gone), (noisy, loud), (stale, late)] = [1, 2, 3].map(pair);
        put(&mut one, ended).unwrap();
        put(&mut one, noisy).unwrap();
        drop(gone);
        loud.write(b"x").await.unwrap();
        assert!(lease(&mut other).is_none());
        put(&mut one, stale).unwrap();
        drop(late);
        assert_eq!(one.sweep_shelf(Instant::now()), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_lies_on_the_shelf_too_long_is_neither_leased_nor_left() {
        let [mut one, mut other] = sharing(KEEPING);
        let [(first, _a), (second, _b)] = [1, 2].map(pair);
        put(&mut one, first).unwrap();
        put(&mut one, second).unwrap();
        advance(KEEPING.idle_timeout).await;
        assert!(lease(&mut other).is_none());
        assert_eq!(other.sweep_shelf(Instant::now()), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn after_an_announced_body_it_waits_on_the_shelf_too() {
        let [mut one, mut other] = sharing(KEEPING);
        let [(good, _kept), (bad, loud)] = [1, 2].map(pair);
        one.put(good, Ending::Announced, Instant::now()).unwrap();
        one.put(bad, Ending::Announced, Instant::now()).unwrap();
        assert!(lease(&mut other).is_none());
        loud.write(b"x").await.unwrap();
        advance(QUARANTINE).await;
        assert_eq!(lease(&mut other).unwrap().carried, 1);
        assert!(lease(&mut other).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn the_shelf_is_closed_by_the_last_worker_whose_endpoint_leaves() {
        let [mut one, mut other] = sharing(KEEPING);
        let (opened, peer) = pair(1);
        put(&mut one, opened).unwrap();
        one.close();
        assert!(peer.is_quiet() && other.sweep_shelf(Instant::now()) == 1);
        other.close();
        assert_eq!(peer.read().await.unwrap(), b"");
    }

    #[tokio::test(start_paused = true)]
    async fn another_process_is_given_each_connection_once() {
        let [mut one, mut other] = sharing(KEEPING);
        let [(first, _a), (second, _b)] = [1, 2].map(pair);
        put(&mut one, first).unwrap();
        put(&mut other, Lease { origin: Origin::Pool, ..second }).unwrap();
        let carried =
            |leases: Vec<Lease>| leases.iter().map(|lease| lease.carried).collect::<Vec<_>>();
        let now = Instant::now();
        assert_eq!([&mut one, &mut other].map(|pool| carried(pool.take(now))), [vec![1], vec![2]]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_older_half_of_the_shelf_goes_where_descriptors_are_needed() {
        let [mut one, mut other] = sharing(KEEPING);
        let pairs = [1, 2, 3].map(pair);
        let _peers = pairs.map(|(opened, peer)| {
            put(&mut one, opened).unwrap();
            peer
        });
        other.shed();
        assert_eq!(lease(&mut one).unwrap().carried, 3);
        assert!(lease(&mut one).is_none());
    }

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_all().build().unwrap()
    }

    /// A connection over TCP, and its other end.
    async fn connected() -> (Lease, StdTcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Lease::new(Stream::tcp(stream)), listener.accept().unwrap().0)
    }

    #[test]
    fn a_connection_goes_on_in_the_reactor_of_another_thread() {
        let shelf = Arc::new(Shelf::new(2, Habit::USUAL));
        let mut peer = thread::scope(|scope| {
            let first = scope.spawn(|| {
                runtime().block_on(async {
                    let (opened, peer) = connected().await;
                    put(&mut pool(KEEPING, &shelf), opened).unwrap();
                    peer
                })
            });
            // Its runtime is gone.
            first.join().unwrap()
        });
        let answer = runtime().block_on(async {
            let mut leased = lease(&mut pool(KEEPING, &shelf)).unwrap();
            let (mut read, mut write) = leased.stream.split();
            assert_eq!(write.write(b"ask").await.unwrap(), 3);
            let mut asked = [0; 3];
            peer.read_exact(&mut asked).unwrap();
            peer.write_all(&asked).unwrap();
            let mut buffer = Buffer::new();
            read.read(&mut buffer).await.unwrap();
            buffer.filled().to_vec()
        });
        assert_eq!(answer, b"ask");
    }

    #[test]
    fn an_end_that_no_reactor_reports_is_seen_all_the_same() {
        let [mut one, mut other] = sharing(KEEPING);
        runtime().block_on(async {
            let (opened, peer) = connected().await;
            put(&mut one, opened).unwrap();
            drop(peer);
            assert!(lease(&mut other).is_none());
        });
    }
}
