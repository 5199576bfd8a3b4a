//! Why a balancer was not started, or a reload was refused.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::address::Address;
use crate::net::holder::{self, Holder};

/// Why nothing was started.
#[derive(Debug)]
pub enum StartError {
    /// Somebody listens at an address: this process, if it can be seen.
    InUse(Address, Option<Holder>),
    /// An address could not be bound.
    Bind(Address, io::Error),
    /// An address overlaps with one that this process listens on.
    Held(Address, Address),
    /// A thread or a runtime could not be made.
    Thread(io::Error),
    /// The user or group asked for could not be assumed.
    Identity(io::Error),
    /// A file could not be written.
    File(PathBuf, io::Error),
    /// No process has handed over.
    TakeOver(io::Error),
    /// A worker does not answer.
    Stuck(usize),
    /// What a reload cannot change.
    Fixed(&'static str),
    /// An endpoint is where this process listens, on a port that the kernel chose.
    Loop(Address),
    /// Endpoints were meant for an upstream that is not there.
    NoUpstream(String),
}

impl StartError {
    /// Why an address could not be bound.
    pub fn binding(address: &Address, error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::AddrInUse {
            return Self::InUse(address.clone(), holder::of(address));
        }
        Self::Bind(address.clone(), error)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(address, Some(holder)) => {
                write!(f, "{address} is in use by {holder}: stop it or choose another address")
            }
            Self::InUse(address, None) => {
                write!(f, "{address} is in use: stop what listens there or choose another address")
            }
            Self::Bind(address, error) if error.kind() == io::ErrorKind::AlreadyExists => write!(
                f,
                "cannot listen on {address}: it is a file and no socket: remove it or choose another path"
            ),
            Self::Bind(address, error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                write!(
                    f,
                    "cannot listen on {address}: no interface of this machine has that address"
                )
            }
            Self::Bind(address, error) if error.kind() == io::ErrorKind::NotFound => write!(
                f,
                "cannot listen on {address}: its directory is not there: create it or choose another path"
            ),
            Self::Bind(address, error) => write!(f, "cannot listen on {address}: {error}"),
            Self::Held(wanted, held) => write!(
                f,
                "{wanted} cannot be bound while this process listens on {held}: take that out by a \
                 reload of its own first"
            ),
            Self::Thread(error) => write!(f, "cannot start a thread: {error}"),
            Self::Identity(error) => {
                write!(f, "cannot become the user or group asked for: {error}; start as root")
            }
            Self::TakeOver(error) if error.kind() == io::ErrorKind::TimedOut => {
                f.write_str("no process has handed over in time: send SIGQUIT to the old one")
            }
            Self::TakeOver(error) => write!(f, "cannot take over: {error}"),
            Self::File(path, error) if error.kind() == io::ErrorKind::NotFound => write!(
                f,
                "cannot write {}: its directory is not there: create it or choose another path",
                path.display()
            ),
            Self::File(path, error) if error.kind() == io::ErrorKind::IsADirectory => {
                write!(
                    f,
                    "cannot write {}: it is a directory: add the name of a file",
                    path.display()
                )
            }
            Self::File(path, error) => write!(f, "cannot write {}: {error}", path.display()),
            Self::Stuck(index) => write!(f, "worker {index} does not answer: it is stuck"),
            Self::Fixed(what) => {
                write!(f, "a reload cannot change {what}: upgrade or restart for that")
            }
            Self::Loop(address) => write!(f, "{address} is where this balancer listens itself"),
            Self::NoUpstream(name) => write!(f, "there is no upstream {name:?}"),
        }
    }
}

impl std::error::Error for StartError {}
