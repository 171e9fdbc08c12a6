//! What every page for people has in common: no script, every text escaped.

use super::xml::Xml;

const STYLE: &str = "body{font-family:sans-serif;margin:2em;max-width:70em}table{border-collapse:collapse}\
                     th,td{text-align:left;vertical-align:top;padding:.2em 1em .2em 0;border-bottom:1px solid #ccc}\
                     td{white-space:pre-wrap;overflow-wrap:anywhere}";

/// The beginning of a page, up to its title.
pub(super) fn begin(page: &mut Xml, title: &str) {
    page.doctype_html();
    page.start("html", &[("lang", "en")]);
    page.start("head", &[]);
    page.empty("meta", &[("charset", "utf-8")]);
    page.empty("meta", &[("name", "viewport"), ("content", "width=device-width")]);
    page.element("title", &[], title);
    page.element("style", &[], STYLE);
    page.end("head");
    page.start("body", &[]);
    page.element("h1", &[], title);
}

/// The end of a page.
pub(super) fn end(page: &mut Xml) {
    page.end("body");
    page.end("html");
}

/// A link.
pub(super) fn link(page: &mut Xml, href: &str, text: &str) {
    page.element("a", &[("href", href)], text);
}
