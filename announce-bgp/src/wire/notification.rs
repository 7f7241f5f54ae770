//! NOTIFICATION (RFC 4271 section 4.5): why a session ends.

use core::fmt;

use super::iana::{cease, error, notification_text};
use super::{HEADER_LENGTH, LONGEST_MESSAGE, MessageKind, write_message};

/// Most octets of data that fit a message.
const MAX_DATA: usize = LONGEST_MESSAGE - HEADER_LENGTH - 2;
/// Most octets of a shutdown text (RFC 9003 section 2).
const MAX_TEXT: usize = 255;

/// A NOTIFICATION as it stands on the wire. Unknown codes are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Error code.
    pub code: u8,
    /// Error subcode; 0 where the code has none.
    pub subcode: u8,
    /// What the code asks for, often nothing.
    pub data: Vec<u8>,
}

impl Notification {
    /// One without data.
    pub const fn new(code: u8, subcode: u8) -> Self {
        Self { code, subcode, data: Vec::new() }
    }

    /// One with data, cut to what a message holds.
    pub fn with_data(code: u8, subcode: u8, data: &[u8]) -> Self {
        Self { code, subcode, data: data.get(..MAX_DATA).unwrap_or(data).to_vec() }
    }

    /// Code 4: nothing was heard for the hold time (RFC 4271 section 6.5).
    pub const fn hold_timer_expired() -> Self {
        Self::new(error::HOLD_TIMER_EXPIRED, 0)
    }

    /// Code 8: the peer takes nothing any more (RFC 9687).
    pub const fn send_hold_timer_expired() -> Self {
        Self::new(error::SEND_HOLD_TIMER_EXPIRED, 0)
    }

    /// Code 6/2 with a text, cut at a character so that it has at most 255 octets (RFC 9003 section 2).
    pub fn shutdown(text: &str) -> Self {
        let end = (0..=text.len().min(MAX_TEXT)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        let text = text.get(..end).unwrap_or_default().as_bytes();
        let length = u8::try_from(text.len()).unwrap_or(0);
        let mut data = Vec::with_capacity(text.len() + 1);
        data.push(length);
        data.extend_from_slice(text);
        Self { code: error::CEASE, subcode: cease::ADMINISTRATIVE_SHUTDOWN, data }
    }

    /// Reads the body of a message that [`take_message`](super::take_message) framed; `None` below its two octets. Whatever is in it is
    /// never an error that could be answered (RFC 4271 section 6.4).
    pub fn decode(body: &[u8]) -> Option<Self> {
        let (code, rest) = body.split_first()?;
        let (subcode, data) = rest.split_first()?;
        Some(Self { code: *code, subcode: *subcode, data: data.to_vec() })
    }

    /// The whole message.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = vec![self.code, self.subcode];
        body.extend_from_slice(self.data.get(..MAX_DATA).unwrap_or(&self.data));
        write_message(MessageKind::Notification, &body).unwrap_or_default()
    }

    /// The text of a shutdown or a reset (RFC 9003), as it came; `None` for other codes, or where its length is not that of the data.
    pub fn text(&self) -> Option<&[u8]> {
        let may_have = self.code == error::CEASE && matches!(self.subcode, 2 | 4);
        let (length, text) = self.data.split_first().filter(|_| may_have)?;
        text.get(..usize::from(*length)).filter(|text| !text.is_empty())
    }
}

impl fmt::Display for Notification {
    /// Numbers, words, and the peer's own text with everything escaped that is no printable ASCII.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.code, self.subcode)?;
        let words = notification_text(self.code, self.subcode);
        if !words.is_empty() {
            write!(f, " ({words})")?;
        }
        match self.text() {
            Some(text) => write!(f, " \"{}\"", text.escape_ascii()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 9003 section 2
    #[test]
    fn a_shutdown_text_is_cut_at_a_character() {
        let long = "ü".repeat(200);
        let notification = Notification::shutdown(&long);
        assert_eq!(notification.data[0], 254);
        assert_eq!(notification.text().map(<[u8]>::len), Some(254));
        let encoded = Notification::shutdown("bye").encode();
        assert_eq!(encoded[16..], [0, 25, 3, 6, 2, 3, b'b', b'y', b'e']);
    }

    // RFC 9003 section 2, RFC 4271 section 6.4
    #[test]
    fn a_received_text_is_escaped_and_a_broken_one_left_out() {
        let read = |body: &[u8]| Notification::decode(body).unwrap().to_string();
        assert_eq!(read(&[6, 2, 4, b'a', 0, 0xff, b'"']), r#"6/2 (administrative shutdown) "a\x00\xff\"""#);
        assert_eq!(read(&[6, 2, 9, b'a']), "6/2 (administrative shutdown)");
        assert_eq!(read(&[200, 9, 1]), "200/9");
        assert_eq!(Notification::decode(&[6]), None);
    }

    // RFC 4271 section 4.5
    #[test]
    fn data_is_there_only_where_the_code_asks_for_it() {
        assert_eq!(Notification::hold_timer_expired().encode()[16..], [0, 21, 3, 4, 0]);
        let huge = Notification::with_data(3, 9, &[7; 5_000]);
        assert_eq!(huge.encode().len(), LONGEST_MESSAGE);
    }
}
