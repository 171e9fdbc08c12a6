//! Tests of loading as a whole.

mod fixture;
mod layers;
mod manual;
mod problems;
mod reload;
mod sample;
