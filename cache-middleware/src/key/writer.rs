//! The writer that arguments put their distinguishing parts into.

use crate::tenant::write_framed;

/// The most bytes of the frame of a field.
const FRAME: usize = 22;
/// Room for a frame, and for some short fields after it.
const ROOM_BESIDE: usize = 88;

/// Collects length-framed fields: `5:hello,`. A field that is not UTF-8 is written in hexadecimal with an `x` before
/// its length.
///
/// ```
/// use cache_middleware::KeyWriter;
///
/// let mut key = KeyWriter::new();
/// key.field("a");
/// key.field("b,c");
/// assert_eq!(key.finish(), "1:a,3:b,c,"); // no two lists of fields are the same text
/// ```
#[derive(Debug, Default, Clone)]
pub struct KeyWriter {
    text: String,
}

impl KeyWriter {
    /// An empty writer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One that goes on after a text.
    pub(crate) fn onto(text: String) -> Self {
        Self { text }
    }

    /// Adds a field.
    pub fn field(&mut self, value: &str) {
        // Text that grows is copied: once for several short fields.
        if self.text.capacity() - self.text.len() < value.len() + FRAME {
            self.text.reserve(value.len() + ROOM_BESIDE);
        }
        write_framed(&mut self.text, value);
        self.text.push(',');
    }

    /// Adds fields that another writer has framed.
    pub(crate) fn framed(&mut self, fields: &str) {
        self.text.push_str(fields);
    }

    /// Adds a field of bytes.
    pub fn bytes(&mut self, value: &[u8]) {
        match std::str::from_utf8(value) {
            Ok(text) => self.field(text),
            Err(_) => {
                self.text.push('x');
                let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
                self.field(&hex);
            }
        }
    }

    /// Adds a field made of fields, so that a list of two is not two lists of one.
    pub fn nested(&mut self, write: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        write(&mut inner);
        self.field(&inner.text);
    }

    /// What was written.
    #[must_use]
    pub fn finish(self) -> String {
        self.text
    }
}
