//! All connections of one load in one thread and one loop, with a core to itself.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use rustls::ClientConfig;

use super::connection::Connection;
use super::dialect::{Dialect, Purpose};
use super::reader::Message;

/// How much is read at once.
const READ: usize = 256 * 1024;

/// Connections that are opened at the same time.
const AT_ONCE: usize = 16;

/// How long they may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where a load connects, and how.
pub struct Door {
    pub address: SocketAddr,
    pub config: Arc<ClientConfig>,
    pub dialect: Dialect,
}

/// Connections, by the order in which they were opened.
pub struct Load<'a> {
    door: &'a Door,
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
}

impl<'a> Load<'a> {
    pub fn new(door: &'a Door) -> Self {
        Self {
            door,
            poll: Poll::new().expect("epoll"),
            events: Events::with_capacity(1_024),
            connections: Vec::new(),
            buffer: vec![0; READ],
        }
    }

    pub fn dialect(&self) -> Dialect {
        self.door.dialect
    }

    /// Opens a connection for each purpose, and waits until all are served. Tells their places.
    pub fn open(&mut self, purposes: impl IntoIterator<Item = Purpose>) -> std::ops::Range<usize> {
        let first = self.connections.len();
        let mut opening = Vec::new();
        let mut purposes = purposes.into_iter().peekable();
        let mut progress = Instant::now();
        while !opening.is_empty() || purposes.peek().is_some() {
            for purpose in purposes.by_ref().take(AT_ONCE - opening.len()) {
                let place = self.connections.len();
                let connection = self.connect(&purpose, place);
                self.connections.push(connection);
                opening.push(place);
            }
            self.turn(Some(PATIENCE), |_, _| {});
            let before = opening.len();
            opening.retain(|place| !self.connections[*place].is_ready());
            if opening.len() < before {
                progress = Instant::now();
            }
            assert!(progress.elapsed() < PATIENCE, "{} connections are not served", opening.len());
        }
        first..self.connections.len()
    }

    /// Replaces a connection by a new one, that has yet to be served.
    pub fn reopen(&mut self, place: usize, purpose: &Purpose) {
        self.connections[place] = self.connect(purpose, place);
    }

    fn connect(&mut self, purpose: &Purpose, place: usize) -> Connection {
        let Door { address, config, dialect } = self.door;
        let mut connection = Connection::open(*address, config, *dialect, purpose).expect("connected");
        self.poll
            .registry()
            .register(&mut connection.socket, Token(place), Interest::READABLE | Interest::WRITABLE)
            .expect("registered");
        connection
    }

    pub fn connection(&mut self, place: usize) -> &mut Connection {
        &mut self.connections[place]
    }

    pub fn send(&mut self, place: usize, frames: &[u8]) {
        let sent = self.connections[place].send(frames);
        sent.unwrap_or_else(|error| panic!("connection {place}, sending: {error}"));
    }

    /// Waits until something comes, for no longer than `wait`, and reads it. Tells each message with its
    /// connection's place.
    pub fn turn(&mut self, wait: Option<Duration>, mut on_message: impl FnMut(usize, &Message<'_>)) {
        match self.poll.poll(&mut self.events, wait) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return,
            polled => polled.expect("epoll"),
        }
        for event in &self.events {
            let Token(place) = event.token();
            let connection = &mut self.connections[place];
            let mut served = Ok(());
            if event.is_writable() && connection.is_blocked() {
                served = connection.flush();
            }
            if event.is_readable() {
                served = served.and_then(|()| {
                    connection.receive(&mut self.buffer, &mut |message| on_message(place, message))
                });
            }
            served.unwrap_or_else(|error| panic!("connection {place}, receiving: {error}"));
        }
    }
}
