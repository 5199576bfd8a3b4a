//! What is asked when, and what is known then, at times that are given.

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use clap::Parser;

    use crate::config::Config;
    use crate::config::cli::Cli;
    use crate::config::source::lines;
    use crate::config::sources::Sources;
    use crate::discovery::board::{Ask, Board};
    use crate::discovery::file::FileState;
    use crate::discovery::outcome::LookupOutcome;
    use crate::upstream::source::{SourceAnswer, SourceQuery};

    fn config(flags: &[&str]) -> Config {
        let words = ["evener", "--threads", "1"].iter().chain(flags);
        let cli = Cli::try_parse_from(words).unwrap();
        let resolve = |_: &str| Err(std::io::ErrorKind::NotFound.into());
        Config::new(&Sources::typed(cli.flags), &resolve, &|_| false).unwrap()
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// The host has this address for so many seconds.
    fn found(address: &str, ttl: u64) -> LookupOutcome {
        let addresses = vec![address.parse().unwrap()];
        LookupOutcome::Found(SourceAnswer::Addresses(addresses), Some(seconds(ttl)))
    }

    fn failed() -> LookupOutcome {
        LookupOutcome::Failed("no answer".to_owned())
    }

    /// A board at work, and the time.
    struct Table {
        board: Board,
        config: Config,
        now: Instant,
    }

    impl Table {
        fn new(flags: &[&str]) -> Self {
            let (mut board, config, now) = (Board::default(), config(flags), Instant::now());
            board.follow(&config.discovery, now);
            Self { board, config, now }
        }

        fn follow(&mut self, flags: &[&str]) {
            self.config = config(flags);
            self.board.follow(&self.config.discovery, self.now);
        }

        /// What is asked now.
        fn asks(&mut self) -> Vec<Ask> {
            self.board.due(self.now, 100)
        }

        /// The questions that are asked now.
        fn asked(&mut self) -> Vec<String> {
            self.asks().iter().map(|ask| ask.question.to_string()).collect()
        }

        fn record(&mut self, question: &SourceQuery, outcome: LookupOutcome) -> bool {
            self.board.record(question, outcome, FileState::default(), self.now)
        }

        /// The time until the next question.
        fn pause(&self) -> Duration {
            self.board.next().unwrap().saturating_duration_since(self.now)
        }

        /// The addresses of the first upstream, if there is news of it.
        fn news(&mut self) -> Option<Vec<String>> {
            let (_, endpoints) = self.board.take(&self.config.plan).into_iter().next()?;
            let endpoints = endpoints.unwrap().into_iter();
            Some(endpoints.map(|endpoint| endpoint.address.to_string()).collect())
        }
    }

    fn dns(host: &str) -> SourceQuery {
        SourceQuery::Dns(host.into())
    }

    #[test]
    fn an_answer_holds_for_its_ttl_and_stays_though_the_next_ones_fail() {
        let mut table = Table::new(&["--route", "/=dns:a:80"]);
        assert_eq!((table.asked(), table.news()), (vec!["dns:a".to_owned()], None));
        assert!(table.record(&dns("a"), found("10.0.0.1", 20)));
        assert_eq!(
            (table.pause(), table.news()),
            (seconds(20), Some(vec!["10.0.0.1:80".to_owned()]))
        );
        assert!(table.asked().is_empty());
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            table.now += seconds(30);
            assert_eq!(table.asked().len(), 1);
            assert!(!table.record(&dns("a"), failed()));
            assert_eq!((table.pause(), table.news()), (seconds(pause), None));
        }
        table.now += seconds(30);
        assert!(!table.record(&dns("a"), found("10.0.0.1", 1)));
        assert!(table.record(&dns("a"), found("10.0.0.2", 1)));
        assert_eq!(
            (table.pause(), table.news()),
            (seconds(1), Some(vec!["10.0.0.2:80".to_owned()]))
        );
        let [report] = &table.board.report(table.now)[..] else { panic!() };
        assert_eq!((report.lookups, report.failures, report.endpoints), (10, 7, 1));
        assert_eq!((report.failure.as_deref(), report.succeeded), (None, Some(Duration::ZERO)));
    }

    #[test]
    fn an_upstream_waits_for_the_first_answers_of_all_its_sources() {
        let mut table = Table::new(&["--route", "/=file:/list,dns:a:80"]);
        assert_eq!(table.asked(), ["dns:a", "file:/list"]);
        table.record(&dns("a"), found("10.0.0.1", 1));
        assert_eq!(table.news(), None);
        let list = LookupOutcome::Found(SourceAnswer::Lines(lines("dns:b:80").unwrap()), None);
        assert!(table.record(&SourceQuery::File("/list".into()), list));
        assert_eq!((table.news(), table.asked()), (None, vec!["dns:b".to_owned()]));
        table.record(&dns("b"), failed());
        assert_eq!(table.news(), Some(vec!["10.0.0.1:80".to_owned()]));
        table.record(&dns("b"), found("10.0.0.2", 1));
        assert_eq!(table.news(), Some(vec!["10.0.0.2:80".to_owned(), "10.0.0.1:80".to_owned()]));
    }

    #[test]
    fn a_reload_keeps_the_answers_of_sources_that_stay_and_forgets_the_others() {
        let mut table = Table::new(&["--route", "/=dns:a:80", "--route", "/b=dns:b:80"]);
        assert_eq!(table.asked(), ["dns:a", "dns:b"]);
        table.record(&dns("a"), found("10.0.0.1", 20));
        table.follow(&["--route", "/=dns:a:81"]);
        assert!(table.asked().is_empty());
        assert_eq!(table.news(), Some(vec!["10.0.0.1:81".to_owned()]));
        assert!(!table.record(&dns("b"), found("10.0.0.2", 1)), "nobody wants to know");
        assert_eq!(table.board.report(table.now).len(), 1);
    }

    #[test]
    fn other_name_servers_are_asked_at_once_and_what_was_known_stays_until_then() {
        let mut table = Table::new(&["--route", "/=dns:a:80"]);
        table.asked();
        table.record(&dns("a"), found("10.0.0.1", 20));
        table.follow(&["--route", "/=dns:a:80", "--resolver", "10.0.0.53"]);
        assert_eq!(table.news(), Some(vec!["10.0.0.1:80".to_owned()]));
        let [ask] = &table.asks()[..] else { panic!() };
        assert_eq!(ask.servers, ["10.0.0.53:53".parse().unwrap()]);
        assert_eq!(
            ask.before.as_deref(),
            Some(&SourceAnswer::Addresses(vec![[10, 0, 0, 1].into()]))
        );
    }

    #[test]
    fn whoever_has_waited_longest_is_asked_first() {
        let mut table = Table::new(&["--route", "/=dns:a:80,dns:b:80,file:/list"]);
        let mut asked = Vec::new();
        for _ in 0..4 {
            table.now += seconds(30);
            let [ask] = &table.board.due(table.now, 1)[..] else { panic!() };
            asked.push(ask.question.to_string());
            table.record(&ask.question, failed());
        }
        assert_eq!(asked, ["dns:a", "dns:b", "file:/list", "dns:a"]);
    }

    #[test]
    fn what_may_be_followed_is_asked_of_its_own_name_servers() {
        let mut table = Table::new(&["--route", "/=dns:a:80"]);
        table.asked();
        table.record(&dns("a"), found("10.0.0.1", 20));
        let next = config(&["--route", "/=dns:a:80,dns:b:80", "--resolver", "10.0.0.53"]);
        table.board.consider(&next.discovery, table.now);
        let [ask] = &table.asks()[..] else { panic!() };
        assert_eq!((ask.question.to_string(), ask.servers.len()), ("dns:b".to_owned(), 1));
        assert!(!table.board.is_settled(&next.discovery));
        table.record(&dns("b"), failed());
        assert!(table.board.is_settled(&next.discovery));
        let told = table.board.unanswered(&next.discovery, &next.plan);
        assert_eq!(told, ["upstream /: dns:b: no answer"]);
        let kept = Arc::clone(&table.config.discovery);
        table.board.follow(&kept, table.now);
        assert_eq!(table.board.report(table.now).len(), 1);
    }
}
