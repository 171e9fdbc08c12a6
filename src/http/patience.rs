//! A connection's bytes, given up once the other end takes none of them any more.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// How long a client may leave what it was sent untaken.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A connection whose writes fail after they could not go on for `patience`.
///
/// Each byte that goes out starts the time anew, so that a slow client is served to the end.
pub(super) struct Patient<I> {
    io: I,
    patience: Duration,
    /// Made at the first wait; most connections never wait.
    stall: Option<Pin<Box<Sleep>>>,
    is_stalled: bool,
}

impl<I> Patient<I> {
    pub(super) const fn new(io: I, patience: Duration) -> Self {
        Self { io, patience, stall: None, is_stalled: false }
    }

    /// Passes on what a write came to, or gives up if it has waited for too long.
    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.is_stalled = false;
            return written;
        }
        let patience = self.patience;
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(patience)));
        if !self.is_stalled {
            self.is_stalled = true;
            stall.as_mut().reset(Instant::now() + patience);
        }
        ready!(stall.as_mut().poll(cx));
        let why = format!("the client took nothing of its answer for {} seconds", patience.as_secs());
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Patient<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.watch(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.io).poll_shutdown(cx);
        self.watch(cx, shut)
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Patient<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_is_given_up() {
        let (_reader, writer) = duplex(16);
        let mut writer = Patient::new(writer, PATIENCE);
        let began = Instant::now();
        let error = writer.write_all(&[0; 100]).await.expect_err("given up");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= PATIENCE && began.elapsed() < PATIENCE * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_little_by_little_gets_everything() {
        let (mut reader, writer) = duplex(16);
        let mut writer = Patient::new(writer, PATIENCE);
        let slowly = async {
            for _ in 0..10 {
                sleep(PATIENCE / 2).await;
                reader.read_exact(&mut [0; 10]).await.expect("there");
            }
        };
        let (written, ()) = tokio::join!(writer.write_all(&[0; 100]), slowly);
        written.expect("written to the end");
    }
}
