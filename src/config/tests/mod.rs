//! Tests of loading as a whole.

mod fixture;
mod layers;
mod problems;
mod reload;
mod sample;
