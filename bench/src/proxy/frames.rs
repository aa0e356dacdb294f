//! Finds the messages in a server's stream, however it is cut into pieces.
//!
//! Framing: <https://www.postgresql.org/docs/current/protocol-message-formats.html>.

/// A byte for the kind, and four for the length.
const HEADER: usize = 5;

/// Follows one stream.
#[derive(Default)]
pub struct Frames {
    /// The part of a message's header that has come.
    header: Vec<u8>,
    /// The length of the body that is still to come.
    body: usize,
}

impl Frames {
    /// The kinds of the messages whose header ends in these bytes.
    pub fn kinds(&mut self, bytes: &[u8]) -> Vec<u8> {
        let (mut kinds, mut rest) = (Vec::new(), bytes);
        while !rest.is_empty() {
            let part = if self.body > 0 { self.body } else { HEADER - self.header.len() };
            let (taken, left) = rest.split_at(part.min(rest.len()));
            rest = left;
            if self.body > 0 {
                self.body -= taken.len();
                continue;
            }
            self.header.extend_from_slice(taken);
            if let [kind, a, b, c, d] = self.header[..] {
                kinds.push(kind);
                // The length includes itself, but not the kind.
                self.body = (u32::from_be_bytes([a, b, c, d]) as usize).saturating_sub(4);
                self.header.clear();
            }
        }
        kinds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The end of a command, an error that contains a header, and the message that the server is
    /// ready.
    const STREAM: &[u8] = b"C\0\0\0\x0bSELECT\0E\0\0\0\x09C\0\0\0\x04Z\0\0\0\x05I";

    #[test]
    fn the_kinds_are_told_in_order() {
        assert_eq!(Frames::default().kinds(STREAM), b"CEZ");
    }

    #[test]
    fn it_does_not_matter_where_the_stream_is_cut() {
        for at in 0..=STREAM.len() {
            let mut frames = Frames::default();
            let (head, tail) = STREAM.split_at(at);
            assert_eq!([frames.kinds(head), frames.kinds(tail)].concat(), b"CEZ", "cut at {at}");
        }
        let mut frames = Frames::default();
        let one_by_one: Vec<u8> = STREAM.iter().flat_map(|byte| frames.kinds(&[*byte])).collect();
        assert_eq!(one_by_one, b"CEZ");
    }
}
