//! What changes about TLS listeners without a command: files of certificates that were replaced, keys of
//! session tickets that have served their time, and certificates that are about to expire.
//!
//! A thread looks after these, since a file system may take its time. What it finds waits for the control
//! thread, which decides whether it still matters.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::inbox::{ControlCommand, Inbox};
use crate::net::tls::certificate::Certificate;
use crate::net::tls::server::ServerTls;
use crate::net::tls::tickets::random_key;
use crate::net::tls::watched_file::WatchedFile;
use crate::net::wall_clock::since_1970;

/// Between two looks if files are not watched.
const INTERVAL: Duration = Duration::from_secs(60);

/// Files that change together must have stayed the same for so long before they are read.
const SETTLING: Duration = Duration::from_secs(1);

/// How often that is waited for: one that changes all the time is read all the same.
const SETTLINGS_MAX: usize = 10;

/// Between two warnings about a certificate that is about to expire.
const NOTICE_INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// What has been found.
#[derive(Debug)]
pub(super) struct Renewal {
    /// What was in force then.
    pub(super) basis: Arc<ServerTls>,
    /// What is to take its place, if anything is.
    pub(super) next: Option<Arc<ServerTls>>,
    /// If files have changed: what to say of them, or why they were refused and the earlier ones stay.
    pub(super) read: Option<Result<Vec<String>, Vec<String>>>,
}

/// Looks after what is in force.
pub(super) struct CertificateWatch {
    shared: Arc<WatchState>,
}

/// What both threads know.
#[derive(Default)]
struct WatchState {
    state: Mutex<State>,
    followed: Condvar,
}

#[derive(Default)]
struct State {
    tls: Option<Arc<ServerTls>>,
    /// How often to look for changed files, if at all.
    interval: Option<Duration>,
    /// Counts what was followed.
    generation: u64,
    found: Option<Renewal>,
    has_ended: bool,
}

impl CertificateWatch {
    /// Starts the thread. What it finds is announced by [`ControlCommand::Renewal`].
    pub(super) fn start(inbox: Arc<Inbox>) -> io::Result<Self> {
        let shared = Arc::new(WatchState::default());
        let its = Arc::clone(&shared);
        let watching = move || its.watch(&inbox);
        thread::Builder::new().name("certificates".to_owned()).spawn(watching)?;
        Ok(Self { shared })
    }

    /// Looks after this from now on. What is to be said about its certificates now has been said.
    pub(super) fn follow(&self, tls: Option<Arc<ServerTls>>, interval: Option<Duration>) {
        let mut state = self.shared.lock();
        (state.tls, state.interval, state.found) = (tls, interval, None);
        state.generation += 1;
        self.shared.followed.notify_all();
    }

    /// What has been found, if it has not been taken yet.
    pub(super) fn take(&self) -> Option<Renewal> {
        self.shared.lock().found.take()
    }
}

impl Drop for CertificateWatch {
    /// Ends the thread.
    fn drop(&mut self) {
        self.shared.lock().has_ended = true;
        self.follow(None, None);
    }
}

impl WatchState {
    fn watch(&self, inbox: &Inbox) {
        let mut notices = ExpiryNotices::default();
        loop {
            let (tls, interval, generation) = {
                let state = self.lock();
                if state.has_ended {
                    return;
                }
                (state.tls.clone(), state.interval, state.generation)
            };
            let mut watched = tls.map(|tls| Watched::new(tls, interval.is_some()));
            if let Some(watched) = &watched {
                notices.due(watched.tls.certificates.iter(), since_1970());
            }
            let interval = interval.unwrap_or(INTERVAL);
            // Until something else is followed.
            while self.wait(interval, generation) {
                let Some(watched) = &mut watched else { continue };
                let now = since_1970();
                for notice in notices.due(watched.tls.certificates.iter(), now) {
                    log::warn!("{notice}");
                }
                if let Some(renewal) = watched.look(now, &random_key(), interval.min(SETTLING)) {
                    self.lock().found = Some(renewal);
                    inbox.signal(ControlCommand::Renewal);
                }
            }
        }
    }

