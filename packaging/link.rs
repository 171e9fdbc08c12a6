//! How the programs are linked.

fn main() {
    println!("cargo:rerun-if-changed=packaging/link.rs");
    // Half a megabyte less of relocations; the loader of glibc 2.36 (Debian 12) and later understands them packed.
    if std::env::var_os("CARGO_CFG_TARGET_ENV").is_some_and(|libc| libc == "gnu") {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
