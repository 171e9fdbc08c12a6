//! The manual page tells no nonsense.

use super::super::manual::EXAMPLE;
use super::fixture::site;

#[test]
fn the_example_of_the_manual_is_a_configuration() {
    let services = site().main(EXAMPLE).config().services;
    assert_eq!(services.keys().collect::<Vec<_>>(), ["cutout", "ocps"]);
}