    /// Waits; whether that of this generation is still followed.
    fn wait(&self, interval: Duration, generation: u64) -> bool {
        let is_same = |state: &mut State| state.generation == generation;
        let waited = self.followed.wait_timeout_while(self.lock(), interval, is_same);
        waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// A panic elsewhere leaves the state whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is looked after, as it was last seen.
struct Watched {
    tls: Arc<ServerTls>,
    /// None if they are not watched.
    files: Vec<WatchedFile>,
    /// What has been found already, and waits.
    renewed: Option<Arc<ServerTls>>,
}

impl Watched {
    fn new(tls: Arc<ServerTls>, watches_files: bool) -> Self {
        let files = if watches_files { tls.files() } else { Vec::new() };
        Self { tls, files, renewed: None }
    }

    /// What is new, at a time since 1970. A change is reported once.
    fn look(&mut self, now: Duration, random: &[u8; 48], settling: Duration) -> Option<Renewal> {
        let basis = Arc::clone(&self.tls);
        let known = self.renewed.clone().unwrap_or_else(|| Arc::clone(&basis));
        let (mut next, mut read) = (None, None);
        if self.has_changed(settling) {
            read = Some(known.read_again(now).map(|(again, warnings)| {
                next = Some(again);
                warnings
            }));
        }
        if let Some(keys) = known.ticket_keys.rotated(now, random) {
            let rotated = next.as_ref().unwrap_or(&known).with_ticket_keys(Arc::new(keys));
            // Keys of the right length are accepted.
            next = rotated.ok().or(next);
        }
        if next.is_none() && read.is_none() {
            return None;
        }
        let next = next.map(Arc::new).or_else(|| self.renewed.take());
        self.renewed.clone_from(&next);
        Some(Renewal { basis, next, read })
    }

    /// Looks at all files, until they have settled.
    fn has_changed(&mut self, settling: Duration) -> bool {
        // All of them, or the others would be reported next time.
        let mut look =
            || self.files.iter_mut().filter_map(|file| file.look().then_some(())).count() > 0;
        if !look() {
            return false;
        }
        for _ in 0..SETTLINGS_MAX {
            thread::sleep(settling);
            if !look() {
                break;
            }
        }
        true
    }
}

/// When each certificate that is about to expire was last warned about, in time since 1970, by its
/// fingerprint.
#[derive(Default)]
struct ExpiryNotices(HashMap<[u8; 32], Duration>);

impl ExpiryNotices {
    /// What is to be said of these at a time since 1970: each certificate once a day.
    fn due<'a>(
        &mut self,
        certificates: impl Iterator<Item = &'a Arc<Certificate>>,
        now: Duration,
    ) -> Vec<String> {
        let (mut due, mut told) = (Vec::new(), HashMap::new());
        for certificate in certificates {
            let Some(warning) = certificate.warning(now) else { continue };
            let before = self.0.get(&certificate.fingerprint).copied();
            let is_fresh = |at: Duration| now.saturating_sub(at) < NOTICE_INTERVAL;
            let before = before.filter(|at| is_fresh(*at));
            if before.is_none() && told.insert(certificate.fingerprint, now).is_none() {
                due.push(warning);
            } else if let Some(at) = before {
                told.insert(certificate.fingerprint, at);
            }
        }
        self.0 = told;
        due
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;
    use crate::app_protocol::AppProtocol;
    use crate::net::tls::certificates::Certificates;
    use crate::net::tls::pem::PemFile;
    use crate::net::tls::server::MinVersion;
    use crate::net::tls::tickets::TicketKeys;

    const HOUR: Duration = Duration::from_secs(3600);

    /// 2026-11-26.
    const NOW: Duration = Duration::from_secs(1_795_651_200);

    /// A file in a folder of its own.
    struct Bundle(PathBuf);

    impl Bundle {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("evener-{}-{name}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            let bundle = Self(folder.join("bundle.pem"));
            bundle.renew(30);
            bundle
        }

        /// Replaces it by another certificate, which is valid for so many days.
        fn renew(&self, days: u64) {
            let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
            params.not_after =
                date_time_ymd(1970, 1, 1) + NOW + 24 * HOUR * u32::try_from(days).unwrap();
            let key = KeyPair::generate().unwrap();
            let cert = params.self_signed(&key).unwrap().pem();
            self.write(&(cert + &key.serialize_pem()));
        }

        fn write(&self, text: &str) {
            let new = self.0.with_extension("new");
            fs::write(&new, text).unwrap();
            fs::rename(new, &self.0).unwrap();
        }

        fn read(&self) -> Arc<ServerTls> {
            let file = PemFile::read(&self.0).unwrap();
            let certificate = Arc::new(Certificate::new(&file, None).unwrap());
            let certificates = Arc::new(Certificates::new(vec![certificate]).unwrap());
            let keys = Arc::new(TicketKeys::new(NOW, &[1; 48]));
            let protocols = AppProtocol::HTTP1;
            let tls = ServerTls::new(MinVersion::Tls12, protocols, None, certificates, keys);
            Arc::new(tls.unwrap())
        }

        fn folder(&self) -> &Path {
            self.0.parent().unwrap()
        }
    }

    impl Drop for Bundle {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(self.folder());
        }
    }

    fn fingerprint(tls: &ServerTls) -> [u8; 32] {
        tls.certificates.iter().next().unwrap().fingerprint
    }

    fn mistake(renewal: &Renewal) -> &str {
        &renewal.read.as_ref().unwrap().as_ref().unwrap_err()[0]
    }

    fn look(watched: &mut Watched, now: Duration) -> Option<Renewal> {
        watched.look(now, &[2; 48], Duration::ZERO)
    }

    #[test]
    fn a_changed_file_is_read_once_and_a_bad_one_reported_once() {
        let bundle = Bundle::new("changed");
        let mut watched = Watched::new(bundle.read(), true);
        assert!(look(&mut watched, NOW).is_none());
        bundle.write("nothing");
        let renewal = look(&mut watched, NOW).unwrap();
        assert!(renewal.next.is_none() && mistake(&renewal).contains("holds no certificate"));
        assert!(look(&mut watched, NOW).is_none());
        bundle.renew(60);
        let next = look(&mut watched, NOW).unwrap().next.unwrap();
        assert_ne!(fingerprint(&next), fingerprint(&watched.tls));
        assert_eq!(next.ticket_keys, watched.tls.ticket_keys);
        assert!(look(&mut watched, NOW).is_none());
    }

    #[test]
    fn a_link_that_leads_elsewhere_is_a_change_and_a_missing_file_a_mistake() {
        let bundle = Bundle::new("link");
        let [one, two] = ["one.pem", "two.pem"].map(|name| bundle.folder().join(name));
        for target in [&one, &two] {
            bundle.renew(30);
            fs::rename(&bundle.0, target).unwrap();
        }
        std::os::unix::fs::symlink(&one, &bundle.0).unwrap();
        let mut watched = Watched::new(bundle.read(), true);
        assert!(look(&mut watched, NOW).is_none());
        fs::remove_file(&bundle.0).unwrap();
        assert!(mistake(&look(&mut watched, NOW).unwrap()).contains("No such file"));
        std::os::unix::fs::symlink(&two, &bundle.0).unwrap();
        assert!(look(&mut watched, NOW).unwrap().next.is_some());
    }

    #[test]
    fn files_that_are_not_watched_are_not_read() {
        let bundle = Bundle::new("off");
        let mut watched = Watched::new(bundle.read(), false);
        bundle.renew(60);
        assert!(look(&mut watched, NOW).is_none());
    }

    #[test]
    fn ticket_keys_rotate_whether_files_are_watched_and_good_or_not() {
        let bundle = Bundle::new("rotation");
        let tls = bundle.read();
        bundle.write("nothing");
        for watches_files in [true, false] {
            let mut watched = Watched::new(Arc::clone(&tls), watches_files);
            let renewal = look(&mut watched, NOW + 13 * HOUR).unwrap();
            assert_eq!(renewal.read.is_some_and(|read| read.is_err()), watches_files);
            let next = renewal.next.unwrap();
            assert!(
                Some(&*next.ticket_keys)
                    == tls.ticket_keys.rotated(NOW + 13 * HOUR, &[2; 48]).as_ref()
            );
            assert_eq!(fingerprint(&next), fingerprint(&tls));
        }
    }

    #[test]
    fn what_has_not_been_taken_is_not_lost() {
        let bundle = Bundle::new("waits");
        let mut watched = Watched::new(bundle.read(), true);
        bundle.renew(60);
        let renewed = fingerprint(&look(&mut watched, NOW).unwrap().next.unwrap());
        bundle.write("nothing");
        let later = look(&mut watched, NOW + 13 * HOUR).unwrap();
        assert_eq!(fingerprint(later.next.as_ref().unwrap()), renewed);
        assert!(mistake(&later).contains("holds no certificate"));
    }

    #[test]
    fn a_certificate_about_to_expire_is_warned_about_once_a_day() {
        let bundle = Bundle::new("notices");
        let tls = bundle.read();
        let mut notices = ExpiryNotices::default();
        let mut due = |hours| notices.due(tls.certificates.iter(), NOW + HOUR * hours).len();
        let days = |days: u32| 24 * days;
        assert_eq!(due(days(15)), 0);
        assert_eq!(
            [due(days(16)), due(days(16) + 23), due(days(17)), due(days(17) + 1)],
            [1, 0, 1, 0]
        );
        assert_eq!(due(days(31)), 1);
    }
}
