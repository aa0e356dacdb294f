//! Statements, round trips and bytes.

use serde::{Deserialize, Serialize};

use super::frames::Frames;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Client,
    Server,
}

/// Some bytes that came from one side.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// In seconds of the wall clock.
    pub at: f64,
    pub side: Side,
    pub bytes: usize,
    /// How many statements these bytes of the server end.
    pub statements: usize,
    /// Whether they are the first of an answer.
    pub answers: bool,
}

/// The state of a connection.
#[derive(Default)]
pub struct Dialogue {
    frames: Frames,
    is_asked: bool,
}

impl Dialogue {
    pub fn follow(&mut self, at: f64, side: Side, chunk: &[u8]) -> Event {
        let event = Event { at, side, bytes: chunk.len(), statements: 0, answers: false };
        match side {
            Side::Client => {
                self.is_asked = true;
                event
            }
            Side::Server => {
                let answers = std::mem::take(&mut self.is_asked);
                let kinds = self.frames.kinds(chunk);
                Event {
                    statements: kinds.into_iter().filter(|kind| ends_a_statement(*kind)).count(),
                    answers,
                    ..event
                }
            }
        }
    }
}

/// Whether this message ends a statement. In both of PostgreSQL's query protocols, a statement is
/// complete, has failed, or has delivered as many rows as were asked for.
fn ends_a_statement(kind: u8) -> bool {
    matches!(kind, b'C' | b'E' | b's')
}

/// The traffic of a program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    pub statements: usize,
    /// How often the server answered after the client had sent something. A goodbye gets no answer.
    pub round_trips: usize,
    pub client_bytes: usize,
    pub server_bytes: usize,
}

impl Traffic {
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut sum = Self::default();
        for event in events {
            sum.statements += event.statements;
            sum.round_trips += usize::from(event.answers);
            match event.side {
                Side::Client => sum.client_bytes += event.bytes,
                Side::Server => sum.server_bytes += event.bytes,
            }
        }
        sum
    }

    pub fn bytes(self) -> usize {
        self.client_bytes + self.server_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPLETE: &[u8] = b"C\0\0\0\x04";
    const READY: &[u8] = b"Z\0\0\0\x05I";

    fn traffic(dialogue: &[(Side, &[u8])]) -> Traffic {
        let mut follower = Dialogue::default();
        let events: Vec<_> =
            dialogue.iter().map(|(side, chunk)| follower.follow(0.0, *side, chunk)).collect();
        Traffic::of(&events)
    }

    #[test]
    fn an_answer_in_pieces_is_one_round_trip() {
        let traffic =
            traffic(&[(Side::Client, b"ask"), (Side::Server, COMPLETE), (Side::Server, READY)]);
        assert_eq!((traffic.round_trips, traffic.statements), (1, 1));
        assert_eq!((traffic.client_bytes, traffic.server_bytes, traffic.bytes()), (3, 11, 14));
    }

    #[test]
    fn messages_that_are_sent_together_are_one_round_trip() {
        let answer = [COMPLETE, COMPLETE, READY].concat();
        let traffic =
            traffic(&[(Side::Client, b"begin"), (Side::Client, b"ask"), (Side::Server, &answer)]);
        assert_eq!((traffic.round_trips, traffic.statements), (1, 2));
    }

    #[test]
    fn a_goodbye_is_no_round_trip_nor_is_a_notice() {
        let traffic = traffic(&[(Side::Server, b"N\0\0\0\x04"), (Side::Client, b"X\0\0\0\x04")]);
        assert_eq!((traffic.round_trips, traffic.statements), (0, 0));
    }

    #[test]
    fn a_statement_that_fails_counts_and_so_does_one_whose_rows_are_not_all_read() {
        let answer = [&b"E\0\0\0\x04s\0\0\0\x04"[..], READY].concat();
        assert_eq!(traffic(&[(Side::Client, b"ask"), (Side::Server, &answer)]).statements, 2);
    }
}
