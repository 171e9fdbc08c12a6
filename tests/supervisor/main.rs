//! The supervisor over a real database and the fake engine: every sentence of its contract.

mod bed;
mod file_image;
mod grace;
mod images;
mod jobs;
mod log;
mod restarts;
mod retention;
mod room;
mod uploads;
