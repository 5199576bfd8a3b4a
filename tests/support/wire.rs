//! What the peers of a test speak over: TCP, or TLS over it.

use std::io::{Read, Write};
use std::net::TcpStream;

pub trait Wire: Read + Write {
    /// The connection itself, below everything else.
    fn tcp(&self) -> &TcpStream;

    /// Says that nothing more will be sent, where there is a way to say so before TCP does.
    fn close_notify(&mut self) {}
}

impl Wire for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}
