//! Documents through quick-xml's writer, which escapes; XML and, since its elements are all closed, HTML too.

use std::borrow::Cow;

use bytes::Bytes;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

const TAKES_ALL: &str = "a vector takes every byte";

/// A document, or a piece of one, being written.
pub(super) struct Xml(Writer<Vec<u8>>);

/// A name and its value.
pub(super) type Attribute<'a> = (&'a str, &'a str);

impl Xml {
    /// A whole document with its declaration, indented.
    pub(super) fn document() -> Self {
        let mut xml = Self(Writer::new_with_indent(Vec::with_capacity(4096), b' ', 2));
        xml.declare();
        xml
    }

    /// A piece of something, not indented.
    pub(super) fn piece() -> Self {
        Self(Writer::new(Vec::with_capacity(4096)))
    }

    /// The declaration, before anything else.
    pub(super) fn declare(&mut self) {
        self.event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)));
    }

    /// `<!DOCTYPE html>`.
    pub(super) fn doctype_html(&mut self) {
        self.event(Event::DocType(BytesText::from_escaped("html")));
    }

    /// Opens an element.
    pub(super) fn start(&mut self, name: &str, attributes: &[Attribute<'_>]) {
        self.event(Event::Start(BytesStart::new(name).with_attributes(attributes.iter().copied())));
    }

    /// Closes it.
    pub(super) fn end(&mut self, name: &str) {
        self.event(Event::End(BytesEnd::new(name)));
    }

    /// An element without content.
    pub(super) fn empty(&mut self, name: &str, attributes: &[Attribute<'_>]) {
        self.event(Event::Empty(BytesStart::new(name).with_attributes(attributes.iter().copied())));
    }

    /// An element with a text.
    pub(super) fn element(&mut self, name: &str, attributes: &[Attribute<'_>], text: &str) {
        let element = self.0.create_element(name).with_attributes(attributes.iter().copied());
        element.write_text_content(BytesText::new(&printable(text))).map(drop).expect(TAKES_ALL);
    }

    /// A text.
    pub(super) fn text(&mut self, text: &str) {
        self.event(Event::Text(BytesText::new(&printable(text))));
    }

    fn event(&mut self, event: Event<'_>) {
        self.0.write_event(event).expect(TAKES_ALL);
    }

    /// What was written.
    pub(super) fn into_bytes(self) -> Bytes {
        Bytes::from(self.0.into_inner())
    }
}

/// Whether XML 1.0 can carry a character at all (§2.2): most control characters it cannot, not even escaped.
const fn is_carried(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{fffd}' | '\u{10000}'..)
}

/// Whether XML 1.0 can carry the text.
pub(super) fn can_carry(text: &str) -> bool {
    text.chars().all(is_carried)
}

/// The text with a sign for each character that XML cannot carry.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    if can_carry(text) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if is_carried(c) { c } else { '\u{fffd}' }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_has_a_meaning_is_escaped() {
        let mut xml = Xml::piece();
        xml.element("a", &[("b", "\"<&'>")], "<x> & ]]> \"\r\n\u{1}");
        let written = xml.into_bytes();
        let text = std::str::from_utf8(&written).expect("text");
        assert!(text.starts_with("<a b=\"&quot;&lt;&amp;&apos;&gt;\">&lt;x&gt; &amp; ]]&gt; "), "{text}");
        assert!(text.contains("&#13;\n\u{fffd}</a>"), "a carriage return must outlive the parser: {text}");
    }

    #[test]
    fn what_xml_cannot_carry_is_known() {
        assert!(can_carry("ä\t\r\n \u{fffd}\u{10ffff}\u{85}"));
        for bad in ["\0", "\u{1}", "\u{1b}[0m", "\u{b}", "\u{fffe}", "\u{ffff}"] {
            assert!(!can_carry(bad), "{bad:?}");
        }
    }
}
